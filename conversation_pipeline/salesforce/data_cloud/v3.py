"""Query API v3 on the tenant host: an asynchronous query, whose chunks are read as Arrow streams, several at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from conversation_pipeline.salesforce.data_cloud.calls import Calls, Reply
from conversation_pipeline.salesforce.data_cloud.metadata import Metadata
from conversation_pipeline.salesforce.data_cloud.results import Counted, Page, Result
from conversation_pipeline.salesforce.data_cloud.status import WAIT_MS, Status, read_status, wait
from conversation_pipeline.salesforce.errors import IncompleteAnswer

ARROW = "application/vnd.apache.arrow.stream"

T = TypeVar("T", bound=Counted)

_PATH = "/api/v3/query"
_STATUS = "x-hyperdb-status"
_AHEAD = 4


class V3(Generic[T]):
    """
    Args:
        calls: To the tenant.
        decode: An Arrow stream's rows; raises ``IncompleteAnswer`` for one that is cut, which is then asked for again.
        ahead: Chunks that are fetched at once and held in memory at most.
    """

    name = "v3"
    resumable = True

    def __init__(self, calls: Calls, decode: Callable[[bytes], T], *, ahead: int = _AHEAD) -> None:
        self.calls = calls
        self.decode = decode
        self.ahead = ahead
        self._metadata = Metadata(calls)

    def columns(self, object_name: str) -> tuple[str, ...]:
        return self._metadata.columns(object_name)

    def query(self, sql: str) -> Result:
        body = {"sql": sql, "transferMode": "ASYNC", "settings": {"time_zone": "UTC"}}
        status = self.calls.tried(lambda: _status(self.calls.post(_PATH, body)))
        return wait(status, self._look, self.calls.retry)

    def pages(
        self,
        result: Result,
        *,
        held: Mapping[int, int] | None = None,
        received: Callable[[Page[T]], None] = lambda _: None,
    ) -> Generator[Page[T]]:
        rows = sum((held or {}).values())
        wanted = (number for number in range(result.chunks or 0) if number not in (held or {}))
        begun: deque[Future[Page[T]]] = deque()
        threads = ThreadPoolExecutor(self.ahead, thread_name_prefix="data-cloud")

        def begin(count: int) -> None:
            begun.extend(
                threads.submit(self._chunk, result.query_id, number, received) for number in islice(wanted, count)
            )

        try:
            begin(self.ahead)
            while begun:
                page = begun.popleft().result()
                rows += page.decoded.num_rows
                begin(1)
                yield page
        finally:
            threads.shutdown(cancel_futures=True)
        if rows != result.rows:
            raise IncompleteAnswer(
                f"query {result.query_id} of Data Cloud has {result.rows:,} rows and its chunks {rows:,}; "
                "nothing of it is used"
            )

    def _chunk(self, query_id: str, number: int, received: Callable[[Page[T]], None]) -> Page[T]:
        path = f"{_PATH}/{quote(query_id, safe='')}/chunks/{number}"

        def fetch() -> Page[T]:
            reply = self.calls.get(path, accept=ARROW)
            return Page(number, reply.body, self.decode(reply.body))

        page = self.calls.tried(fetch)
        received(page)
        return page

    def _look(self, query_id: str) -> Status:
        path = f"{_PATH}/{quote(query_id, safe='')}"
        return self.calls.tried(lambda: _status(self.calls.get(path, {"waitTimeMs": WAIT_MS})))


def _status(reply: Reply) -> Status:
    """Documented in the header after a POST and in the body after a GET; seen in the header there, too."""
    for told in (reply.body, reply.headers.get(_STATUS, "")):
        body = _decoded(told)
        if isinstance(body, dict) and "queryId" in body.get("status", body):
            return read_status(body)
    raise IncompleteAnswer("Data Cloud told no status of the query, or one without its id")


def _decoded(text: bytes | str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
