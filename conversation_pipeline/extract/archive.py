"""
Export archives: from an archive's rows to the canonical entry columns, by the same rules as the other roads.

Source: bulk-export 4.3 and 4.4; payloads as the ConversationEntry payload schema has them.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import cached_property
from itertools import repeat
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from conversation_pipeline import archives
from conversation_pipeline.archives.entries import ROAD as ARCHIVE
from conversation_pipeline.archives.errors import Unreadable
from conversation_pipeline.extract.entries.drift import Drift, Notes, unknown
from conversation_pipeline.extract.entries.flattening import COLUMNS, NOTHING, flat
from conversation_pipeline.extract.entries.payload import ENTRY_TYPES, read_payload
from conversation_pipeline.extract.entries.values import uuid_in_lower_case
from conversation_pipeline.schemas.conversations import ENTRIES_ARCHIVE

__all__ = [
    "ARCHIVE", "NO_CONVERSATION", "NO_TIME", "Identifiers", "entries", "parts_promised", "requested_on", "unplaced",
]  # fmt: skip

NO_TIME = "no time"
NO_CONVERSATION = "a conversation that is not in the lake"

_INTERNAL_ENTRY_TYPES = pa.array(["Note", "FlagRaise", "FlagLower"])
_ENTITY = r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|amp|lt|gt|quot|apos|nbsp);"
_BARE = r"""[<>"]|&(?:[^#a-zA-Z]|$)"""


class Identifiers:
    """
    Conversation identifiers by record id, for archives that tell only the latter.

    Args:
        read: Gives a table with the columns ``id`` and ``conversation_identifier``; asked when one is needed.
    """

    def __init__(self, read: Callable[[], pa.Table]) -> None:
        self._read = read

    def of(self, ids: pa.Array) -> pa.Array:
        """The identifiers of conversations; null where one is not known."""
        known = self._known
        return known["conversation_identifier"].take(pc.index_in(ids, value_set=known["id"]))

    @cached_property
    def _known(self) -> Mapping[str, pa.Array]:
        table = self._read().combine_chunks()
        return {name: _one_chunk(table[name]) for name in ("id", "conversation_identifier")}


def parts_promised(paths: Sequence[str], filesystem: fs.FileSystem) -> int | None:
    """How many parts the export has, as the manifest of one of them says; ``None`` where none says it."""
    for path in paths:
        parts = str(_manifest(path, filesystem).get("parts", ""))
        if parts.isdecimal():
            return int(parts)
    return None


def requested_on(path: str, filesystem: fs.FileSystem) -> date | None:
    """The day on which a file's export was asked for, as its manifest says; ``None`` where it has none that does."""
    manifest = _manifest(path, filesystem)
    for name in ("requestedAt", "completedAt"):
        with suppress(ValueError):
            told = datetime.fromisoformat(str(manifest.get(name)))
            return told.astimezone(UTC).date() if told.tzinfo else told.date()
    return None


def _manifest(path: str, filesystem: fs.FileSystem) -> Mapping[str, Any]:
    try:
        return archives.read([path], filesystem=filesystem).manifest(path) or {}
    except Unreadable:
        return {}


def entries(rows: pa.RecordBatch, identifiers: Identifiers, drift: Drift) -> pa.RecordBatch:
    """
    The rows of an archive with what their payloads say, and with the identifier of their conversation.

    Args:
        rows: Of the schema ``archives.ENTRIES``.

    Returns:
        As many rows in the same columns. The identifier of a conversation is still null where it is not known.
    """
    told = _told_by_payload(rows, drift)
    told |= _told_by_text(rows, told)
    told["visibility"] = _visibility(rows, told["entry_type"])
    told["conversation_identifier"] = _conversation(rows, identifiers)
    columns = [told.get(name, column) for name, column in zip(rows.schema.names, rows.columns, strict=True)]
    return pa.record_batch(columns, schema=rows.schema)


def unplaced(rows: pa.RecordBatch) -> pa.Array:
    """Why a row has no place in the days of entries; null where it has one."""
    reason = pc.if_else(rows["transcripted_timestamp"].is_null(), NO_TIME, pa.scalar(None, pa.string()))
    return pc.if_else(rows["conversation_identifier"].is_null(), NO_CONVERSATION, reason)


_TYPES = {
    "entry_type": pa.string(),
    "message_type": pa.string(),
    "in_reply_to_entry_identifier": pa.string(),
    **{name: ENTRIES_ARCHIVE.field(name).type for name in COLUMNS},
}
"""The columns that a payload fills."""


def _told_by_payload(rows: pa.RecordBatch, drift: Drift) -> dict[str, pa.Array]:
    """Messages of plain text, which most are, by a quick way of their own; the others one by one."""
    payloads = rows["payload"]
    told = (None if payloads.null_count else _plain_texts(payloads)) or _of_any_kind(payloads, drift)
    told["entry_type"] = pc.coalesce(rows["entry_type"], told["entry_type"])
    _note_entry_types(told["entry_type"].filter(payloads.is_valid()), drift)
    return told


def _of_any_kind(payloads: pa.Array, drift: Drift) -> dict[str, pa.Array]:
    is_plain = pc.fill_null(pc.match_substring_regex(payloads, _SIGNS_OF_PLAIN_TEXT), False)
    plain = _plain_texts(payloads.filter(is_plain))
    if plain is None:
        return _one_by_one(payloads, drift)
    others = _one_by_one(payloads.filter(pc.invert(is_plain)), drift)
    return {name: _interleaved(is_plain, plain[name], others[name]) for name in _TYPES}


def _one_by_one(column: pa.Array, drift: Drift) -> dict[str, pa.Array]:
    notes: Notes = []
    payloads = [read_payload(text, notes) for text in column.to_pylist()]
    flats = [NOTHING if payload.content is None else flat(payload.content, notes) for payload in payloads]
    drift.seen.update(notes)
    told: dict[str, Sequence[Any]] = {
        "entry_type": [payload.entry_type for payload in payloads],
        "message_type": [payload.message_type for payload in payloads],
        "in_reply_to_entry_identifier": [_identifier(payload.in_reply_to) for payload in payloads],
        **dict(zip(COLUMNS, zip(*flats, strict=True) if flats else repeat(()), strict=False)),
    }
    return {name: pa.array(told[name], kind) for name, kind in _TYPES.items()}


class _PlainContent(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """A text and nothing else: with a further member, such as citations, there is more to tell."""

    format_type: Literal["Text"]
    text: str | None = None


class _PlainMessage(msgspec.Struct, rename="camel", gc=False):
    message_type: Literal["StaticContentMessage"]
    static_content: _PlainContent
    in_reply_to_message_id: str | None = None


class _PlainText(msgspec.Struct, rename="camel", gc=False):
    abstract_message: _PlainMessage
    entry_type: str | None = None


_SIGNS_OF_PLAIN_TEXT = '"messageType":"StaticContentMessage".*"formatType":"Text"'
_decode_plain = msgspec.json.Decoder(list[_PlainText]).decode


def _plain_texts(payloads: pa.Array) -> dict[str, pa.Array] | None:
    """What messages of plain text tell, all at once; ``None`` where one of them is something else."""
    together = pa.ListArray.from_arrays(pa.array([0, len(payloads)], pa.int32()), payloads)
    [joined] = pc.binary_join(together, ",")
    try:
        found = _decode_plain(b"[%b]" % joined.as_buffer().to_pybytes())
    except (msgspec.DecodeError, RecursionError):
        return None
    if len(found) != len(payloads):
        return None
    messages = [one.abstract_message for one in found]
    answers = [one.in_reply_to_message_id for one in messages]
    told = {
        "entry_type": pa.array([one.entry_type or None for one in found], pa.string()),
        "message_type": pa.repeat("StaticContentMessage", len(found)),
        "format_type": pa.repeat("Text", len(found)),
        "text": pa.array([one.static_content.text or None for one in messages], pa.string()),
    }
    if any(answers):
        told["in_reply_to_entry_identifier"] = pa.array(map(_identifier, answers), pa.string())
    return {name: told.get(name, pa.nulls(len(found), kind)) for name, kind in _TYPES.items()}


def _identifier(told: str | None) -> str | None:
    return uuid_in_lower_case(told) if told else None


def _interleaved(first: pa.Array, where: pa.Array, otherwise: pa.Array) -> pa.Array:
    """The values of the one in their order where ``first`` is true, those of the other elsewhere."""
    mask = np.asarray(first)
    places = np.empty(len(mask), np.int64)
    places[mask] = np.arange(len(where))
    places[~mask] = np.arange(len(where), len(mask))
    return pa.concat_arrays([where, otherwise]).take(pa.array(places))


def _note_entry_types(entry_types: pa.Array, drift: Drift) -> None:
    for one in pc.value_counts(entry_types).to_pylist():
        if one["values"] not in ENTRY_TYPES:
            drift.seen[unknown("entry_type", one["values"])] += one["counts"]


def _told_by_text(rows: pa.RecordBatch, told: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    """
    Where the payload tells no text, the archive's own stands; a row of a text alone is a message of text type, as it
    is on the Connect road.
    """
    texts = rows["text"]
    if texts.null_count == len(texts):
        return {}
    texts = _unescaped(texts)
    entry_type = told["entry_type"]
    blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(texts), ""), True)
    is_message = pc.fill_null(pc.equal(entry_type, "Message"), True)
    alone = pc.and_(pc.and_(rows["payload"].is_null(), is_message), pc.invert(blank))
    texts = pc.if_else(blank, pa.scalar(None, pa.string()), texts)
    return {
        "text": pc.coalesce(told["text"], texts),
        "entry_type": pc.if_else(alone, "Message", entry_type),
        "message_type": pc.if_else(alone, "StaticContentMessage", told["message_type"]),
        "format_type": pc.if_else(alone, "Text", told["format_type"]),
    }


def _unescaped(texts: pa.Array) -> pa.Array:
    """HTML entities as characters, where all of the texts are written so: no bare mark-up or ampersand among them."""
    written_so = pc.match_substring_regex(texts, _ENTITY)
    if not pc.any(written_so).as_py() or pc.any(pc.match_substring_regex(texts, _BARE)).as_py():
        return texts
    return pa.array([text and html.unescape(text) for text in texts.to_pylist()], pa.string())


def _visibility(rows: pa.RecordBatch, entry_type: pa.Array) -> pa.Array:
    """As told; else of what no end user ever sees by its type, and not known of anything else."""
    is_internal = pc.is_in(entry_type, value_set=_INTERNAL_ENTRY_TYPES)
    return pc.coalesce(rows["visibility"], pc.if_else(is_internal, "Internal", pa.scalar(None, pa.string())))


def _conversation(rows: pa.RecordBatch, identifiers: Identifiers) -> pa.Array:
    told = rows["conversation_identifier"]
    missing = pc.and_(told.is_null(), rows["conversation_id"].is_valid())
    if not pc.any(missing).as_py():
        return told
    return pc.coalesce(told, identifiers.of(rows["conversation_id"]))


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    found = column.combine_chunks()
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
