"""
Pages of Data Cloud as Arrow tables: Arrow streams as they are, JSON by the types that come with it.

Messages never quote a value.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.salesforce.connection import readable
from conversation_pipeline.salesforce.errors import IncompleteAnswer


def arrow_stream(body: bytes) -> pa.Table:
    """
    An Arrow stream's rows, which share the body's memory.

    Raises:
        IncompleteAnswer: it is cut, or none.
    """
    try:
        with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
            table = reader.read_all()
        table.validate()
        return table
    except (pa.ArrowInvalid, OSError):
        raise IncompleteAnswer(f"a chunk of {len(body):,} bytes is no whole Arrow stream; ask again") from None


class _Column(msgspec.Struct):
    name: str
    type: str = ""


class _Page(msgspec.Struct, rename="camel"):
    metadata: list[_Column] = []
    data: list[list[Any]] | None = None
    returned_rows: int | None = None


def json_page(body: bytes) -> pa.Table:
    """
    A page of query-sql; an empty one may lack its rows.

    Raises:
        IncompleteAnswer: it is cut, or its rows are not as many as it says.
    """
    page = _decoded(body, _Page)
    rows = page.data or []
    if page.returned_rows is not None and page.returned_rows != len(rows):
        raise IncompleteAnswer(f"a page has {len(rows):,} rows where it says {page.returned_rows:,}; ask again")
    return _table(page.metadata, rows)


class _V2Column(msgspec.Struct, rename="camel"):
    type: str = ""
    place_in_order: int = 0


class _V2Batch(msgspec.Struct, rename="camel"):
    metadata: dict[str, _V2Column] = {}
    data: list[list[Any]] | None = None
    arrow_stream: str | None = None


def v2_batch(body: bytes) -> pa.Table:
    """A batch of v2; its columns are told in no order, each with its place."""
    batch = _decoded(body, _V2Batch)
    if batch.arrow_stream is not None:
        return arrow_stream(base64.b64decode(batch.arrow_stream))
    ordered = sorted(batch.metadata.items(), key=lambda column: column[1].place_in_order)
    return _table([_Column(name, column.type) for name, column in ordered], batch.data or [])


def _decoded(body: bytes, kind: type[Any]) -> Any:
    with suppress(msgspec.DecodeError, RecursionError):
        return msgspec.json.decode(body, type=kind)
    with suppress(msgspec.DecodeError, RecursionError):  # half an emoji is rare, and looking for it takes long
        return msgspec.json.decode(readable(body), type=kind)
    raise IncompleteAnswer(f"a page of {len(body):,} bytes is not the JSON that was expected; ask again")


def _table(columns: Sequence[_Column], rows: Sequence[Sequence[Any]]) -> pa.Table:
    if any(len(row) != len(columns) for row in rows):
        raise IncompleteAnswer(f"a page has rows with more or less than its {len(columns)} columns; ask again")
    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    arrays = [_array(column, list(cells)) for column, cells in zip(columns, values, strict=True)]
    return pa.table(dict(zip((column.name for column in columns), arrays, strict=True)))


def _array(column: _Column, cells: list[Any]) -> pa.Array:
    kind = column.type.replace(" ", "").replace("_", "").lower()
    try:
        if kind.startswith("timestamp"):
            return _instants(pa.array(cells, pa.string()))
        for convert, type_, names in _NUMBERS:
            if kind.startswith(names):
                return pa.array([None if cell is None else convert(cell) for cell in cells], type_)
        if kind.startswith("bool"):
            return pa.array(cells, pa.bool_())
        return pa.array([cell if cell is None or isinstance(cell, str) else str(cell) for cell in cells], pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError, TypeError):
        raise IncompleteAnswer(f"column {column.name} has a value that is no {column.type}") from None


def _whole(cell: Any) -> int:
    return int(cell) if not isinstance(cell, str) else int(float(cell))


_NUMBERS: tuple[tuple[Callable[[Any], Any], pa.DataType, tuple[str, ...]], ...] = (
    (_whole, pa.int64(), ("int", "bigint", "smallint", "long")),
    (float, pa.float64(), ("numeric", "decimal", "double", "float", "real", "number")),
)
"""Numbers may come as text (v2)."""


def _instants(texts: pa.Array) -> pa.Array:
    """``2026-01-02T03:04:05.678Z``, ``2026-01-02 03:04:05.678+00`` or ``... UTC``; without a zone it is UTC."""
    plain = pc.replace_substring_regex(texts, r"\s*(UTC|Z|\+00(:?00)?)$", "")
    try:
        return plain.cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid:  # of other zones
        return plain.cast(pa.timestamp("us", "UTC"))
