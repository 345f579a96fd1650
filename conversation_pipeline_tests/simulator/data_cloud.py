"""A client that knows how to ask the simulated Data Cloud: tokens, queries, pages."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pyarrow as pa

from conversation_pipeline_tests.simulator.conftest import Caller

ARROW = "application/vnd.apache.arrow.stream"
GRANT = "urn:salesforce:grant-type:external:cdp"
SUBJECT = "urn:ietf:params:oauth:token-type:access_token"
ENTRIES = '"ssot__ConversationEntry__dlm"'
QUERY_SQL = "/services/data/v66.0/ssot/query-sql"
COUNT = f'SELECT count(*) AS "n" FROM {ENTRIES}'
IDS = f'SELECT "ssot__Id__c" AS "id" FROM {ENTRIES} ORDER BY 1'


class Cloud:
    """Plain httpx against both hosts."""

    def __init__(self, org: Caller) -> None:
        self.org = org
        self.headers = {"authorization": f"Bearer {self.exchange().json()['access_token']}"}

    def exchange(self, **more: str) -> httpx.Response:
        """A core token for a Data Cloud token."""
        form = {"grant_type": GRANT, "subject_token": self.org.token(), "subject_token_type": SUBJECT} | more
        return self.org.http.post("/services/a360/token", data=form)

    def get(self, path: str, **more: Any) -> httpx.Response:
        """A GET of the tenant host."""
        return self.org.http.get(path, headers=self.headers | more.pop("headers", {}), **more)

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """A POST of JSON to the tenant host."""
        return self.org.http.post(path, json=body, headers=self.headers | headers)

    def delete(self, path: str) -> httpx.Response:
        """A DELETE of the tenant host."""
        return self.org.http.delete(path, headers=self.headers)

    def submit(self, sql: str = IDS, *, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """POST /api/v3/query."""
        return self.post("/api/v3/query", {"sql": sql} | more, **(headers or {}))

    def rows(self, sql: str, **more: Any) -> list[list[Any]]:
        """The rows of a quick query that fits a page."""
        answer = self.submit(sql, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def finished(self, sql: str = IDS, **more: Any) -> str:
        """The path of an asynchronous query whose results are there."""
        answer = self.submit(sql, transferMode="ASYNC", **more)
        assert answer.status_code == 200, answer.text
        path = f"/api/v3/query/{status(answer)['queryId']}"
        while self.get(path).json()["completionStatus"] == "RUNNING_OR_UNSPECIFIED":
            pass
        return path

    def true_ids(self, *days: str) -> list[str]:
        """Identifiers of the entries of those days that Data Cloud must have now."""
        return sorted(
            entry["entry_identifier"]
            for day in days
            for entry in self.org.http.get("/simulator/truth/data_cloud", params={"day": day}).json()["entries"]
        )


def status(answer: httpx.Response) -> dict[str, Any]:
    """What the header tells of the query."""
    return json.loads(answer.headers["x-hyperdb-status"])


def table(body: bytes) -> pa.Table:
    """The rows of an Arrow IPC stream."""
    return pa.ipc.open_stream(body).read_all()
