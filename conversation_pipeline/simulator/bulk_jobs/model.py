"""Query jobs, their states and their results; no HTTP (Bulk API 2.0 and Bulk API Developer Guide, queries [doc])."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from conversation_pipeline.simulator.soql.errors import SoqlError
from conversation_pipeline.simulator.soql.evaluate import AGGREGATES, Selected, Tables, run
from conversation_pipeline.simulator.soql.grammar import Call, Query
from conversation_pipeline.simulator.world.ids import record_id
from conversation_pipeline.simulator.world.records import Row
from conversation_pipeline.simulator.world.schema import SObject

DAY = 86_400
RESULTS_KEPT = 7 * DAY
"""Seconds until a job that has ended is deleted with its results [doc]."""
MOST_RETRIES = 15
"""How often the service tries a query again before it gives up [doc]."""
PK_CHUNKING = frozenset({"Case", "ConversationEntry", "MessagingSession", "User", "VoiceCall", "VoiceCallRecording"})
"""The objects of this org on the documented PK-chunking list."""
_COMPOUND = frozenset({"address", "location"})


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the results are written: the names of the column delimiter and of the line ending."""

    column_delimiter: str = "COMMA"
    line_ending: str = "LF"


@dataclass(slots=True)
class Job:
    """
    One query job.

    Attributes:
      operation: `query` or `queryAll`.
      created_by: the user's id; `created_at` UTC epoch seconds in the org's world.
      api_version: of the creating call, such as `66.0`; results are read with the same.
      opened: on the clock of limits, as `ended` is.
      polls: how often the job was asked for.
      columns, values: the result, a snapshot of the moment of completion.
    """

    id: str
    operation: str
    query: Query
    sobject: str
    dialect: Dialect
    created_by: str
    created_at: int
    api_version: str
    opened: float
    state: str = "UploadComplete"
    changed_at: int = 0
    ended: float | None = None
    polls: int = 0
    retries: int = 0
    error: str | None = None
    columns: tuple[Selected, ...] = ()
    values: list[tuple[Any, ...]] = field(default_factory=list)

    @property
    def running(self) -> bool:
        """True until the job is complete, failed or aborted."""
        return self.ended is None

    @property
    def pk_chunking(self) -> bool:
        """LIMIT and ORDER BY switch chunking off [doc]."""
        return self.sobject in PK_CHUNKING and self.query.limit is None and not self.query.order_by

    def poll(self, after_polls: int) -> bool:
        """Count a look at the job; true once it has been looked at often enough to have completed."""
        self.polls += 1
        if self.state == "UploadComplete" and (self.polls > 1 or after_polls < 2):
            self.state = "InProgress"
        return self.polls > after_polls

    def complete(self, tables: Tables, at: float, *, most_rows: int, shuffle: str | None) -> None:
        """
        Run the query and keep what it finds.

        Arguments:
          at: now, on the clock of limits.
          most_rows: a result of more rows takes the service too long: the job fails with QUERY_TIMEOUT; 0 for no end.
          shuffle: the seed of the order that rows come in without ORDER BY; None leaves them as they are.
        """
        try:
            result = run(self.query, tables, include_deleted=self.operation == "queryAll")
        except SoqlError as error:
            self.fail(f"InvalidBatch : Failed to process query: {error.code}: {error.message}", tables.now, at)
            return
        if most_rows and len(result.rows) > most_rows:
            self.retries = MOST_RETRIES
            self.fail("QUERY_TIMEOUT: Your query request was running for too long.", tables.now, at)
            return
        self.columns = result.columns
        self.values = [tuple(column.get(row) for column in result.columns) for row in result.rows]
        if shuffle is not None and not self.query.order_by:
            random.Random(shuffle).shuffle(self.values)
        self._end("JobComplete", tables.now, at)

    def fail(self, message: str, now: int, at: float) -> None:
        """End without a result."""
        self.error = message
        self._end("Failed", now, at)

    def abort(self, now: int, at: float) -> None:
        """End because the caller asked."""
        self._end("Aborted", now, at)

    def _end(self, state: str, now: int, at: float) -> None:
        self.state, self.changed_at, self.ended = state, now, at


class Jobs:
    """The query jobs of the org."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._made = 0
        self._opened: deque[float] = deque()

    def identify(self) -> str:
        """The id of the next job."""
        self._made += 1
        return record_id("750", self._made)

    def open(self, job: Job) -> None:
        """Take a job in; it counts for 24 hours."""
        self._jobs[job.id] = job
        self._opened.append(job.opened)

    def opened_in_a_day(self, at: float) -> int:
        """How many jobs were created in the 24 hours before `at`, deleted ones included."""
        while self._opened and self._opened[0] <= at - DAY:
            self._opened.popleft()
        return len(self._opened)

    def find(self, identifier: str, at: float) -> Job | None:
        """The job with that id, 15 or 18 characters, if it is still kept."""
        self._tidy(at)
        return self._jobs.get(identifier) or next((j for j in self._jobs.values() if j.id[:15] == identifier), None)

    def all(self, at: float) -> list[Job]:
        """The jobs that are still kept, oldest first."""
        self._tidy(at)
        return list(self._jobs.values())

    def delete(self, job: Job) -> None:
        """Forget a job and its results."""
        del self._jobs[job.id]

    def _tidy(self, at: float) -> None:
        for job in [j for j in self._jobs.values() if j.ended is not None and at - j.ended > RESULTS_KEPT]:
            self.delete(job)


class _NoRows:
    """An org without rows: what a query would be refused for shows without running it."""

    def __init__(self, tables: Tables) -> None:
        self.now = tables.now
        self._tables = tables

    def sobject(self, name: str) -> SObject | None:
        return self._tables.sobject(name)

    def rows(self, _sobject: str, *, include_deleted: bool) -> Iterable[Row]:  # noqa: ARG002  (the Tables protocol)
        return ()

    def row(self, _identifier: str, *, include_deleted: bool) -> tuple[str, Row] | None:  # noqa: ARG002
        return None


def checked(query: Query, tables: Tables) -> str:
    """
    The API name of the object that a query reads, if Bulk takes the query (Bulk API, SOQL considerations [doc]).

    Raises:
      SoqlError: API_ERROR for what Bulk does not know [code seen, some texts assumed], else as REST answers.
    """
    calls = [item.expression.function for item in query.items if isinstance(item.expression, Call)]
    if query.group_by or any(name in AGGREGATES for name in calls):
        raise SoqlError("API_ERROR", "Aggregate Relationships not supported in Bulk Query")
    if query.offset is not None:
        raise SoqlError("API_ERROR", "OFFSET not supported in Bulk Query")
    fields = [i.expression for i in query.items if isinstance(i.expression, Call) and i.expression.function == "FIELDS"]
    if any(str(call.argument).upper() != "STANDARD" for call in fields):
        raise SoqlError("API_ERROR", "FIELDS(ALL) and FIELDS(CUSTOM) not supported in Bulk Query")
    result = run(query, _NoRows(tables), include_deleted=True)
    if any(column.type in _COMPOUND for column in result.columns):
        raise SoqlError("API_ERROR", "Selecting compound data not supported in Bulk Query")
    if any(column.type == "base64" for column in result.columns):
        raise SoqlError("API_ERROR", "Selecting binary data not supported in Bulk Query")
    sobject = tables.sobject(query.sobject)
    return sobject.name if sobject else query.sobject
