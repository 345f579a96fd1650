"""
Rows in the order of their key, within a bound of memory: sorted runs on disk, merged.

Not DuckDB's ``ORDER BY``: it sorts by vectors of 2,048 rows and ran out of 1 GiB on 8,000 rows of 131 kB,
which is what a Salesforce long text may hold (measured with DuckDB 2.0.0).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.schemas import Dataset
from conversation_pipeline.storage.rows import KeyOrder

_Key = tuple[Any, ...]

_BATCH_ROWS = 65_536
_BATCHES_IN_MEMORY = 8
"""Few, since taking many rows at once costs half as much as taking them by the thousand."""

_BATCHES_OF_A_RUN = 64
"""Many, since a merge has one of each run in memory."""

_SPOOLED = pa.ipc.IpcWriteOptions(compression="lz4")


def in_key_order(
    batches: Iterable[pa.RecordBatch], dataset: Dataset, *, memory: int, scratch: Path
) -> Iterator[pa.RecordBatch]:
    """
    The same rows sorted by key. What comes sorted is passed on as it came.

    Args:
        batches: Rows that fit the dataset's schema.
        dataset: Says the key.
        memory: Bytes of rows that may be gathered; sorting them takes as much again. More goes through
            ``scratch``.
        scratch: A folder to make, on a disk with room for all rows.
    """
    order = KeyOrder(dataset.key)
    step = max(memory // _BATCHES_OF_A_RUN, 1)
    runs: list[Path] = []
    gathered: list[pa.RecordBatch] = []
    size = 0

    def ready(step: int) -> Iterator[pa.RecordBatch]:
        return _cut(gathered, step) if order.ascending else _sorted(gathered, dataset, step)

    for batch in batches:
        order.watch(batch)
        gathered.append(batch)
        size += batch.nbytes
        if size > memory:
            runs.append(_spooled(ready(step), dataset, scratch / f"run-{len(runs)}"))
            gathered.clear()
            size = 0
    batch = None  # a file that is mapped into memory stays there for as long as one of its batches
    if not runs:
        yield from ready(max(memory // _BATCHES_IN_MEMORY, 1))
        return
    with ExitStack() as files:
        parts = [*(_read(run, files) for run in runs), ready(step)]
        yield from chain.from_iterable(parts) if order.ascending else _merged(parts, dataset, step)


def _cut(batches: Iterable[pa.RecordBatch], step: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of about so many bytes at most."""
    for batch in batches:
        rows = _rows_a_step(batch, step)
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def _sorted(batches: list[pa.RecordBatch], dataset: Dataset, step: int) -> Iterator[pa.RecordBatch]:
    """
    Takes the batches out of their list, so that the rows are in memory once while they are passed on, and goes
    column by column, so that they are there twice at most before.
    """
    if not batches:
        return
    keys = pa.concat_batches([batch.select(dataset.key) for batch in batches])
    ranks = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in dataset.key])
    columns = [
        _taken([batch.column(place) for batch in batches], ranks, field.type)
        for place, field in enumerate(dataset.schema)
    ]
    batches.clear()
    yield from _cut([pa.RecordBatch.from_arrays(columns, schema=dataset.schema)], step)


def _taken(parts: list[pa.Array], ranks: pa.Array, kind: pa.DataType) -> pa.Array:
    """A column in another order; of one without a value, as many are, nothing is copied."""
    if all(part.null_count == len(part) for part in parts):
        return pa.nulls(len(ranks), kind)
    return pc.take(pa.concat_arrays(parts), ranks, boundscheck=False)


def _rows_a_step(rows: pa.RecordBatch, step: int) -> int:
    fitting: int = rows.num_rows * step // max(rows.nbytes, 1)
    return min(max(fitting, 1), _BATCH_ROWS)


def _spooled(rows: Iterable[pa.RecordBatch], dataset: Dataset, run: Path) -> Path:
    run.parent.mkdir(exist_ok=True)
    with (
        pa.OSFile(str(run), "wb") as file,
        pa.ipc.new_stream(file, dataset.schema, options=_SPOOLED) as writer,
    ):
        for batch in rows:
            writer.write_batch(batch)
    return run


def _read(run: Path, files: ExitStack) -> Iterator[pa.RecordBatch]:
    file = files.enter_context(pa.OSFile(str(run)))
    return iter(files.enter_context(pa.ipc.open_stream(file)))


def _merged(runs: Iterable[Iterator[pa.RecordBatch]], dataset: Dataset, step: int) -> Iterator[pa.RecordBatch]:
    """
    One sorted stream of several.

    Of each run one batch is in memory. Whatever is not above the lowest of their last keys can come in no
    later batch, so it is sorted and passed on; that uses up at least one batch a round.
    """
    heads = [(head, run) for run in runs if (head := next(run, None)) is not None]
    while heads:
        bound = min(_key(head, head.num_rows - 1, dataset) for head, _ in heads)
        counts = [_count_up_to(bound, head, dataset) for head, _ in heads]
        yield from _sorted(
            [head.slice(0, count) for (head, _), count in zip(heads, counts, strict=True)], dataset, step
        )
        heads = [
            (rest, run)
            for (head, run), count in zip(heads, counts, strict=True)
            if (rest := head.slice(count) if count < head.num_rows else next(run, None)) is not None
        ]


def _count_up_to(bound: _Key, head: pa.RecordBatch, dataset: Dataset) -> int:
    return bisect_right(range(head.num_rows), bound, key=lambda row: _key(head, row, dataset))


def _key(batch: pa.RecordBatch, row: int, dataset: Dataset) -> _Key:
    """A row's key. Python compares texts by code point, Arrow by their UTF-8 bytes: the same order."""
    return tuple(batch.column(name)[row].as_py() for name in dataset.key)
