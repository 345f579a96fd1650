"""Entries by the million, made column by column: plain texts beside those of the world, for volume and memory."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.simulator.data_cloud.objects import ARROW, DATETIME, OBJECTS, DataObject
from conversation_pipeline.simulator.world.ids import record_id

MOST_ENTRIES = 1_000_000
ENTRIES_A_CONVERSATION = 50
_FIRST_RECORD = 60 * 62**7
"""Numbers of these conversations begin here, above those of any day and below those put in by hand."""


@dataclass(frozen=True, slots=True)
class Volume:
    """
    So many text entries, evenly from `start` (inclusive) to `end` (exclusive), UTC epoch milliseconds.

    Each is created when it is said; `number` tells the volumes of one org apart.
    """

    number: int
    count: int
    start: int
    end: int

    def created(self, place: int) -> int:
        """When the entry at that place was said."""
        return self.start + place * (self.end - self.start) // self.count

    def until(self, instant: int) -> int:
        """How many entries were said up to that instant."""
        return bisect_right(range(self.count), instant, key=self.created)

    def table(self, name: str, seen_at: int) -> pa.Table | None:
        """The rows of an object that were there at `seen_at`; None for objects that have none of these."""
        if name == "ConversationEntry":
            return _entries(self).slice(0, self.until(seen_at))
        if name == "Conversation":
            return _conversations(self).slice(0, -(-self.until(seen_at) // ENTRIES_A_CONVERSATION))
        return None


@lru_cache(maxsize=4)
def _entries(volume: Volume) -> pa.Table:
    places = pa.array(range(volume.count), pa.int64())
    tails = pc.utf8_lpad(places.cast(pa.string()), width=12, padding="0")
    ids = pc.binary_join_element_wise(f"{volume.number:08d}-0000-4000-8000", tails, "-")
    said = pa.array((volume.created(place) for place in range(volume.count)), pa.int64()).cast(ARROW[DATETIME])
    payload = pc.binary_join_element_wise(
        '{"entryType":"Message","id":"', ids, '","abstractMessage":{"messageType":"StaticContentMessage","id":"', ids,
        '","staticContent":{"formatType":"Text","text":"Entry ', tails, '"}}}', "",
    )  # fmt: skip
    records = pa.array(_record_ids(volume), pa.string())
    sequence = pa.array((place % ENTRIES_A_CONVERSATION + 1 for place in range(volume.count)), pa.int64())
    return _filled(OBJECTS["ConversationEntry"], volume.count, {
        "Id": ids, "ExternalRecordId": ids, "PayloadText": payload, "ClientDateTime": said,
        "ConversationId": records.take(pc.divide(places, ENTRIES_A_CONVERSATION)),
        "TranscriptedDateTime": said, "CreatedDate": said, "LastModifiedDate": said,
        "ConversationEntrySequenceNumber": sequence.cast(pa.string()), "ConversationEntryStatus": "Read",
        "ConversationEntryType": "MESSAGE", "ConversationEntryVisibilityType": "Visible", "Modality": "Messaging",
        "DurationSecondsCount": 0, "IsExternallyVisible": True, "VersionNumber": "1",
    })  # fmt: skip


@lru_cache(maxsize=4)
def _conversations(volume: Volume) -> pa.Table:
    records = _record_ids(volume)
    began = pa.array(
        (volume.created(place * ENTRIES_A_CONVERSATION) for place in range(len(records))), pa.int64()
    ).cast(ARROW[DATETIME])  # fmt: skip
    return _filled(OBJECTS["Conversation"], len(records), {
        "Id": records, "ExternalRecordId": [f"{volume.number:08d}-0000-4000-9000-{place:012d}"
                                            for place in range(len(records))],
        "StartDateTime": began, "CreatedDate": began, "LastModifiedDate": began, "SystemModstamp": began,
    })  # fmt: skip


def _record_ids(volume: Volume) -> list[str]:
    first = _FIRST_RECORD + volume.number * MOST_ENTRIES
    count = -(-volume.count // ENTRIES_A_CONVERSATION)
    return [record_id("0dw", first + place) for place in range(count)]


def _filled(declared: DataObject, count: int, values: dict[str, Any]) -> pa.Table:
    """A table of the object's columns; single values are repeated, missing columns are null."""
    values = {"DataSourceObjectId": declared.stream, "InternalOrganizationId": "", "KQ_Id": ""} | values
    columns = {}
    for column in declared.every_column:
        type_, value = ARROW[column.type], values.get(column.name)
        if isinstance(value, list | pa.Array | pa.ChunkedArray):
            columns[column.name] = pa.array(value, type_) if isinstance(value, list) else value
        elif value is None:
            columns[column.name] = pa.nulls(count, type_)
        else:
            columns[column.name] = pa.repeat(pa.scalar(value, pa.int64() if type(value) is int else None), count).cast(
                type_
            )
    return pa.table(columns)
