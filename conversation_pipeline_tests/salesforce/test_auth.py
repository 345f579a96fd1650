"""Tokens: asked for once, shared, renewed once (OAuth 2.0 client credentials and JWT bearer flows)."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from conversation_pipeline.salesforce.auth import ClientCredentials, JwtBearer
from conversation_pipeline.salesforce.connection import Timeouts
from conversation_pipeline.salesforce.errors import (
    AuthenticationError,
    ConfigurationError,
    Throttled,
    TransientError,
)
from conversation_pipeline_tests.salesforce.conftest import SECRET, Org

VERSIONS = "/services/data/v66.0/limits"
SIGNED = "signed@northpine.example"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def key_file(key: rsa.RSAPrivateKey, tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture
def signed_client(org: Org, key: rsa.RSAPrivateKey) -> None:
    """An app of the org that holds the key's public half."""
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    org.control.post("clients", client_id="signed-client", public_key=public.decode(), username=SIGNED)


def test_client_credentials_open_the_org(org: Org) -> None:
    """The first request is preceded by one token request; the next ones use its token."""
    line = org.connection()

    line.get(VERSIONS)
    line.get(VERSIONS)

    assert org.seen() == ["token", "limits", "limits"]


def test_a_signed_assertion_opens_the_org(org: Org, signed_client: None, key_file: Path) -> None:
    """JWT bearer: no secret is sent, the key's signature is enough."""
    line = org.connection(JwtBearer(org.url, "signed-client", SIGNED, key_file))

    assert line.get(VERSIONS).json()["DailyApiRequests"]["Max"] > 0


def test_an_assertion_lives_for_three_minutes(key_file: Path) -> None:
    """Longer-lived assertions are refused by Salesforce; the expiry is in seconds."""
    request = JwtBearer("https://org.example", "signed-client", SIGNED, key_file).request()
    assertion = request.content.decode().partition("assertion=")[2]
    claims = jwt.decode(assertion, options={"verify_signature": False})

    assert 170 < claims["exp"] - time.time() <= 180


def test_a_wrong_audience_is_told_as_such(org: Org, signed_client: None, key_file: Path) -> None:
    """The advice names what a JWT bearer grant can be wrong about."""
    line = org.connection(JwtBearer(org.url, "signed-client", SIGNED, key_file, audience="https://elsewhere.example"))

    with pytest.raises(AuthenticationError, match="the username, the audience and this machine's clock"):
        line.get(VERSIONS)


@pytest.mark.parametrize("content", [None, "no key at all"])
def test_a_key_file_that_is_none_is_named(org: Org, tmp_path: Path, content: str | None) -> None:
    """A missing or unreadable key stops with a sentence that names the file, never what is in it."""
    path = tmp_path / "not-a-key.pem"
    if content is not None:
        path.write_text(content)
    line = org.connection(JwtBearer(org.url, "signed-client", SIGNED, path))

    with pytest.raises(ConfigurationError, match=r"not-a-key\.pem") as raised:
        line.get(VERSIONS)

    assert "no key at all" not in str(raised.value)


def test_a_wrong_secret_is_told_with_the_client_and_what_to_check(org: Org) -> None:
    """The sentence names the client and says what to check; the secret is not in it."""
    line = org.connection(ClientCredentials(org.url, "integration-client", SECRET))

    with pytest.raises(AuthenticationError) as raised:
        line.get(VERSIONS)

    assert "client integrat...ient" in str(raised.value)
    assert "check the client id and the client secret" in str(raised.value)
    assert SECRET not in str(raised.value) + repr(raised.value.__cause__)


def test_a_wrong_secret_is_tried_once(org: Org) -> None:
    """Repeating a refused login locks users out."""
    query = org.query(grant=ClientCredentials(org.url, "integration-client", SECRET))

    with pytest.raises(AuthenticationError):
        query.describe("User")

    assert org.seen() == ["token"]


def test_a_secret_is_not_in_a_grant_s_repr() -> None:
    """What a debugger or a log shows of a grant holds no secret."""
    assert SECRET not in repr(ClientCredentials("https://org.example", "integration-client", SECRET))


def test_an_expired_token_is_renewed_once(org: Org) -> None:
    """A 401 leads to one token request and one replay."""
    line = org.connection()
    line.get(VERSIONS)
    org.control.post("tokens/expire")
    org.control.post("counters/reset")

    line.get(VERSIONS)

    assert org.seen() == ["limits", "token", "limits"]


def test_threads_that_meet_the_same_expiry_ask_for_one_token(org: Org) -> None:
    """Eight threads find their token expired; one of them renews it for all."""
    line = org.connection()
    line.get(VERSIONS)
    org.control.post("tokens/expire")
    org.control.post("counters/reset")
    org.control.post("switches", network_delay_min_ms=20, network_delay_max_ms=20)
    together = threading.Barrier(8)

    def ask() -> int:
        together.wait()
        return len(line.get(VERSIONS).body)

    with ThreadPoolExecutor(8) as pool:
        assert all(future.result() for future in [pool.submit(ask) for _ in range(8)])

    assert org.seen().count("token") == 1


def test_a_second_refusal_is_not_asked_again(org: Org) -> None:
    """A fresh token that is refused too is the caller's trouble: another one would only lock the user out."""
    org.control.post("clients", client_id="scopeless", client_secret=SECRET, scopes=["sfap_api"])
    query = org.query(grant=ClientCredentials(org.url, "scopeless", SECRET))

    with pytest.raises(AuthenticationError, match="check the app's scopes"):
        query.describe("User")

    assert org.seen() == ["token", "describe", "token", "describe"]


def test_a_token_endpoint_that_is_down_is_asked_again(org: Org) -> None:
    """A 503 of the token endpoint passes like any other."""
    org.control.post("faults", route="oauth.token", times=2, effect={"status": 503})

    assert org.query().describe("User").name == "User"


def test_a_token_endpoint_that_stays_down_is_named(org: Org) -> None:
    """The error that is left says that it was the token endpoint, and of which host."""
    org.control.post("faults", route="oauth.token", effect={"status": 503})

    with pytest.raises(TransientError, match=r"the token endpoint of 127\.0\.0\.1 answered 503"):
        org.query().describe("User")


def test_a_maintenance_page_instead_of_a_token_is_no_refusal(org: Org) -> None:
    """HTML with status 200 says nothing about the credentials, so it is asked again."""
    org.control.post("faults", route="oauth.token", times=1, effect={"html": True})

    assert org.query().describe("User").name == "User"


def test_too_many_logins_are_throttling(org: Org) -> None:
    """A 429 of the token endpoint is waited out as the org says."""
    effect = {"status": 429, "headers": {"retry-after": "17"}}
    org.control.post("faults", route="oauth.token", times=1, effect=effect)

    with pytest.raises(Throttled) as raised:
        org.connection().get(VERSIONS)

    assert raised.value.retry_after == 17.0


def test_a_token_answer_that_drips_does_not_hold_a_run(org: Org) -> None:
    """The deadline for answers holds for tokens too, for every thread waits for the one that renews."""
    org.control.post("faults", route="oauth.token", effect={"stall_seconds": 5, "stall_after_bytes": 10})
    line = org.connection(timeouts=Timeouts(connect=1, headers=0.2, body=0.3))

    with pytest.raises(TransientError):
        line.get(VERSIONS)
