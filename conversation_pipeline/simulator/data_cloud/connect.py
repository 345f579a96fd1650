"""The Connect resource `query-sql` of the core host (Data Cloud, section 5)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from conversation_pipeline.simulator.data_cloud import wire
from conversation_pipeline.simulator.data_cloud.engine import Parameters, SqlError, bound
from conversation_pipeline.simulator.data_cloud.model import Query, State
from conversation_pipeline.simulator.data_cloud.queries import Queries, limited, whole
from conversation_pipeline.simulator.data_cloud.tenant import DATA_SPACE, wait_for_query
from conversation_pipeline.simulator.endpoint import json_response
from conversation_pipeline.simulator.oauth.model import Session
from conversation_pipeline.simulator.org import Org
from conversation_pipeline.simulator.rest.wire import Authenticated, authenticated, commanded, errors

Handler = Callable[[Request], Awaitable[Response]]
_LONGEST_PATIENCE = 15
"""Most seconds of `adaptiveTimeout` [doc]."""


class Connect:
    """The handlers of query-sql."""

    def __init__(self, org: Org, queries: Queries) -> None:
        self._org = org
        self._queries = queries

    def submission(self) -> Handler:
        """The guarded handler of POST."""
        return commanded(self._org, self._submit)

    def reading(self, handler: Callable[[Request, Query], Response]) -> Handler:
        """The guarded handler of a query; 404 when it never was, was cancelled or has expired."""

        def read(request: Request, _session: Session) -> Response:
            query = self._queries.find(request.path_params["query"])
            if query is None:
                return errors(404, "NOT_FOUND", "The query does not exist or has expired")
            return handler(request, query)

        guarded = authenticated(self._org, self._refusing(read))

        async def handle(request: Request) -> Response:
            await wait_for_query(self._org, request)
            return guarded(request)

        return handle

    def _refusing(self, handler: Authenticated) -> Authenticated:
        """A handler whose refused statements and unknown data spaces become errors in this API's shape."""

        def handle(request: Request, session: Session) -> Response:
            asked = request.query_params
            space = asked.get("dataspace") or asked.get("dataspaceName") or request.headers.get("dataspace")
            if space not in (None, "", DATA_SPACE):
                return errors(400, "INVALID_ARGUMENT", f'Data space "{space}" does not exist')
            try:
                return handler(request, session)
            except SqlError as error:
                return errors(400, "INVALID_ARGUMENT", json.dumps(wire.engine_details(error)))

        return handle

    def _submit(self, request: Request, session: Session, asked: dict[str, Any]) -> Response:
        def submitted(_request: Request, _session: Session) -> Response:
            timeout = asked.get("adaptiveTimeout")
            if timeout is not None and (not isinstance(timeout, int) or not 0 <= timeout <= _LONGEST_PATIENCE):
                raise SqlError("22023", f"adaptiveTimeout is from 0 to {_LONGEST_PATIENCE} seconds")
            found = self._queries.run(asked, _parameters(asked), asked.get("querySettings"))
            query = self._queries.submit(found, patience=None if timeout == 0 else 0.0)
            state = self._queries.look(query)
            status = {"status": self._status(query, state)}
            if timeout == 0 or state is State.Running:
                return json_response({"metadata": wire.connect_columns(query.table), **status})
            return self._page(request, query, limited(query.readable, asked.get("rowLimit")), status)

        return self._refusing(submitted)(request, session)

    def status(self, _request: Request, query: Query) -> Response:
        """GET query-sql/{id}."""
        told = self._status(query, self._queries.look(query, polled=True))
        wrapped = self._org.switches["data_cloud_connect_status"] == "wrapped"
        return json_response({"status": told} if wrapped else told)

    def rows(self, request: Request, query: Query) -> Response:
        """GET query-sql/{id}/rows."""
        if self._queries.look(query) is State.Running:
            raise SqlError("55000", "the query is still running: poll it until its results are produced")
        asked, total = request.query_params, query.table.num_rows
        offset = whole(asked.get("offset"), "offset", least=0, default=0) or 0
        if offset >= max(total, 1):
            raise SqlError("22003", f"offset {offset} is out of range: the result has {total} rows")
        limit = whole(asked.get("rowLimit"), "rowLimit", least=1)
        left = query.readable.slice(min(offset, query.readable.num_rows))
        return self._page(request, query, limited(left, limit), {})

    def cancel(self, _request: Request, query: Query) -> Response:
        """DELETE query-sql/{id}."""
        self._org.data_cloud.cancel(query)
        return Response(status_code=204)

    def _status(self, query: Query, state: State) -> dict[str, Any]:
        return self._queries.status(query, state) | {"completionStatus": state.name}

    def _page(self, request: Request, query: Query, rows: Any, more: dict[str, Any]) -> Response:
        content = dict(more)
        if request.query_params.get("omitSchema", "").lower() != "true":
            content["metadata"] = wire.connect_columns(query.table)
        if query.table.num_rows == 0 and self._org.switches["data_cloud_empty_without_data"]:
            return wire.json_page(content, None)
        data = wire.rows(rows, self._queries.form(), int(self._org.switches["data_cloud_connect_page_bytes"]))
        return wire.json_page(content | {"returnedRows": len(data)}, data)


def _parameters(asked: dict[str, Any]) -> Parameters:
    """
    `sqlParameters`, for placeholders `:name`.

    Raises:
      SqlError: they are no list of objects with name, type and value.
    """
    given = asked.get("sqlParameters")
    if not given:
        return None
    if not isinstance(given, list) or not all(isinstance(one, dict) and isinstance(one.get("name"), str)
                                              for one in given):  # fmt: skip
        raise SqlError("22023", "sqlParameters is a list of objects with name, type and value")
    return {one["name"]: bound(str(one.get("type", "varchar")), one.get("value")) for one in given}
