"""What a query of Data Cloud gives, whichever API answers: a result, and its pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar


class Counted(Protocol):
    """Whatever a page's bytes are decoded to; the client counts its rows and looks no further."""

    @property
    def num_rows(self) -> int: ...


T_co = TypeVar("T_co", bound=Counted, covariant=True)


@dataclass(frozen=True)
class Result:
    """
    A query that has ended, as the service tells of it.

    Attributes:
        query_id: By which its pages can be asked for.
        rows: Rows in all; ``None`` where the API tells only page by page (v2).
        chunks: Pages by number; ``None`` where pages are cut as they are asked for.
        rows_processed: Rows that the query had to read, which is what credits are counted by; ``None`` where untold.
        expires_at: When the service forgets the result; ``None`` where untold.
        first: The answer that began it, where that holds the first page (v2).
    """

    query_id: str
    rows: int | None
    chunks: int | None = None
    rows_processed: int | None = None
    expires_at: datetime | None = None
    first: bytes | None = None


@dataclass(frozen=True)
class Page(Generic[T_co]):
    """
    A part of a result.

    Attributes:
        number: Of the chunk, or of the page's first row.
        body: As it came, decompressed.
        decoded: Its rows.
    """

    number: int
    body: bytes
    decoded: T_co


class DataCloud(Protocol[T_co]):
    """
    One interface for every API.

    Attributes:
        name: As ``CONVERSATION_DATA_CLOUD_MODE`` names it.
        resumable: Whether pages can be asked for in any order and more than once, as long as the result lives.
    """

    @property
    def name(self) -> str: ...
    @property
    def resumable(self) -> bool: ...
    @property
    def decode(self) -> Callable[[bytes], T_co]: ...

    def columns(self, object_name: str) -> tuple[str, ...]:
        """
        The columns that this user may see.

        Raises:
            ObjectUnavailable: there is no such object for this user.
        """

    def query(self, sql: str) -> Result:
        """Sends a query and waits until its result can be read. Raises ``SalesforceError``."""

    def pages(
        self,
        result: Result,
        *,
        held: Mapping[int, int] | None = None,
        received: Callable[[Page[T_co]], None] = lambda _: None,
    ) -> Iterator[Page[T_co]]:
        """
        The result's pages, those left out that are held.

        Args:
            held: Rows by number of pages that need not be asked for.
            received: Told of each page as soon as it is whole, from whichever thread fetched it.

        Raises:
            IncompleteAnswer: the pages' rows, with those held, are not as many as the service says.
            LocatorLost: the result is gone; send the query again.
        """
