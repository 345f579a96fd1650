"""
From a reply's JSON to the canonical entry columns.

Source: ConversationEntry payload schema 0.0.2. Its ``required`` lists are not always right and new types appear
between releases, so nothing here fails on a shape: what is not understood keeps its raw payload, gets nulls, and is
counted as drift.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import pyarrow as pa

from conversation_pipeline.extract.entries.drift import Drift, Notes, unknown
from conversation_pipeline.extract.entries.flattening import COLUMNS as FLAT_COLUMNS
from conversation_pipeline.extract.entries.flattening import NOTHING, flat
from conversation_pipeline.extract.entries.payload import ENTRY_TYPES, ROLES, read_payload, spelt
from conversation_pipeline.extract.entries.seen import Seen
from conversation_pipeline.extract.entries.values import INSTANTS, as_string, uuid_in_lower_case
from conversation_pipeline.extract.entries.wrapper import Entry, Sender, payload_text, read_page
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
    rows_a_batch: int = 8192,
) -> Iterator[pa.RecordBatch]:
    """
    The readings' entries within the window as rows of an entries dataset, each entry of a reading once.

    Pages overlap: the last word on an entry counts. Memory grows neither with the number of readings nor with the
    length of one: a batch is handed on as soon as it is full. A reading that fits a batch is in the order of its
    identifiers.

    Args:
        road: ``connect`` for entries that are texts alone; any other tells its entries with payloads.
    """
    waiting = _Waiting(dataset)
    for reading in readings:
        for kept in _kept(reading, window, rows_a_batch):
            identifiers, received, entries, noted = zip(*kept, strict=True)
            notes = [note for some in noted for note in some]
            told = _told_by_connect(entries, notes) if road == CONNECT else _told_by_payload(entries, notes)
            when = {"entry_identifier": identifiers, "transcripted_timestamp": received}
            origin = _origin(reading, road, len(kept))
            waiting.add(len(kept), {**when, **_told_by_wrapper(entries, notes), **told, **origin})
            drift.seen.update(notes)
            if waiting.rows >= rows_a_batch:
                yield waiting.batch()
    yield waiting.batch()


_Kept = tuple[str, int, Entry, Sequence[str]]
"""An entry that becomes a row: its identifier, when the server received it, and what is not as the schema says."""


def _kept(reading: ReadConversation, window: Window, rows_a_batch: int) -> Iterator[list[_Kept]]:
    """The reading's entries in the window, each once; every list in the order of its identifiers."""
    asked_for, served = reading.window or window, reading.serves or window
    first = to_milliseconds(max(window.start, served.start))
    end = to_milliseconds(min(window.end, served.end))
    seen = Seen()
    kept: list[_Kept] = []
    for body in reversed(reading.bodies):
        last_words: dict[str, _Kept] = {}
        for identifier, entry, notes in read_page(body):
            received = entry.transcripted_timestamp
            if received is None or not 0 < received < INSTANTS.stop:
                received, notes = _received(entry, asked_for, notes)
            if first <= received < end:
                last_words[identifier] = (identifier, received, entry, notes)
        kept += [last_words[identifier] for identifier in seen.add(last_words)]
        if len(kept) >= rows_a_batch:
            yield sorted(kept)
            kept = []
    if kept:
        kept.sort()
        yield kept


_Columns = Mapping[str, Sequence[Any]]


class _Waiting:
    """Columns of rows that wait for their batch to be full."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._empty()

    def add(self, rows: int, told: _Columns) -> None:
        nothing = [None] * rows
        for name, column in self._columns.items():
            column += told.get(name, nothing)
        self.rows += rows

    def batch(self) -> pa.RecordBatch:
        """The rows so far; the next ones wait for another batch."""
        columns = [pa.array(self._columns[field.name], field.type) for field in self._dataset.fields]
        self._empty()
        return pa.record_batch(columns, schema=self._dataset.schema)

    def _empty(self) -> None:
        self.rows = 0
        self._columns: dict[str, list[Any]] = {field.name: [] for field in self._dataset.fields}


def _origin(reading: ReadConversation, road: str, rows: int) -> _Columns:
    return {
        "conversation_identifier": [reading.conversation_identifier] * rows,
        "road": [road] * rows,
        "fetched_at": [to_milliseconds(reading.fetched_at)] * rows,
    }


_NOBODY = Sender()


def _told_by_wrapper(entries: Sequence[Entry], notes: Notes) -> _Columns:
    senders = [entry.sender or _NOBODY for entry in entries]
    return {
        "sender_role": _as_published([sender.role for sender in senders], ROLES),
        "sender_app_type": [sender.app_type for sender in senders],
        "sender_subject": [sender.subject for sender in senders],
        "sender_display_name": [entry.sender_display_name for entry in entries],
        "client_timestamp": _within([entry.client_timestamp for entry in entries], INSTANTS, "client_timestamp", notes),
        "client_duration_ms": _within([entry.client_duration for entry in entries], _INT64, "client_duration", notes),
        "modality": [entry.modality for entry in entries],
        "related_records": [[_related(record) for record in entry.related_records or ()] for entry in entries],
    }


def _as_published(names: list[str | None], published: frozenset[str]) -> list[str | None]:
    if published.issuperset(names):
        return names
    return [name if name is None or name in published else spelt(name) for name in names]


@lru_cache(maxsize=4096)
def _related(record: str) -> str:
    return uuid_in_lower_case(record_id_18(record))


def _told_by_payload(entries: Sequence[Entry], notes: Notes) -> _Columns:
    raw = [entry.entry_payload for entry in entries]
    texts = [payload if isinstance(payload, str) else payload_text(payload) for payload in raw]
    payloads = [read_payload(text, notes) for text in texts]
    flats = [NOTHING if payload.content is None else flat(payload.content, notes) for payload in payloads]
    told = [entry.entry_type or payload.entry_type for entry, payload in zip(entries, payloads, strict=True)]
    entry_types = _as_published(told, ENTRY_TYPES)
    notes += [unknown("entry_type", entry_type) for entry_type in entry_types if entry_type not in ENTRY_TYPES]
    return {
        "entry_type": entry_types,
        "message_type": [payload.message_type for payload in payloads],
        "visibility": [
            entry.visibility_strategy or ("Internal" if entry_type in _INTERNAL_ENTRY_TYPES else "Default")
            for entry, entry_type in zip(entries, entry_types, strict=True)
        ],
        "payload": texts,
        "in_reply_to_entry_identifier": [
            payload.in_reply_to and uuid_in_lower_case(payload.in_reply_to) for payload in payloads
        ],
        **dict(zip(FLAT_COLUMNS, zip(*flats, strict=True), strict=True)),
    }


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


def _within(values: Sequence[int | None], bounds: range, member: str, notes: Notes) -> list[int | None]:
    """Null in place of what no column, or no reader of it, can hold."""
    first, end = bounds.start, bounds.stop
    fitting = [value if value is not None and first <= value < end else None for value in values]
    lost = fitting.count(None) - values.count(None)
    notes += [f"entry with a {member} out of range"] * lost
    return fitting


def _received(entry: Entry, asked_for: Window, notes: Sequence[str]) -> tuple[int, Sequence[str]]:
    """
    When the server received an entry without a usable transcripted timestamp; Connect has another name for it.

    Where it does not say so, the service's answer does: it was in the window that was asked for, as near to the
    client's own time as that allows. So the entry is kept, on one day.
    """
    stamp = entry.server_received_timestamp
    if stamp is not None and 0 < stamp < INSTANTS.stop:
        return stamp, notes
    first, last = to_milliseconds(asked_for.start), to_milliseconds(asked_for.end) - 1
    placed = min(max(entry.client_timestamp or first, first), last)
    return placed, (*notes, "entry without a transcripted timestamp")
