"""Rows of many days in one stream, on their way to one file a day."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.schemas import Dataset
from conversation_pipeline.storage.errors import PublishError


class ByDay:
    """
    Sorts rows by the UTC day of the dataset's ``partition_by``, within a bound of memory: what does not fit is
    written to one file, in batches of one day each.

    Args:
        dataset: Says the column.
        days: The days that rows may have, ``YYYY-MM-DD``; by default any.
        memory: Bytes of rows that are gathered; sorting them takes as much again.
        scratch: A folder to make, on a disk with room for all rows.

    Attributes:
        count: Rows added so far.
    """

    def __init__(self, dataset: Dataset, days: Collection[str] | None = None, *, memory: int, scratch: Path) -> None:
        self._dataset = dataset
        self._column = dataset.schema.get_field_index(str(dataset.partition_by))
        self._days = None if days is None else {date.fromisoformat(day): day for day in days}
        self._memory = memory
        self._small: list[pa.RecordBatch] = []
        self._small_rows = 0
        self._kept: dict[str, list[pa.RecordBatch]] = {day: [] for day in days or ()}
        self._bytes = 0
        self._spool = _Spool(scratch, dataset.schema)
        self.count = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """
        Raises:
            PublishError: A row has no day, or one that is not among the days.
        """
        self._bytes += batch.nbytes
        self.count += batch.num_rows
        self._small.append(batch)
        self._small_rows += batch.num_rows
        alone = len(self._small) == 1 and batch.num_rows >= _ENOUGH_ALONE
        if alone or self._small_rows >= _ROWS_AT_ONCE or self._bytes > self._memory:
            self._route()
        if self._bytes > self._memory:
            self._make_room()

    def finish(self) -> None:
        """All rows have been added."""
        self._route()
        self._spool.finish()
        pa.default_memory_pool().release_unused()  # what reading has left over: sorting asks for other sizes

    @property
    def days(self) -> list[str]:
        """Once all rows have been added: the days that were given, or those that rows have; sorted."""
        return sorted(self._kept)

    def of(self, day: str) -> Iterator[pa.RecordBatch]:
        """A day's rows, as they came; once, and from any thread."""
        yield from self._spool.read(day)
        kept = self._kept.pop(day, [])
        while kept:
            yield kept.pop(0)

    def close(self) -> None:
        self._small.clear()
        self._kept.clear()
        self._spool.close()

    def _route(self) -> None:
        """Give each row that was added to its day; the rows of a day stay in the order in which they came."""
        if self._small_rows:
            together = self._small[0] if len(self._small) == 1 else pa.concat_batches(self._small)
            for day, part in self._parts(together):
                self._kept.setdefault(day, []).append(part)
        self._small.clear()
        self._small_rows = 0

    def _make_room(self) -> None:
        for day, parts in self._kept.items():
            if parts:
                self._spool.write(day, parts)
                parts.clear()
        self._bytes = 0

    def _parts(self, batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
        """The batch in parts of one day each. Rows that come by time, as most do, are not copied."""
        days = batch.column(self._column).cast(pa.date32())  # Arrow keeps instants in UTC, and floors them
        counts = pc.value_counts(days).sort(by="values")
        known = [(self._known(one["values"]), one["counts"]) for one in counts.to_pylist()]
        if not pc.all(pc.less_equal(days[:-1], days[1:]), min_count=0).as_py():
            batch = pc.take(batch, pc.sort_indices(days), boundscheck=False)
        start = 0
        for day, count in known:
            yield day, batch.slice(start, count)
            start += count

    def _known(self, day: date | None) -> str:
        if day is None:
            raise PublishError(f"a row has no {self._dataset.partition_by}, so it belongs to no day")
        if self._days is None:
            return day.isoformat()
        if day not in self._days:
            raise PublishError(f"a row is of {day}, which is none of the days that are replaced")
        return self._days[day]


_ROWS_AT_ONCE = 16_384
"""Rows that are given to their days together; a few at a time would cost more than the rows themselves."""

_ENOUGH_ALONE = 4_096
"""Rows of one batch that do not wait for others: to put them together would copy them."""


_MAPPING_BYTES = 32 * 2**20
"""A mapping is memory of this process for as long as one of its batches is held: one alone would be a whole day's."""


class _Spool:
    """Batches of many days in one file, each found again by its day."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._file = folder / "days"
        self._schema = schema
        self._places: dict[str, list[list[int]]] = {}  # of each day, those that are mapped into memory together
        self._mapped: dict[str, int] = {}
        self._count = 0
        self._sink: pa.OSFile | None = None
        self._writer: pa.ipc.RecordBatchFileWriter | None = None

    def write(self, day: str, batches: list[pa.RecordBatch]) -> None:
        if self._writer is None:
            self._file.parent.mkdir(exist_ok=True)
            self._sink = pa.OSFile(str(self._file), "wb")
            self._writer = pa.ipc.new_file(self._sink, self._schema)
        for batch in batches:
            self._writer.write_batch(batch)
            mappings = self._places.setdefault(day, [[]])
            if self._mapped.get(day, 0) >= _MAPPING_BYTES:
                mappings.append([])
                self._mapped[day] = 0
            mappings[-1].append(self._count)
            self._mapped[day] = self._mapped.get(day, 0) + batch.nbytes
            self._count += 1

    def finish(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self.close()

    def read(self, day: str) -> Iterator[pa.RecordBatch]:
        for places in self._places.get(day, []):
            with closing(pa.memory_map(str(self._file))) as source, pa.ipc.open_file(source) as reader:
                for place in places:
                    yield reader.get_batch(place)

    def close(self) -> None:
        if self._sink is not None:
            self._sink.close()
            self._sink = None
