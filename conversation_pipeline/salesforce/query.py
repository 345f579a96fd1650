"""
SOQL over REST: describe, query and queryAll with paging.

Contract: REST API developer guide, Query, QueryAll and sObject Describe. A page's ``nextRecordsUrl`` is followed as it
is, says ``/query/`` even for queryAll, and belongs to the token that opened it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

import msgspec

from conversation_pipeline.salesforce.connection import Answer, Connection, Retry
from conversation_pipeline.salesforce.errors import (
    AuthenticationError,
    IncompleteAnswer,
    LocatorLost,
    ObjectUnavailable,
    PagingLoop,
    RecordUnavailable,
)

_T = TypeVar("_T")
_SESSION_ENDED = ("INVALID_SESSION_ID", "INVALID_AUTH_HEADER")


class _Field(msgspec.Struct, rename="camel"):
    name: str
    type: str = ""
    filterable: bool = True
    calculated: bool = False
    relationship_name: str | None = None
    reference_to: list[str] = []


class _Describe(msgspec.Struct, rename="camel"):
    name: str
    fields: list[_Field]
    key_prefix: str | None = None


@dataclass(frozen=True)
class ObjectDescription:
    """An object as this user may see it: its fields' describe types by API name."""

    name: str
    types: dict[str, str]
    relationships: dict[str, str]

    def sees(self, path: str) -> bool:
        """True if a field, or the relationship that a path starts with, is visible."""
        head, dot, _ = path.partition(".")
        return head in self.relationships if dot else head in self.types


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
    """

    connection: Connection
    api_version: str = "66.0"
    retry: Retry = field(default_factory=Retry)

    def __post_init__(self) -> None:
        self._descriptions: dict[str, ObjectDescription] = {}
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
        """The org's own clock, read from a reply that is not metered (the list of versions)."""
        answer, _ = self._get("/services/data/", list[dict[str, Any]])
        return answer.server_time

    def pages(self, soql: str, *, all_rows: bool) -> Iterator[StagedPage]:
        """
        All pages of a query.

        Args:
            all_rows: queryAll, which also returns soft-deleted and archived records.

        Raises:
            LocatorLost: a page after the first can not be read any more; ask the whole query again.
            IncompleteAnswer: the pages' records do not add up to the ``totalSize`` of the last page.
            PagingLoop: the pages do not come to an end.
        """
        url = f"{self._root}/{'queryAll' if all_rows else 'query'}"
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
        )

    def _get(self, path: str, type: type[_T], params: dict[str, str | int] | None = None) -> tuple[Answer, _T]:
        for attempt in self.retry.attempts_for(self.connection.meter):
            with attempt:
                answer = self.connection.get(path, params)
                return answer, answer.json(type)  # a body that is cut or is HTML is asked for again
        raise AssertionError("the last attempt raises")
