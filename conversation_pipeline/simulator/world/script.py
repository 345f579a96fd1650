"""The desk at which a conversation is written: a moving clock, the entries in order, the records they leave behind."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from conversation_pipeline.simulator.world.entries import Entry, Speaker, text_of
from conversation_pipeline.simulator.world.ids import record_id
from conversation_pipeline.simulator.world.people import Cast
from conversation_pipeline.simulator.world.records import Change, Record, Row
from conversation_pipeline.simulator.world.schema import SOBJECTS

_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_NUMBER_ONE = date(2000, 1, 1)
_PER_CONVERSATION = 1_000
_PER_DAY = 100_000


def record_number(day: date, place: int) -> int:
    """The first of the record numbers that belong to one place of one day, the same in every world."""
    return ((day - _NUMBER_ONE).days * _PER_DAY + place) * _PER_CONVERSATION


@dataclass(slots=True)
class Conversation:
    """
    One conversation of the world: its identifier, its entries by time, the records it leaves in the org.

    What was said before `erased_at` (UTC epoch milliseconds) is gone from then on.
    """

    identifier: str
    record_id: str
    entries: list[Entry] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    erased_at: int | None = None

    def as_of(self, now_ms: int) -> list[Entry]:
        """The entries that are kept at `now_ms`, as they read then, whether their time has come or not."""
        gone = self.erased_at if self.erased_at is not None and self.erased_at <= now_ms else None
        return [entry.as_of(now_ms) for entry in self.entries if gone is None or entry.at >= gone]

    @property
    def last_change(self) -> int:
        """The last instant, UTC epoch seconds, at which anything of this conversation changes."""
        said = self.entries[-1].at // 1000 if self.entries else 0
        return max([said, *(record.changes[-1].at for record in self.records)])


class Script:
    """
    Writes one conversation.

    Everything drawn comes from `rng`, so a conversation is a function of the seed, its day and its place in the day.
    `now` is UTC epoch milliseconds and only moves forward.
    """

    def __init__(self, rng: random.Random, cast: Cast, first_number: int, start: int) -> None:
        self.rng = rng
        self.cast = cast
        self.now = start
        self._numbers = iter(range(first_number, first_number + _PER_CONVERSATION))
        self.conversation = Conversation(self.uuid(), self.identify("Conversation", self.number()))

    def uuid(self) -> str:
        """A fresh lower-case UUID."""
        bits = f"{self.rng.getrandbits(120):030x}"
        return f"{bits[:8]}-{bits[8:12]}-4{bits[12:15]}-{'89ab'[int(bits[15], 16) % 4]}{bits[16:19]}-{bits[18:30]}"

    @staticmethod
    def identify(sobject: str, number: int) -> str:
        """The id of that object's record with that number."""
        return record_id(SOBJECTS[sobject].key_prefix, number)

    def number(self) -> int:
        """A fresh number that no other record of the world has."""
        return next(self._numbers)

    @property
    def second(self) -> int:
        """The current instant in whole seconds, as SOQL sees it."""
        return self.now // 1000

    def wait(self, low: float, high: float) -> None:
        """Let a random number of seconds pass."""
        self.now += round(self.rng.uniform(low, high) * 1000)

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return self.rng.random() < probability

    def add(self, sobject: str, values: Row, *, at: int | None = None, identifier: str | None = None) -> Record:
        """Create a record now, or at another second; objects with an auto-number get one."""
        number = self.number()
        shape = SOBJECTS[sobject]
        row: Row = {}
        name = shape.field("Name")
        if name is not None and name.auto_number:
            row["Name"] = f"{number % 100_000_000:08d}"
        row.update(values)
        record = Record(
            sobject,
            identifier or record_id(shape.key_prefix, number),
            [Change(self.second if at is None else at, row)],
            self.cast.integration_user_id,
        )
        self.conversation.records.append(record)
        return record

    def write(
        self,
        entry_type: str,
        sender: Speaker,
        body: dict[str, Any],
        *,
        record: str | None,
        visibility: str | None = "Default",
        modality: str | None = "Messaging",
        duration: int = 0,
    ) -> Entry:
        """Append an entry; the clock moves on by the server's few milliseconds."""
        identifier = self.uuid()
        latency = self.rng.randrange(20, 400)
        client_at = self.now
        if sender.role == "EndUser" and self.chance(0.04):
            # A phone that was off-line, or whose clock is wrong: client time is not monotonic.
            client_at -= self.rng.randrange(2_000, 90_000)
        self.now += latency + duration
        payload = {"entryType": entry_type, "id": identifier, **body}
        message_type, format_type, text = text_of(payload)
        related: tuple[str, ...] = ()
        if record is not None and sender.role != "Chatbot":
            # 15 characters in the messaging store; calls that were associated later carry 18.
            related = (record[:15] if record.startswith("0Mw") or self.chance(0.5) else record,)
        entry = Entry(
            identifier,
            entry_type,
            _json(payload),
            sender,
            None if sender.display_name is None or self.chance(0.06) else sender.display_name,
            self.now,
            client_at,
            duration,
            modality,
            visibility,
            related,
            record,
            None,
            message_type,
            format_type,
            text,
        )
        self.conversation.entries.append(entry)
        return entry
