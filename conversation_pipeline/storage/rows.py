"""Rows on their way into a partition: fitted to the dataset's schema, and put in the order of its key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.schemas import Dataset
from conversation_pipeline.storage.errors import PublishError
from conversation_pipeline.storage.sql import Text, sql

_BATCH_ROWS = 16_384


def fitted(batch: pa.RecordBatch, dataset: Dataset) -> pa.RecordBatch:
    """
    The batch with the dataset's columns: found by name, cast, null where the batch lacks one.

    Raises:
        PublishError: A column is unknown or named twice, does not fit its type, or a key is null. Names
            columns and types, never a value.
    """
    names = batch.schema.names
    unknown = sorted(set(names) - set(dataset.schema.names))
    if unknown or len(set(names)) != len(names):
        raise PublishError(
            f"columns {unknown or names} are not declared, or named twice; "
            "declare them in the dataset's fields or leave them out of the batch"
        )
    arrays = [_column(batch, field) for field in dataset.schema]
    empty = [name for name in dataset.key if arrays[dataset.schema.get_field_index(name)].null_count]
    if empty:
        raise PublishError(f"key columns {empty} hold null; every row needs its key")
    return pa.RecordBatch.from_arrays(arrays, schema=dataset.schema)


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
            self.first = keys.slice(0, 1)
        else:
            keys = pa.concat_batches([self.last, keys])
        self.last = keys.slice(keys.num_rows - 1)
        above, equal = _steps(keys)
        self.ascending = self.ascending and above
        self.repeated = self.repeated or equal


def _steps(keys: pa.RecordBatch) -> tuple[bool, bool]:
    """Whether every row is above the one before it, and whether any is equal to it."""
    before, after = keys.slice(0, keys.num_rows - 1), keys.slice(1)
    above, equal = pa.scalar(False), pa.scalar(True)
    for left, right in zip(reversed(before.columns), reversed(after.columns), strict=True):
        same = pc.equal(left, right)
        above = pc.or_(pc.less(left, right), pc.and_(same, above))
        equal = pc.and_(same, equal)
    return pc.all(above).as_py() is not False, pc.any(equal).as_py() is True


def in_key_order(
    batches: Iterable[pa.RecordBatch], dataset: Dataset, *, memory: int, scratch: Path
) -> Iterator[pa.RecordBatch]:
    """
    The same rows sorted by key. What came sorted is passed on as it came.

    Args:
        batches: Rows that fit the dataset's schema.
        dataset: Says the key.
        memory: Bytes that may be gathered in memory; more goes through ``scratch``, sorted by DuckDB within
            as much.
        scratch: A folder to make on a disk, for rows beyond that.
    """
    order = KeyOrder(dataset.key)
    gathered: list[pa.RecordBatch] = []
    size = 0
    rest = iter(batches)
    for batch in rest:
        order.watch(batch)
        gathered.append(batch)
        size += batch.nbytes
        if size > memory:
            break
    else:
        yield from gathered if order.ascending else _sorted_in_memory(gathered, dataset)
        return

    scratch.mkdir()
    spool = scratch / "rows"
    with (
        pa.OSFile(str(spool), "wb") as file,
        pa.ipc.new_stream(file, dataset.schema, options=_SPOOLED) as writer,
    ):
        for batch in gathered:
            writer.write_batch(batch)
        gathered.clear()
        for batch in rest:
            order.watch(batch)
            writer.write_batch(batch)
    with pa.OSFile(str(spool)) as file, pa.ipc.open_stream(file) as rows:
        yield from rows if order.ascending else _sorted_on_disk(rows, dataset, memory, scratch)


_SPOOLED = pa.ipc.IpcWriteOptions(compression="lz4")


def _sorted_in_memory(batches: list[pa.RecordBatch], dataset: Dataset) -> Iterator[pa.RecordBatch]:
    table = pa.Table.from_batches(batches, dataset.schema).combine_chunks()
    ranks = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in dataset.key])
    for start in range(0, len(ranks), _BATCH_ROWS):
        yield from table.take(ranks.slice(start, _BATCH_ROWS)).to_batches()


def _sorted_on_disk(
    rows: pa.RecordBatchReader, dataset: Dataset, memory: int, scratch: Path
) -> Iterator[pa.RecordBatch]:
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(sql("SET memory_limit = {limit}", limit=Text(f"{max(memory // 2**20, 64)}MiB")))
        connection.execute(sql("SET temp_directory = {folder}", folder=Text(scratch)))
        connection.register("rows", rows)
        try:
            ordered = connection.sql(sql("SELECT * FROM rows ORDER BY {key}", key=dataset.key))
            for batch in ordered.to_arrow_reader(_BATCH_ROWS):
                yield fitted(batch, dataset)
        except duckdb.Error as error:
            raise PublishError(
                f"sorting on disk failed; free space in {scratch.parent} or give the lake more memory"
            ) from error
