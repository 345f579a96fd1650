"""
What payloads tell, of many entries at once.

Only those that hold a message, or tell a type that the entry does not, are read as JSON: the others have nothing that a
column needs. Plain text in place of JSON, as some orgs have it, is the message itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.extract.entries.drift import Notes, unknown
from conversation_pipeline.extract.entries.flattening import COLUMNS as FLAT_COLUMNS
from conversation_pipeline.extract.entries.flattening import NOTHING, flat
from conversation_pipeline.extract.entries.payload import ENTRY_TYPES, Payload, read_payload
from conversation_pipeline.schemas.conversations import ENTRIES_DATA_CLOUD

_KNOWN = pa.array(sorted(ENTRY_TYPES), pa.string())
_TYPES = {field.name: field.type for field in ENTRIES_DATA_CLOUD.fields}
_OF_MESSAGES = ('"abstractMessage"', '"updatedMessage"')
"""Members that hold a message (ConversationEntry payload schema 0.0.2)."""


def from_payloads(raw: pa.Array, entry_types: pa.Array, notes: Notes) -> dict[str, pa.Array]:
    """
    Args:
        raw: PayloadText.
        entry_types: As the entries tell them, in the spelling of the other roads.
    """
    is_json = _is_json(raw)
    known = pc.is_in(entry_types, _KNOWN)
    wanted = pc.and_(is_json, pc.or_(_holds_message(raw), pc.invert(known)))
    told = _read(raw.filter(wanted), notes)
    spread = _spread(wanted)
    columns = {name: array.take(spread) for name, array in told.items()}
    columns["entry_type"] = pc.if_else(known, entry_types, pc.coalesce(columns["entry_type"], entry_types))
    columns["payload"] = raw if is_json.true_count == len(raw) else pc.if_else(is_json, raw, None)
    _note_unknown(columns["entry_type"], notes)
    plain = pc.and_(pc.is_valid(raw), pc.invert(is_json))
    return _with_plain(columns, raw, plain) if plain.true_count else columns


def _is_json(raw: pa.Array) -> pa.Array:
    begins = pc.fill_null(pc.starts_with(raw, "{"), False)
    if begins.true_count + raw.null_count == len(raw):
        return begins
    return pc.fill_null(pc.match_substring_regex(raw, r"^\s*\{"), False)


def _holds_message(raw: pa.Array) -> pa.Array:
    first, second = (pc.fill_null(pc.match_substring(raw, member), False) for member in _OF_MESSAGES)
    return pc.or_(first, second)


_COLUMNS = ("entry_type", "message_type", "in_reply_to_entry_identifier", *FLAT_COLUMNS)


def _read(texts: pa.Array, notes: Notes) -> dict[str, pa.Array]:
    rows = [_row(read_payload(text, notes), notes) for text in texts.to_pylist()]  # one payload in memory at a time
    columns = zip(*rows, strict=True) if rows else [()] * len(_COLUMNS)
    return {name: pa.array(column, _TYPES[name]) for name, column in zip(_COLUMNS, columns, strict=True)}


def _row(payload: Payload, notes: Notes) -> tuple[Any, ...]:
    flats = NOTHING if payload.content is None else flat(payload.content, notes)
    return payload.entry_type, payload.message_type, payload.in_reply_to, *flats


def _spread(mask: pa.Array) -> pa.Array:
    """For each row its place among those of the mask; null for the others."""
    chosen = np.asarray(mask.to_numpy(zero_copy_only=False), dtype=bool)
    return pa.array(np.cumsum(chosen) - 1, pa.int64(), mask=~chosen)


def _note_unknown(entry_types: pa.Array, notes: Notes) -> None:
    strange = entry_types.filter(pc.invert(pc.is_in(entry_types, _KNOWN)))
    for one in pc.value_counts(strange).to_pylist():
        notes += [unknown("entry_type", one["values"])] * one["counts"]


def _with_plain(columns: dict[str, pa.Array], raw: pa.Array, plain: pa.Array) -> dict[str, pa.Array]:
    """A text alone is what static content would hold: of a message, a note or a flag."""
    return {
        **columns,
        "text": pc.if_else(plain, raw, columns["text"]),
        "message_type": pc.if_else(plain, "StaticContentMessage", columns["message_type"]),
        "format_type": pc.if_else(plain, "Text", columns["format_type"]),
    }
