"""
Errors of Data Cloud, on either host: what they mean by HTTP status and SQLSTATE.

Contract: Data Cloud reference 4.5 and 5. The service's own message may quote the query, so only names of objects and
columns are taken over.
"""

from __future__ import annotations

import re
from typing import Any

import httpx
import msgspec

from conversation_pipeline.salesforce.connection import refusal
from conversation_pipeline.salesforce.errors import (
    AuthenticationError,
    FieldUnavailable,
    LocatorLost,
    ObjectUnavailable,
    PermissionDenied,
    RequestRefused,
    SalesforceError,
    code_of,
)


class OffsetPastEnd(RequestRefused):
    """Rows were asked for from beyond the last one: the result has no more."""


def refused(response: httpx.Response, body: bytes, path: str, method: str) -> SalesforceError:
    """The error for an answer of Data Cloud that is no success."""
    status = response.status_code
    message, state = _message_and_state(body)
    where = f"{method} {path.partition('?')[0]}: {status}" + (f" SQLSTATE {state}" if state else "")
    if status == 400:
        return _bad_request(where, message, state)
    if status == 401:
        return AuthenticationError(
            f"{where}: Data Cloud takes no token of this user; check the app's scopes (api, cdp_query_api, "
            "cdp_profile_api)",
            status=status,
        )
    if status == 403 and "REQUEST_LIMIT_EXCEEDED" not in message and b"REQUEST_LIMIT_EXCEEDED" not in body:
        return PermissionDenied(
            f"{where}: grant the user a Data Cloud permission set and the data space, and the app cdp_query_api",
            status=status,
        )
    if status == 404:
        return LocatorLost(f"{where}: the query is gone, its result has expired; ask again", status=status)
    if status == 422:
        return FieldUnavailable(f"{where}: {_named(message)}", status=status)
    return refusal(response, body, path, method)


def _bad_request(where: str, message: str, state: str) -> SalesforceError:
    low = message.lower()
    if "out of range" in low and "/rows" in where:
        return OffsetPastEnd(f"{where}: the result has no more rows", code=state, status=400)
    if state == "42703" or ("column" in low and ("does not exist" in low or "not found" in low)):
        return FieldUnavailable(f"{where}: {_named(message)}", code=state, status=400)
    if state == "42P01" or "does not exist" in low or "not found" in low:
        return ObjectUnavailable(
            f"{where}: {_named(message)}; deploy its data stream (Digital Engagement bundle), or name the object in "
            "CONVERSATION_DATA_CLOUD_NAMES",
            code=state,
            status=400,
        )
    return RequestRefused(f"{where}: Data Cloud calls this query wrong", code=state, status=400)


_NAME = re.compile(r"\b\w+__(?:dlm|dll|c)\b")


def _named(message: str) -> str:
    names = dict.fromkeys(_NAME.findall(message))
    return f"there is no {', '.join(names)} for this user" if names else "what the query names is not there"


def _message_and_state(body: bytes) -> tuple[str, str]:
    """Tenant: ``message`` and ``details.sqlState``; core: a list whose ``message`` may be a JSON document itself."""
    answer = _object(body)
    details = _object(answer.get("details"))
    inner = _object(answer.get("message"))
    message = inner.get("primaryMessage") or details.get("primaryMessage") or answer.get("message") or ""
    state = code_of(inner.get("sqlState") or details.get("sqlState") or "")
    if not state and (found := re.match(r"([0-9A-Z]{5}): ", str(message))):
        state = found[1]
    return str(message), state


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, str | bytes):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            return {}
    if isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, dict) else {}
