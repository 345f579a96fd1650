"""Core REST on the wire: arrays of errors, the token check, the org's allocation in every answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from conversation_pipeline.simulator.endpoint import bearer, json_response
from conversation_pipeline.simulator.oauth.model import Session
from conversation_pipeline.simulator.org import Org
from conversation_pipeline.simulator.soql.errors import SoqlError

MAX_URI = 16_384
Authenticated = Callable[[Request, Session], Response]


def errors(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    """`[{"message", "errorCode"}]`, the body of every core REST error [doc]."""
    return json_response([{"message": message, "errorCode": code}], status, headers)


def authenticated(org: Org, handler: Authenticated) -> Callable[[Request], Response]:
    """
    A handler for callers with a live token of scope `api`.

    Each call uses up one of the org's daily API requests and says so in Sforce-Limit-Info (headers_api_usage [doc]).
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
            return errors(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", _usage(org))
        org.api_requests += 1
        try:
            response = handler(request, session)
        except SoqlError as error:
            response = errors(400, error.code, error.message)
        response.headers.update(_usage(org))
        return response

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
