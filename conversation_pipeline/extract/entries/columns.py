"""
From a reply's JSON to the canonical entry columns.

Source: ConversationEntry payload schema 0.0.2. Its ``required`` lists are not always right and new types appear
between releases, so nothing here fails on a shape: what is not understood keeps its raw payload, gets nulls, and is
counted as drift.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import accumulate, chain, repeat
from operator import attrgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.extract.entries.drift import Drift, Notes, unknown
from conversation_pipeline.extract.entries.flattening import COLUMNS as FLAT_COLUMNS
from conversation_pipeline.extract.entries.flattening import flat
from conversation_pipeline.extract.entries.payload import ENTRY_TYPES, ROLES, names_no_message, read_payload, spelt
from conversation_pipeline.extract.entries.seen import Seen
from conversation_pipeline.extract.entries.values import INSTANTS, as_string, uuid_in_lower_case
from conversation_pipeline.extract.entries.wrapper import Entry, OddEntry, Sender, noted, payload_text, read_page
from conversation_pipeline.extract.windows import Window, to_milliseconds
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.identifiers import record_id_18

CONNECT = "connect"
"""The road whose entries are texts alone."""

_INTERNAL_ENTRY_TYPES = frozenset({"Note", "FlagRaise", "FlagLower"})


@dataclass(frozen=True)
class ReadConversation:
    """
    What one reading said about one conversation.

    Attributes:
        bodies: Its pages, as they came. They are taken one at a time, from the last to the first.
        fetched_at: When it was read.
        window: What was asked for. An entry that does not tell its time is placed inside it; without it, inside the
            window whose rows are asked for.
        serves: The part of it whose entries are taken from this reading, because a later one told the rest; all of it
            by default.
    """

    conversation_identifier: str
    bodies: Sequence[bytes]
    fetched_at: datetime
    window: Window | None = None
    serves: Window | None = None


def batches(
    readings: Iterable[ReadConversation],
    window: Window,
    dataset: Dataset,
    *,
    road: str,
    drift: Drift,
    rows_a_batch: int = 16_384,
) -> Iterator[pa.RecordBatch]:
    """
    The readings' entries within the window as rows of an entries dataset, the last word on each first.

    Pages overlap: an entry of a reading stands once, but for one that is told again a hundred thousand entries later:
    of its rows the first counts. Memory grows neither with the number of readings nor with the length of one: a batch
    is handed on as soon as it is full. A reading of up to a page is in the order of its identifiers.

    Args:
        road: ``connect`` for entries that are texts alone; any other tells its entries with payloads.
    """
    waiting = _Waiting(dataset, road, drift)
    for reading in readings:
        for entries in _kept(reading, window, min(rows_a_batch, _ENTRIES_AT_ONCE)):
            waiting.add(reading, entries)
            if waiting.rows >= rows_a_batch:
                yield waiting.batch()
    yield waiting.batch()


def _kept(reading: ReadConversation, window: Window, at_once: int) -> Iterator[list[Entry]]:
    """The reading's entries in the window, each once; every list in the order of its identifiers."""
    asked_for, served = reading.window or window, reading.serves or window
    wanted = range(
        to_milliseconds(max(window.start, served.start)),
        to_milliseconds(min(window.end, served.end)),
    )
    seen = Seen()
    kept: list[Entry] = []
    for body in reversed(reading.bodies):
        entries = _received_in(wanted, read_page(body), asked_for)
        last_words: dict[str, Entry] = dict(zip(map(_identifier, entries), entries, strict=True))
        kept += [last_words[identifier] for identifier in seen.add(last_words)]
        if len(kept) >= at_once:
            yield sorted(kept, key=_identifier)
            kept = []
    if kept:
        kept.sort(key=_identifier)
        yield kept


_identifier = attrgetter("identifier")


def _received_in(wanted: range, entries: Sequence[Entry], asked_for: Window) -> Sequence[Entry]:
    """Those of the entries that the server received then, all of them with a transcripted timestamp."""
    received = [entry.transcripted_timestamp or 0 for entry in entries]
    if received and 0 < min(received) in wanted and max(received) in wanted:
        return entries
    placed = (_placed(entry, asked_for) for entry in entries)
    return [entry for entry in placed if entry.transcripted_timestamp in wanted]


class _Waiting:
    """Entries that wait for their batch to be full."""

    def __init__(self, dataset: Dataset, road: str, drift: Drift) -> None:
        self._schema = dataset.schema
        self._road = road
        self._drift = drift
        self._ready: list[pa.RecordBatch] = []
        self._entries: list[Entry] = []
        self._from: list[tuple[ReadConversation, int]] = []
        self.rows = 0

    def add(self, reading: ReadConversation, entries: Sequence[Entry]) -> None:
        self._entries += entries
        self._from.append((reading, len(entries)))
        self.rows += len(entries)
        if len(self._entries) >= _ENTRIES_AT_ONCE:
            self._ready.append(self._as_rows())

    def batch(self) -> pa.RecordBatch:
        """The rows so far; the next ones wait for another batch."""
        batch = pa.concat_batches([*self._ready, self._as_rows()])
        self._ready.clear()
        self.rows = 0
        return batch

    def _as_rows(self) -> pa.RecordBatch:
        entries, notes = self._entries, _notes(self._entries)
        told = _told_by_connect(entries, notes) if self._road == CONNECT else _told_by_payload(entries, notes)
        columns = self._told_by_readings() | _told_by_wrapper(entries, notes) | told
        rows = [_array(columns.get(field.name), field.type, len(entries)) for field in self._schema]
        self._drift.seen.update(notes)
        self._entries, self._from = [], []
        return pa.RecordBatch.from_arrays(rows, schema=self._schema)

    def _told_by_readings(self) -> _Columns:
        places = (repeat(place, rows) for place, (_, rows) in enumerate(self._from))
        of_reading = pa.array(chain.from_iterable(places), pa.int32())
        conversations = [reading.conversation_identifier for reading, _ in self._from]
        fetched_at = [to_milliseconds(reading.fetched_at) for reading, _ in self._from]
        return {
            "conversation_identifier": pa.array(conversations, pa.string()).take(of_reading),
            "fetched_at": pa.array(fetched_at, pa.int64()).take(of_reading),
            "road": pa.repeat(self._road, len(self._entries)),
        }


_ENTRIES_AT_ONCE = 1024
"""Few, so that they stay in the processor's cache from their JSON to their columns."""

_Columns = dict[str, Sequence[Any] | pa.Array]


def _array(told: Sequence[Any] | pa.Array | None, kind: pa.DataType, rows: int) -> pa.Array:
    if told is None:
        return pa.nulls(rows, kind)
    return told.cast(kind) if isinstance(told, pa.Array) else pa.array(told, kind)


def _notes(entries: Sequence[Entry]) -> Notes:
    if OddEntry not in set(map(type, entries)):
        return []
    return [note for entry in entries if isinstance(entry, OddEntry) for note in entry.notes]


_NOBODY = Sender()


def _told_by_wrapper(entries: Sequence[Entry], notes: Notes) -> _Columns:
    senders = [entry.sender or _NOBODY for entry in entries]
    return {
        "entry_identifier": [entry.identifier for entry in entries],
        "transcripted_timestamp": [entry.transcripted_timestamp for entry in entries],
        "sender_role": _as_published([sender.role for sender in senders], ROLES),
        "sender_app_type": [sender.app_type for sender in senders],
        "sender_subject": [sender.subject for sender in senders],
        "sender_display_name": [entry.sender_display_name for entry in entries],
        "client_timestamp": _within([entry.client_timestamp for entry in entries], INSTANTS, "client_timestamp", notes),
        "client_duration_ms": _within([entry.client_duration for entry in entries], _INT64, "client_duration", notes),
        "modality": [entry.modality for entry in entries],
        "related_records": _related_records(entries),
    }


def _as_published(names: list[str | None], published: frozenset[str]) -> list[str | None]:
    if published.issuperset(names):
        return names
    return [name if name is None or name in published else spelt(name) for name in names]


def _related_records(entries: Sequence[Entry]) -> pa.Array:
    records = [entry.related_records or () for entry in entries]
    ends = accumulate(map(len, records), initial=0)
    related = map(_related, chain.from_iterable(records))
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(related, pa.string()))


@lru_cache(maxsize=4096)
def _related(record: str) -> str:
    return uuid_in_lower_case(record_id_18(record))


def _told_by_payload(entries: Sequence[Entry], notes: Notes) -> _Columns:
    raw = [entry.entry_payload for entry in entries]
    texts = [payload if isinstance(payload, str) else payload_text(payload) for payload in raw]
    entry_types = _entry_types(entries, texts, notes)
    visibility = [entry.visibility_strategy for entry in entries]
    if not all(visibility):
        visibility = [
            told or ("Internal" if entry_type in _INTERNAL_ENTRY_TYPES else "Default")
            for told, entry_type in zip(visibility, entry_types, strict=True)
        ]
    return {"entry_type": entry_types, "visibility": visibility, "payload": texts, **_messages(texts, notes)}


def _entry_types(entries: Sequence[Entry], texts: Sequence[str | None], notes: Notes) -> list[str | None]:
    told = [entry.entry_type for entry in entries]
    if not all(told):
        told = [one or read_payload(text, []).entry_type for one, text in zip(told, texts, strict=True)]
    told = _as_published(told, ENTRY_TYPES)
    if not ENTRY_TYPES.issuperset(told):
        notes += [unknown("entry_type", one) for one in told if one not in ENTRY_TYPES]
    return told


_OF_MESSAGES = ("message_type", "in_reply_to_entry_identifier", *FLAT_COLUMNS)


def _messages(texts: Sequence[str | None], notes: Notes) -> dict[str, list[Any]]:
    """The columns of messages, filled where there is one; a row an entry would give the garbage collector work."""
    columns: dict[str, list[Any]] = {name: [None] * len(texts) for name in _OF_MESSAGES}
    in_order = list(columns.values())
    for row, text in enumerate(texts):
        if text and names_no_message(text):
            continue
        payload = read_payload(text, notes)
        if payload.content is None:
            continue
        replied_to = payload.in_reply_to and uuid_in_lower_case(payload.in_reply_to)
        told = payload.message_type, replied_to, *flat(payload.content, notes)
        for column, value in zip(in_order, told, strict=True):
            if value is not None:
                column[row] = value
    return {**columns}


_HTML_ENTITY = re.compile("&(?:#39|amp|quot|lt|gt);")
"""What Connect makes of characters that HTML gives a meaning."""


def _told_by_connect(entries: Sequence[Entry], notes: Notes) -> _Columns:
    """
    Connect tells no types and no visibility; a text is there for static content of text type alone (Conversation
    Entry, Connect REST API), so that is what an entry with a text is.

    Texts are left as they came: whether an entity is the service's, which was asked to send none
    (``X-Chatter-Entity-Encoding: false``), or a customer's own, no text tells. They are counted.
    """
    told = (as_string(entry.message_text) for entry in entries)
    texts = [text if text and text.strip() else None for text in told]
    notes += ["text with HTML entities" for text in texts if text and _HTML_ENTITY.search(text)]
    return {
        "entry_type": [text and "Message" for text in texts],
        "message_type": [text and "StaticContentMessage" for text in texts],
        "format_type": [text and "Text" for text in texts],
        "text": texts,
    }


_INT64 = range(-(2**63), 2**63)


def _within(values: list[int | None], bounds: range, member: str, notes: Notes) -> pa.Array:
    """Null in place of what no column, or no reader of it, can hold."""
    try:
        array = pa.array(values, pa.int64())
        least, most = pc.min_max(array).values()
        if not least.is_valid or (least.as_py() in bounds and most.as_py() in bounds):
            return array
    except OverflowError:
        pass
    fitting = [value if value is not None and value in bounds else None for value in values]
    notes += [f"entry with a {member} out of range"] * (fitting.count(None) - values.count(None))
    return pa.array(fitting, pa.int64())


def _placed(entry: Entry, asked_for: Window) -> Entry:
    """
    The entry with a usable time at which the server received it; Connect has another name for it.

    Where it does not say so, the service's answer does: it was in the window that was asked for, as near to the
    client's own time as that allows. So the entry is kept, on one day.
    """
    for stamp in (entry.transcripted_timestamp, entry.server_received_timestamp):
        if stamp is not None and 0 < stamp < INSTANTS.stop:
            entry.transcripted_timestamp = stamp
            return entry
    first, last = to_milliseconds(asked_for.start), to_milliseconds(asked_for.end) - 1
    entry.transcripted_timestamp = min(max(entry.client_timestamp or first, first), last)
    return noted(entry, "entry without a transcripted timestamp")
