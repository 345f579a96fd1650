"""What was deleted and what was changed in a span of time (REST, getDeleted and getUpdated resources [doc])."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from conversation_pipeline.simulator.endpoint import json_response
from conversation_pipeline.simulator.oauth.model import Session
from conversation_pipeline.simulator.org import Org
from conversation_pipeline.simulator.rest.wire import errors, not_found
from conversation_pipeline.simulator.soql.evaluate import json_datetime

_MINUTE, _DAY = 60, 86_400
DELETED_REACHES_BACK = 15 * _DAY
UPDATED_REACHES_BACK = 30 * _DAY
Span = tuple[int, int]


class Refused(Exception):
    """A span that the org does not answer for: an errorCode and its message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Replication:
    """The two resources below an object."""

    def __init__(self, org: Org) -> None:
        self._org = org

    def deleted(self, request: Request, _session: Session) -> Response:
        """GET /sobjects/{O}/deleted: ids and times, of rows that are purged as well."""
        return self._answered(request, self._deleted)

    def updated(self, request: Request, _session: Session) -> Response:
        """GET /sobjects/{O}/updated: ids of the rows whose SystemModstamp lies in the span."""
        return self._answered(request, self._updated)

    def _answered(self, request: Request, answer: Callable[[str, Request], dict[str, Any]]) -> Response:
        sobject = self._org.tables().sobject(request.path_params["sobject"])
        if sobject is None:
            return not_found()
        if not sobject.replicateable:
            return errors(400, "INVALID_TYPE_FOR_OPERATION", f"object type {sobject.name} is not replicateable")
        try:
            return json_response(answer(sobject.name, request))
        except Refused as refused:
            return errors(400, refused.code, refused.message)

    def _deleted(self, sobject: str, request: Request) -> dict[str, Any]:
        org, now = self._org, self._org.clock.now
        start, end = self._span(request, DELETED_REACHES_BACK)
        earliest = now - int(org.switches["delete_log_seconds"])
        if start < earliest:
            raise Refused("INVALID_REPLICATION_DATE", "the delete log no longer reaches back to startDate")
        covered = self._covered(start, end)
        seen_at = org.tables().now
        found = [
            {"id": record.id, "deletedDate": json_datetime(at)}
            for record in org.world.records_of(sobject)
            if (at := record.deleted_at(seen_at)) is not None and start <= at < end
        ]
        self._within_limit(len(found))
        return {"deletedRecords": found, "earliestDateAvailable": json_datetime(earliest),
                "latestDateCovered": json_datetime(covered)}  # fmt: skip

    def _updated(self, sobject: str, request: Request) -> dict[str, Any]:
        start, end = self._span(request, UPDATED_REACHES_BACK)
        covered = self._covered(start, end)
        rows = self._org.tables().rows(sobject, include_deleted=False)
        ids = [row["Id"] for row in rows if start <= int(row["SystemModstamp"] or 0) < end]
        self._within_limit(len(ids))
        return {"ids": ids, "latestDateCovered": json_datetime(covered)}

    def _span(self, request: Request, reaches_back: int) -> Span:
        start, end = (_minute(name, request.query_params.get(name)) for name in ("start", "end"))
        if end - start <= _MINUTE:
            raise Refused("INVALID_REPLICATION_DATE", "startDate must be more than one minute before endDate")
        # Seconds are ignored, so a span that begins at the very edge may begin up to a minute before it.
        if start < self._org.clock.now - reaches_back - _MINUTE:
            raise Refused("INVALID_REPLICATION_DATE", f"startDate must lie within the last {reaches_back // _DAY} days")
        return start, end

    def _covered(self, start: int, end: int) -> int:
        """Until when the answer is sure: transactions that are still open hold it back."""
        org = self._org
        held_back = max(org.switches["replication_held_back_seconds"], org.switches["commit_delay_seconds"])
        covered = min(end, org.clock.now - int(held_back))
        if covered <= start:
            raise Refused("INVALID_REPLICATION_DATE", "nothing is covered yet since startDate")
        return covered

    def _within_limit(self, count: int) -> None:
        most = self._org.limits.replication_ids
        if count > most:
            raise Refused("EXCEEDED_ID_LIMIT", f"more than {most} ids: ask for a shorter span")


def _minute(name: str, text: str | None) -> int:
    """The instant of `start` or `end`, seconds ignored."""
    try:
        # A plus sign that was not encoded arrives as a space.
        instant = datetime.fromisoformat((text or "").replace(" ", "+"))
    except ValueError:
        raise Refused("INVALID_REPLICATION_DATE", f"{name} has to be an ISO 8601 date-time with offset") from None
    if instant.tzinfo is None:
        raise Refused("INVALID_REPLICATION_DATE", f"{name} has to carry an offset")
    return int(instant.astimezone(UTC).timestamp()) // _MINUTE * _MINUTE
