"""
From a reply's JSON to the canonical entry columns.

Source: ConversationEntry payload schema 0.0.2. Its ``required`` lists are not always right and new types appear
between releases, so nothing here fails on a shape: what is not understood keeps its raw payload, gets nulls, and is
counted as drift.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any

import pyarrow as pa

from conversation_pipeline.extract.entries.drift import Drift, Notes, unknown
from conversation_pipeline.extract.entries.flattening import Flat, flat
from conversation_pipeline.extract.entries.payload import ENTRY_TYPES, read_payload
from conversation_pipeline.extract.entries.seen import Seen
from conversation_pipeline.extract.entries.values import INSTANTS, as_string, uuid_in_lower_case
from conversation_pipeline.extract.entries.wrapper import Entry, Sender, read_page
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
    html_escaped: bool = False,
    rows_a_batch: int = 8192,
) -> Iterator[pa.RecordBatch]:
    """
    The readings' entries within the window as rows of an entries dataset, each entry of a reading once.

    Pages overlap: the last word on an entry counts. Memory grows neither with the number of readings nor with the
    length of one: a batch is handed on as soon as it is full. A reading that fits a batch is in the order of its
    identifiers.

    Args:
        road: ``connect`` for entries that are texts alone; any other tells its entries with payloads.
        html_escaped: Connect's texts hold HTML entities, as they do unless the request said
            ``X-Chatter-Entity-Encoding: false``; they are read as characters.
    """
    rows: list[_Row] = []
    read = _Reader(window, road, drift, html_escaped, rows_a_batch)
    for reading in readings:
        for some in read.rows(reading):
            rows += some
            if len(rows) >= rows_a_batch:
                yield _batch(rows, dataset)
                rows = []
    yield _batch(rows, dataset)


_Row = tuple[Any, ...]

_COLUMNS = (
    *("conversation_identifier", "entry_identifier", "transcripted_timestamp", "road", "fetched_at"),
    *("sender_role", "sender_app_type", "sender_subject", "sender_display_name", "client_timestamp"),
    *("client_duration_ms", "modality", "related_records"),
    *("entry_type", "message_type", "visibility", "payload", "in_reply_to_entry_identifier"),
    *Flat._fields,
)


def _batch(rows: list[_Row], dataset: Dataset) -> pa.RecordBatch:
    told = dict(zip(_COLUMNS, zip(*rows, strict=True), strict=True)) if rows else {}
    nothing = (None,) * len(rows)
    columns = [pa.array(told.get(field.name, nothing), field.type) for field in dataset.fields]
    return pa.record_batch(columns, schema=dataset.schema)


@dataclass(frozen=True)
class _Reader:
    window: Window
    road: str
    drift: Drift
    html_escaped: bool
    rows_a_batch: int

    def rows(self, reading: ReadConversation) -> Iterator[list[_Row]]:
        """The reading's entries in the window, each once; every list in the order of its identifiers."""
        served = reading.serves or self.window
        first = to_milliseconds(max(self.window.start, served.start))
        end = to_milliseconds(min(self.window.end, served.end))
        asked_for = reading.window or self.window
        fetched_at = to_milliseconds(reading.fetched_at)
        seen = Seen()
        rows: list[_Row] = []
        for body in reversed(reading.bodies):
            last_words: dict[str, tuple[Entry, int, Notes]] = {}
            for identifier, entry, notes in read_page(body):
                received = _received(entry, asked_for, notes)
                if first <= received < end:
                    last_words[identifier] = entry, received, notes
            for identifier in seen.add(last_words):
                entry, received, notes = last_words[identifier]
                rows.append(
                    (
                        *(reading.conversation_identifier, identifier, received, self.road, fetched_at),
                        *_who_and_when(entry, notes),
                        *self._what(entry, notes),
                    )
                )
                self.drift.seen.update(notes)
            if len(rows) >= self.rows_a_batch:
                yield sorted(rows, key=_IDENTIFIER)
                rows = []
        yield sorted(rows, key=_IDENTIFIER)

    def _what(self, entry: Entry, notes: Notes) -> _Row:
        if self.road == CONNECT:
            return _connect_columns(entry, escaped=self.html_escaped)
        return _payload_columns(entry, notes)


_IDENTIFIER = itemgetter(_COLUMNS.index("entry_identifier"))
_NOBODY = Sender()


def _who_and_when(entry: Entry, notes: Notes) -> _Row:
    sender = entry.sender or _NOBODY
    return (
        sender.role,
        sender.app_type,
        sender.subject,
        entry.sender_display_name,
        _within(entry.client_timestamp, INSTANTS, "client_timestamp", notes),
        _within(entry.client_duration, _INT64, "client_duration", notes),
        entry.modality,
        [_related(record) for record in entry.related_records or ()],
    )


@lru_cache(maxsize=4096)
def _related(record: str) -> str:
    return uuid_in_lower_case(record_id_18(record))


def _payload_columns(entry: Entry, notes: Notes) -> _Row:
    text = entry.payload_text
    payload = read_payload(text, notes)
    entry_type = entry.entry_type or payload.entry_type
    if entry_type not in ENTRY_TYPES:
        notes.append(unknown("entry_type", entry_type))
    visibility = entry.visibility_strategy or ("Internal" if entry_type in _INTERNAL_ENTRY_TYPES else "Default")
    in_reply_to = uuid_in_lower_case(payload.in_reply_to) if payload.in_reply_to else None
    content = _NOTHING if payload.content is None else flat(payload.content, notes)
    return entry_type, payload.message_type, visibility, text, in_reply_to, *content


_NOTHING = Flat()


def _connect_columns(entry: Entry, *, escaped: bool) -> _Row:
    """
    Connect tells no types and no visibility; a text is there for static content of text type alone (Conversation
    Entry, Connect REST API), so that is what an entry with a text is.
    """
    text = as_string(entry.message_text)
    if text is None or not text.strip():
        return (None,) * (5 + len(_NOTHING))
    content = Flat(format_type="Text", text=html.unescape(text) if escaped else text)
    return "Message", "StaticContentMessage", None, None, None, *content


_INT64 = range(-(2**63), 2**63)


def _within(value: int | None, bounds: range, member: str, notes: Notes) -> int | None:
    if value is None or value in bounds:
        return value
    notes.append(f"entry with a {member} out of range")
    return None


def _received(entry: Entry, asked_for: Window, notes: Notes) -> int:
    """
    When the server received the entry. Where it does not say so, the service's answer does: it was in the window that
    was asked for, as near to the client's own time as that allows. So the entry is kept, on one day.
    """
    for stamp in (entry.transcripted_timestamp, entry.server_received_timestamp):
        if stamp is not None and 0 < stamp < INSTANTS.stop:
            return stamp
    notes.append("entry without a transcripted timestamp")
    first, last = to_milliseconds(asked_for.start), to_milliseconds(asked_for.end) - 1
    return min(max(entry.client_timestamp or first, first), last)
