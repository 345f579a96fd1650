"""POST /services/oauth2/token and who a token stands for."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response

from conversation_pipeline.simulator.endpoint import Endpoint, bearer, json_response
from conversation_pipeline.simulator.oauth.model import Client, GrantError
from conversation_pipeline.simulator.oauth.wire import parameters, refused
from conversation_pipeline.simulator.org import Org

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def endpoints(org: Org) -> Iterable[Endpoint]:
    """The OAuth room."""
    room = _Room(org)
    yield Endpoint("oauth.token", "/services/oauth2/token", ("POST",), room.token)
    yield Endpoint("oauth.revoke", "/services/oauth2/revoke", ("POST",), room.revoke)
    yield Endpoint("oauth.userinfo", "/services/oauth2/userinfo", ("GET", "POST"), room.identity)
    yield Endpoint("oauth.identity", "/id/{organization}/{user}", ("GET",), room.identity)


class _Room:
    def __init__(self, org: Org) -> None:
        self._org = org

    async def token(self, request: Request) -> Response:
        try:
            asked = await parameters(request)
            client = self._client(asked, str(request.base_url).rstrip("/"))
        except GrantError as error:
            return refused(error)
        return self._granted(client, request)

    async def revoke(self, request: Request) -> Response:
        try:
            token = (await parameters(request)).get("token", "")
        except GrantError as error:
            return refused(error)
        if not self._org.identities.expire(token):
            return refused(GrantError("unsupported_token_type", "this token type is not supported"))
        return Response(status_code=200)

    def _client(self, asked: dict[str, str], own_url: str) -> Client:
        identities = self._org.identities
        grant = asked.get("grant_type")
        if grant is None:
            raise GrantError("invalid_request", "grant_type is missing")
        if grant == "client_credentials":
            return identities.by_secret(asked.get("client_id", ""), asked.get("client_secret", ""))
        if grant == _JWT_BEARER:
            return identities.by_assertion(asked.get("assertion", ""), own_url)
        raise GrantError("unsupported_grant_type", "grant type not supported")

    def _granted(self, client: Client, request: Request) -> Response:
        org = self._org
        session = org.identities.open_session(client, org.switches["token_life_seconds"])
        instance = str(request.base_url).rstrip("/")
        identity = f"{instance}/id/{org.world.cast.organization_id}/{client.user_id}"
        issued = str(org.clock.now_ms)
        signed = hmac.new(
            (client.client_secret or client.client_id).encode(), (identity + issued).encode(), hashlib.sha256
        )
        return json_response({
            "access_token": session.token, "signature": base64.b64encode(signed.digest()).decode(),
            "token_format": "jwt", "scope": " ".join(client.scopes), "instance_url": instance,
            "id": identity, "token_type": "Bearer", "issued_at": issued, "api_instance_url": instance,
        }, headers={"cache-control": "no-store"})  # fmt: skip

    def identity(self, request: Request) -> Response:
        session = self._org.identities.session(bearer(request) or "", self._org.switches["token_life_seconds"])
        if session is None:
            return Response("Missing_OAuth_Token" if bearer(request) is None else "Bad_OAuth_Token", 403)
        client, organization = session.client, self._org.world.cast.organization_id
        return json_response({
            "user_id": client.user_id, "organization_id": organization, "preferred_username": client.username,
            "username": client.username, "sub": f"{request.base_url}id/{organization}/{client.user_id}",
            "active": True, "user_type": "STANDARD",
        })  # fmt: skip
