"""
Readings of the entry roads in the staging area.

A reading is staged in parts of some megabytes, as a rule one, and read back a part at a time: a conversation of a
million entries takes no more memory than a short one. It counts once its last part is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import overload

import msgspec

from conversation_pipeline.extract.entries import ReadConversation
from conversation_pipeline.extract.windows import Window, from_milliseconds, to_milliseconds
from conversation_pipeline.extract.work_list import Held
from conversation_pipeline.salesforce.entry_api import Reading
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.storage import Staged, Staging

_PART_BYTES = 8 * 2**20


@dataclass(frozen=True)
class StagedReading:
    """
    Attributes:
        parts: In their order.
        longest_page: Entries on its longest page.
    """

    parts: tuple[Staged, ...]
    longest_page: int


def stage_reading(staging: Staging, dataset: Dataset, reading: Reading) -> None:
    """Under the first day of its window."""
    bounds = (str(to_milliseconds(reading.start)), str(to_milliseconds(reading.end)))
    day = reading.start.date().isoformat()
    parts = list(_cut(reading.bodies))
    for number, (first, end) in enumerate(parts):
        body = b"[" + b",".join(reading.bodies[first:end]) + b"]"
        label = (reading.conversation_identifier, *bounds, str(reading.longest_page), f"{number:04}-{len(parts):04}")
        staging.put(dataset.name, day, label, body, fetched_at=reading.fetched_at)


def held_readings(
    staging: Staging, records: Iterable[Staged], conversations: Iterable[str]
) -> list[Held[StagedReading]]:
    """The readings of these conversations that are whole."""
    names = {staging.encode(conversation): conversation for conversation in conversations}
    return [
        replace(reading, conversation_identifier=names[reading.conversation_identifier])
        for reading in whole_readings(record for record in records if record.label[0] in names)
    ]


def superseded(records: Iterable[Staged], before: datetime) -> list[Staged]:
    """
    Parts of readings whose whole window was read again, with entries, before that time: they hold what nobody asks for
    any more, words among it that were redacted upstream meanwhile. Later ones a run under way may still want.
    """
    by_conversation: dict[str, list[Held[StagedReading]]] = {}
    for reading in whole_readings(records):
        by_conversation.setdefault(reading.conversation_identifier, []).append(reading)
    return [
        part
        for readings in by_conversation.values()
        for old in readings
        if any(
            old.fetched_at < new.fetched_at < before and new.ref.longest_page and new.window.covers(old.window)
            for new in readings
        )
        for part in old.ref.parts
    ]


def whole_readings(records: Iterable[Staged]) -> Iterator[Held[StagedReading]]:
    """Readings all of whose parts are there; their conversations are named as in labels."""
    parts: dict[tuple[tuple[str, ...], datetime], dict[str, Staged]] = {}
    for record in records:
        parts.setdefault((record.label[:4], record.fetched_at), {})[record.label[4]] = record
    for (label, fetched_at), found in parts.items():
        if len(found) == int(next(iter(found)).partition("-")[2]):
            window = Window(from_milliseconds(int(label[1])), from_milliseconds(int(label[2])))
            ordered = tuple(found[number] for number in sorted(found))
            yield Held(label[0], window, fetched_at, StagedReading(ordered, int(label[3])))


def longest_page(records: Iterable[Staged], since: datetime) -> int:
    """Entries on the longest page that was read since then."""
    return max((int(record.label[3]) for record in records if record.fetched_at >= since), default=0)


def read_back(
    readings: Mapping[str, Sequence[Held[StagedReading]] | None], staging: Staging
) -> Iterator[ReadConversation]:
    """
    Each reading, for the part of its window that no later one has told; of a conversation's the latest first.

    Args:
        readings: By conversation, oldest first; see ``Plan.held``.
    """
    for _, chain in sorted(readings.items()):
        told_from = datetime.max.replace(tzinfo=UTC)
        for reading in reversed(chain or ()):
            window = reading.window
            serves = Window(window.start, max(window.start, min(window.end, told_from)))
            told_from = min(told_from, window.start)
            pages = _Pages(reading.ref.parts, staging)
            yield ReadConversation(reading.conversation_identifier, pages, reading.fetched_at, window, serves=serves)


class _Pages(Sequence[bytes]):
    """The pages of a staged reading; one part of them is in memory at a time."""

    def __init__(self, parts: Sequence[Staged], staging: Staging) -> None:
        self._parts = parts
        self._staging = staging
        self._read: tuple[int, list[bytes]] | None = None

    @cached_property
    def _places(self) -> list[tuple[int, int]]:
        return [(part, page) for part in range(len(self._parts)) for page in range(len(self._pages_of(part)))]

    def __len__(self) -> int:
        return len(self._places)

    def __reversed__(self) -> Iterator[bytes]:
        """Without a look at all parts, which it takes to tell how many pages there are."""
        for part in reversed(range(len(self._parts))):
            yield from reversed(self._pages_of(part))

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[bytes]: ...
    def __getitem__(self, place: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        part, page = self._places[place]
        return self._pages_of(part)[page]

    def _pages_of(self, part: int) -> list[bytes]:
        if self._read is None or self._read[0] != part:
            self._read = None
            pages = msgspec.json.decode(self._staging.read(self._parts[part]), type=list[msgspec.Raw])
            self._read = part, [bytes(page) for page in pages]
        return self._read[1]


def _cut(bodies: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Places where parts begin and end: as many pages as ``_PART_BYTES`` hold, one at least."""
    first, size = 0, 0
    for place, body in enumerate(bodies):
        if place > first and size + len(body) > _PART_BYTES:
            yield first, place
            first, size = place, 0
        size += len(body)
    yield first, len(bodies)
