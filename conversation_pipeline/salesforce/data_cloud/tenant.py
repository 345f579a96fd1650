"""
The way to a tenant's host: the org's token is exchanged for one of Data Cloud, which also says where the tenant lives.

Contract: Data Cloud reference 3.2; one exchange for an org and data space, shared by all who ask.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

import httpx
import msgspec

from conversation_pipeline.salesforce.auth import BearerAuth
from conversation_pipeline.salesforce.errors import AuthenticationError, Throttled, TransientError, code_of
from conversation_pipeline.salesforce.transport import retry_after

EXCHANGE_PATH = "/services/a360/token"

_SHARE_OF_LIFE = 0.8  # of expires_in, after which a token is not used any more
_LIFE_SECONDS = 7_130.0  # the shortest that samples have
_SUBJECT_REFUSED = frozenset({"invalid_grant"})


class _Token(msgspec.Struct):
    access_token: str
    instance_url: str
    expires_in: float | str = _LIFE_SECONDS


class TenantAuth(BearerAuth):
    """
    Signs with a Data Cloud token, and sends what is meant for the tenant to the host that the exchange named.

    Requests are made for the org's own host, which is known; a token is kept until shortly before its end, and
    renewed once when the tenant no longer takes it.

    Args:
        core: Gives the org's token. Where Data Cloud does not take it (an HTML page in place of an answer, as a token
            that was exchanged before gives, or ``invalid_grant``), a new one is asked for once.
        instance_url: The org's My Domain URL.
        dataspace: API name of the data space that the token is bound to.
        clock: Seconds, by which a token ages.
    """

    def __init__(
        self,
        core: BearerAuth,
        instance_url: str,
        dataspace: str = "default",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(core._grant)
        self._core = core
        self._org = httpx.URL(instance_url)
        self._dataspace = dataspace
        self._clock = clock
        self._tenant = self._org
        self._ends_at = 0.0

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        kept = self._token if self._clock() >= self._ends_at else None
        token = yield from self.token(refused=kept)
        response = yield self._at_tenant(request, token)
        if response.status_code == 401:
            response.read()
            token = yield from self.token(refused=token)
            yield self._at_tenant(request, token)

    def _at_tenant(self, request: httpx.Request, token: str) -> httpx.Request:
        tenant = self._tenant
        request.url = request.url.copy_with(scheme=tenant.scheme, host=tenant.host, port=tenant.port)
        request.headers["Host"] = tenant.netloc.decode()
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    def _renew(self, refused: str | None) -> Generator[httpx.Request, httpx.Response, str]:
        with self._lock:
            if self._token is not None and self._token != refused:
                return self._token  # another thread was faster
            answer = yield from self._exchanged()
            self._tenant = self._url(answer.instance_url)
            self._ends_at = self._clock() + float(answer.expires_in) * _SHARE_OF_LIFE
            self._token = answer.access_token
            return self._token

    def _exchanged(self) -> Generator[httpx.Request, httpx.Response, _Token]:
        core = yield from self._core.token()
        response = yield self._exchange(core)
        response.read()
        if _core_token_refused(response):
            core = yield from self._core.token(refused=core)
            response = yield self._exchange(core)
            response.read()
        return self._token_of(response)

    def _exchange(self, core: str) -> httpx.Request:
        form = {
            "grant_type": "urn:salesforce:grant-type:external:cdp",
            "subject_token": core,
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "dataspace": self._dataspace,
        }
        return httpx.Request("POST", self._org.join(EXCHANGE_PATH), data=form)

    def _token_of(self, response: httpx.Response) -> _Token:
        status = response.status_code
        body = _json(response)
        what = f"the exchange for a Data Cloud token at {self._org.host} answered {status} to {self.name}"
        if status == 200 and isinstance(body, dict):
            try:
                return msgspec.convert(body, _Token)
            except msgspec.ValidationError:
                raise TransientError(f"{what}, but without a token", status=status) from None
        if status == 429:
            raise Throttled(f"{what}: too many requests", status=status, retry_after=retry_after(response))
        if status >= 500:
            raise TransientError(what, status=status, retry_after=retry_after(response))
        if _is_html(response):
            raise AuthenticationError(
                f"{what} with a login page in place of a token, twice: use the client credentials or the JWT bearer "
                "flow, and grant the app the scope cdp_query_api",
                status=status,
            )
        code = code_of(body.get("error")) if isinstance(body, dict) else ""
        raise AuthenticationError(
            f"{what} ({code or 'no reason given'}): grant the app the scopes cdp_query_api, cdp_profile_api and api, "
            f"the user the permission set Data Cloud User and the data space {self._dataspace}",
            code=code,
            status=status,
        )

    def _url(self, told: str) -> httpx.URL:
        """Samples of ``instance_url`` have a scheme or none."""
        return httpx.URL(told if "://" in told else f"{self._org.scheme}://{told}")


def _core_token_refused(response: httpx.Response) -> bool:
    body = _json(response)
    if response.status_code < 429 and _is_html(response):
        return True
    return isinstance(body, dict) and body.get("error") in _SUBJECT_REFUSED


def _is_html(response: httpx.Response) -> bool:
    kind = response.headers.get("Content-Type", "").lower()
    return "html" in kind or response.content.lstrip()[:1] == b"<"


def _json(response: httpx.Response) -> Any:
    try:
        return msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        return None
