"""Token replies and their errors as JSON."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from conversation_pipeline.simulator.endpoint import json_response
from conversation_pipeline.simulator.oauth.model import GrantError


async def parameters(request: Request) -> dict[str, str]:
    """Query string and form together; HTTP Basic gives client_id and client_secret."""
    found = dict(request.query_params)
    found |= parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise GrantError("invalid_request", "the Authorization header is not valid Basic credentials") from None
        found |= {"client_id": name, "client_secret": secret}
    return found


def refused(error: GrantError) -> Response:
    """`{"error", "error_description"}` with status 400."""
    return json_response({"error": error.error, "error_description": error.description}, 400)
