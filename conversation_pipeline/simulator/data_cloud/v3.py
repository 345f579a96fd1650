"""Query API v3 of the tenant host (Data Cloud, section 4.1)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from conversation_pipeline.simulator.data_cloud import wire
from conversation_pipeline.simulator.data_cloud.engine import Parameters, SqlError, bound
from conversation_pipeline.simulator.data_cloud.model import Query, State
from conversation_pipeline.simulator.data_cloud.queries import Queries, limited, whole
from conversation_pipeline.simulator.data_cloud.tenant import Called, Tenant
from conversation_pipeline.simulator.endpoint import json_response

_STYLES = ("QUESTION_MARK", "NAMED", "DOLLARED")
_LEAST_BYTES = 1024


class V3:
    """The handlers of v3."""

    def __init__(self, tenant: Tenant, queries: Queries) -> None:
        self._tenant = tenant
        self._queries = queries

    def with_query(self, handler: Callable[[Request, Query], Response]) -> Called:
        """A handler of one query; 404 when it never was, was cancelled or has expired."""

        def handle(request: Request, _asked: dict[str, Any]) -> Response:
            query = self._queries.find(request.path_params["query"])
            if query is None:
                return self._tenant.refused(request, 404, "Not Found", "the query does not exist or has expired")
            return handler(request, query)

        return handle

    def submit(self, request: Request, asked: dict[str, Any]) -> Response:
        """POST /api/v3/query."""
        mode = asked.get("transferMode", "ADAPTIVE")
        if mode not in ("ASYNC", "ADAPTIVE"):
            raise SqlError("22023", "transferMode is ASYNC or ADAPTIVE")
        found = self._queries.run(asked, _parameters(asked), asked.get("settings"))
        if asked.get("queryRowLimit") is not None:
            found = type(found)(limited(found.table, asked["queryRowLimit"]), found.rows_processed)
        query = self._queries.submit(found, patience=0.0 if mode == "ADAPTIVE" else None)
        state = self._queries.look(query)
        if mode == "ASYNC" or state is State.Running:
            return self._page(request, query, state, query.table.slice(0, 0), told=False)
        first = asked.get("resultRange") or {}
        rows = limited(query.readable, first.get("rowLimit"))
        return self._page(request, query, state, rows, most_bytes=first.get("byteLimit"))

    def status(self, _request: Request, query: Query) -> Response:
        """GET /api/v3/query/{id}."""
        state = self._queries.look(query, polled=True)
        told = self._status(query, state)
        return json_response(told, headers={wire.STATUS_HEADER: json.dumps(told)})

    def rows(self, request: Request, query: Query) -> Response:
        """GET /api/v3/query/{id}/rows."""
        state = self._readable(query)
        asked = request.query_params
        offset = whole(asked.get("offset"), "offset", least=0)
        if offset is None:
            raise SqlError("22023", "offset is required")
        total = query.table.num_rows
        if offset >= max(total, 1):
            raise SqlError("22003", f"offset {offset} is out of range: the result has {total} rows")
        limit = whole(asked.get("limit"), "limit", least=1)
        most_bytes = whole(asked.get("byteLimit"), "byteLimit", least=_LEAST_BYTES)
        rows = limited(query.readable.slice(min(offset, query.readable.num_rows)), limit)
        return self._page(request, query, state, rows, most_bytes=most_bytes)

    def chunk(self, request: Request, query: Query) -> Response:
        """GET /api/v3/query/{id}/chunks/{n}."""
        state = self._readable(query)
        place = whole(request.path_params["chunk"], "chunk", least=0) or 0
        if place >= query.chunks:
            raise SqlError("22003", f"chunk {place} is out of range: the result has {query.chunks} chunks")
        page = self._page(request, query, state, query.chunk(place), most_bytes=2**62)
        headers = {name: value for name, value in page.headers.items() if name != "content-length"}
        return StreamingResponse(wire.pieces(bytes(page.body)), headers=headers)

    def metadata(self, _request: Request, query: Query) -> Response:
        """GET /api/v3/query/{id}/metadata."""
        return json_response({"columns": wire.v3_columns(query.table)})

    def cancel(self, _request: Request, query: Query) -> Response:
        """DELETE /api/v3/query/{id}."""
        self._tenant.org.data_cloud.cancel(query)
        return Response(status_code=204)

    def _readable(self, query: Query) -> State:
        state = self._queries.look(query)
        if state is State.Running:
            raise SqlError("55000", "the query is still running: poll it until its results are produced")
        return state

    def _status(self, query: Query, state: State) -> dict[str, Any]:
        seconds = round(0.05 + query.rows_processed / 1_000_000, 3)
        return {
            **self._queries.status(query, state), "completionStatus": state.value,
            "executionStats": {"wallClockTime": seconds, "rowsProcessed": query.rows_processed},
        }  # fmt: skip

    def _page(
        self, request: Request, query: Query, state: State, rows: pa.Table,
        *, told: bool = True, most_bytes: int | None = None,
    ) -> Response:  # fmt: skip
        """Rows in the format that is asked for, as many as a page may hold; none are `told` before there are any."""
        switches = self._tenant.org.switches
        most = int(switches["data_cloud_page_bytes"])
        if most_bytes is not None:
            most = most_bytes if most_bytes >= 2**62 else min(most, most_bytes)
        headers = {wire.STATUS_HEADER: json.dumps(self._status(query, state))}
        if wire.ARROW_STREAM in request.headers.get("accept", ""):
            return Response(wire.arrow_page(rows, most), 200, headers, media_type=wire.ARROW_STREAM)
        content: dict[str, Any] = {}
        if request.query_params.get("omitSchema", "").lower() != "true":
            content["metadata"] = {"columns": wire.v3_columns(rows)}
        if not told:
            return wire.json_page(content | {"data": None}, None, headers)
        if rows.num_rows == 0 and query.table.num_rows == 0 and switches["data_cloud_empty_without_data"]:
            return wire.json_page(content, None, headers)
        data = wire.rows(rows, self._queries.form(), most)
        return wire.json_page(content | {"returnedRows": len(data)}, data, headers)


def _parameters(asked: dict[str, Any]) -> Parameters:
    """
    The parameters by the style that is declared.

    Raises:
      SqlError: an unknown style, or named parameters with another style.
    """
    style, given = asked.get("paramStyle", "QUESTION_MARK"), asked.get("parameters")
    if style not in _STYLES:
        raise SqlError("22023", f"paramStyle is one of {', '.join(_STYLES)}")
    if not given:
        return None
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise SqlError("22023", "parameters is a list of objects with type and value")
    if style == "NAMED":
        if not all(isinstance(one.get("name"), str) for one in given):
            raise SqlError("22023", "each named parameter has a name")
        return {one["name"]: bound(str(one.get("type", "varchar")), one.get("value")) for one in given}
    if any("name" in one for one in given):
        raise SqlError("22023", f"named parameters do not go with paramStyle {style}")
    return [bound(str(one.get("type", "varchar")), one.get("value")) for one in given]
