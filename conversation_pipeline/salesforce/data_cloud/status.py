"""Where a query stands, as v3 and query-sql tell it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from conversation_pipeline.salesforce.connection import Retry
from conversation_pipeline.salesforce.data_cloud.results import Result
from conversation_pipeline.salesforce.errors import IncompleteAnswer, JobFailed

LONGEST_QUERY = timedelta(minutes=60)
WAIT_MS = 10_000
"""How long the service holds a question for the status, at most (waitTimeMs)."""

_READY = frozenset({"resultsproduced", "finished"})
_RUNNING = frozenset({"runningorunspecified", "running", "unspecified", ""})
_LONGEST_PAUSE = 5.0


class _Stats(msgspec.Struct, rename="camel"):
    rows_processed: int | None = None


class Status(msgspec.Struct, rename="camel"):
    """One look at a query; ``completion_status`` is spelled ``RESULTS_PRODUCED`` by v3, ``ResultsProduced`` by core."""

    query_id: str
    completion_status: str = ""
    row_count: int | None = None
    chunk_count: int | None = None
    expiration_time: datetime | None = None
    execution_stats: _Stats | None = None

    @property
    def state(self) -> str:
        return self.completion_status.replace("_", "").lower()

    def result(self) -> Result:
        processed = self.execution_stats.rows_processed if self.execution_stats else None
        return Result(self.query_id, self.row_count, self.chunk_count, processed, self.expiration_time)


def read_status(told: Any) -> Status:
    """
    Raises:
        IncompleteAnswer: there is no status in it.
    """
    inner = told.get("status", told) if isinstance(told, dict) else None
    try:
        return msgspec.convert(inner, Status)
    except msgspec.ValidationError:
        raise IncompleteAnswer("Data Cloud told no status of the query, or one without its id") from None


def wait(status: Status, look: Callable[[str], Status], retry: Retry) -> Result:
    """
    Looks until the result can be read.

    Raises:
        JobFailed: the query failed, was cancelled, or takes longer than we wait.
    """
    began = time.monotonic()
    pause = retry.wait_initial
    while status.state not in _READY:
        if status.state not in _RUNNING:
            raise JobFailed(f"query {status.query_id} of Data Cloud is {status.completion_status}: run it again")
        if time.monotonic() - began > LONGEST_QUERY.total_seconds():
            raise JobFailed(f"query {status.query_id} of Data Cloud still runs after {LONGEST_QUERY}: ask for less")
        asked_at = time.monotonic()
        status = look(status.query_id)
        if status.state in _RUNNING and time.monotonic() - asked_at < 1.0:  # a service that does not hold the question
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
    return status.result()
