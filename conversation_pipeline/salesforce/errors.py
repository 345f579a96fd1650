"""
What can go wrong between us and an org, named by what to do about it.

``SalesforceError``
  ``ConfigurationError``, ``AuthenticationError``, ``PermissionDenied``, ``RequestRefused``  stop and mend
  ``NoUserLeft``                                                                            stop and mend
  ``ObjectUnavailable``, ``FieldUnavailable``, ``RecordUnavailable``                        go on without
  ``ConversationUnreadable``                                                                go on without, and tell
  ``BulkUnavailable``                                                                       ask by REST query
  ``QueryTooLong``                                                                          ask by bulk job
  ``WindowTooLarge``                                                                        ask for less at once
  ``JobFailed``                                                                             run it again
  ``TransientError`` (``Throttled``, ``TooManyLogins``, ``IncompleteAnswer``), ``LocatorLost``  try again
  ``LimitReached``                                                                          come back later

Messages carry the request's method and path and the service's error code. They never carry a token, a secret, a
query string or a reply's text, because those hold customers' words.
"""

from __future__ import annotations

import re
from datetime import datetime

_CODE = re.compile(r"[A-Za-z0-9_]{1,80}")


def code_of(value: object) -> str:
    """A service's error code as text, or nothing: free text in its place may quote customers."""
    text = str(value)
    return text if isinstance(value, str | int) and _CODE.fullmatch(text) else ""


class SalesforceError(Exception):
    """
    A request to Salesforce did not give what was asked for.

    Attributes:
        code: The service's error code such as ``INVALID_FIELD``; empty if it sent none.
        status: HTTP status; 0 if there was no answer.
    """

    def __init__(self, message: str, *, code: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class ConfigurationError(SalesforceError):
    """A setting is missing or wrong; no request was made."""


class AuthenticationError(SalesforceError):
    """The org refused the credentials, or refused a fresh token."""


class PermissionDenied(SalesforceError):
    """The user may not do this; Setup has to change."""


class NoUserLeft(SalesforceError):
    """Every execution user has been set aside; the message names each with its reason."""


class RequestRefused(SalesforceError):
    """The org calls the request wrong; sending it again would not help."""


class ObjectUnavailable(RequestRefused):
    """The org has no such object, or the user may not see it (``INVALID_TYPE``)."""


class FieldUnavailable(RequestRefused):
    """The object has no such field, or field-level security hides it (``INVALID_FIELD``)."""


class RecordUnavailable(RequestRefused):
    """There is no such record or conversation (404)."""


class ConversationUnreadable(RequestRefused):
    """
    This one conversation is refused to every execution user (403), or called wrong again and again (400).

    Nothing is wrong with the users as far as is known: where another conversation was read, go on without this one
    and tell; where none was read, the cause may be the users' permissions or the API itself, and this is the error.
    """


class BulkUnavailable(RequestRefused):
    """Bulk API 2.0 does not take this object or these columns (``INVALIDENTITY``, compound data); REST query may."""


class QueryTooLong(SalesforceError):
    """A query does not fit into the URI of a REST request; a bulk job takes it in a body."""


class WindowTooLarge(SalesforceError):
    """The query takes the org too long (``QUERY_TIMEOUT`` and its friends); a narrower window may not."""


class JobFailed(SalesforceError):
    """A query job came to no result: it failed, somebody aborted it, or it took longer than we wait."""


class LocatorLost(SalesforceError):
    """A query can not be paged any further; it has to be asked again from its first page."""


class LimitReached(SalesforceError):
    """An allowance is used up; the message says when to come back."""


class TransientError(SalesforceError):
    """
    The same request may succeed a moment later.

    Attributes:
        retry_after: Seconds the service asked us to wait, or ``None``.
        answered_at: The service's own clock when it said so, or ``None``.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        status: int = 0,
        retry_after: float | None = None,
        answered_at: datetime | None = None,
    ) -> None:
        super().__init__(message, code=code, status=status)
        self.retry_after = retry_after
        self.answered_at = answered_at


class Throttled(TransientError):
    """The service says that we asked too often."""


class TooManyLogins(Throttled):
    """The token endpoint says that the user has logged in too often."""


class IncompleteAnswer(TransientError):
    """An answer that is cut short, is not JSON, or does not add up."""


class PagingLoop(SalesforceError):
    """A service's paging does not advance."""
