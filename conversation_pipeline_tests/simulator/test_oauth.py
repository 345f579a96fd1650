"""The token endpoint (OAuth flows of the help pages; section 2.1 of the SOQL reference)."""

from __future__ import annotations

import base64
import json
import logging
import re
import socket
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

TOKEN = "/services/oauth2/token"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = (
    KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
)


def credentials(org, **more):
    client = org.clients[0]
    return {"grant_type": "client_credentials", "client_id": client["client_id"],
            "client_secret": client["client_secret"]} | more  # fmt: skip


def assertion(key=KEY, **claims):
    standard = {"iss": "signed", "sub": "signed@northpine.example", "aud": "https://login.salesforce.com",
                "exp": int(time.time()) + 180}  # fmt: skip
    return jwt.encode(standard | claims, key, algorithm="RS256")


def bearer(org, **claims):
    org.control("clients", client_id="signed", public_key=PUBLIC, username="signed@northpine.example", scopes=["api"])
    return org.http.post(TOKEN, data={"grant_type": JWT_BEARER, "assertion": assertion(**claims)})


def test_client_credentials_give_a_token_that_names_its_user(org):
    """
    The access token is JWT-shaped and carries user, scopes, expiry and org.
    """
    answer = org.http.post(TOKEN, data=credentials(org)).json()

    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert claims["sub"] == f"uid:{org.clients[0]['user_id']}"
    assert claims["scp"].split() == ["api", "sfap_api", "cdp_query_api", "cdp_profile_api"]
    assert {"exp", "org"} <= set(claims)


def test_the_answer_has_the_documented_members(org):
    """
    No refresh token and no expires_in; issued_at is milliseconds as text.
    """
    answer = org.http.post(TOKEN, data=credentials(org)).json()

    assert {"access_token", "signature", "token_format", "scope", "instance_url", "id", "token_type",
            "issued_at"} <= set(answer)  # fmt: skip
    assert not {"refresh_token", "expires_in"} & set(answer)
    assert re.fullmatch(r"\d{13}", answer["issued_at"])


def test_credentials_may_come_by_http_basic(org):
    """
    simple-salesforce sends client id and secret in the Authorization header.
    """
    client = org.clients[0]
    answer = org.http.post(
        TOKEN, data={"grant_type": "client_credentials"}, auth=(client["client_id"], client["client_secret"])
    )

    assert answer.status_code == 200


def test_credentials_may_come_in_the_query_string(org):
    """
    salesforce-cdp-connector sends its parameters there.
    """
    assert org.http.post(TOKEN, params=credentials(org)).status_code == 200


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"client_id": "nobody"}, "invalid_client_id"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_a_refused_token_request_says_why(org, change, error):
    """
    Status 400 with an object of error and error_description.
    """
    answer = org.http.post(TOKEN, data=credentials(org) | change)

    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert answer.json()["error_description"]


def test_a_signed_assertion_gives_a_token(org):
    """
    JWT bearer with RS256 and a registered public key.
    """
    answer = bearer(org)

    assert answer.status_code == 200
    assert answer.json()["scope"] == "api"


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(time.time() * 1000)},
        {"exp": int(time.time()) - 3600},
        {"aud": "https://example.com"},
        {"sub": "somebody@else.example"},
    ],
    ids=["milliseconds", "past", "audience", "user"],
)
def test_a_wrong_claim_is_an_invalid_grant(org, claims):
    """
    Expiry in milliseconds or past, another audience, another user.
    """
    answer = bearer(org, **claims)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_another_key_is_an_invalid_grant(org):
    """
    The signature is really checked.
    """
    answer = bearer(org, key=rsa.generate_private_key(public_exponent=65537, key_size=2048))

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_a_token_lives_two_hours_after_its_last_use(org):
    """
    The session's life slides with use and then ends.
    """
    statuses = []
    for seconds in (7000, 7000, 7300):
        org.control("clock", advance_seconds=seconds)
        statuses.append(org.get("/services/data/v66.0/limits").status_code)

    assert statuses == [200, 200, 401]


def test_an_expired_token_gets_the_documented_401(org):
    """
    An array with INVALID_SESSION_ID.
    """
    org.control("tokens/expire")
    answer = org.get("/services/data/v66.0/limits/")

    assert answer.status_code == 401
    assert answer.json() == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


def test_orgs_with_jwt_tokens_answer_invalid_auth_header(org):
    """
    The other 401 that was seen in the wild, by a switch.
    """
    org.control("switches", jwt_session_errors=True)
    org.control("tokens/expire")
    answer = org.get("/services/data/v66.0/limits")

    assert answer.json()[0]["errorCode"] == "INVALID_AUTH_HEADER"
    assert answer.headers["www-authenticate"] == "Token"


def test_a_token_without_scope_api_is_not_for_rest(org):
    """
    401 INVALID_SESSION_ID with its own message.
    """
    org.control("clients", client_id="narrow", client_secret="s", scopes=["sfap_api"])
    form = {"grant_type": "client_credentials", "client_id": "narrow", "client_secret": "s"}
    token = org.http.post(TOKEN, data=form).json()["access_token"]
    answer = org.http.get("/services/data/v66.0/limits", headers={"authorization": f"Bearer {token}"})

    assert answer.status_code == 401
    assert "not valid for use with the REST API" in answer.json()[0]["message"]


def test_userinfo_tells_who_the_token_stands_for(org):
    """
    The user id of the client's run-as user.
    """
    assert org.get("/services/oauth2/userinfo").json()["user_id"] == org.clients[0]["user_id"]


def test_the_identity_url_of_the_token_answers(org):
    """
    The `id` member leads to the same user.
    """
    answer = org.http.post(TOKEN, data=credentials(org)).json()

    identity = org.get(answer["id"].removeprefix(str(org.http.base_url).rstrip("/")))
    assert identity.json()["user_id"] == org.clients[0]["user_id"]


def test_the_payload_segment_is_plain_base64url(org):
    """
    A client that reads the claims without a JWT library can do so.
    """
    payload = org.token().split(".")[1]

    assert "sub" in json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def test_a_client_that_is_gone_before_its_request_has_come_is_no_error(org, caplog):
    """
    A killed run cuts its token request mid-body: the simulator prints no traceback, and serves on.
    """
    logger = logging.getLogger("uvicorn.error")
    logger.addHandler(caplog.handler)
    try:
        with socket.create_connection((org.http.base_url.host, org.http.base_url.port)) as wire:
            wire.sendall(f"POST {TOKEN} HTTP/1.1\r\nHost: org\r\nContent-Length: 999\r\n\r\ngrant_type=".encode())
        answers = [org.http.post(TOKEN, data=credentials(org)).status_code for _ in range(10)]
    finally:
        logger.removeHandler(caplog.handler)

    assert answers == [200] * 10
    assert not [record for record in caplog.records if record.exc_info]
