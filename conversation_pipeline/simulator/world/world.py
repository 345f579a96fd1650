"""The world over time: days are built when the clock reaches them, rows and entries are read as of an instant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta

from conversation_pipeline.simulator.world.afterlife import Customs, erasures, redactions
from conversation_pipeline.simulator.world.builder import Recipe, conversations_born, records_born
from conversation_pipeline.simulator.world.entries import Entry
from conversation_pipeline.simulator.world.erasure import Erasure, belongings
from conversation_pipeline.simulator.world.people import cast
from conversation_pipeline.simulator.world.records import Record, Row
from conversation_pipeline.simulator.world.schema import SOBJECTS
from conversation_pipeline.simulator.world.script import Conversation

LONGEST_CONVERSATION = timedelta(days=7)
"""No conversation of the world goes on longer than this after its first message."""

BY_HAND = 61 * 62**7
"""Numbers of records that were put in by hand begin here, far above those of any day."""


class World:
    """
    Everything that exists in the org.

    The content of a day depends on the recipe and the day alone. Conversations that began before `first_day` and go
    on after it are there with their past: the org did not begin on the first day, it is only complete from then on.
    """

    def __init__(self, recipe: Recipe, first_day: date) -> None:
        self.recipe = recipe
        self.first_day = first_day
        self.cast = cast(recipe.seed)
        self.conversations: dict[str, Conversation] = {}
        self._records: dict[str, list[Record]] = {name: [] for name in SOBJECTS}
        self._by_id: dict[str, Record] = {}
        self._amendments: dict[str, list[Callable[[Record], None]]] = {}
        self._by_hand = 0
        self._born: dict[date, list[Conversation]] = {}
        self._customs = Customs()
        self._redacted: list[Entry] = []
        self._erasures: list[Erasure] = []
        self._customary: list[Erasure] = []
        self._tied_every = 0
        self._next_day = first_day - LONGEST_CONVERSATION
        for record in self.cast.records:
            self.add_record(record)

    def reach(self, now: int) -> None:
        """Build every day that has begun at `now` (UTC epoch seconds)."""
        today = datetime.fromtimestamp(now, UTC).date()
        first = _midnight(self.first_day)
        while self._next_day <= today:
            lasting = self._next_day < self.first_day - timedelta(days=2)
            born = [
                conversation
                for conversation in conversations_born(self.recipe, self.cast, self._next_day, lasting=lasting)
                if conversation.last_change >= first
            ]
            for conversation in born:
                self._add(conversation)
            if self._next_day >= self.first_day:
                for record in records_born(self.recipe, self.cast, self._next_day):
                    self.add_record(record)
                self._born[self._next_day] = born
                self._observe(self._next_day)
            self._next_day += timedelta(days=1)

    @property
    def erasures(self) -> list[Erasure]:
        """The erasures that were requested, by the world's customs and by hand."""
        return [*self._customary, *self._erasures]

    def adopt(self, customs: Customs) -> None:
        """Let so much be redacted and erased of every day, of those that are built and of those to come."""
        if customs == self._customs:
            return
        for entry in self._redacted:
            entry.redaction = None
        for erasure in self._customary:
            self._undo(erasure)
        self._redacted, self._customary, self._customs = [], [], customs
        for day in self._born:
            self._observe(day)

    def _observe(self, day: date) -> None:
        born, seed, user = self._born[day], self.recipe.seed, self.cast.integration_user_id
        self._redacted += redactions(seed, day, born, self._customs.redactions)
        for erasure in erasures(seed, day, born, self._customs.erasures, user):
            self._apply(erasure)
            self._customary.append(erasure)

    def erase(self, log: Record, target: str, completed_at: int | None) -> None:
        """
        Request the erasure of an end user or a conversation (18-character id), told by that ConversationApiLog row.

        `completed_at` (UTC epoch seconds) is when everything goes; None: the request fails and nothing does.
        """
        everything = (record for records in self._records.values() for record in records if not record.drawn)
        found = belongings(target, everything)
        going = {record.id for record in found}
        conversations = tuple(found for found in self.conversations.values() if found.record_id in going)
        erasure = Erasure(log, tuple(found), conversations, completed_at)
        self._apply(erasure)
        self._erasures.append(erasure)

    def _apply(self, erasure: Erasure) -> None:
        self.add_record(erasure.log)
        at = erasure.completed_at
        if at is None:
            return
        for record in erasure.records:
            record.gone_at = at if record.gone_at is None else min(at, record.gone_at)
        for conversation in erasure.conversations:
            conversation.erased_at = at * 1000

    def _undo(self, erasure: Erasure) -> None:
        self._records[erasure.log.sobject].remove(erasure.log)
        del self._by_id[erasure.log.id]
        for record in erasure.records:
            record.gone_at = None
        for conversation in erasure.conversations:
            conversation.erased_at = None

    def add_record(self, record: Record) -> None:
        """Put a record into the org; its id must be new."""
        for amendment in self._amendments.get(record.sobject, ()):
            amendment(record)
        self._records[record.sobject].append(record)
        self._by_id[record.id] = record

    def amend(self, sobject: str, amendment: Callable[[Record], None]) -> None:
        """Do something to every record of an object, to those of days to come as well."""
        self._amendments.setdefault(sobject, []).append(amendment)
        for record in self._records[sobject]:
            amendment(record)

    def tie(self, every: int) -> None:
        """Give every nth entry of a conversation the time of the one before it, on days to come as well."""
        self._tied_every = every
        for conversation in self.conversations.values():
            _tie(conversation, every)

    def records_of(self, sobject: str) -> list[Record]:
        """The records of an object that have been built, whatever their time."""
        return self._records[sobject]

    def numbers_by_hand(self, count: int = 1) -> int:
        """The first of so many numbers for records that are put in by hand."""
        first = BY_HAND + self._by_hand
        self._by_hand += count
        return first

    def record(self, identifier: str) -> Record | None:
        """The record with that 18-character id."""
        return self._by_id.get(identifier)

    def rows(self, sobject: str, now: int) -> Iterator[Row]:
        """The rows of an object that exist at `now`, soft-deleted ones included."""
        self.reach(now)
        for record in self._records[sobject]:
            row = record.as_of(now)
            if row is not None:
                yield row

    def conversation(self, identifier: str, now: int) -> Conversation | None:
        """The conversation with that identifier, if it has begun at `now` (UTC epoch seconds)."""
        self.reach(now)
        found = self.conversations.get(identifier)
        if found is None:
            return None
        record = self._by_id.get(found.record_id)
        return found if record is None or record.changes[0].at <= now else None

    def forget_entries(self, record_id: str) -> None:
        """Erase what was said in the conversation of that record id; its identifier is still known, and empty."""
        for conversation in self.conversations.values():
            if conversation.record_id == record_id:
                conversation.entries.clear()

    def entries_on(self, day: date, now: int) -> Iterable[tuple[Conversation, Entry]]:
        """
        Every entry with a transcripted timestamp on that UTC day, as it reads at `now`, whether an API returns it yet
        or not; erased ones are gone.
        """
        self.reach(now)
        start, end = _midnight(day) * 1000, _midnight(day + timedelta(days=1)) * 1000
        for conversation in self.conversations.values():
            for entry in conversation.as_of(now * 1000):
                if start <= entry.at < end:
                    yield conversation, entry

    def conversations_between(self, start: int, end: int, now: int) -> Iterator[Conversation]:
        """The conversations that may have entries from `start` to before `end` (UTC epoch milliseconds) at `now`."""
        self.reach(now)
        for conversation in self.conversations.values():
            entries = conversation.entries
            if entries and entries[0].at < end and entries[-1].at >= start:
                yield conversation

    def _add(self, conversation: Conversation) -> None:
        if self._tied_every:
            _tie(conversation, self._tied_every)
        self.conversations[conversation.identifier] = conversation
        for record in conversation.records:
            self.add_record(record)


def _tie(conversation: Conversation, every: int) -> None:
    entries = conversation.entries
    for place in range(every - 1, len(entries), every):
        entries[place].at = entries[place - 1].at


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
