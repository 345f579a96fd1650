"""
Conversation Data API: all entries of one conversation within a window of time.

Contract: ``GET /conversation-entries`` below the API's base URL. What is published is thin, so nothing is taken for
granted: pages may chain by ``nextPageToken`` or not at all, the page size may be capped below what was asked for, and
entries may come oldest or newest first. Ninety requests per execution user per minute; every read keeps the
conversation active for thirty minutes against an org-wide limit, so both allowances are leased together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from conversation_pipeline.salesforce.connection import Answer
from conversation_pipeline.salesforce.entry_api import (
    MOST_ENTRIES_A_PAGE,
    Entry,
    EntryApi,
    Page,
    PageRequest,
    Reading,
    Told,
    milliseconds,
)
from conversation_pipeline.salesforce.errors import PagingLoop
from conversation_pipeline.salesforce.limits import CONVERSATION_DATA, Limit

_FEWEST_ENTRIES_A_PAGE = 20  # the smallest page size of any published sibling API (Interaction Service)
_A_PAGE_SIZE_LASTS = timedelta(days=1)


@dataclass
class ConversationData(EntryApi):
    """
    The API as a pool of execution users: every request goes to the user who may ask soonest.

    Attributes:
        longest_page: Entries on the longest page that the service is known to have sent lately. The more is known, the
            fewer pages need a second look; start it with what readings of the last day saw.
    """

    rate: Limit = CONVERSATION_DATA
    longest_page: int = 0
    _sends_tokens: bool = field(default=False, init=False)
    _known_since: datetime | None = field(default=None, init=False)

    def read(self, conversation_identifier: str, start: datetime, end: datetime) -> Reading:
        """
        All entries of a conversation with ``start <= transcriptedTimestamp < end``.

        Raises:
            RecordUnavailable: the org does not know the conversation.
            ConversationUnreadable: the conversation is refused to every user, or called wrong again and again.
            NoUserLeft: every execution user has been set aside.
            PagingLoop: more entries share one millisecond than fit a page.
        """
        return _Pager(self, conversation_identifier, start, end).read()

    def may_be_cut(self, length: int, at: datetime) -> bool:
        """
        Whether a page without a token, answered at that time, may hold less than its window.

        The service may cap pages below what we ask. Whatever its cap, a page shorter than the longest that it lately
        sent us is below the cap and so complete; only pages that set or tie that record need a second look. The cap
        may be lowered, so a record is forgotten after a day. A service that was seen to send tokens says by their
        absence that a page is the last.
        """
        with self._lock:
            if self._known_since is None:
                self._known_since = at
            if at - self._known_since > _A_PAGE_SIZE_LASTS:
                self._known_since, self.longest_page = at, 0
            longest, self.longest_page = self.longest_page, max(self.longest_page, length)
            return not self._sends_tokens and length >= max(longest, 1)

    def tokens_are_sent(self) -> None:
        with self._lock:
            self._sends_tokens = True


class _Pager:
    """Reads one conversation until no part of its window is left unread."""

    def __init__(self, api: ConversationData, identifier: str, start: datetime, end: datetime) -> None:
        self._api = api
        self._identifier = identifier
        self._window = (start, end)
        self._told = Told()

    def read(self) -> Reading:
        start, end = self._window
        unread = [(milliseconds(start), milliseconds(end) - 1)]  # the service's bounds are both inclusive
        while unread:
            first, last = unread.pop()
            unread += self._read_part(first, last)
        return self._told.reading(self._identifier, start, end)

    def _read_part(self, first: int, last: int) -> list[tuple[int, int]]:
        """Reads one part of the window; returns the parts that may still hold entries we have not seen."""
        params: dict[str, str | int] = {
            "conversationIdentifier": self._identifier,
            "startTimestamp": first,
            "endTimestamp": last,
            "recordLimit": MOST_ENTRIES_A_PAGE,
            "queryDirection": "FromStart",
        }
        answer, page, new = self._ask(params)
        if page.next_page_token:
            self._follow(params, page.next_page_token)
            return []
        entries = page.raw_entries
        if not new or not self._api.may_be_cut(len(entries), answer.server_time):
            return []
        told = (Entry.of(raw).timestamp for raw in entries)
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
            _, page, _ = self._ask({**params, "pageToken": token})
            if not page.next_page_token:
                return
            token = page.next_page_token
            if token in tokens:
                raise PagingLoop(f"conversation {self._identifier}: a page token of the Conversation Data API repeats")
            tokens.add(token)

    def _ask(self, params: dict[str, str | int]) -> tuple[Answer, Page, bool]:
        answer, page = self._api.get(PageRequest(self._identifier, "/conversation-entries", params))
        return answer, page, self._told.add(answer, page)
