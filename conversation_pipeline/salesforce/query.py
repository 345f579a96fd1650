"""
SOQL over REST: describe, query and queryAll with paging.

Contract: REST API developer guide, Query, QueryAll and sObject Describe. A page's ``nextRecordsUrl`` is followed as it
is, says ``/query/`` even for queryAll, and belongs to the token that opened it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import quote_plus

import msgspec

from conversation_pipeline.salesforce import soql as soql_text
from conversation_pipeline.salesforce.connection import Answer, Connection, Retry
from conversation_pipeline.salesforce.errors import (
    AuthenticationError,
    IncompleteAnswer,
    LocatorLost,
    ObjectUnavailable,
    PagingLoop,
    QueryTooLong,
    RecordUnavailable,
)

_T = TypeVar("_T")
_CLOCK_SECONDS = 60.0
_SESSION_ENDED = ("INVALID_SESSION_ID", "INVALID_AUTH_HEADER")

LONGEST_URI = 12_000
"""
Bytes of a query that are sent in a URI: Salesforce takes 16,384 of URI and headers together (414 and 431, REST API
error codes [doc]), and a token may be long.
"""


class _PicklistValue(msgspec.Struct):
    value: str


class _Field(msgspec.Struct, rename="camel"):
    name: str
    type: str = ""
    filterable: bool = True
    calculated: bool = False
    relationship_name: str | None = None
    reference_to: list[str] = []
    picklist_values: list[_PicklistValue] = []


class _Describe(msgspec.Struct, rename="camel"):
    name: str
    fields: list[_Field]
    replicateable: bool = False
    key_prefix: str | None = None


@dataclass(frozen=True)
class ObjectDescription:
    """
    An object as this user may see it.

    Attributes:
        types: Describe types by API name of field.
        relationships: API name of the lookup behind each relationship name.
        picklists: Values by API name of picklist.
        replicateable: Whether the org tells which records were deleted.
        calculated: API names of fields that a formula gives: its changes move no stamp of the record.
        filterable: API names of fields that a condition may name.
    """

    name: str
    types: dict[str, str]
    relationships: dict[str, str]
    picklists: dict[str, tuple[str, ...]]
    replicateable: bool
    calculated: frozenset[str] = frozenset()
    filterable: frozenset[str] = frozenset()

    def sees(self, path: str) -> bool:
        """True if a field, or the relationship that a path starts with, is visible."""
        head, dot, _ = path.partition(".")
        return head in self.relationships if dot else head in self.types


@dataclass(frozen=True)
class Deleted:
    """Ids of deleted records, and until when the org's log is complete: the next window begins there."""

    ids: tuple[str, ...]
    covered_until: datetime


class _RecordCount(msgspec.Struct):
    name: str
    count: int


class _RecordCounts(msgspec.Struct):
    s_objects: list[_RecordCount] = msgspec.field(name="sObjects")


class _DeletedRecord(msgspec.Struct, rename="camel"):
    id: str


class _Deleted(msgspec.Struct, rename="camel"):
    deleted_records: list[_DeletedRecord]
    latest_date_covered: str


class QueryPage(msgspec.Struct, rename="camel"):
    """One page as the service sent it; records are left as raw JSON."""

    total_size: int
    done: bool
    records: list[msgspec.Raw]
    next_records_url: str | None = None


@dataclass(frozen=True)
class StagedPage:
    """A page's bytes with what paging learned from it."""

    body: bytes
    records: int
    total_size: int
    server_time: datetime


@dataclass
class Query:
    """
    REST query of one org as one user.

    Attributes:
        connection: Line to the org's instance URL.
        api_version: Such as ``66.0``.
        rows_a_page: Records asked for on a page, 200 to 2,000; the service may send fewer.
    """

    connection: Connection
    api_version: str = "66.0"
    retry: Retry = field(default_factory=Retry)
    rows_a_page: int = 2000

    def __post_init__(self) -> None:
        self._descriptions: dict[str, ObjectDescription] = {}
        self._clock: tuple[datetime, float] | None = None
        self._lock = threading.Lock()

    @cached_property
    def _root(self) -> str:
        return f"/services/data/v{self.api_version}"

    def describe(self, sobject: str) -> ObjectDescription:
        """
        What this user may see of an object; asked for once.

        Raises:
            ObjectUnavailable: the org lacks the object, or this user may not see it.
        """
        with self._lock:
            if sobject not in self._descriptions:
                self._descriptions[sobject] = self._describe(sobject)
            return self._descriptions[sobject]

    def server_time(self) -> datetime:
        """
        The org's own clock: what its latest reply said, if that was within the last minute; else it is asked by a
        request that is not metered (the list of versions). Never later than the org's present.
        """
        if self._clock is None or time.monotonic() - self._clock[1] > _CLOCK_SECONDS:
            self._get("/services/data/", list[dict[str, Any]])
        return self._clock[0] if self._clock else datetime.now(UTC)

    def aggregate(self, soql: str, *, all_rows: bool) -> list[dict[str, Any]]:
        """
        The rows of a query with aggregates, by alias.

        Raises:
            IncompleteAnswer: there are more groups than the service returns at once (2,000).
        """
        _, page = self._get(self._query_url(all_rows), QueryPage, {"q": soql})
        if not page.done:
            raise IncompleteAnswer(f"GET {self._root}/query has more groups than one reply holds; narrow its window")
        return [msgspec.json.decode(record, type=dict[str, Any]) for record in page.records]

    def count(self, sobject: str, where: str, *, all_rows: bool) -> int:
        """How many records there are, by ``SELECT COUNT()``."""
        _, page = self._get(
            self._query_url(all_rows), QueryPage, {"q": soql_text.select(["COUNT()"], sobject, where=where)}
        )
        return page.total_size

    def record_counts(self, sobjects: Sequence[str]) -> dict[str, int]:
        """
        How many records the org has of each object, whoever may see them: a cached approximation, deleted ones not
        counted (REST API, Record Count [doc]). One call for all objects; those that the org lacks are missing.
        """
        _, found = self._get(f"{self._root}/limits/recordCount", _RecordCounts, {"sObjects": ",".join(sobjects)})
        return {one.name: one.count for one in found.s_objects}

    def deleted(self, sobject: str, start: datetime, end: datetime) -> Deleted:
        """
        Which records were deleted in a window within the last 15 days (sObject Get Deleted).

        Raises:
            RequestRefused: the org's log does not reach that far, or the object has none; compare counts instead.
        """
        params: dict[str, str | int] = {"start": _to_the_minute(start), "end": _to_the_minute(end)}
        _, found = self._get(f"{self._root}/sobjects/{sobject}/deleted/", _Deleted, params)
        return Deleted(
            tuple(record.id for record in found.deleted_records), datetime.fromisoformat(found.latest_date_covered)
        )

    def _query_url(self, all_rows: bool) -> str:
        return f"{self._root}/{'queryAll' if all_rows else 'query'}"

    def pages(self, soql: str, *, all_rows: bool) -> Iterator[StagedPage]:
        """
        All pages of a query.

        Args:
            all_rows: queryAll, which also returns soft-deleted and archived records.

        Raises:
            QueryTooLong: its URI would be longer than the service takes; nothing was asked.
            LocatorLost: a page after the first can not be read any more; ask the whole query again.
            IncompleteAnswer: the pages' records do not add up to the ``totalSize`` of the last page.
            PagingLoop: the pages do not come to an end.
        """
        url = self._query_url(all_rows)
        _refuse_longer_than_a_uri(url, soql)
        answer, page = self._get(url, QueryPage, {"q": soql})
        seen: set[str] = set()
        records = 0
        while True:
            records += len(page.records)
            yield StagedPage(answer.body, len(page.records), page.total_size, answer.server_time)
            if page.done or page.next_records_url is None or records > page.total_size:
                break
            if page.next_records_url in seen:
                raise PagingLoop(f"GET {url} names the same next page twice; nothing of it is used")
            seen.add(page.next_records_url)
            answer, page = self._next(page.next_records_url)
        if records != page.total_size or not page.done:
            raise IncompleteAnswer(
                f"GET {url} promised {page.total_size:,} records and sent {records:,}; nothing of it is used"
            )

    def _next(self, next_records_url: str) -> tuple[Answer, QueryPage]:
        if not next_records_url.startswith("/"):  # what is no path of this host would take the token elsewhere
            raise PagingLoop(f"GET {self._root}/query names a next page that is no path of the org")
        try:
            return self._get(next_records_url, QueryPage)
        except (AuthenticationError, RecordUnavailable) as error:
            if isinstance(error, AuthenticationError) and error.code not in _SESSION_ENDED:
                raise
            # The locator belongs to the token that opened it (airbyte#84302): a renewed one can not go on.
            raise LocatorLost(f"GET {self._root}/query: the locator is gone", code=error.code) from error

    def _describe(self, sobject: str) -> ObjectDescription:
        try:
            _, described = self._get(f"{self._root}/sobjects/{sobject}/describe", _Describe)
        except RecordUnavailable as error:
            raise ObjectUnavailable(
                f"the org has no object {sobject}, or this user may not see it: enable its feature or grant "
                "the user View All on it",
                code=error.code,
                status=error.status,
            ) from error
        return ObjectDescription(
            described.name,
            {field.name: field.type for field in described.fields},
            {field.relationship_name: field.name for field in described.fields if field.relationship_name},
            {
                field.name: tuple(value.value for value in field.picklist_values)
                for field in described.fields
                if field.picklist_values
            },
            described.replicateable,
            frozenset(field.name for field in described.fields if field.calculated),
            frozenset(field.name for field in described.fields if field.filterable),
        )

    def _get(self, path: str, type: type[_T], params: dict[str, str | int] | None = None) -> tuple[Answer, _T]:
        for attempt in self.retry.attempts_for(self.connection.meter):
            with attempt:
                answer = self.connection.get(path, params, {"Sforce-Query-Options": f"batchSize={self.rows_a_page}"})
                self._clock = (answer.server_time, time.monotonic())
                return answer, answer.json(type)  # a body that is cut or is HTML is asked for again
        raise AssertionError("the last attempt raises")


def _refuse_longer_than_a_uri(url: str, soql: str) -> None:
    length = len(url) + len(quote_plus(soql))
    if length > LONGEST_URI:
        raise QueryTooLong(
            f"GET {url}: a query of {length:,} bytes is longer than the {LONGEST_URI:,} that fit into a URI, so only "
            "Bulk API 2.0 can carry it; where that refuses the object, ask for fewer columns: take names out of "
            "CONVERSATION_CUSTOM_FIELDS"
        )


def _to_the_minute(instant: datetime) -> str:
    """The API ignores seconds; what it ignores is not sent."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:00+00:00")
