"""A fingerprint of rows: the same for the same rows in the same order, however they were cut into batches."""

from __future__ import annotations

import hashlib
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


class ContentHash:
    """
    SHA-256 over the columns of a stream of record batches.

    Each column's parts (which values are present, lengths, values) are streams of their own, so where one
    batch ends and the next begins leaves no trace; nor does what Arrow buffers hold behind a null. Columns'
    names and types count.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._streams: dict[str, Any] = {}

    def update(self, batch: pa.RecordBatch) -> None:
        for name, column in zip(self._schema.names, batch.columns, strict=True):
            self._add(name, column)

    def hexdigest(self) -> str:
        whole = hashlib.sha256()
        for field in self._schema:
            whole.update(f"{field.name} {field.type}\n".encode())
        for path in sorted(self._streams):
            whole.update(f"{path} {self._streams[path].hexdigest()}\n".encode())
        return whole.hexdigest()

    def _add(self, path: str, array: pa.Array) -> None:
        self._stream(f"{path} present").update(_present(array))
        kind = array.type
        if pa.types.is_struct(kind):
            for field, child in zip(kind, array.flatten(), strict=True):
                self._add(f"{path}.{field.name}", child)
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
            self._feed(f"{path} lengths", _values(pc.list_value_length(array)))
            self._add(f"{path}[]", array.flatten())
        elif pa.types.is_boolean(kind):
            self._feed(f"{path} values", _values(array).cast(pa.uint8()))
        elif _is_text(kind):
            values = _values(array)
            self._feed(f"{path} lengths", pc.binary_length(values))
            self._stream(f"{path} values").update(_bytes_of_text(values))
        else:
            self._feed(f"{path} values", _values(array))

    def _feed(self, path: str, array: pa.Array) -> None:
        """Add a fixed-width array without nulls."""
        width = array.type.byte_width
        start, end = array.offset * width, (array.offset + len(array)) * width
        self._stream(path).update(memoryview(array.buffers()[1])[start:end] if len(array) else b"")

    def _stream(self, path: str) -> Any:
        return self._streams.setdefault(path, hashlib.sha256())


def _present(array: pa.Array) -> bytes | memoryview:
    """A byte for each place: 1 for a value, 0 for null."""
    if array.null_count in (0, len(array)):
        return bytes([array.null_count == 0]) * len(array)
    return memoryview(array.is_valid().cast(pa.uint8()).buffers()[1])[: len(array)]


def _values(array: pa.Array) -> pa.Array:
    """Without the nulls, where there are any; dropping none costs a copy."""
    return array.drop_null() if array.null_count else array


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.binary())


def _bytes_of_text(array: pa.Array) -> memoryview | bytes:
    """The texts one behind the other, as they lie in memory."""
    _, offsets, data = array.buffers()
    if not len(array) or data is None:
        return b""
    bounds = memoryview(offsets).cast("i")
    return memoryview(data)[bounds[array.offset] : bounds[array.offset + len(array)]]
