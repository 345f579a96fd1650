"""Core REST on the wire: arrays of errors, the token check, the org's allocation in every answer."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from conversation_pipeline.simulator.endpoint import bearer, json_response
from conversation_pipeline.simulator.oauth.model import Session
from conversation_pipeline.simulator.org import Org
from conversation_pipeline.simulator.soql.errors import SoqlError

MAX_URI = 16_384
DATA = "/services/data/v{version}"
VERSIONS = (
    ("Winter '24", 59), ("Spring '24", 60), ("Summer '24", 61), ("Winter '25", 62), ("Spring '25", 63),
    ("Summer '25", 64), ("Winter '26", 65), ("Spring '26", 66), ("Summer '26", 67),
)  # fmt: skip
_SPOKEN = frozenset(f"{number}.0" for _, number in VERSIONS)
Authenticated = Callable[[Request, Session], Response]
Commanded = Callable[[Request, Session, dict[str, Any]], Response]


def version_of(request: Request) -> str:
    """The API version of the path, such as `66.0`."""
    return str(request.path_params["version"])


def base_of(request: Request) -> str:
    """The path of the request's API version, `/services/data/v66.0`."""
    return f"/services/data/v{version_of(request)}"


def not_found() -> Response:
    """404 as core REST says it [doc]."""
    return errors(404, "NOT_FOUND", "The requested resource does not exist")


def errors(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    """`[{"message", "errorCode"}]`, the body of every core REST error [doc]."""
    return json_response([{"message": message, "errorCode": code}], status, headers)


def forbidden() -> int:
    """403, the status of core REST once the org's daily allocation is used up [doc]."""
    return 403


def authenticated(
    org: Org, handler: Authenticated, *, metered: bool = True, exhausted: Callable[[], int] = forbidden
) -> Callable[[Request], Response]:
    """
    A handler for callers with a live token of scope `api`, in an API version that this org speaks.

    Each call uses up one of the org's daily API requests, unless it is not `metered`, and says so in
    Sforce-Limit-Info (headers_api_usage [doc]); `exhausted` tells the status once there are none left.
    """

    def handle(request: Request) -> Response:
        if len(str(request.url.path)) + len(request.url.query) > MAX_URI:
            return errors(414, "URI_TOO_LONG", f"The URI exceeds the maximum length of {MAX_URI} bytes")
        session = org.identities.session(bearer(request) or "", org.switches["token_life_seconds"])
        if session is None:
            return _no_session(org)
        if "api" not in session.client.scopes:
            return errors(401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API")
        if org.api_requests >= org.limits.daily_api_requests:
            return errors(exhausted(), "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", _usage(org))
        at, limits = org.clock.elapsed(), org.limits
        if org.counters.running_long(at, limits.long_request_seconds) >= limits.concurrent_requests:
            message = "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
            return errors(403, "REQUEST_LIMIT_EXCEEDED", message, _usage(org))
        org.api_requests += metered
        try:
            response = handler(request, session) if version_of(request) in _SPOKEN else not_found()
        except SoqlError as error:
            response = errors(400, error.code, error.message)
        response.headers.update(_usage(org))
        return response

    return handle


def commanded(
    org: Org, handler: Commanded, *, metered: bool = True, exhausted: Callable[[], int] = forbidden
) -> Callable[[Request], Awaitable[Response]]:
    """An `authenticated` handler that is given the JSON object of the request's body."""

    async def handle(request: Request) -> Response:
        body = await request.body()

        def parsed(request: Request, session: Session) -> Response:
            try:
                content = json.loads(body)
            except ValueError:
                content = None
            if not isinstance(content, dict):
                return errors(400, "JSON_PARSER_ERROR", "The body has to be a JSON object")
            return handler(request, session, content)

        return authenticated(org, parsed, metered=metered, exhausted=exhausted)(request)

    return handle


def page(content: dict[str, Any], records: list[str]) -> Response:
    """A query page: `records` are JSON texts already, so that they are rendered once."""
    head = json.dumps(content, separators=(",", ":"))[:-1]
    body = f'{head},"records":[{",".join(records)}]}}'
    return Response(body.encode(), media_type="application/json;charset=UTF-8")


def _usage(org: Org) -> dict[str, str]:
    usage = f"api-usage={org.api_requests}/{org.limits.daily_api_requests}"
    if org.switches["per_app_usage"]:
        usage += f"; per-app-api-usage={min(org.api_requests, 250)}/250(appName=Integration)"
    return {"sforce-limit-info": usage}


def _no_session(org: Org) -> Response:
    if org.switches["jwt_session_errors"]:
        return errors(401, "INVALID_AUTH_HEADER", "INVALID_JWT_FORMAT", {"www-authenticate": "Token"})
    return errors(401, "INVALID_SESSION_ID", "Session expired or invalid")
