"""Rows on their way into a partition: do they fit the dataset's schema, are they in the order of its key?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.schemas import Dataset
from conversation_pipeline.storage.errors import PublishError

_BATCH_ROWS = 16_384


def fitted(batch: pa.RecordBatch, dataset: Dataset) -> pa.RecordBatch:
    """
    The batch with the dataset's columns: found by name, cast, null where the batch lacks one.

    Raises:
        PublishError: A column is unknown or named twice, does not fit its type, or a key is null. Names
            columns and types, never a value.
    """
    schema = dataset.schema
    if batch.schema.equals(schema):
        arrays = batch.columns
    else:
        arrays = _arranged(batch, schema)
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    empty = [name for name in dataset.key if arrays[schema.get_field_index(name)].null_count]
    if empty:
        raise PublishError(f"key columns {empty} hold null; every row needs its key")
    return batch


def _arranged(batch: pa.RecordBatch, schema: pa.Schema) -> list[pa.Array]:
    names = batch.schema.names
    unknown = sorted(set(names) - set(schema.names))
    if unknown or len(set(names)) != len(names):
        raise PublishError(
            f"columns {unknown or names} are not declared, or named twice; "
            "declare them in the dataset's fields or leave them out of the batch"
        )
    return [_column(batch, field) for field in schema]


def _column(batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    if field.name not in batch.schema.names:
        return pa.nulls(batch.num_rows, field.type)
    column = batch.column(field.name)
    if column.type == field.type:
        return column
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        # Arrow's message quotes the value, which may be a customer's words.
        raise PublishError(
            f"column {field.name} is declared {field.type} but holds {column.type} values that do not fit; "
            "cast them where the rows are made"
        ) from None


class KeyOrder:
    """
    Watches the keys of a stream of batches.

    Attributes:
        ascending: Whether each row's key was above the one before: sorted, and none twice.
        repeated: Whether a row's key was equal to the one before.
        first: The first row's key columns; ``None`` before the first row.
        last: The last row's key columns; ``None`` before the first row.
    """

    def __init__(self, key: Sequence[str]) -> None:
        self._key = list(key)
        self.ascending = True
        self.repeated = False
        self.first: pa.RecordBatch | None = None
        self.last: pa.RecordBatch | None = None

    def watch(self, batch: pa.RecordBatch) -> None:
        if not batch.num_rows:
            return
        keys = batch.select(self._key)
        if self.last is None:
            self.first = _copied(keys, 0)
        else:
            keys = pa.concat_batches([self.last, keys])
        self.last = _copied(keys, keys.num_rows - 1)
        above, equal = _steps(keys)
        self.ascending = self.ascending and above
        self.repeated = self.repeated or equal


def _copied(keys: pa.RecordBatch, row: int) -> pa.RecordBatch:
    """One row of its own: a slice would keep the whole batch in memory."""
    return keys.take(pa.array([row]))


def first_of_key(batches: Iterable[pa.RecordBatch], key: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Of rows in the order of their key, the first of each key."""
    last: pa.RecordBatch | None = None
    for batch in batches:
        if not batch.num_rows:
            continue
        keys = batch.select(list(key))
        keys = keys if last is None else pa.concat_batches([last, keys])
        repeated = _equal_to_the_one_before(keys)
        if last is None:
            repeated = pa.concat_arrays([pa.array([False]), repeated])
        last = keys.slice(keys.num_rows - 1)
        yield batch.filter(pc.invert(repeated)) if pc.any(repeated).as_py() else batch


def _equal_to_the_one_before(keys: pa.RecordBatch) -> pa.Array:
    """For every row but the first."""
    equal = pa.array(np.ones(keys.num_rows - 1, dtype=bool))
    for column in keys.columns:
        equal = pc.and_(equal, pc.equal(column[:-1], column[1:]))
    return equal


def _steps(keys: pa.RecordBatch) -> tuple[bool, bool]:
    """Whether every row is above the one before it, and whether any is equal to it."""
    before, after = keys.slice(0, keys.num_rows - 1), keys.slice(1)
    above, equal = pa.scalar(False), pa.scalar(True)
    for left, right in zip(reversed(before.columns), reversed(after.columns), strict=True):
        same = pc.equal(left, right)
        above = pc.or_(pc.less(left, right), pc.and_(same, above))
        equal = pc.and_(same, equal)
    return pc.all(above).as_py() is not False, pc.any(equal).as_py() is True
