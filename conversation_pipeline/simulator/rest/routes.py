"""Paths of the core REST API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from starlette.requests import Request
from starlette.responses import Response

from conversation_pipeline.simulator.endpoint import Endpoint, json_response
from conversation_pipeline.simulator.oauth.model import Session
from conversation_pipeline.simulator.org import Org
from conversation_pipeline.simulator.rest.batch import Batch
from conversation_pipeline.simulator.rest.model import Cursor, Cursors, describe, sobject_summary, well_formed
from conversation_pipeline.simulator.rest.replication import Replication
from conversation_pipeline.simulator.rest.wire import (
    DATA,
    VERSIONS,
    Authenticated,
    authenticated,
    base_of,
    commanded,
    errors,
    not_found,
    page,
)
from conversation_pipeline.simulator.soql.evaluate import render_value, run
from conversation_pipeline.simulator.soql.grammar import parse
from conversation_pipeline.simulator.world.ids import to_18

_BATCH_SIZE = re.compile(r"batchSize\s*=\s*(\d+)", re.IGNORECASE)


def endpoints(org: Org) -> Iterable[Endpoint]:
    """The core REST room; every path is also there with a trailing slash, as real clients ask."""
    room = _Room(org)

    def get(name: str, path: str, handler: Authenticated) -> Iterable[Endpoint]:
        guarded = authenticated(org, handler)
        yield Endpoint(f"rest.{name}", DATA + path, ("GET",), guarded)
        yield Endpoint(f"rest.{name}", DATA + path + "/", ("GET",), guarded)

    replication = Replication(org)
    for path in ("/services/data", "/services/data/"):
        yield Endpoint("rest.versions", path, ("GET",), room.versions)
    read = [
        *get("resources", "", room.resources),
        *get("sobjects", "/sobjects", room.dated(room.sobjects)),
        *get("describe", "/sobjects/{sobject}/describe", room.dated(room.describe)),
        *get("deleted", "/sobjects/{sobject}/deleted", replication.deleted),
        *get("updated", "/sobjects/{sobject}/updated", replication.updated),
        *get("record", "/sobjects/{sobject}/{identifier}", room.record),
        *get("limits", "/limits", room.limits),
        *get("record_count", "/limits/recordCount", room.record_count),
        *get("query", "/query", room.query),
        *get("query_all", "/queryAll", room.query_all),
        *get("query_more", "/query/{locator}", room.query_more),
        *get("query_more", "/queryAll/{locator}", room.query_more),
    ]
    yield from read
    for slash in ("", "/"):
        yield Endpoint(
            "rest.batch", f"{DATA}/composite/batch{slash}", ("POST",), commanded(org, Batch(read).answer, metered=False)
        )


class _Room:
    def __init__(self, org: Org) -> None:
        self._org = org
        self._cursors = Cursors()

    def dated(self, handler: Authenticated) -> Authenticated:
        """A handler that answers 304 to whom nothing new has to be told (If-Modified-Since [doc])."""

        def handle(request: Request, session: Session) -> Response:
            changed = datetime.fromtimestamp(self._org.schema_changed_at, UTC)
            known = _http_date(request.headers.get("if-modified-since"))
            response = Response(status_code=304) if known and changed <= known else handler(request, session)
            response.headers["last-modified"] = format_datetime(changed, usegmt=True)
            return response

        return handle

    def versions(self, _request: Request) -> Response:
        return json_response([
            {"label": label, "url": f"/services/data/v{number}.0", "version": f"{number}.0"}
            for label, number in VERSIONS
        ])  # fmt: skip

    def resources(self, request: Request, _session: Session) -> Response:
        base = base_of(request)
        return json_response(
            {name: f"{base}/{name}" for name in ("sobjects", "query", "queryAll", "limits", "jobs", "composite")}
        )

    def sobjects(self, request: Request, _session: Session) -> Response:
        base = base_of(request)
        found = [sobject_summary(sobject, base) for sobject in self._org.tables().sobjects()]
        return json_response({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": found})

    def describe(self, request: Request, _session: Session) -> Response:
        tables = self._org.tables()
        sobject = tables.sobject(request.path_params["sobject"])
        if sobject is None:
            return not_found()
        return json_response(describe(sobject, tables.sobjects(), base_of(request)))

    def record(self, request: Request, _session: Session) -> Response:
        """One row by its id, with all columns that the user may see."""
        tables, identifier = self._org.tables(), request.path_params["identifier"]
        sobject = tables.sobject(request.path_params["sobject"])
        try:
            found = tables.row(to_18(identifier), include_deleted=False)
        except ValueError:
            found = None
        if sobject is None or found is None or found[0] != sobject.name:
            return not_found()
        row, url = found[1], f"{base_of(request)}/sobjects/{sobject.name}/{found[1]['Id']}"
        values = {field.name: render_value(field.type, row.get(field.name)) for field in sobject.fields}
        return json_response({"attributes": {"type": sobject.name, "url": url}} | values)

    def limits(self, _request: Request, _session: Session) -> Response:
        if not self._org.switches["limits_permission"]:
            return errors(403, "INSUFFICIENT_ACCESS", "insufficient access rights: View Setup and Configuration")
        daily = self._org.limits.daily_api_requests
        jobs = self._org.limits.bulk_query_jobs
        left = max(0, jobs - self._org.jobs.opened_in_a_day(self._org.clock.elapsed()))
        fixed = {"DailyBulkApiBatches": 15_000,
                 "DailyBulkV2QueryFileStorageMB": 976_562,
                 "ConcurrentAsyncGetReportInstances": 200, "DataStorageMB": 10_240, "FileStorageMB": 102_400,
                 "HourlyAsyncReportRuns": 1_200, "HourlySyncReportRuns": 500,
                 "StreamingApiConcurrentClients": 2_000}  # fmt: skip
        content = {
            "DailyApiRequests": {"Max": daily, "Remaining": max(0, daily - self._org.api_requests)},
            "DailyBulkV2QueryJobs": {"Max": jobs, "Remaining": left},
        }
        return json_response(content | {name: {"Max": most, "Remaining": most} for name, most in fixed.items()})

    def record_count(self, request: Request, _session: Session) -> Response:
        """Counts without regard to sharing, as the org keeps them [assumed: it is its own storage figure]."""
        tables = self._org.tables()
        names = [name for name in request.query_params.get("sObjects", "").split(",") if name]
        wanted = [sobject for name in names if (sobject := tables.sobject(name))] if names else tables.sobjects()
        counted = [
            {"count": sum(not row["IsDeleted"] for row in tables.all_rows(sobject.name)), "name": sobject.name}
            for sobject in wanted
        ]
        return json_response({"sObjects": counted})

    def query(self, request: Request, session: Session) -> Response:
        return self._first_page(request, session, include_deleted=False)

    def query_all(self, request: Request, session: Session) -> Response:
        return self._first_page(request, session, include_deleted=True)

    def query_more(self, request: Request, session: Session) -> Response:
        locator = request.path_params["locator"]
        found = self._cursors.find(locator, self._org.clock.elapsed())
        if found is None:
            code = "INVALID_QUERY_LOCATOR" if well_formed(locator) else "INVALID_QUERY_LOCATOR_FORMAT"
            return errors(400, code, "invalid query locator")
        identifier, cursor, start = found
        if cursor.token != session.token:
            return errors(401, "INVALID_SESSION_ID", "Session expired or invalid")
        return self._page(request, identifier, cursor, start)

    def _first_page(self, request: Request, session: Session, *, include_deleted: bool) -> Response:
        soql = request.query_params.get("q")
        if soql is None:
            return errors(400, "MALFORMED_QUERY", "A query string has to be specified")
        result = run(parse(soql), self._org.tables(), include_deleted=include_deleted)
        cursor = Cursor(session.token, result, self._page_rows(request), self._org.clock.elapsed())
        return self._page(request, None, cursor, 0)

    def _page_rows(self, request: Request) -> int:
        match = _BATCH_SIZE.search(request.headers.get("sforce-query-options", ""))
        asked = min(2000, max(200, int(match[1]))) if match else 2000
        return min(asked, int(self._org.switches["query_page_rows"]))

    def _page(self, request: Request, identifier: str | None, cursor: Cursor, start: int) -> Response:
        base, result = base_of(request), cursor.result
        end = start + cursor.page_rows
        done = end >= len(result.rows)
        content: dict[str, object] = {"totalSize": result.total, "done": done}
        if not done:
            identifier = identifier or self._cursors.open(cursor)
            content["nextRecordsUrl"] = f"{base}/query/{identifier}-{end}"
        records = [
            json.dumps(result.render(row, base), ensure_ascii=False, separators=(",", ":"))
            for row in result.rows[start:end]
        ]
        return page(content, records)


def _http_date(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
