"""Rows of many days in one stream, on their way to one file a day."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing
from datetime import date
from itertools import groupby
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
        days: The days that rows may have, ``YYYY-MM-DD``.
        memory: Bytes of rows that are gathered; sorting them takes as much again.
        scratch: A folder to make, on a disk with room for all rows.

    Attributes:
        count: Rows added so far.
    """

    def __init__(self, dataset: Dataset, days: Collection[str], *, memory: int, scratch: Path) -> None:
        self._dataset = dataset
        self._column = dataset.schema.get_field_index(str(dataset.partition_by))
        self._days = {date.fromisoformat(day): day for day in days}
        self._memory = memory
        self._gathered: list[pa.RecordBatch] = []
        self._bytes = 0
        self._kept: dict[str, list[pa.RecordBatch]] = {day: [] for day in days}
        self._spool = _Spool(scratch, dataset.schema)
        self.count = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """
        Raises:
            PublishError: A row has no day, or one that is not among the days.
        """
        if not batch.num_rows:
            return
        self._gathered.append(batch)
        self._bytes += batch.nbytes
        self.count += batch.num_rows
        if self._bytes > self._memory:
            for day, part in self._routed():
                self._spool.write(day, part)

    def finish(self) -> None:
        """All rows have been added."""
        for day, part in self._routed():
            self._kept[day].append(part)
        self._spool.finish()

    def of(self, day: str) -> Iterator[pa.RecordBatch]:
        """A day's rows, as they came; once, and from any thread."""
        yield from self._spool.read(day)
        kept = self._kept.pop(day)
        while kept:
            yield kept.pop(0)

    def close(self) -> None:
        self._gathered.clear()
        self._kept.clear()
        self._spool.close()

    def _routed(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """
        What was gathered, in batches of one day each, a day's rows in the order in which they came.

        Most batches of a bulk result are of one day already.
        """
        gathered, self._gathered, self._bytes = self._gathered, [], 0
        for day, batches in groupby(gathered, self._only_day):
            together = pa.concat_batches(list(batches))
            if day is None:
                yield from self._split(together)
            else:
                yield day, together

    def _only_day(self, batch: pa.RecordBatch) -> str | None:
        """The day of all rows; ``None`` where they are of several, or of none."""
        column = batch.column(self._column)
        ends = pc.min_max(column).cast(_ENDS)
        first, last = ends["min"].as_py(), ends["max"].as_py()
        return self._known(first) if first == last and not column.null_count else None

    def _split(self, batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
        days = batch.column(self._column).cast(pa.date32())  # Arrow keeps instants in UTC, and floors them
        counts = pc.value_counts(days).sort(by="values")
        known = [(self._known(one["values"]), one["counts"]) for one in counts.to_pylist()]
        batch = batch.take(pc.sort_indices(days))
        start = 0
        for day, count in known:
            yield day, batch.slice(start, count)
            start += count

    def _known(self, day: date | None) -> str:
        if day is None:
            raise PublishError(f"a row has no {self._dataset.partition_by}, so it belongs to no day")
        if day not in self._days:
            raise PublishError(f"a row is of {day}, which is none of the days that are replaced")
        return self._days[day]


_ENDS = pa.struct([("min", pa.date32()), ("max", pa.date32())])


class _Spool:
    """Batches of many days in one file, each found again by its day."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._file = folder / "days"
        self._schema = schema
        self._places: dict[str, list[int]] = {}
        self._count = 0
        self._sink: pa.OSFile | None = None
        self._writer: pa.ipc.RecordBatchFileWriter | None = None

    def write(self, day: str, batch: pa.RecordBatch) -> None:
        if self._writer is None:
            self._file.parent.mkdir(exist_ok=True)
            self._sink = pa.OSFile(str(self._file), "wb")
            self._writer = pa.ipc.new_file(self._sink, self._schema)
        self._writer.write_batch(batch)
        self._places.setdefault(day, []).append(self._count)
        self._count += 1

    def finish(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self.close()

    def read(self, day: str) -> Iterator[pa.RecordBatch]:
        places = self._places.get(day)
        if places:
            with closing(pa.OSFile(str(self._file))) as source, pa.ipc.open_file(source) as reader:
                for place in places:
                    yield reader.get_batch(place)

    def close(self) -> None:
        if self._sink is not None:
            self._sink.close()
            self._sink = None
