"""
Connect REST API: the text of one conversation's entries within a window of time.

Contract: ``GET /services/data/vXX.0/connect/conversation/{conversationIdentifier}/entries``. No page token: pages chain
by ``startTimestamp``. A thousand calls per app, user and hour, refused with 503; every call counts against the org's
24-hour API allocation too, refused with 403 or 429; every call keeps the conversation active for thirty minutes, on the
same budget as the Conversation Data API.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

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
from conversation_pipeline.salesforce.errors import LimitReached, PagingLoop, Throttled, TooManyLogins
from conversation_pipeline.salesforce.limits import CONNECT, LOGINS, Limit

_RAW_TEXT = {"X-Chatter-Entity-Encoding": "false"}
"""Asks for text as it was written, not with HTML entities [doc]; whoever types the text must not unescape it again."""

_HOUR = timedelta(hours=1)
_CLOCK_SLACK = timedelta(seconds=5)  # the Date header has whole seconds, and an hour's budget may come back late
_ALLOCATION_WINDOW = timedelta(hours=24)
_USED_UP = "REQUEST_LIMIT_EXCEEDED"


@dataclass
class Connect(EntryApi):
    """
    The API, asked by the users of ``EntryApi``; as a rule by the org's own client alone.

    Attributes:
        version: REST API version, such as ``66.0``.
    """

    rate: Limit = CONNECT
    version: str = "66.0"

    def read(self, conversation_identifier: str, start: datetime, end: datetime) -> Reading:
        """
        All entries of a conversation with ``start <= serverReceivedTimestamp < end``, as far as this API tells them.

        Raises:
            RecordUnavailable: the org does not know the conversation.
            ConversationUnreadable: the conversation is refused to every user, or called wrong again and again.
            NoUserLeft: every user has been set aside.
            LimitReached: the org's 24-hour allocation is used up, or its reserve is reached.
            PagingLoop: more entries share one millisecond than fit a page.
        """
        told = Told()
        first, last = milliseconds(start), milliseconds(end) - 1  # the service's bounds are both inclusive
        unread: int | None = first
        while unread is not None:
            answer, page = self._page(conversation_identifier, unread, last)
            new = told.add(answer, page)
            unread = _continued_at(page, unread, conversation_identifier) if new else None
        return told.reading(conversation_identifier, start, end)

    def rest_of(self, error: Throttled) -> float:
        """As told, or else to the next full hour of the service's clock; a limit of a day is not waited for."""
        if error.status == 429 and not isinstance(error, TooManyLogins):
            raise self._allocation_used_up(error)
        if error.retry_after is not None:
            return error.retry_after
        if error.status != 503:  # too many logins, or too many long requests at once
            return LOGINS.seconds
        now = error.answered_at or self.clock()
        full_hour = now.replace(minute=0, second=0, microsecond=0) + _HOUR
        return (full_hour + _CLOCK_SLACK - now).total_seconds()

    def _page(self, conversation_identifier: str, first: int, last: int) -> tuple[Answer, Page]:
        params: dict[str, str | int] = {
            "startTimestamp": first,
            "endTimestamp": last,
            "queryDirection": "FromStart",
            "recordLimit": MOST_ENTRIES_A_PAGE,
        }
        path = f"/services/data/v{self.version}/connect/conversation/{quote(conversation_identifier, safe='')}/entries"
        try:
            return self.get(PageRequest(conversation_identifier, path, params, _RAW_TEXT))
        except LimitReached as error:
            # Our own reserve says when to come back; the org's refusal does not.
            raise (self._allocation_used_up(error) if error.code == _USED_UP else error) from error

    def _allocation_used_up(self, error: Throttled | LimitReached) -> LimitReached:
        latest = (self.clock() + _ALLOCATION_WINDOW).astimezone(UTC)
        what = " ".join(filter(None, [str(error.status), error.code]))
        return LimitReached(
            f"the org's 24-hour API allocation is used up ({what}); it frees itself hour by hour: run again later, at "
            f"the latest at {latest:%Y-%m-%d %H:%M} UTC. What is done stays done.",
            code=error.code,
            status=error.status,
        )


def _continued_at(page: Page, first: int, conversation_identifier: str) -> int | None:
    """
    Where the next page begins: at this one's last instant, whose other entries may not have fitted; None at the end.

    A page that is not full may be cut all the same (the service may leave entries out after it has counted), so the
    only sign of the end is a page that brings nothing new.
    """
    told = [stamp for raw in page.raw_entries if (stamp := Entry.of(raw).timestamp) is not None]
    latest, count = max(told, default=first), len(page.raw_entries)
    if count >= MOST_ENTRIES_A_PAGE and (latest <= first or len(set(told)) == 1):
        raise PagingLoop(
            f"conversation {conversation_identifier} has {count:,} or more entries in one millisecond and Connect "
            "has no page token: it can not be read to its end"
        )
    return latest if latest > first else None
