"""
What payloads tell, of many entries at once.

Only those that hold a message, or tell a type that the entry does not, are read as JSON: the others have nothing that a
column needs. Messages that are a text and nothing else, as most are, are read together, by DuckDB; choices, forms,
files and whatever is not as published one by one, by the table of formats. Both give the same. Plain text in place of
JSON, as some orgs have it, is the message itself.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.extract.entries.drift import Notes, unknown
from conversation_pipeline.extract.entries.flattening import COLUMNS as FLAT_COLUMNS
from conversation_pipeline.extract.entries.flattening import NOTHING, flat
from conversation_pipeline.extract.entries.payload import ENTRY_TYPES, Payload, read_payload
from conversation_pipeline.schemas.conversations import ENTRIES_DATA_CLOUD

_KNOWN = pa.array(sorted(ENTRY_TYPES), pa.string())
_MESSAGES = pa.array(["Message", "MessageUpdated"])
_TYPES = {field.name: field.type for field in ENTRIES_DATA_CLOUD.fields}
_OF_MESSAGES = '"(?:abstract|updated)Message"'
"""Members that hold a message (ConversationEntry payload schema 0.0.2)."""


def from_payloads(raw: pa.Array, entry_types: pa.Array, notes: Notes) -> dict[str, pa.Array]:
    """
    Args:
        raw: PayloadText.
        entry_types: As the entries tell them, in the spelling of the other roads.
    """
    is_json = _is_json(raw)
    known = pc.is_in(entry_types, _KNOWN)
    wanted = pc.and_(is_json, pc.or_(_holds_message(raw, entry_types), pc.invert(known)))
    told, order = _read(raw.filter(wanted), known.filter(wanted), notes)
    places = order.take(_spread(wanted))
    columns = {name: array.take(places) for name, array in told.items()}
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


def _holds_message(raw: pa.Array, entry_types: pa.Array) -> pa.Array:
    """Messages do; of the others those that name a member which does."""
    is_message = pc.is_in(entry_types, _MESSAGES)
    others = pc.invert(is_message)
    found = pc.fill_null(pc.match_substring_regex(raw.filter(others), _OF_MESSAGES), False)
    return pc.or_(is_message, pc.fill_null(found.take(_spread(others)), False)) if found.true_count else is_message


_COLUMNS = ("entry_type", "message_type", "in_reply_to_entry_identifier", *FLAT_COLUMNS)


def _read(texts: pa.Array, known: pa.Array, notes: Notes) -> tuple[dict[str, pa.Array], pa.Array]:
    """
    The columns' values in an order of their own, and for each text the place where its own are.

    Args:
        known: Where the entry itself tells its type, so that the payload's is not needed.
    """
    is_plain = pc.and_(known, pc.match_substring_regex(texts, _PLAIN))
    together, understood = _plain_texts(texts.filter(is_plain))
    is_plain = _narrowed(is_plain, understood)
    others = _one_by_one(texts.filter(pc.invert(is_plain)), notes)
    count = is_plain.true_count
    order = pc.if_else(is_plain, _spread(is_plain), pc.add(_spread(pc.invert(is_plain)), count))
    nothing = {name: pa.nulls(count, _TYPES[name]) for name in _COLUMNS}
    return {name: pa.concat_arrays([together.get(name, nothing[name]), others[name]]) for name in _COLUMNS}, order


_STRING = r'"(?:[^"\\]|\\.)*"'
_BOTH = r'"formatType"\s*:\s*"Text"', rf'"text"\s*:\s*{_STRING}'
_BODY = "|".join(r"\s*,\s*".join(members) for members in (_BOTH, _BOTH[::-1]))
_PLAIN = rf'"abstractMessage"\s*:\s*\{{[^{{}}]*"staticContent"\s*:\s*\{{\s*(?:{_BODY})\s*\}}'
"""A message with a body of these two members and no third, and with nothing nested before it."""

_TELL_PLAIN = """
    WITH told AS (
        SELECT TRY(json_extract_string(payload, [
            '$.abstractMessage.messageType',
            '$.abstractMessage.inReplyToMessageId',
            '$.abstractMessage.staticContent.text'
        ])) AS found
        FROM texts
    )
    SELECT found[1] AS message_type, nullif(found[2], '') AS in_reply_to_entry_identifier, nullif(found[3], '') AS text
    FROM told
"""


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


def _plain_texts(texts: pa.Array) -> tuple[dict[str, pa.Array], pa.Array]:
    """Columns of those that turn out to be static content, and which ones do."""
    with _engine().cursor() as cursor:
        cursor.execute("SET enable_progress_bar = false")
        cursor.register("texts", pa.table({"payload": texts}))
        told = cursor.sql(_TELL_PLAIN).to_arrow_table()
    columns = dict(zip(told.column_names, told.combine_chunks().columns, strict=True))
    understood = pc.fill_null(pc.equal(columns["message_type"], "StaticContentMessage"), False).combine_chunks()
    found = {name: column.combine_chunks().filter(understood) for name, column in columns.items()}
    return {**found, "format_type": pa.repeat("Text", understood.true_count)}, understood


def _narrowed(mask: pa.Array, kept: pa.Array) -> pa.Array:
    """A mask without those of its places that are not kept."""
    return mask if kept.true_count == len(kept) else pc.fill_null(kept.take(_spread(mask)), False)


def _one_by_one(texts: pa.Array, notes: Notes) -> dict[str, pa.Array]:
    with _no_search_for_cycles():
        rows = [_row(read_payload(text, notes), notes) for text in texts.to_pylist()]  # one payload in memory at a time
        columns = zip(*rows, strict=True) if rows else [()] * len(_COLUMNS)
        return {name: pa.array(column, _TYPES[name]) for name, column in zip(_COLUMNS, columns, strict=True)}


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Payloads are trees; looking for cycles among thousands of them takes half as long again as reading them."""
    searches = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searches:
            gc.enable()


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
