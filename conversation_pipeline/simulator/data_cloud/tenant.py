"""The door of the tenant host: a Data Cloud token, its scope and data space, and 15 calls at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from conversation_pipeline.simulator.data_cloud import wire
from conversation_pipeline.simulator.data_cloud.engine import SqlError
from conversation_pipeline.simulator.data_cloud.rows import Tables
from conversation_pipeline.simulator.endpoint import bearer
from conversation_pipeline.simulator.org import Org

QUERY_SCOPE, PROFILE_SCOPE = "cdp_query_api", "cdp_profile_api"
DATA_CLOUD = "cdp"
"""The scope that marks a Data Cloud token, which opens no other door."""
DATA_SPACE = "default"
Called = Callable[[Request, dict[str, Any]], Response]


class Tenant:
    """What every call of the tenant host goes through."""

    def __init__(self, org: Org, tables: Tables) -> None:
        self.org = org
        self.tables = tables

    @property
    def id(self) -> str:
        """The tenant's id, as tokens and errors tell it."""
        return f"a360/prod/{self.org.world.cast.organization_id.lower()}"

    def guarded(
        self, handler: Called, *, scope: str = QUERY_SCOPE, patient: bool = False
    ) -> Callable[[Request], Awaitable[Response]]:
        """
        A handler for callers with a live Data Cloud token; it is given the JSON object of the body.

        At most so many calls at once as the limit says; each takes as long as the switch says, and a `patient` one
        may wait for its query.
        """

        async def handle(request: Request) -> Response:
            body = await request.body()
            session = self.org.identities.session(bearer(request) or "")
            if session is None or DATA_CLOUD not in session.client.scopes:
                return self._unauthorized(request)
            if scope not in session.client.scopes:
                return self.refused(request, 403, "Forbidden", f"the token lacks the scope {scope}")
            with self.org.data_cloud.call(self.org.limits.data_cloud_calls) as let_in:
                if not let_in:
                    return self._busy(request)
                await asyncio.sleep(float(self.org.switches["data_cloud_call_ms"]) / 1000)
                if patient:
                    await wait_for_query(self.org, request)
                return self._answered(request, body, handler)

        return handle

    def refused(self, request: Request, status: int, error: str, message: str, **more: Any) -> Response:
        """An error in the tenant host's shape."""
        return wire.refused(request, status, error, message, now=self.org.clock.iso(), tenant=self.id, **more)

    def bad(self, request: Request, message: str) -> Response:
        """400."""
        return self.refused(request, 400, "Bad Request", message)

    def _answered(self, request: Request, body: bytes, handler: Called) -> Response:
        space = request.headers.get("ctx-dataspace-ds_name") or DATA_SPACE
        if space != DATA_SPACE:
            return self.bad(request, f'data space "{space}" does not exist')
        asked: Any = {}
        if request.method == "POST":
            try:
                asked = json.loads(body)
            except ValueError:
                asked = None
            if not isinstance(asked, dict):
                return self.bad(request, "the body has to be a JSON object")
        try:
            return handler(request, asked)
        except SqlError as error:
            # v1 and v2 answer 422 for attributes that they do not know [doc].
            unknown = error.state == "42703" and "/v3/" not in request.url.path
            status, name = (422, "Unprocessable Entity") if unknown else (400, "Bad Request")
            message = f"{error.state}: {error.message}"
            return self.refused(request, status, name, message, details=wire.engine_details(error))

    def _unauthorized(self, request: Request) -> Response:
        return self.refused(
            request, 401, "Unauthorized", "Authorization header verification failed",
            details={"status": "UNAUTHENTICATED: Invalid JWT: missing, expired or not of this tenant",
                     "statusCode": 401},
        )  # fmt: skip

    def _busy(self, request: Request) -> Response:
        headers = {"retry-after": "5"} if self.org.switches["data_cloud_retry_after"] else None
        message = f"too many requests: at most {self.org.limits.data_cloud_calls} at once"
        return self.refused(request, 429, "Too Many Requests", message, headers=headers)


LONGEST_WAIT_MS = 10_000


async def wait_for_query(org: Org, request: Request) -> None:
    """Hold a long poll until its query has its results, or until `waitTimeMs` (at most 10,000 [doc]) has passed."""
    query = org.data_cloud.find(request.path_params["query"], org.clock.elapsed(), life(org))
    asked = request.query_params.get("waitTimeMs", _waits_unasked(request))
    if query is None or not asked.isdecimal():
        return
    patience = min(int(asked), LONGEST_WAIT_MS) / 1000
    until = min(query.due, org.clock.elapsed() + patience)
    while (left := until - org.clock.elapsed()) > 0:  # a sleep may end a little early
        await asyncio.sleep(left)


def _waits_unasked(request: Request) -> str:
    """v3 waits its longest when it is not told; query-sql answers at once [doc]."""
    return str(LONGEST_WAIT_MS) if "/api/v3/" in request.url.path else "0"


def life(org: Org) -> float:
    """Seconds for which results are kept."""
    return float(org.switches["data_cloud_result_seconds"])
