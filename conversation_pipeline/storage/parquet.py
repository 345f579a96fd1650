"""Writes the one file of a partition."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from conversation_pipeline.schemas import Dataset
from conversation_pipeline.storage.content import ContentHash
from conversation_pipeline.storage.errors import PublishError
from conversation_pipeline.storage.rows import KeyOrder

ROW_GROUP_ROWS = 122_880
"""DuckDB's own row group; its threads share out a file by row groups (storage-and-performance 3.1)."""

ROW_GROUP_BYTES = 128 * 2**20
"""Ends a row group early where rows are wide, so that memory has a bound; as the rows lie in memory."""

_SAMPLE_ROWS = 50_000
_REPEATING = 0.05
_GLANCE_ROWS = 2_048
_GLANCE_DISTINCT = 0.75  # with 2,500 values, the most that may repeat in 50,000 rows, it would be 0.68


class Dictionaries:
    """
    Which columns are written with a dictionary: those of texts or decimals that repeat in the first rows (2.4, "low").

    Files of one dataset that share this share one look, since looking costs a sixth of writing.
    """

    def __init__(self) -> None:
        self._names: list[str] | None = None

    def of(self, sample: pa.Table) -> list[str]:
        """Names of columns, by the rows of the first file that had enough of them to tell."""
        if self._names is not None:
            return self._names
        names = [name for name in sample.column_names if _repeats(sample.column(name))]
        if sample.num_rows >= _GLANCE_ROWS:
            self._names = names
        return names


class PartitionWriter:
    """
    Rows in the order of their key, as Parquet: zstd level 1, dictionaries where values repeat, packed
    differences for integers and times (measured in storage-and-performance 2.4).

    Attributes:
        rows: Rows written so far.
        order: Watches the keys.
        content: Fingerprint of the rows.
    """

    def __init__(self, path: Path, dataset: Dataset, dictionaries: Dictionaries) -> None:
        self._path = path
        self._dataset = dataset
        self._dictionaries = dictionaries
        self._empty_waiting()
        self._file: pq.ParquetWriter | None = None
        self.rows = 0
        self.order = KeyOrder(dataset.key)
        self.content = ContentHash(dataset.schema)

    def write(self, batch: pa.RecordBatch) -> None:
        """
        Add rows.

        Raises:
            PublishError: A key comes twice.
        """
        self.order.watch(batch)
        if self.order.repeated:
            raise PublishError(f"a key of columns {list(self._dataset.key)} comes twice; keep one row a key")
        self.content.update(batch)
        self.rows += batch.num_rows
        self._wait(batch)
        if self._waiting_bytes >= ROW_GROUP_BYTES:
            self._flush(self._waiting_rows)
        elif self._waiting_rows >= ROW_GROUP_ROWS:
            self._flush(self._waiting_rows // ROW_GROUP_ROWS * ROW_GROUP_ROWS)

    def finish(self, footer: dict[str, str]) -> None:
        """Write what is left, and the footer with these entries."""
        file = self._flush(self._waiting_rows)
        file.add_key_value_metadata(footer)
        file.close()

    def close(self) -> None:
        """Let go of the file, finished or not, and of the memory that it took."""
        if self._file is not None and self._file.is_open:
            with suppress(OSError):
                self._file.close()
        pa.default_memory_pool().release_unused()

    def _empty_waiting(self) -> None:
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self._waiting_bytes = 0

    def _wait(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        self._waiting_bytes += batch.nbytes

    def _flush(self, rows: int) -> pq.ParquetWriter:
        """Write the first so many of the waiting rows."""
        table = pa.Table.from_batches(self._waiting, self._dataset.schema)
        if self._file is None:
            self._file = _opened(self._path, self._dataset, self._dictionaries.of(table))
        self._file.write_table(table.slice(0, rows), row_group_size=ROW_GROUP_ROWS)
        self._empty_waiting()
        for batch in table.slice(rows).to_batches():
            self._wait(batch)
        return self._file


def _opened(path: Path, dataset: Dataset, dictionaries: list[str]) -> pq.ParquetWriter:
    schema = dataset.schema
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=dictionaries,
        column_encoding={
            path: "DELTA_BINARY_PACKED"
            for field in schema
            for path, kind in _leaves(field.name, field.type)
            if pa.types.is_integer(kind) or pa.types.is_temporal(kind)
        },
        sorting_columns=pq.SortingColumn.from_ordering(schema, [(name, "ascending") for name in dataset.key]),
    )


def _repeats(column: pa.ChunkedArray) -> bool:
    """Whether a dictionary pays: text or decimals of which fewer than one in twenty are new."""
    if not (pa.types.is_string(column.type) or pa.types.is_floating(column.type)):
        return False
    # A glance tells most columns: counting 50,000 different texts costs as much as writing them.
    glance = column.slice(0, _GLANCE_ROWS)
    seen = _distinct(glance)
    if seen < _REPEATING * len(glance) or seen > _GLANCE_DISTINCT * len(glance):
        return seen < _REPEATING * len(glance)
    sample = column.slice(0, _SAMPLE_ROWS)
    return _distinct(sample) < _REPEATING * len(sample)


def _distinct(column: pa.ChunkedArray) -> int:
    count: int = pc.count_distinct(column, mode="all").as_py()
    return count


def _leaves(path: str, kind: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
    """The Parquet columns of an Arrow column, by their path in the file."""
    if pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves(f"{path}.{field.name}", field.type)
    elif pa.types.is_list(kind):
        yield from _leaves(f"{path}.list.element", kind.value_type)
    else:
        yield path, kind
