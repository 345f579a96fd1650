"""Submitting and reading the queries that v3 and Connect share: one engine, one store, two spellings."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from conversation_pipeline.simulator.data_cloud import wire
from conversation_pipeline.simulator.data_cloud.engine import Engine, Found, Parameters, SqlError
from conversation_pipeline.simulator.data_cloud.model import Query, State
from conversation_pipeline.simulator.data_cloud.rows import Tables
from conversation_pipeline.simulator.data_cloud.tenant import life
from conversation_pipeline.simulator.org import Org

_ZONE_SETTINGS = ("time_zone", "timezone")


class Queries:
    """The queries of one org."""

    def __init__(self, org: Org, tables: Tables) -> None:
        self._org = org
        self._engine = Engine(tables)

    def run(self, asked: Mapping[str, Any], parameters: Parameters = None, settings: Any = None) -> Found:
        """
        Run the statement of a request.

        Raises:
          SqlError: refused.
        """
        sql = asked.get("sql")
        if not isinstance(sql, str) or not sql.strip():
            raise SqlError("42601", "sql is required")
        if settings is not None and (
            not isinstance(settings, dict) or not all(isinstance(value, str) for value in settings.values())
        ):
            raise SqlError("22023", "settings map names to texts")
        zone = next((settings[name] for name in _ZONE_SETTINGS if settings and name in settings), "UTC")
        org = self._org
        results = org.data_cloud.results(org.clock.elapsed(), life(org))
        return self._engine.run(sql, parameters=parameters, zone=zone, results=results)

    def submit(self, found: Found, *, patience: float | None) -> Query:
        """
        Remember a result as a query.

        Arguments:
          patience: seconds for which the call waits for results; None does not wait.
        """
        org, at = self._org, self._org.clock.elapsed()
        seconds = float(org.switches["data_cloud_after_seconds"])
        number, tail = org.data_cloud.identify()
        identifier = base64.urlsafe_b64encode(f"10.0.0.1:{7000 + number}".encode()).rstrip(b"=").decode()
        query = Query(
            f"{identifier}_{tail}", found.table, found.rows_processed, at, org.clock.now_ms,
            int(org.switches["data_cloud_chunk_rows"]), int(org.switches["data_cloud_withheld_rows"]),
            int(org.switches["data_cloud_after_polls"]), at + seconds,
        )  # fmt: skip
        if patience is not None and seconds <= patience:
            query.finish()
        org.data_cloud.keep(query)
        return query

    def find(self, identifier: str) -> Query | None:
        """The query of that id whose results can still be read."""
        return self._org.data_cloud.find(identifier, self._org.clock.elapsed(), life(self._org))

    def look(self, query: Query, *, polled: bool = False) -> State:
        """Where it stands."""
        return query.look(self._org.clock.elapsed(), polled=polled)

    def status(self, query: Query, state: State) -> dict[str, Any]:
        """What v3 and Connect tell of a query, without completionStatus."""
        done = state is not State.Running
        return {
            "queryId": query.id, "progress": 1.0 if done else 0.5,
            "rowCount": query.table.num_rows if done else 0, "chunkCount": query.chunks if done else 0,
            "expirationTime": wire.instant(query.opened_ms + round(life(self._org) * 1000)),
        }  # fmt: skip

    def form(self) -> wire.Form:
        """How instants are written in JSON."""
        return wire.SQL if self._org.switches["data_cloud_instants"] == "sql" else wire.ISO


def limited(table: pa.Table, rows: Any) -> pa.Table:
    """The first rows; None for all."""
    return table if rows is None else table.slice(0, int(rows))


def whole(text: str | None, name: str, *, least: int, default: int | None = None) -> int | None:
    """
    A whole number of the query string.

    Raises:
      SqlError: it is none, or too small.
    """
    if text is None:
        return default
    if not text.isdecimal() or int(text) < least:
        raise SqlError("22023", f"{name} is a whole number from {least}")
    return int(text)
