"""
What the two entry APIs share: a pool of execution users who are asked for pages of one conversation's entries.

The Conversation Data API and Connect count requests per user, both mark the conversation they read as active for
thirty minutes, and both wrap entries alike. So one pool serves either: each request goes to the user who may ask
soonest; whoever is throttled rests; whoever is no longer let in is set aside and the others do its work.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import msgspec

from conversation_pipeline.salesforce.bodies import Bodies
from conversation_pipeline.salesforce.connection import Answer, Connection, Retry
from conversation_pipeline.salesforce.errors import (
    AuthenticationError,
    ConversationUnreadable,
    NoUserLeft,
    PermissionDenied,
    RecordUnavailable,
    RequestRefused,
    SalesforceError,
    Throttled,
    TransientError,
)
from conversation_pipeline.salesforce.limits import ACTIVE_CONVERSATIONS, Limit, QuietHours
from conversation_pipeline.salesforce.quotas import Claim, Lease, QuotaStore, QuotaTimeout

log = logging.getLogger(__name__)

MOST_ENTRIES_A_PAGE = 1000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOOK_UP = 30.0  # seconds after which a waiting request looks at the budget and at its users anew
_TRIES_IF_WRONG = 3  # a 400 may be the service's slip; a conversation that gets three of them will get a fourth
_CALLED_WRONG = (400, 414, 422)
_NOT_THERE_FOR = 2  # users who are told 404: a token of another org, or one without rights, may look like that
_DOUBT_AFTER = 10  # so many in a row refused to everyone: is it the conversations, or the users?


class Entry(msgspec.Struct, rename="camel"):
    """What paging needs of an entry, as far as it tells it: an odd entry must not keep its siblings from being read."""

    identifier: str | None = None
    transcripted_timestamp: int | None = None
    server_received_timestamp: int | None = None

    @property
    def timestamp(self) -> int | None:
        """When the server received it, epoch milliseconds: the two APIs have two names for it."""
        stamp = self.transcripted_timestamp
        return stamp if stamp is not None else self.server_received_timestamp

    @classmethod
    def of(cls, raw: msgspec.Raw) -> Entry:
        try:
            return _decode_entry(raw)
        except msgspec.ValidationError:
            return cls()


class Page(msgspec.Struct, rename="camel"):
    conversation_entries: list[msgspec.Raw] | None
    next_page_token: str | None = None

    @property
    def raw_entries(self) -> list[msgspec.Raw]:
        return self.conversation_entries or []


_decode_entry = msgspec.json.Decoder(Entry, strict=False).decode


@dataclass(frozen=True)
class Reading:
    """
    What an entry API said about one conversation and window: the bodies of all pages, as they came.

    Attributes:
        start, end: Half-open window of ``transcriptedTimestamp`` (Connect: ``serverReceivedTimestamp``).
        fetched_at: The service's clock at the first page: later entries may be missing from the reading.
        entries: Distinct entries in the bodies.
        longest_page: Entries on the longest page; see ``ConversationData.longest_page``.
    """

    conversation_identifier: str
    start: datetime
    end: datetime
    bodies: Sequence[bytes]
    fetched_at: datetime
    entries: int
    longest_page: int


class Told:
    """Gathers the pages of one reading."""

    def __init__(self) -> None:
        self._bodies = Bodies()
        self._seen: set[str | bytes] = set()
        self._answered_at: list[datetime] = []
        self._longest_page = 0

    def add(self, answer: Answer, page: Page) -> bool:
        """Whether the page brought an entry that no earlier one did."""
        self._answered_at.append(answer.server_time)
        self._longest_page = max(self._longest_page, len(page.raw_entries))
        identifiers = {Entry.of(raw).identifier or bytes(raw) for raw in page.raw_entries}
        new = not identifiers <= self._seen
        self._seen |= identifiers
        self._bodies.append(answer.body)
        return new

    def reading(self, conversation_identifier: str, start: datetime, end: datetime) -> Reading:
        return Reading(
            conversation_identifier=conversation_identifier,
            start=start,
            end=end,
            bodies=self._bodies,
            fetched_at=min(self._answered_at),
            entries=len(self._seen),
            longest_page=self._longest_page,
        )


@dataclass(frozen=True)
class ExecutionUser:
    """
    One execution user: a signed line to the API and the key of its allowance.

    Attributes:
        setting: Where it is set, for people: ``entry 2 of CONVERSATION_DATA_USERS``.
    """

    connection: Connection
    key: str
    setting: str = "SALESFORCE_CLIENT_ID"


@dataclass(frozen=True)
class PageRequest:
    """A page of one conversation's entries, whoever asks for it."""

    conversation_identifier: str
    path: str
    params: Mapping[str, str | int]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def conversation(self) -> str:
        return f"conversation {self.conversation_identifier}"


_Refusals = Sequence[tuple[ExecutionUser, SalesforceError]]


class _RefusedToAll(Exception):
    """Every user who is at work was told 403."""

    def __init__(self, refused: _Refusals) -> None:
        super().__init__()
        self.refused = refused


@dataclass
class EntryApi:
    """
    A pool of execution users.

    Attributes:
        users: Each adds its own allowance.
        store: Shared quota store; all processes and machines of an instance use the same.
        org: Org that the active-conversation budget belongs to; both APIs spend the same budget.
        rate: Allowance of one execution user.
        active: Budget of distinct conversations held active.
        quiet: Hours in which that budget is larger, if there are any.
        clock: What time it is, for the quiet hours.
    """

    users: Sequence[ExecutionUser]
    store: QuotaStore
    org: str
    rate: Limit
    active: Limit = ACTIVE_CONVERSATIONS
    retry: Retry = field(default_factory=Retry)
    quiet: QuietHours | None = None
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC), repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _reasons: dict[str, str] = field(default_factory=dict, init=False)  # of those set aside, by key
    _refused_to_all: set[str] = field(default_factory=set, init=False)
    _allowed_last: PageRequest | None = field(default=None, init=False, repr=False)

    @property
    def set_aside(self) -> dict[str, str]:
        """Users that are asked no more for the life of this pool, by where they are set; and why, without a secret."""
        with self._lock:
            return {user.setting: self._reasons[user.key] for user in self.users if user.key in self._reasons}

    def close(self) -> None:
        for user in self.users:
            user.connection.close()

    def get(self, request: PageRequest) -> tuple[Answer, Page]:
        """
        One page, by whichever user may ask soonest; passing faults are tried again.

        Raises:
            RecordUnavailable: the org does not know the conversation; if there is a second user, it was told so too.
            ConversationUnreadable: it is refused to every user, or called wrong again and again.
            NoUserLeft: every user has been set aside.
            LimitReached: an allowance of days is used up.
        """
        refused: dict[str, SalesforceError] = {}
        wrong = 0
        # The attempts alone bound it: a lease may have to be waited for longer than any retry should last.
        for attempt in replace(self.retry, timeout=None).attempts_for(self.users[0].connection.meter):
            with attempt:
                try:
                    answer = self._answer(request, refused)
                    return answer, answer.json(Page)
                except _RefusedToAll as error:
                    raise self._judged(request, error.refused) from error.refused[-1][1]
                except RequestRefused as error:
                    if error.status not in _CALLED_WRONG:
                        raise
                    wrong += 1
                    if wrong < _TRIES_IF_WRONG and attempt.num < self.retry.attempts:
                        raise TransientError(str(error), code=error.code, status=error.status) from error
                    raise _unreadable(error, f"so it was {wrong} times for {request.conversation}") from error
        raise AssertionError("the last attempt raises")

    def rest_of(self, error: Throttled) -> float:
        """
        Seconds for which a user who was throttled rests: as told, or else one window.

        Raises:
            LimitReached: no wait that a run could make would help.
        """
        return self.rate.seconds if error.retry_after is None else error.retry_after

    # One try.

    def _answer(self, request: PageRequest, refused: dict[str, SalesforceError]) -> Answer:
        """
        The first answer that some user gets: who is throttled rests, who is not let in is set aside.

        Args:
            refused: Users who got a 403 for this page, by key; they are not asked for it again.
        """
        throttled = 0
        not_there: dict[str, SalesforceError] = {}
        while True:
            try:
                user, lease, claims = self._lease(request, refused | not_there)
            except _RefusedToAll:
                if not_there:
                    raise not_there.popitem()[1] from None
                raise
            # Whoever waits for this lease shall know what became of its user before it is let go.
            with lease:
                try:
                    extensions = {"lease": lease, "claims": claims}
                    answer = user.connection.get(request.path, request.params, request.headers, extensions)
                except Throttled as error:
                    # Somebody else uses this user too. It rests in every process; the retry need not wait for it.
                    self.store.pause(user.key, self.rest_of(error))
                    error.retry_after = 0.0
                    throttled += 1
                    if throttled >= len(self.users):
                        raise
                except AuthenticationError as error:
                    self._put_aside(user, error)
                except PermissionDenied as error:
                    refused[user.key] = error
                except RecordUnavailable as error:
                    not_there[user.key] = error
                    if len(not_there) >= _NOT_THERE_FOR:
                        raise
                else:
                    self._was_allowed(request, refused | not_there)
                    return answer

    def _lease(
        self, request: PageRequest, refused: Mapping[str, SalesforceError]
    ) -> tuple[ExecutionUser, Lease, list[Claim]]:
        began = time.monotonic()
        try:
            while True:
                users = self._candidates(refused)
                alternatives = [self._claims(user, request.conversation_identifier) for user in users]
                try:
                    lease = self.store.take(alternatives, patience=self._patience())
                except QuotaTimeout:
                    continue
                user = users[lease.index]
                if user.key not in self._reasons:
                    return user, lease, alternatives[lease.index]
                lease.gave_up()
        finally:
            self.users[0].connection.meter.add(waited_seconds=time.monotonic() - began)

    def _claims(self, user: ExecutionUser, conversation_identifier: str) -> list[Claim]:
        active = self.active if self.quiet is None else self.quiet.limit_at(self.clock(), self.active)
        return [
            Claim(user.key, self.rate),
            Claim(f"{self.org}/active_conversations", active, name=conversation_identifier),
        ]

    def _patience(self) -> float:
        """Seconds to wait with what is known: the budget may change meanwhile, and users may be set aside."""
        if self.quiet is None:
            return _LOOK_UP
        return min(_LOOK_UP, self.quiet.until_change(self.clock(), self.active).total_seconds())

    # Who may be asked.

    def _candidates(self, refused: Mapping[str, SalesforceError]) -> list[ExecutionUser]:
        with self._lock:
            at_work = [user for user in self.users if user.key not in self._reasons]
        if not at_work:
            raise NoUserLeft(f"no execution user is left. {' '.join(self.set_aside.values())}")
        candidates = [user for user in at_work if user.key not in refused]
        if not candidates:
            raise _RefusedToAll([(user, refused[user.key]) for user in at_work])
        return candidates

    def _put_aside(self, user: ExecutionUser, error: SalesforceError) -> None:
        reason = f"{user.setting} ({user.connection.auth.name}) is set aside: {error}."
        if isinstance(error, RecordUnavailable):
            reason += (
                " Another user reads that conversation: check that this one is of the same org and may read entries."
            )
        with self._lock:
            known = user.key in self._reasons
            self._reasons.setdefault(user.key, reason)
        if not known:
            log.warning("%s", reason)

    def _was_allowed(self, request: PageRequest, refused: Mapping[str, SalesforceError]) -> None:
        """
        Who was refused a page that another user got (403), or told that it is not there (404), has no permission or is
        a user of another org; nothing is wrong with the conversation.
        """
        with self._lock:
            self._refused_to_all.clear()
            self._allowed_last = request
        for user in self.users:
            if user.key in refused:
                self._put_aside(user, refused[user.key])

    def _judged(self, request: PageRequest, refused: _Refusals) -> SalesforceError:
        """
        A 403 for everyone speaks against the conversation, until it has happened to many in a row: then the one that
        was read last is asked for again, and if that is refused as well, the users have lost their permission.
        """
        with self._lock:
            self._refused_to_all.add(request.conversation_identifier)
            in_doubt = len(self._refused_to_all) >= _DOUBT_AFTER
        _, error = refused[-1]
        if not in_doubt or self._somebody_is_let_in():
            return _unreadable(error, f"{request.conversation} is refused to every execution user at work")
        for user, error in refused:
            self._put_aside(user, error)
        return NoUserLeft(f"no execution user is left. {' '.join(self.set_aside.values())}")

    def _somebody_is_let_in(self) -> bool:
        if self._allowed_last is None:
            return False
        try:
            self._answer(self._allowed_last, {})
        except _RefusedToAll:
            return False
        except RequestRefused:  # a token that has expired, a conversation erased since: whoever hears so was let in
            with self._lock:
                self._refused_to_all.clear()
        return True


def _unreadable(error: SalesforceError, why: str) -> ConversationUnreadable:
    return ConversationUnreadable(f"{error}; {why}", code=error.code, status=error.status)


def milliseconds(instant: datetime) -> int:
    """Epoch milliseconds, as both APIs take their bounds."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)
