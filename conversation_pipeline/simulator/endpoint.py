"""What a room of the simulator is made of: endpoints, each a name, a path, methods and a handler."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

Handler = Callable[[Request], Response | Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    One route.

    Attributes:
      name: `room.what`, the name that counters and faults use.
      path: a Starlette path.
      methods: HTTP methods.
      handler: from request to response.
    """

    name: str
    path: str
    methods: tuple[str, ...]
    handler: Handler


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON as Salesforce sends it: UTF-8, compact."""
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(body, status, headers, media_type="application/json;charset=UTF-8")


def bearer(request: Request) -> str | None:
    """The token of `Authorization: Bearer ...` (or `OAuth ...`, as Salesforce also takes it)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "oauth") else None
