"""Errors are named by what to do about them (REST API error codes; fault list T8, T10)."""

from __future__ import annotations

import json

import httpx
import pytest

from conversation_pipeline.salesforce.connection import refusal
from conversation_pipeline.salesforce.errors import (
    AuthenticationError,
    FieldUnavailable,
    LimitReached,
    LocatorLost,
    ObjectUnavailable,
    PermissionDenied,
    RecordUnavailable,
    RequestRefused,
    SalesforceError,
    Throttled,
    TransientError,
)
from conversation_pipeline_tests.salesforce.conftest import Org

MEANT = [
    (400, "MALFORMED_QUERY", "", RequestRefused),
    (400, "INVALID_FIELD", "", FieldUnavailable),
    (400, "INVALID_TYPE", "", ObjectUnavailable),
    (400, "INVALID_QUERY_LOCATOR", "", LocatorLost),
    (400, "INVALID_QUERY_LOCATOR_FORMAT", "", LocatorLost),
    (400, "TXN_SECURITY_METERING_ERROR", "", TransientError),
    (401, "INVALID_SESSION_ID", "", AuthenticationError),
    (401, "INVALID_AUTH_HEADER", "", AuthenticationError),
    (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", LimitReached),
    (403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.", Throttled),
    (403, "API_DISABLED_FOR_ORG", "", PermissionDenied),
    (404, "NOT_FOUND", "", RecordUnavailable),
    (410, "", "", RequestRefused),
    (414, "URI_TOO_LONG", "", RequestRefused),
    (429, "", "", Throttled),
    (500, "UNKNOWN_EXCEPTION", "", TransientError),
    (503, "SERVER_UNAVAILABLE", "", TransientError),
    (503, "REQUEST_LIMIT_EXCEEDED", "", Throttled),
]


def refused(status: int, code: str, message: str) -> SalesforceError:
    body = json.dumps([{"errorCode": code, "message": message}]).encode()
    return refusal(httpx.Response(status, headers={"Retry-After": "3"}), body, "/services/data/v66.0/query?q=secret")


@pytest.mark.parametrize(("status", "code", "message", "kind"), MEANT, ids=[f"{s}-{c}" for s, c, _, _ in MEANT])
def test_an_answer_has_the_error_that_says_what_to_do(
    status: int, code: str, message: str, kind: type[SalesforceError]
) -> None:
    """Stop and mend, go on without, try again or come back later: one class each."""
    error = refused(status, code, message)

    assert type(error) is kind
    assert (error.status, error.code) == (status, code)


@pytest.mark.parametrize(("status", "code"), [(429, ""), (503, "SERVER_UNAVAILABLE"), (500, "UNKNOWN_EXCEPTION")])
def test_a_wish_to_wait_is_kept(status: int, code: str) -> None:
    """Whichever passing fault carries Retry-After, the error does too."""
    error = refused(status, code, "")

    assert isinstance(error, TransientError)
    assert error.retry_after == 3.0


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"[1]", b'"text"', b'{"code":{"deep":1}}', b"[" * 100_000, b'[{"message":5}]']
)
def test_any_body_gives_an_error(body: bytes) -> None:
    """What a gateway sends instead of an error body does not hide the status."""
    error = refusal(httpx.Response(502), body, "/services/data/")

    assert type(error) is TransientError
    assert str(error) == "GET /services/data/: 502"


def test_no_query_string_is_told() -> None:
    """A query holds customers' words; the path alone says which request it was."""
    assert "secret" not in str(refused(500, "", ""))


def test_a_hidden_column_is_named(org: Org) -> None:
    """Of the org's own message the names of column and object are taken over, for they say what to mend."""
    with pytest.raises(FieldUnavailable, match=r"It is about Nonsense of User\.$"):
        list(org.query().pages("SELECT Nonsense FROM User", all_rows=False))


def test_an_absent_object_is_named(org: Org) -> None:
    """The same for an object."""
    with pytest.raises(ObjectUnavailable, match="It is about Nonsense"):
        list(org.query().pages("SELECT Id FROM Nonsense", all_rows=False))


def test_a_used_up_allocation_says_when_to_come_back(org: Org) -> None:
    """403 REQUEST_LIMIT_EXCEEDED is not tried again: it is told with the time it takes."""
    org.control.post("limits", daily_api_requests=0)

    with pytest.raises(LimitReached, match="it frees itself over the next 24 hours"):
        org.query().describe("User")

    assert org.seen() == ["token", "describe"]


def test_a_missing_permission_says_what_to_grant(org: Org) -> None:
    """403 names the permissions and the switch in Setup."""
    org.control.post("faults", effect={"status": 403, "body": {"code": 403, "message": "no"}}, route="conv*")

    with pytest.raises(PermissionDenied, match="Conversation Service API in Setup"):
        org.conversation_data().users[0].connection.get("/conversation-entries")
