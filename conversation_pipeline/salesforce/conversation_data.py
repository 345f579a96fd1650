"""
Conversation Data API: all entries of one conversation within a window of time.

Contract: ``GET /conversation-entries`` below the API's base URL. What is published is thin, so nothing is taken for
granted: pages may chain by ``nextPageToken`` or not at all, the page size may be capped below what was asked for, and
entries may come oldest or newest first. Ninety requests per execution user per minute; every read keeps the
conversation active for thirty minutes against an org-wide limit, so both allowances are leased together.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import msgspec

from conversation_pipeline.salesforce.connection import Answer, Connection, Retry
from conversation_pipeline.salesforce.errors import PagingLoop, Throttled
from conversation_pipeline.salesforce.limits import ACTIVE_CONVERSATIONS, CONVERSATION_DATA, Limit
from conversation_pipeline.salesforce.quotas import Claim, Lease, QuotaStore

MOST_ENTRIES_A_PAGE = 1000
_FEWEST_ENTRIES_A_PAGE = 20  # the smallest page size of any published sibling API (Interaction Service)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Entry(msgspec.Struct, rename="camel"):
    """What paging needs of an entry, as far as it tells it: an odd entry must not keep its siblings from being read."""

    identifier: str | None = None
    transcripted_timestamp: int | None = None
    server_received_timestamp: int | None = None

    @property
    def timestamp(self) -> int | None:
        stamp = self.transcripted_timestamp
        return stamp if stamp is not None else self.server_received_timestamp


class _Page(msgspec.Struct, rename="camel"):
    conversation_entries: list[msgspec.Raw] | None
    next_page_token: str | None = None

    @property
    def raw_entries(self) -> list[msgspec.Raw]:
        return self.conversation_entries or []


_decode_entry = msgspec.json.Decoder(_Entry, strict=False).decode


def _entry(raw: msgspec.Raw) -> _Entry:
    try:
        return _decode_entry(raw)
    except msgspec.ValidationError:
        return _Entry()


@dataclass(frozen=True)
class Reading:
    """
    What the API said about one conversation and window: the bodies of all pages, as they came.

    Attributes:
        start, end: Half-open window of ``transcriptedTimestamp``.
        fetched_at: The service's clock at the first page: later entries may be missing from the reading.
        entries: Distinct entries in the bodies.
        longest_page: Entries on the longest page; see ``ConversationData.longest_page``.
    """

    conversation_identifier: str
    start: datetime
    end: datetime
    bodies: tuple[bytes, ...]
    fetched_at: datetime
    entries: int
    longest_page: int


@dataclass(frozen=True)
class ExecutionUser:
    """One execution user: a signed line to the API and the key of its allowance."""

    connection: Connection
    key: str


@dataclass
class ConversationData:
    """
    The API as a pool of execution users: every request goes to the user who may ask soonest.

    Attributes:
        users: Each adds its own allowance.
        store: Shared quota store; all processes and machines of an instance use the same.
        org: Org that the active-conversation budget belongs to.
        rate: Allowance of one execution user.
        active: Budget of distinct conversations held active.
        longest_page: Entries on the longest page that the service is known to have sent. The more is known, the
            fewer pages need a second look; start it with what earlier readings saw.
    """

    users: Sequence[ExecutionUser]
    store: QuotaStore
    org: str
    rate: Limit = CONVERSATION_DATA
    active: Limit = ACTIVE_CONVERSATIONS
    retry: Retry = field(default_factory=Retry)
    longest_page: int = 0
    _sends_tokens: bool = field(default=False, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def read(self, conversation_identifier: str, start: datetime, end: datetime) -> Reading:
        """
        All entries of a conversation with ``start <= transcriptedTimestamp < end``.

        Raises:
            RecordUnavailable: the org does not know the conversation.
            PagingLoop: more entries share one millisecond than fit a page.
        """
        return _Pager(self, conversation_identifier, start, end).read()

    def close(self) -> None:
        for user in self.users:
            user.connection.close()

    def get(self, conversation_identifier: str, params: dict[str, str | int]) -> tuple[Answer, _Page]:
        """One page, by whichever user may ask soonest."""
        # The attempts alone bound it: a lease may have to be waited for longer than any retry should last.
        for attempt in replace(self.retry, timeout=None).attempts_for(self.users[0].connection.meter):
            with attempt:
                answer = self._answer(conversation_identifier, params)
                return answer, answer.json(_Page)
        raise AssertionError("the last attempt raises")

    def _answer(self, conversation_identifier: str, params: dict[str, str | int]) -> Answer:
        """An answer of the first user whom the service does not throttle; those it does rest, and others go on."""
        for others_left in reversed(range(len(self.users))):
            user, lease, claims = self._lease(conversation_identifier)
            try:
                with lease:
                    extensions = {"lease": lease, "claims": claims}
                    return user.connection.get("/conversation-entries", params, extensions=extensions)
            except Throttled as error:
                # Somebody else uses this user too. It rests in every process; the retry need not wait for it.
                rest = error.retry_after if error.retry_after is not None else self.rate.window.total_seconds()
                self.store.pause(user.key, rest)
                error.retry_after = 0.0
                if not others_left:
                    raise
        raise AssertionError("a pool has a user")

    def _lease(self, conversation_identifier: str) -> tuple[ExecutionUser, Lease, list[Claim]]:
        alternatives = [self._claims(user, conversation_identifier) for user in self.users]
        began = time.monotonic()
        lease = self.store.take(alternatives, patience=None)
        self.users[0].connection.meter.add(waited_seconds=time.monotonic() - began)
        return self.users[lease.index], lease, alternatives[lease.index]

    def may_be_cut(self, length: int) -> bool:
        """
        Whether a page without a token may hold less than its window.

        The service may cap pages below what we ask. Whatever its cap, a page shorter than the longest that it ever
        sent us is below the cap and so complete; only pages that set or tie that record need a second look. A
        service that was seen to send tokens says by their absence that a page is the last.
        """
        with self._lock:
            longest, self.longest_page = self.longest_page, max(self.longest_page, length)
            return not self._sends_tokens and length >= max(longest, 1)

    def tokens_are_sent(self) -> None:
        with self._lock:
            self._sends_tokens = True

    def _claims(self, user: ExecutionUser, conversation_identifier: str) -> list[Claim]:
        return [
            Claim(user.key, self.rate),
            Claim(f"{self.org}/active_conversations", self.active, name=conversation_identifier),
        ]


class _Pager:
    """Reads one conversation until no part of its window is left unread."""

    def __init__(self, api: ConversationData, identifier: str, start: datetime, end: datetime) -> None:
        self._api = api
        self._identifier = identifier
        self._window = (start, end)
        self._bodies: list[bytes] = []
        self._seen: set[str | bytes] = set()
        self._answered_at: list[datetime] = []
        self._longest_page = 0

    def read(self) -> Reading:
        start, end = self._window
        unread = [(_milliseconds(start), _milliseconds(end) - 1)]  # the service's bounds are both inclusive
        while unread:
            first, last = unread.pop()
            unread += self._read_part(first, last)
        return Reading(
            conversation_identifier=self._identifier,
            start=start,
            end=end,
            bodies=tuple(self._bodies),
            fetched_at=min(self._answered_at),
            entries=len(self._seen),
            longest_page=self._longest_page,
        )

    def _read_part(self, first: int, last: int) -> list[tuple[int, int]]:
        """Reads one part of the window; returns the parts that may still hold entries we have not seen."""
        params: dict[str, str | int] = {
            "conversationIdentifier": self._identifier,
            "startTimestamp": first,
            "endTimestamp": last,
            "recordLimit": MOST_ENTRIES_A_PAGE,
            "queryDirection": "FromStart",
        }
        page, new = self._ask(params)
        if page.next_page_token:
            self._follow(params, page.next_page_token)
            return []
        entries = page.raw_entries
        if not new or not self._api.may_be_cut(len(entries)):
            return []
        told = (_entry(raw).timestamp for raw in entries)
        stamps = [stamp for stamp in told if stamp is not None and first <= stamp <= last]
        if not stamps:
            return []
        earliest, latest = min(stamps), max(stamps)
        if earliest == latest and len(entries) >= _FEWEST_ENTRIES_A_PAGE:
            raise PagingLoop(
                f"conversation {self._identifier} has {len(entries)} or more entries in one millisecond and the "
                "Conversation Data API sends no page token: it can not be read to its end"
            )
        # Either end of the part may be the one that was cut: siblings of the outermost entries are asked for again.
        rest = [(first, earliest), (latest, last)]
        return [part for part in rest if part != (first, last)]

    def _follow(self, params: dict[str, str | int], token: str) -> None:
        self._api.tokens_are_sent()
        tokens = {token}
        while True:
            page, _ = self._ask({**params, "pageToken": token})
            if not page.next_page_token:
                return
            token = page.next_page_token
            if token in tokens:
                raise PagingLoop(f"conversation {self._identifier}: a page token of the Conversation Data API repeats")
            tokens.add(token)

    def _ask(self, params: dict[str, str | int]) -> tuple[_Page, bool]:
        answer, page = self._api.get(self._identifier, params)
        self._answered_at.append(answer.server_time)
        self._longest_page = max(self._longest_page, len(page.raw_entries))
        identifiers = {_entry(raw).identifier or bytes(raw) for raw in page.raw_entries}
        new = not identifiers <= self._seen
        self._seen |= identifiers
        self._bodies.append(answer.body)
        return page, new


def _milliseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(milliseconds=1)
