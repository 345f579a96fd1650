"""A small org that every test finds as it was at first, and a client that knows how to ask it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest

from conversation_pipeline.simulator import Simulator

NOW = datetime(2026, 11, 19, 18, 0, tzinfo=UTC)
ENTRIES = "/platform/engagement/v1.0/conversation-entries"


class Caller:
    """Plain httpx against the org: tokens, queries, entries, the control plane."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.clients = self.http.get("/simulator/credentials").json()["clients"]
        self.headers = {"authorization": f"Bearer {self.token()}"}

    def token(self, place: int = 0) -> str:
        """A fresh access token of the client at that place of the credentials."""
        client = self.clients[place]
        form = {"grant_type": "client_credentials"} | {key: client[key] for key in ("client_id", "client_secret")}
        return self.http.post("/services/oauth2/token", data=form).json()["access_token"]

    def get(self, path: str, **more: Any) -> httpx.Response:
        """A GET with the token."""
        return self.http.get(path, headers=self.headers | more.pop("headers", {}), **more)

    def post(self, path: str, body: Any) -> httpx.Response:
        """A POST of JSON with the token."""
        return self.http.post(path, json=body, headers=self.headers)

    def patch(self, path: str, body: Any) -> httpx.Response:
        """A PATCH of JSON with the token."""
        return self.http.patch(path, json=body, headers=self.headers)

    def delete(self, path: str) -> httpx.Response:
        """A DELETE with the token."""
        return self.http.delete(path, headers=self.headers)

    def query(self, soql: str, *, all_rows: bool = False, **more: Any) -> httpx.Response:
        """A SOQL query."""
        return self.get(f"/services/data/v66.0/{'queryAll' if all_rows else 'query'}", params={"q": soql}, **more)

    def records(self, soql: str, **more: Any) -> list[dict[str, Any]]:
        """The records of a query that fits one page."""
        response = self.query(soql, **more)
        assert response.status_code == 200, response.text
        return response.json()["records"]

    def entries(self, identifier: str, **parameters: Any) -> httpx.Response:
        """GET /conversation-entries."""
        return self.get(ENTRIES, params={"conversationIdentifier": identifier, **parameters})

    def control(self, name: str, **body: Any) -> Any:
        """POST to the control plane."""
        response = self.http.post(f"/simulator/{name}", json=body)
        assert response.status_code == 200, response.text
        return response.json()

    def conversation(self, sobject: str = "MessagingSession") -> str:
        """The identifier of a conversation of the world that has ended."""
        end = "EndTime" if sobject == "MessagingSession" else "CallEndDateTime"
        soql = (
            f"SELECT Conversation.ConversationIdentifier FROM {sobject} WHERE {end} < 2026-11-19T00:00:00Z "
            f"ORDER BY CreatedDate DESC LIMIT 1"
        )
        return self.records(soql)[0]["Conversation"]["ConversationIdentifier"]


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    """One server, and one connection pool to it, for all tests of this folder."""
    simulator = Simulator(seed=3, first_day=date(2026, 11, 17), conversations_per_day=6, now=NOW)
    with simulator.serve() as running, httpx.Client(base_url=running.url, timeout=10) as http:
        yield http


@pytest.fixture
def org(http: httpx.Client) -> Caller:
    """The org in its first state."""
    http.post("/simulator/reset")
    return Caller(http)


@pytest.fixture
def lasting(org: Caller) -> Caller:
    """The org, with a token that outlives days."""
    org.control("switches", token_life_seconds=10**8)
    org.headers = {"authorization": f"Bearer {org.token()}"}
    return org
