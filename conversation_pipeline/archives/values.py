"""
Columns of text as columns of values, whole columns at a time (bulk-export 4.4).

What cannot be read becomes null and is counted; the counts name columns, never values.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import chain
from operator import attrgetter
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.schemas.fields import INSTANT
from conversation_pipeline.schemas.identifiers import record_id_18

Notes = Counter[str]

_TEXTS = pa.list_(pa.string())
_FIRST, _LAST = -62_135_596_800_000, 253_402_300_799_999
"""Milliseconds of the years 1 to 9999: what Python's datetime, and so every reader of the lake, can hold."""
_LEAST_EPOCH = 10**8
"""Smaller numbers are no instants of this century's kind in any unit; fractions of a second are written like that."""
_UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"


def by_value(column: pa.Array, convert: Callable[[list[str]], Sequence[Any]], kind: pa.DataType) -> pa.Array:
    """Convert each different value once; nulls stay null."""
    encoded = column.dictionary_encode()
    return pa.array(convert(encoded.dictionary.to_pylist()), kind).take(encoded.indices)


def instants(column: pa.Array, name: str, time_zone: str, notes: Notes) -> pa.Array:
    """Epoch seconds, milliseconds or finer by magnitude, or dates and times as people write them; UTC milliseconds."""
    try:
        return _from_epoch(column.cast(pa.int64()), name, notes)
    except pa.ArrowInvalid:
        pass
    try:
        return _bounded(column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()), 1_000, name, notes)
    except pa.ArrowInvalid:
        pass
    zone = ZoneInfo(time_zone)
    zoneless = f"{name} without a time zone, taken as {time_zone}"

    def converted(texts: list[str]) -> list[int | None]:
        return [instant(text, zone) for text in texts]

    found = by_value(column, converted, pa.int64())
    notes[_unreadable(name)] += found.null_count - column.null_count
    notes[zoneless] += _count(pc.and_kleene(pc.match_substring_regex(column, _ZONELESS), found.is_valid()))
    return _bounded(found, 1, name, notes)


_ZONELESS = r"^\s*\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?)?\s*$"
_NAMED_UTC = re.compile(r"\s*(?:UTC|GMT|Z)$")


def instant(text: str, zone: ZoneInfo) -> int | None:
    """Epoch milliseconds of a time as it is written, or ``None``."""
    text = _NAMED_UTC.sub("+00:00", text.strip())
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        milliseconds = number * 1_000 / _units_a_second(abs(number))
        return round(milliseconds) if abs(number) >= _LEAST_EPOCH and _FIRST <= milliseconds <= _LAST else None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _milliseconds(when if when.tzinfo else when.replace(tzinfo=zone))


def _milliseconds(when: datetime) -> int:
    since = when.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000


def _units_a_second(magnitude: float) -> int:
    """In which unit an epoch number of today's magnitude counts."""
    return 1 if magnitude < 10**11 else 10**3 if magnitude < 10**14 else 10**6 if magnitude < 10**17 else 10**9


def _from_epoch(numbers: pa.Array, name: str, notes: Notes) -> pa.Array:
    # Nearly always one unit in a column: settle it by the ends.
    ends = pc.min_max(numbers)
    low, high = ends["min"].as_py(), ends["max"].as_py()
    if low is None:
        return pa.nulls(len(numbers), INSTANT)
    if low >= _LEAST_EPOCH and _units_a_second(low) == _units_a_second(high):
        units = _units_a_second(low)
        if units >= 1_000:
            return _bounded(numbers, units // 1_000, name, notes)
        return pc.multiply(numbers, 1_000).cast(pa.timestamp("ms")).cast(INSTANT)
    found = [None if one is None else instant(str(one), ZoneInfo("UTC")) for one in numbers.to_pylist()]
    converted = pa.array(found, pa.int64())
    notes[_unreadable(name)] += converted.null_count - numbers.null_count
    return _bounded(converted, 1, name, notes)


def _bounded(numbers: pa.Array, units: int, name: str, notes: Notes) -> pa.Array:
    """Numbers of so many units a millisecond as instants; beyond the years that a reader can hold they are null."""
    if units > 1:
        numbers = pc.divide(numbers, units)
    ends = pc.min_max(numbers)
    low, high = ends["min"].as_py(), ends["max"].as_py()
    if low is not None and (low < _FIRST or high > _LAST):
        fits = pc.and_(pc.greater_equal(numbers, _FIRST), pc.less_equal(numbers, _LAST))
        bounded = pc.if_else(fits, numbers, pa.scalar(None, pa.int64()))
        notes[_unreadable(name)] += bounded.null_count - numbers.null_count
        numbers = bounded
    return numbers.cast(INSTANT)


def whole_numbers(column: pa.Array, name: str, notes: Notes) -> pa.Array:
    """Whole numbers, also where they are written with a point."""
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        pass
    found = by_value(column, lambda texts: [_whole(text) for text in texts], pa.int64())
    notes[_unreadable(name)] += found.null_count - column.null_count
    return found


def _whole(text: str) -> int | None:
    try:
        number = round(float(text))
    except (ValueError, OverflowError):
        return None
    return number if -(2**63) <= number < 2**63 else None


def identifiers(column: pa.Array) -> pa.Array:
    """UUIDs in lower case, record ids in 18 characters; anything else as it is."""
    lower = pc.ascii_lower(column)
    if not lower.equals(column):
        column = pc.if_else(pc.match_substring_regex(column, _UUID), lower, column)
    lengths = pc.binary_length(column)
    if _count(pc.equal(lengths, 15)):
        return by_value(column, lambda texts: [record_id_18(text) for text in texts], pa.string())
    return column


def names(column: pa.Array, known: Sequence[str]) -> pa.Array:
    """``END_USER``, ``End User`` and ``EndUser`` as the last; a name that nobody knows keeps its letters."""
    by_letters = {one.lower(): one for one in known}

    def converted(texts: list[str]) -> list[str]:
        return [by_letters.get(re.sub(r"[\s_\-]", "", text).lower()) or text.strip() for text in texts]

    return by_value(column, converted, pa.string())


def record_lists(column: pa.Array) -> pa.Array:
    """Lists of record ids: JSON, or set apart by semicolons or commas."""
    encoded = column.dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    lists = _json_lists(texts) or [_list(text) for text in texts]
    flat = pa.array(chain.from_iterable(lists), pa.string())
    offsets = np.cumsum([0, *map(len, lists)], dtype=np.int32)
    together = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), record_ids(flat))
    return together.cast(_TEXTS).take(encoded.indices)


_decode_lists = msgspec.json.Decoder(list[list[str]]).decode
_decode_list = msgspec.json.Decoder(list[str]).decode


def _json_lists(texts: list[str]) -> list[list[str]] | None:
    """All of them at once, where all are JSON lists of texts."""
    try:
        lists = _decode_lists(f"[{','.join(texts)}]")
    except msgspec.DecodeError:
        return None
    return lists if len(lists) == len(texts) else None


def _list(text: str) -> list[str]:
    if text.lstrip().startswith("["):
        try:
            return _decode_list(text)
        except msgspec.DecodeError:
            pass
    return [part for one in re.split(r"[;,]", text.strip().strip("[]")) if (part := one.strip().strip("\"'"))]


_CHECK = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345", np.uint8)
_WEIGHTS = np.array([1, 2, 4, 8, 16], np.uint8)
_ID_15 = r"^[A-Za-z0-9]{15}$"


def record_ids(column: pa.Array) -> pa.Array:
    """15-character record ids in their 18-character form, UUIDs in lower case; anything else as it is."""
    column = column.fill_null("")
    short = np.asarray(pc.match_substring_regex(column, _ID_15))
    if not short.any():
        return identifiers(column)
    ids = column.filter(pa.array(short))
    _, offsets, data = ids.buffers()
    start = np.frombuffer(offsets, np.int32, 1, ids.offset * 4)[0]
    letters = np.frombuffer(data, np.uint8, len(ids) * 15, start).reshape(-1, 15)
    capitals = ((letters >= ord("A")) & (letters <= ord("Z"))).astype(np.uint8).reshape(-1, 3, 5)
    checks = _CHECK[(capitals * _WEIGHTS).sum(axis=2)]
    whole = np.concatenate([letters, checks], axis=1)
    ends = np.arange(len(ids) + 1, dtype=np.int32) * 18
    longer = pa.StringArray.from_buffers(len(ids), pa.py_buffer(ends), pa.py_buffer(whole))
    return identifiers(longer if len(ids) == len(column) else pc.replace_with_mask(column, pa.array(short), longer))


class _Sender(msgspec.Struct, rename="camel"):
    app_type: str | None = None
    role: str | None = None
    subject: str | None = None


_decode_senders = msgspec.json.Decoder(list[_Sender]).decode
_SENDER = ("app_type", "role", "subject")


def senders(column: pa.Array, notes: Notes) -> dict[str, pa.Array]:
    """``app_type``, ``role`` and ``subject`` of senders written as JSON objects, also where that JSON is quoted."""
    encoded = column.dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    found: list[_Sender]
    try:
        found = _decode_senders(f"[{','.join(texts)}]")
    except msgspec.DecodeError:
        found = []
    if len(found) != len(texts):
        found = [_sender(text, notes) for text in texts]
    return {name: pa.array(map(attrgetter(name), found), pa.string()).take(encoded.indices) for name in _SENDER}


def _sender(text: str, notes: Notes) -> _Sender:
    value = _parsed(text)
    if not isinstance(value, dict):
        notes["sender that is no JSON object"] += 1
        return _Sender()
    by_letters = {re.sub("_", "", str(name)).lower(): str(one) for name, one in value.items() if one is not None}
    return _Sender(*(by_letters.get(name) for name in ("apptype", "role", "subject")))


def _parsed(text: str) -> Any:
    """A JSON value, also where it is a JSON text that holds one."""
    try:
        value = json.loads(text)
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return None


def payloads(column: pa.Array) -> pa.Array:
    """Payloads as their own JSON: a JSON text that holds JSON is opened once."""
    quoted = pc.starts_with(column, '"')
    if not _count(quoted):
        return column
    return by_value(column, lambda texts: [_unquoted(text) for text in texts], pa.string())


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, str) else text


def _unreadable(name: str) -> str:
    return f"{name} that cannot be read"


def _count(mask: pa.Array) -> int:
    return int(pc.sum(mask.cast(pa.int64())).as_py() or 0)
