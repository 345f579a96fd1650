"""
The token life-cycle: ask once, share it between threads, ask again once when the org no longer takes it.

Contract: OAuth 2.0 client credentials and JWT bearer flows on the My Domain host. A token carries no expiry: it
lives as long as the org's session policy says, so the only honest sign of its end is a 401.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx
import jwt

from conversation_pipeline.salesforce.errors import (
    AuthenticationError,
    ConfigurationError,
    TooManyLogins,
    TransientError,
    code_of,
)
from conversation_pipeline.salesforce.transport import retry_after

TOKEN_PATH = "/services/oauth2/token"  # noqa: S105  (a path, not a secret)
_ASSERTION_LIFE_SECONDS = 180  # Salesforce: "about three minutes"; longer ones are refused


class Grant(Protocol):
    """How a token is asked for."""

    @property
    def name(self) -> str:
        """Who asks, for messages and quota keys: never a secret."""

    def request(self) -> httpx.Request:
        """A token request, made anew for every try."""


@dataclass(frozen=True)
class ClientCredentials:
    """Client credentials flow of an External Client App with a run-as user; only My Domain hosts take it."""

    instance_url: str
    client_id: str
    client_secret: str = field(repr=False)

    @property
    def name(self) -> str:
        return f"client {_shortened(self.client_id)}"

    def request(self) -> httpx.Request:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }
        return httpx.Request("POST", self.instance_url + TOKEN_PATH, data=form)


@dataclass(frozen=True)
class JwtBearer:
    """JWT bearer flow: RS256 assertion signed with the key whose certificate the app holds; no secret is sent."""

    instance_url: str
    client_id: str
    username: str
    key_file: Path = field(repr=False)
    audience: str = "https://login.salesforce.com"

    @property
    def name(self) -> str:
        return f"client {_shortened(self.client_id)}"

    def request(self) -> httpx.Request:
        claims = {
            "iss": self.client_id,
            "sub": self.username,
            "aud": self.audience,
            "exp": int(time.time()) + _ASSERTION_LIFE_SECONDS,
        }
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": self._signed(claims),
        }
        return httpx.Request("POST", self.instance_url + TOKEN_PATH, data=form)

    def _signed(self, claims: dict[str, object]) -> str:
        try:
            return jwt.encode(claims, self.key_file.read_text(), algorithm="RS256")
        except (OSError, ValueError, TypeError, jwt.PyJWTError):
            # Without the cause: what a reader of keys says may quote the key.
            raise ConfigurationError(
                f"{self.key_file} is not the private RSA key of {self.name}: give the path of an unencrypted PEM file "
                "that this process may read (SALESFORCE_JWT_KEY_FILE)"
            ) from None


class BearerAuth(httpx.Auth):
    """
    Signs requests with a bearer token; on a 401 asks for a new one and sends the request once more.

    One instance is shared by all threads of a client: whoever meets the 401 first renews, the others use what it got.
    A second 401 is handed to the caller: asking again would only lock the user out.
    """

    def __init__(self, grant: Grant) -> None:
        self._grant = grant
        self._lock = threading.Lock()
        self._token: str | None = None

    @property
    def name(self) -> str:
        return self._grant.name

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        token = yield from self.token()
        response = yield _signed(request, token)
        if response.status_code == 401:
            response.read()
            token = yield from self.token(refused=token)
            yield _signed(request, token)

    def token(self, refused: str | None = None) -> Generator[httpx.Request, httpx.Response, str]:
        """
        The token that is kept, or a new one, asked for by what is yielded.

        Args:
            refused: The token that the org no longer takes.
        """
        token = self._token
        return token if token is not None and token != refused else (yield from self._renew(refused))

    def _renew(self, refused: str | None) -> Generator[httpx.Request, httpx.Response, str]:
        with self._lock:
            if self._token is not None and self._token != refused:
                return self._token  # another thread was faster
            response = yield self._grant.request()
            response.read()
            self._token = self._token_in(response)
            return self._token

    def _token_in(self, response: httpx.Response) -> str:
        body = _json_object(response)
        token = body.get("access_token")
        if response.status_code == 200 and isinstance(token, str):
            return token
        host = response.request.url.host
        status = response.status_code
        code = code_of(body.get("error"))
        answered = f"the token endpoint of {host} answered {status} to {self.name}"
        if status == 429 or code in _TOO_MANY_LOGINS:
            message = f"{answered}: too many logins"
            raise TooManyLogins(message, code=code, status=status, retry_after=retry_after(response))
        if status >= 500:
            raise TransientError(answered, code=code, status=status, retry_after=retry_after(response))
        if status == 200:  # a maintenance page, or an answer that was cut
            raise TransientError(f"{answered}, but without a token", status=status)
        raise AuthenticationError(
            f"{host} refused a token to {self.name} ({code or status}): {_advice(code)}", code=code, status=status
        )


_TOO_MANY_LOGINS = ("rate_limit_exceeded", "LOGIN_RATE_EXCEEDED")


def _advice(code: str) -> str:
    match code:
        case "invalid_client_id" | "invalid_client":
            return "check the client id and the client secret"
        case "invalid_grant":
            return (
                "check that the app's client credentials flow has a run-as user, "
                "or for JWT bearer the username, the audience and this machine's clock"
            )
        case "unsupported_grant_type":
            return "enable this flow in the External Client App's policies"
        case "inactive_user" | "inactive_org":
            return "activate the run-as user"
        case _:
            return "check SALESFORCE_INSTANCE_URL (the My Domain URL) and the External Client App's OAuth settings"


def _signed(request: httpx.Request, token: str) -> httpx.Request:
    request.headers["Authorization"] = f"Bearer {token}"
    return request


def _json_object(response: httpx.Response) -> dict[str, object]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _shortened(client_id: str) -> str:
    return client_id if len(client_id) <= 16 else f"{client_id[:8]}...{client_id[-4:]}"
