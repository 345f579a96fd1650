"""
Query API v2 on the tenant host, for orgs that have nothing newer: batches one after another, each to be had once.

A result lives an hour, and three minutes from one batch to the next; a batch that broke off is lost with all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Generic, TypeVar
from urllib.parse import quote

import msgspec

from conversation_pipeline.salesforce.connection import Retry
from conversation_pipeline.salesforce.data_cloud.calls import Calls
from conversation_pipeline.salesforce.data_cloud.metadata import Metadata
from conversation_pipeline.salesforce.data_cloud.results import Counted, Page, Result
from conversation_pipeline.salesforce.errors import IncompleteAnswer, LocatorLost, PagingLoop, Throttled, TransientError

T = TypeVar("T", bound=Counted)

_PATH = "/api/v2/query"


class _Batch(msgspec.Struct, rename="camel"):
    query_id: str = ""
    row_count: int | None = None
    next_batch_id: str | None = None
    done: bool | None = None


class V2(Generic[T]):
    """
    Args:
        calls: To the tenant.
        decode: A batch's rows, from its JSON.
    """

    name = "v2"
    resumable = False

    def __init__(self, calls: Calls, decode: Callable[[bytes], T]) -> None:
        self.calls = calls
        self.decode = decode
        self._metadata = Metadata(calls)

    def columns(self, object_name: str) -> tuple[str, ...]:
        return self._metadata.columns(object_name)

    def query(self, sql: str) -> Result:
        reply = self.calls.tried(lambda: self.calls.post(_PATH, {"sql": sql}))
        return Result(reply.json(_Batch, f"POST {_PATH}").query_id, None, first=reply.body)

    def pages(
        self,
        result: Result,
        *,
        held: Mapping[int, int] | None = None,
        received: Callable[[Page[T]], None] = lambda _: None,
    ) -> Generator[Page[T]]:
        if held:
            raise ValueError("a result of v2 can not be read from its middle; ask again without what is held")
        body, offset, seen = result.first, 0, set[str]()
        while body is not None:
            batch = self._batch(body)
            page = Page(offset, body, self.decode(body))
            if batch.row_count is not None and batch.row_count != page.decoded.num_rows:
                raise IncompleteAnswer(
                    f"a batch of query {result.query_id} of Data Cloud has {page.decoded.num_rows:,} rows where it "
                    f"says {batch.row_count:,}; nothing of it is used"
                )
            received(page)
            yield page
            offset += page.decoded.num_rows
            # The last batch may carry an id that leads nowhere, and ``done`` may be missing (4.2).
            following = None if batch.done else batch.next_batch_id
            if following in seen:
                raise PagingLoop(f"query {result.query_id} of Data Cloud names the same next batch twice")
            body = None if not following else self._next(following)
            seen.add(following or "")

    def _batch(self, body: bytes) -> _Batch:
        try:
            return msgspec.json.decode(body, type=_Batch)
        except msgspec.DecodeError:
            raise IncompleteAnswer(f"GET {_PATH}: a batch that is not the JSON that was expected") from None

    def _next(self, batch_id: str) -> bytes:
        """Only a refusal leaves the batch where it was; after anything else nobody knows."""
        path = f"{_PATH}/{quote(batch_id, safe='')}"
        patient: Retry = self.calls.retry
        for attempt in patient.attempts_for(self.calls.connection.meter):
            with attempt:
                try:
                    return self.calls.get(path).body
                except Throttled:
                    raise
                except TransientError as error:
                    raise LocatorLost(
                        "a batch of a v2 query broke off, and each can be had once; send the query again",
                        status=error.status,
                    ) from error
        raise AssertionError("the last attempt raises")
