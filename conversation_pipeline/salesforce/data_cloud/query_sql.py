"""``query-sql`` of the Connect API on the core host: JSON pages by offset, for 24 hours; calls count as any."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from conversation_pipeline.salesforce.data_cloud.calls import Calls, Reply
from conversation_pipeline.salesforce.data_cloud.refusals import OffsetPastEnd
from conversation_pipeline.salesforce.data_cloud.results import Counted, Page, Result
from conversation_pipeline.salesforce.data_cloud.status import WAIT_MS, Status, read_status, wait
from conversation_pipeline.salesforce.errors import IncompleteAnswer

T = TypeVar("T", bound=Counted)

_ROWS_A_PAGE = 100_000
"""More than the service puts on a page: it cuts them by size (about 2 MB)."""


class _Column(msgspec.Struct):
    name: str


class _Schema(msgspec.Struct):
    metadata: list[_Column] = []


class QuerySql(Generic[T]):
    """
    Args:
        calls: To the org's own host.
        decode: A page's rows, from its JSON.
        api_version: Such as ``66.0``; 63.0 or later.
        dataspace: API name of the data space.
    """

    name = "query_sql"
    resumable = True

    def __init__(
        self, calls: Calls, decode: Callable[[bytes], T], api_version: str = "66.0", dataspace: str = "default"
    ) -> None:
        self.calls = calls
        self.decode = decode
        self._base = f"/services/data/v{api_version}/ssot/query-sql"
        self._params = {"dataspace": dataspace, "workloadName": "conversation_pipeline"}

    def columns(self, object_name: str) -> tuple[str, ...]:
        """By the schema of a query without rows, which reads none: this host lists objects without their columns."""
        sql = f'SELECT * FROM "{object_name}" LIMIT 0'  # noqa: S608  (names come from settings or the declaration)
        reply = self.calls.tried(lambda: self._submitted(sql))
        result = wait(_status(reply), self._look, self.calls.retry)
        schema = reply.json(_Schema, self._base).metadata
        if not schema:
            rows = self._rows(result.query_id, 0)
            schema = rows.json(_Schema, self._base).metadata if rows is not None else []
        return tuple(column.name for column in schema)

    def query(self, sql: str) -> Result:
        return wait(self.calls.tried(lambda: _status(self._submitted(sql))), self._look, self.calls.retry)

    def pages(
        self,
        result: Result,
        *,
        held: Mapping[int, int] | None = None,
        received: Callable[[Page[T]], None] = lambda _: None,
    ) -> Generator[Page[T]]:
        offset = 0
        while offset < (result.rows or 0):
            if offset in (held or {}):
                offset += (held or {})[offset]
                continue
            page = self._page(result.query_id, offset)
            if page is None or page.decoded.num_rows == 0:
                break
            received(page)
            yield page
            offset += page.decoded.num_rows
        if offset != result.rows:
            raise IncompleteAnswer(
                f"query {result.query_id} of Data Cloud has {result.rows:,} rows and its pages {offset:,}; nothing of "
                "it is used"
            )

    def _page(self, query_id: str, offset: int) -> Page[T] | None:
        def fetch() -> Page[T] | None:
            reply = self._rows(query_id, offset)
            return None if reply is None else Page(offset, reply.body, self.decode(reply.body))

        return self.calls.tried(fetch)

    def _rows(self, query_id: str, offset: int) -> Reply | None:
        """Nothing from beyond the last row."""
        path = f"{self._base}/{quote(query_id, safe='')}/rows"
        with suppress(OffsetPastEnd):
            return self.calls.get(path, {**self._params, "offset": offset, "rowLimit": _ROWS_A_PAGE})
        return None

    def _submitted(self, sql: str) -> Reply:
        body: dict[str, Any] = {"sql": sql, "adaptiveTimeout": 0}
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in self._params.items())
        return self.calls.post(f"{self._base}?{query}", body)

    def _look(self, query_id: str) -> Status:
        path = f"{self._base}/{quote(query_id, safe='')}"
        return self.calls.tried(lambda: _status(self.calls.get(path, {**self._params, "waitTimeMs": WAIT_MS})))


def _status(reply: Reply) -> Status:
    """Flat as documented, or below ``status`` as seen."""
    return read_status(reply.json(dict, "the status of a query"))
