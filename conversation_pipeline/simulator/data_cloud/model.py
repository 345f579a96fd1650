"""Queries, their states and results, batches that can be read once, and calls at a time; no HTTP."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

import pyarrow as pa

from conversation_pipeline.simulator.data_cloud.volume import Volume

V2_SECONDS = 3600
"""How long a v2 result can be read in all [doc]."""
V2_PAUSE_SECONDS = 180
"""The longest time between two calls for batches of a v2 query [doc]."""
_MOST_KEPT_BYTES = 2_000_000_000


class State(Enum):
    """completionStatus by its Connect name; the value is v3's [doc]."""

    Running = "RUNNING_OR_UNSPECIFIED"
    ResultsProduced = "RESULTS_PRODUCED"
    Finished = "FINISHED"


@dataclass(slots=True)
class Query:
    """
    One query of v3 or Connect, with its whole result from the moment of submission.

    Attributes:
      opened: when it was submitted, on the clock of limits; `opened_ms` in the org's world.
      chunk_rows: rows of an engine chunk.
      withheld: rows at the end that are counted and never come.
      left_polls: polls that will still find it running; `due`: the instant on the clock of limits until which it runs.
    """

    id: str
    table: pa.Table
    rows_processed: int
    opened: float
    opened_ms: int
    chunk_rows: int
    withheld: int
    left_polls: int
    due: float
    produced: bool = False
    persisted: bool = False

    @property
    def chunks(self) -> int:
        """How many engine chunks the result has; an empty one has one, which tells the columns [assumed]."""
        rows: int = self.table.num_rows
        return max(1, -(-rows // self.chunk_rows))

    @property
    def readable(self) -> pa.Table:
        """The rows that really come."""
        return self.table.slice(0, max(0, self.table.num_rows - self.withheld))

    def chunk(self, place: int) -> pa.Table:
        """The rows of one chunk."""
        return self.readable.slice(place * self.chunk_rows, self.chunk_rows)

    def look(self, at: float, *, polled: bool) -> State:
        """Where the query stands at `at`; a poll moves it on."""
        if not self.produced:
            if at < self.due or self.left_polls > 0:
                self.left_polls -= polled and self.left_polls > 0
                return State.Running
            self.produced = True
            return State.ResultsProduced
        self.persisted = self.persisted or polled
        return State.Finished if self.persisted else State.ResultsProduced

    def finish(self) -> None:
        """The query was quick: its results are there as soon as it is answered."""
        self.left_polls, self.produced, self.persisted = 0, True, True


@dataclass(slots=True)
class Batches:
    """A v2 result on its way: where its next batch begins, and since when it is read."""

    id: str
    table: pa.Table
    opened: float
    called: float
    started_ms: int
    place: int = 0
    served: int = 0


class DataCloud:
    """What the tenant remembers: results until they expire, and how many calls it serves at this moment."""

    def __init__(self) -> None:
        self._queries: dict[str, Query] = {}
        self._batches: dict[str, Batches] = {}
        self._number = 0
        self.volumes: list[Volume] = []
        self.calls = 0
        self.most_calls = 0
        self.refused = 0

    def identify(self) -> tuple[int, str]:
        """The number and the random tail of a new query's id."""
        self._number += 1
        return self._number, uuid.uuid4().hex[:8]

    def keep(self, query: Query) -> None:
        """Remember a query; the oldest results go when all of them together get too large for this machine."""
        self._queries[query.id] = query
        size = sum(kept.table.nbytes for kept in self._queries.values())
        while size > _MOST_KEPT_BYTES and len(self._queries) > 1:
            size -= self._queries.pop(next(iter(self._queries))).table.nbytes

    def find(self, identifier: str, at: float, life: float) -> Query | None:
        """The query of that id, unless it never was, was cancelled, or its results have expired."""
        query = self._queries.get(identifier)
        if query is not None and at - query.opened >= life:
            del self._queries[identifier]
            return None
        return query

    def results(self, at: float, life: float) -> dict[str, pa.Table]:
        """Query id to result, of everything that can still be read."""
        return {
            identifier: query.table for identifier, query in self._queries.items()
            if at - query.opened < life and query.produced
        }  # fmt: skip

    def cancel(self, query: Query) -> None:
        """Forget a query."""
        del self._queries[query.id]

    def offer(self, name: str, batches: Batches) -> None:
        """A batch id that leads on, once."""
        self._batches[name] = batches

    def take(self, name: str, at: float) -> Batches | None:
        """What a batch id leads to; None when it was used, never was, or the result is no longer there."""
        batches = self._batches.pop(name, None)
        if batches is None or at - batches.opened >= V2_SECONDS or at - batches.called >= V2_PAUSE_SECONDS:
            return None
        batches.called = at
        return batches

    @contextmanager
    def call(self, most: int) -> Iterator[bool]:
        """One call is served meanwhile; False says that there are as many already."""
        if self.calls >= most:
            self.refused += 1
            yield False
            return
        self.calls += 1
        self.most_calls = max(self.most_calls, self.calls)
        try:
            yield True
        finally:
            self.calls -= 1
