"""
One signed line to one host: sends a request, reads the whole answer under a deadline, turns refusals into errors.

The one retry layer lives here too: every road wraps its idempotent calls in ``Retry.attempts``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
import msgspec
import stamina

from conversation_pipeline.salesforce.auth import TOKEN_PATH, BearerAuth
from conversation_pipeline.salesforce.errors import (
    AuthenticationError,
    ConfigurationError,
    FieldUnavailable,
    IncompleteAnswer,
    LimitReached,
    LocatorLost,
    ObjectUnavailable,
    PermissionDenied,
    RecordUnavailable,
    RequestRefused,
    SalesforceError,
    Throttled,
    TransientError,
    WindowTooLarge,
    code_of,
)
from conversation_pipeline.salesforce.limits import LOGINS
from conversation_pipeline.salesforce.network import NetworkTransport, ProxyRefused
from conversation_pipeline.salesforce.quotas import Claim, QuotaStore
from conversation_pipeline.salesforce.transport import (
    BoundedTransport,
    Claims,
    LeasedTransport,
    Meter,
    MeteredTransport,
    retry_after,
    server_time,
)


@dataclass(frozen=True)
class Timeouts:
    """
    Seconds. ``headers`` bounds connecting, sending and the wait for the answer to begin: a quota lease is held at
    least that long. ``body`` bounds the whole answer, so that a dripping body can not hold a run for ever.
    """

    connect: float = 10.0
    headers: float = 60.0
    body: float = 300.0


@dataclass(frozen=True)
class Retry:
    """
    When to send again: transient faults only, with growing waits; a service's own ``Retry-After`` is obeyed.

    Attributes:
        attempts: Sends at most, the first included.
        timeout: Seconds after which no further try is begun; ``None`` leaves that to ``attempts``.
        wait_initial: Seconds before the second try; doubled for each further one.
        wait_max: Longest wait in seconds.
    """

    attempts: int = 6
    timeout: float | None = 600.0
    wait_initial: float = 0.5
    wait_max: float = 60.0

    def attempts_for(self, meter: Meter) -> Iterator[stamina.Attempt]:
        """The tries of one idempotent call: ``for attempt in ...: with attempt: ...``."""
        for attempt in stamina.retry_context(
            on=_delay_before_retry,
            attempts=self.attempts,
            timeout=self.timeout,
            wait_initial=self.wait_initial,
            wait_max=self.wait_max,
            wait_jitter=self.wait_initial,
        ):
            if attempt.num > 1:
                meter.add(retries=1)
            yield attempt


@dataclass(frozen=True)
class Answer:
    """
    A reply that the service called good.

    Attributes:
        path: What was asked for, without its query string.
        body: The bytes as they came, decompressed; see ``readable`` for the one exception.
        headers: Reply headers.
        server_time: The service's own clock when it answered; ours where it does not tell.
    """

    path: str
    body: bytes
    headers: httpx.Headers
    server_time: datetime

    def json(self, type: Any = Any) -> Any:
        """The body decoded as ``type``; raises ``IncompleteAnswer`` when it is cut or is no JSON."""
        try:
            return msgspec.json.decode(self.body, type=type)
        except (msgspec.DecodeError, RecursionError) as error:
            raise IncompleteAnswer(
                f"GET {self.path}: the answer of {len(self.body):,} bytes is not the JSON that was expected"
            ) from error


_LONE_SURROGATE = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def readable(body: bytes) -> bytes:
    """
    JSON text that any reader takes: half of an emoji (an escaped surrogate without its other half, left by whoever cut
    a text short) and bytes that are no UTF-8 become U+FFFD. Whatever else there is stays as it is.
    """
    if b"\\ud" in body or b"\\uD" in body:
        body = _LONE_SURROGATE.sub(lambda found: rb"\ufffd" if found[1] else found[0], body)
    try:
        body.decode()
    except UnicodeDecodeError:
        return body.decode(errors="replace").encode()
    return body


@dataclass
class Connection:
    """
    Attributes:
        base_url: Scheme and host, and a path where the API has one.
        auth: Signs; renews its token once on a 401.
        store: Shared quota store.
        claims: The allowances that a request uses up, besides those of token requests.
        transport: What really sends; by default as the environment says.
        refused: The error for an answer that is no success, of its body, path and method; an API with errors of its
            own shape has its own.
    """

    base_url: str
    auth: BearerAuth
    store: QuotaStore
    meter: Meter = field(default_factory=Meter)
    timeouts: Timeouts = field(default_factory=Timeouts)
    claims: Claims = lambda _: ()
    transport: httpx.BaseTransport | None = None
    refused: Callable[[httpx.Response, bytes, str, str], SalesforceError] = lambda *answer: refusal(*answer)

    def __post_init__(self) -> None:
        # httpx logs whole URLs at INFO, httpcore headers at DEBUG: SOQL text and cookies would reach the run's log.
        for library in ("httpx", "httpcore"):
            logging.getLogger(library).setLevel(logging.WARNING)
        inner = MeteredTransport(self.transport or NetworkTransport(), self.meter)
        bounded = BoundedTransport(inner, self.timeouts.body)
        self._client = httpx.Client(
            auth=self.auth,
            transport=LeasedTransport(bounded, self.store, self._claims_of, self.meter),
            timeout=httpx.Timeout(self.timeouts.headers, connect=self.timeouts.connect, pool=self.timeouts.headers),
            headers={"Accept": "application/json"},
        )

    def close(self) -> None:
        self._client.close()

    def get(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        extensions: Mapping[str, Any] | None = None,
    ) -> Answer:
        """
        One try of a GET.

        Raises:
            TransientError: try again.
            SalesforceError: any other; trying again would not help.
        """
        with self._sent("GET", path, params=params, headers=headers, extensions=extensions) as response:
            body = readable(response.read())
        self.meter.add(received_bytes=len(body))
        return Answer(_safe(path), body, response.headers, server_time(response))

    def send(self, method: str, path: str, json: Any = None, extensions: Mapping[str, Any] | None = None) -> Answer:
        """
        One try of a request that changes something, with a JSON body where there is one.

        Raises:
            Throttled: the service did not take it; try again.
            TransientError: whether the service took it is not known.
            SalesforceError: any other; trying again would not help.
        """
        with self._sent(method, path, json=json, extensions=extensions) as response:
            return Answer(_safe(path), response.read(), response.headers, server_time(response))

    @contextmanager
    def stream(
        self, path: str, params: Mapping[str, str | int] | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """
        One try of a GET whose body is read as it comes (``iter_bytes``), for answers that fit no memory.

        Raises:
            TransientError: try again; what was read of the body is void.
            SalesforceError: any other; trying again would not help.
        """
        with self._sent("GET", path, params=params, headers=headers) as response:
            yield response

    @contextmanager
    def _sent(
        self, method: str, path: str, *, extensions: Mapping[str, Any] | None = None, **given: Any
    ) -> Iterator[httpx.Response]:
        """The answer, if it is a good one, for as long as the block takes to read it."""
        url = self.base_url + path
        try:
            with self._client.stream(method, url, extensions=dict(extensions or {}), **given) as response:
                if response.status_code != 200 and (method == "GET" or not response.is_success):
                    raise self.refused(response, readable(response.read()), path, method)
                yield response
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise ConfigurationError(
                f"{self.base_url} is no URL that can be asked: give it whole, with https://"
            ) from error
        except ProxyRefused as error:
            raise ConfigurationError(str(error)) from error
        except httpx.ProxyError as error:
            raise TransientError(str(error)) from error
        except httpx.ConnectError as error:
            host = error.request.url.host
            raise TransientError(f"could not reach {host}: check the URL in the settings and the network") from error
        except httpx.HTTPError as error:
            raise TransientError(f"{method} {_safe(path)} broke off ({type(error).__name__})") from error

    def _claims_of(self, request: httpx.Request) -> list[Claim]:
        if request.url.path == TOKEN_PATH:
            return [Claim(f"{request.url.host}/{self.auth.name}/logins", LOGINS)]
        return list(self.claims(request))


def refusal(response: httpx.Response, body: bytes, path: str, method: str = "GET") -> SalesforceError:
    """
    The error for an answer that is no success.

    Both shapes are read: the core API's list of ``{errorCode, message}`` and the platform API's ``{code, message}``.
    Of the service's own message only names of fields and objects are taken over; the rest may quote customers.
    """
    status = response.status_code
    code, message = _code_and_message(body)
    what = f"{method} {_safe(path)}: {status}" + (f" {code}" if code else "")
    known = _BY_CODE.get(code)
    if known is not None:
        return known(f"{what}. {_named(message)}".rstrip(), code=code, status=status)
    if status == 401:
        return AuthenticationError(f"{what}: the org takes no token of this user; {_SIGN_IN}", code=code, status=status)
    if status == 403 and code == "REQUEST_LIMIT_EXCEEDED":
        return _limit(what, code, message)
    if status == 403:
        return PermissionDenied(f"{what}: {_PERMISSIONS}", code=code, status=status)
    if status == 404:
        return RecordUnavailable(f"{what}: there is no such resource for this user", code=code, status=status)
    # Connect's hourly limit is a 503, and so is maintenance: the code tells them apart.
    if status == 429 or (status == 503 and code == "REQUEST_LIMIT_EXCEEDED"):
        return Throttled(
            f"{what}: too many requests",
            code=code,
            status=status,
            retry_after=retry_after(response),
            answered_at=server_time(response),
        )
    if status >= 500 or status in (406, 408, 420):
        return TransientError(what, code=code, status=status, retry_after=retry_after(response))
    if 300 <= status < 400:
        return RequestRefused(f"{what}: {_REDIRECTED}", code=code, status=status)
    return RequestRefused(f"{what}: the org calls this request wrong", code=code, status=status)


_SIGN_IN = "check the app's scopes (api, and sfap_api for the Conversation Data API) and its JWT setting"
_REDIRECTED = (
    "the answer points to another place, where no token is sent; set SALESFORCE_INSTANCE_URL to the org's own "
    "My Domain URL, and CONVERSATION_DATA_URL to the API's"
)
_PERMISSIONS = (
    "grant the user API Enabled (API Only User) and Access Conversation Entries, "
    "and switch on Conversation Service API in Setup"
)

_BY_CODE: dict[str, type[SalesforceError]] = {
    "INVALID_TYPE": ObjectUnavailable,
    "QUERY_TIMEOUT": WindowTooLarge,
    "QUERY_TOO_COMPLICATED": WindowTooLarge,
    "OPERATION_TOO_LARGE": WindowTooLarge,
    "INVALID_FIELD": FieldUnavailable,
    "INVALID_QUERY_LOCATOR": LocatorLost,
    "INVALID_QUERY_LOCATOR_FORMAT": LocatorLost,
    "TXN_SECURITY_METERING_ERROR": TransientError,
}

_NAMES = re.compile(r"column '([\w.]+)' on entity '(\w+)'|sObject type '(\w+)'", re.IGNORECASE)


def _named(message: str) -> str:
    found = _NAMES.search(message)
    return f"It is about {' of '.join(name for name in found.groups() if name)}." if found else ""


def _limit(what: str, code: str, message: str) -> SalesforceError:
    if "concurrent" in message.lower():
        return Throttled(f"{what}: too many long requests at once", code=code, status=403)
    return LimitReached(
        f"{what}: the org's 24-hour API allocation is used up; it frees itself over the next 24 hours",
        code=code,
        status=403,
    )


def _code_and_message(body: bytes) -> tuple[str, str]:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return "", ""
    first = answer[0] if isinstance(answer, list) and answer else answer
    if not isinstance(first, dict):
        return "", ""
    return code_of(first.get("errorCode") or first.get("code")), str(first.get("message") or "")


def _delay_before_retry(error: Exception) -> bool | float:
    if not isinstance(error, TransientError):
        return False
    return True if error.retry_after is None else error.retry_after


def _safe(path: str) -> str:
    return path.partition("?")[0]
