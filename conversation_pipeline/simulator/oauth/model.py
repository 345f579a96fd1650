"""Clients, the users they run as, and the tokens that they hold; no HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from conversation_pipeline.simulator.control.clock import Clock

AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
USER_STATES = ("active", "locked", "without_permission")
"""`locked` ends the user's sessions and opens none; `without_permission` may do all but read conversation entries."""
_LONGEST_ASSERTION = 300
_SKEW = 180


class GrantError(Exception):
    """
    A token request that is refused: `error` and `error_description` of the reply.

    The codes are those of the OAuth error page (help, remoteaccess_oauth_flow_errors [doc]).
    """

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True)
class Client:
    """An external client app: its consumer key, a secret or a public key, and its run-as (execution) user."""

    client_id: str
    client_secret: str | None
    username: str
    user_id: str
    scopes: tuple[str, ...]
    public_key: RSAPublicKey | None = None

    def shown(self) -> dict[str, Any]:
        """The client as the control plane tells it."""
        return {"client_id": self.client_id, "client_secret": self.client_secret, "username": self.username,
                "user_id": self.user_id, "scopes": list(self.scopes)}  # fmt: skip


@dataclass(slots=True)
class Session:
    """A live access token: whose it is and until when, on the clock that limits use."""

    token: str
    client: Client
    expires: float


class Identities:
    """Who may talk to the org."""

    def __init__(self, organization_id: str, clock: Clock) -> None:
        self._organization_id = organization_id
        self._clock = clock
        self._clients: dict[str, Client] = {}
        self._sessions: dict[str, Session] = {}
        self._states: dict[str, str] = {}
        self._coming: dict[str, tuple[int, str]] = {}
        self._key = secrets.token_bytes(32)

    @property
    def clients(self) -> list[Client]:
        """The registered clients, oldest first."""
        return list(self._clients.values())

    def register(self, client: Client) -> None:
        """Add a client or replace the one with its client_id."""
        self._clients[client.client_id] = client

    def state(self, client: Client) -> str:
        """How the client's user stands: one of USER_STATES."""
        return self._states.get(client.user_id, USER_STATES[0])

    def set_state(self, username: str, state: str, after_requests: int = 0) -> None:
        """
        Lock a user, take its permission away, or let it be as it was; once it has made so many requests more.

        Raises:
          ValueError: no such state, or no client runs as that user, or the number is none.
        """
        users = {client.user_id for client in self.clients if client.username == username}
        if state not in USER_STATES or not users:
            raise ValueError(f"give the username of a client and a state: one of {', '.join(USER_STATES)}")
        if isinstance(after_requests, bool) or not isinstance(after_requests, int) or after_requests < 0:
            raise ValueError("after_requests is a number from 0")
        for user in users:
            self._coming[user] = (after_requests, state)
            if after_requests == 0:
                self._states[user] = state

    def arrive(self, client: Client) -> None:
        """A request of the client's user is here: what was ordered for a later one comes nearer."""
        left, state = self._coming.pop(client.user_id, (0, self.state(client)))
        if left == 0:
            self._states[client.user_id] = state
        else:
            self._coming[client.user_id] = (left - 1, state)

    def reads_conversations(self, client: Client) -> bool:
        """Whether the client's user has the permission Access Conversation Entries [doc; needed here: assumed]."""
        return self.state(client) != "without_permission"

    def by_secret(self, client_id: str, client_secret: str) -> Client:
        """
        The client with that secret.

        Raises:
          GrantError: invalid_client_id or invalid_client.
        """
        client = self._clients.get(client_id)
        if client is None:
            raise GrantError("invalid_client_id", "client identifier invalid")
        if client.client_secret is None or not hmac.compare_digest(
            client.client_secret.encode(), client_secret.encode()
        ):
            raise GrantError("invalid_client", "invalid client credentials")
        return self._unlocked(client)

    def by_assertion(self, assertion: str, own_url: str) -> Client:
        """
        The client that signed a JWT bearer assertion (OAuth JWT bearer flow [doc]).

        The assertion's `exp` is held against this machine's time, for that is the clock its signer has.

        Raises:
          GrantError: invalid_client_id, invalid_assertion or invalid_grant.
        """
        try:
            claims = jwt.decode(assertion, options={"verify_signature": False})
        except jwt.PyJWTError:
            raise GrantError("invalid_assertion", "the assertion is not a JWT") from None
        client = self._clients.get(str(claims.get("iss")))
        if client is None:
            raise GrantError("invalid_client_id", "client identifier invalid")
        if client.public_key is None:
            raise GrantError("invalid_grant", "user hasn't approved this consumer")
        try:
            jwt.decode(assertion, client.public_key, algorithms=["RS256"],
                       options={"verify_aud": False, "verify_exp": False, "verify_iat": False})  # fmt: skip
        except jwt.PyJWTError:
            raise GrantError("invalid_grant", "invalid assertion") from None
        if claims.get("aud") not in (*AUDIENCES, own_url):
            raise GrantError("invalid_grant", "audience is invalid")
        left = float(claims.get("exp", 0)) - time.time()
        if not -_SKEW <= left <= _LONGEST_ASSERTION + _SKEW:
            raise GrantError("invalid_grant", "expired authorization code")
        if claims.get("sub") != client.username:
            raise GrantError("invalid_grant", "user hasn't approved this consumer")
        return self._unlocked(client)

    def _unlocked(self, client: Client) -> Client:
        if self.state(client) == "locked":
            raise GrantError("inactive_user", "user is inactive")
        return client

    def open_session(self, client: Client, life: float, **more_claims: str) -> Session:
        """Issue an access token in JWT form for the client's user."""
        issued = self._clock.now
        head = {"alg": "HS256", "typ": "JWT", "kid": "simulator", "tnk": f"core/{self._organization_id}"}
        claims = {"sub": f"uid:{client.user_id}", "scp": " ".join(client.scopes), "iat": issued,
                  "exp": issued + int(life), "client_id": client.client_id, "org": self._organization_id,
                  "iss": "simulator", "jti": secrets.token_hex(8), **more_claims}  # fmt: skip
        body = ".".join(_segment(json.dumps(part, separators=(",", ":")).encode()) for part in (head, claims))
        signature = _segment(hmac.new(self._key, body.encode(), hashlib.sha256).digest())
        session = Session(f"{body}.{signature}", client, self._clock.elapsed() + life)
        self._sessions[session.token] = session
        return session

    def session(self, token: str, life: float | None = None) -> Session | None:
        """The live session of that token, or None; `life` lets its life slide on."""
        session = self._sessions.get(token)
        if session is None or session.expires <= self._clock.elapsed() or self.state(session.client) == "locked":
            return None
        if life is not None:
            session.expires = self._clock.elapsed() + life
        return session

    def expire(self, token: str | None = None) -> int:
        """End one session or all; tells how many."""
        ended = [token] if token in self._sessions else list(self._sessions) if token is None else []
        for key in ended:
            del self._sessions[key]
        return len(ended)


def load_public_key(pem: str) -> RSAPublicKey:
    """
    The RSA key of a PEM public key or certificate.

    Raises:
      ValueError: it is neither, or not RSA.
    """
    data = pem.encode()
    key = load_pem_x509_certificate(data).public_key() if "CERTIFICATE" in pem else load_pem_public_key(data)
    if not isinstance(key, RSAPublicKey):
        raise ValueError("the public key must be RSA: only RS256 assertions are accepted")
    return key


def _segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
