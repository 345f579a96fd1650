"""POST /services/a360/token: a core token for a Data Cloud token (Data Cloud, section 3.2)."""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from conversation_pipeline.simulator.data_cloud.tenant import DATA_CLOUD, DATA_SPACE, Tenant
from conversation_pipeline.simulator.endpoint import json_response
from conversation_pipeline.simulator.oauth.model import GrantError
from conversation_pipeline.simulator.oauth.wire import parameters, refused

GRANT = "urn:salesforce:grant-type:external:cdp"
SUBJECT = "urn:ietf:params:oauth:token-type:access_token"
_LOGIN_PAGE = (
    "<!DOCTYPE html><html><head><script>window.location.replace("
    "'/?ec=302&startURL=%2Fservices%2Fa360%2Ftoken');</script></head><body></body></html>"
)


class Exchange:
    """The token exchange."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._exchanged: set[str] = set()

    async def token(self, request: Request) -> Response:
        """Parameters in the form or, as Salesforce's own client sends them, in the query string."""
        org = self._tenant.org
        try:
            asked = await parameters(request)
            core = self._subject(asked)
        except GrantError as error:
            return refused(error)
        if org.switches["data_cloud_token_single_use"] and core in self._exchanged:
            return Response(_LOGIN_PAGE, 200, media_type="text/html")
        self._exchanged.add(core)
        session = org.identities.session(core)
        if session is None:
            raise RuntimeError("the subject token was live a moment ago")
        life = int(org.switches["data_cloud_token_life_seconds"])
        client = session.client
        granted = (DATA_CLOUD, *(scope for scope in client.scopes if scope.startswith("cdp_")))
        own = org.identities.open_session(
            replace(client, scopes=granted), life, audienceTenantId=self._tenant.id,
            dataspace=asked.get("dataspace") or DATA_SPACE,
        )  # fmt: skip
        return json_response({
            "access_token": own.token, "instance_url": self._instance(request), "token_type": "Bearer",
            "issued_token_type": "urn:ietf:params:oauth:token-type:jwt", "expires_in": life,
        }, headers={"cache-control": "no-store"})  # fmt: skip

    def _subject(self, asked: dict[str, str]) -> str:
        if asked.get("grant_type") != GRANT:
            raise GrantError("unsupported_grant_type", "grant type not supported")
        if asked.get("subject_token_type") != SUBJECT:
            raise GrantError("invalid_request", "subject_token_type is not supported")
        core = asked.get("subject_token", "")
        session = self._tenant.org.identities.session(core)
        if session is None or DATA_CLOUD in session.client.scopes:
            raise GrantError("invalid_grant", "expired authorization code")
        if (asked.get("dataspace") or DATA_SPACE) != DATA_SPACE:
            raise GrantError("invalid_request", "the data space does not exist")
        return core

    def _instance(self, request: Request) -> str:
        """The tenant endpoint, with or without its scheme: both were seen."""
        form = self._tenant.org.switches["data_cloud_instance_url"]
        url = str(request.base_url).rstrip("/")
        bare = form == "host" or (form == "auto" and request.url.scheme == "https")
        return request.url.netloc if bare else url
