"""Ways from ZIP parts to Parquet, each run in a process of its own: ``python -m benchmarks.archives.ways WAY ...``."""

from __future__ import annotations

import argparse
import json
import logging
import queue
import resource
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from benchmarks.archives.parts import COLUMNS
from conversation_pipeline import archives
from conversation_pipeline.defs.landing.archive import ArchiveLanding, LandedArchive, arrived, land_archive
from conversation_pipeline.storage import Lake
from conversation_pipeline.storage.store import Store

_log = logging.getLogger(__name__)
_ROW_GROUP = 122_880
_REPEATING = ("entry_type", "sender_role", "sender_app_type", "road", "archive", "member")


def ours(parts: list[str]) -> Iterator[pa.RecordBatch]:
    """Checked to the end of each member, hashed, every cell read for what it means."""
    reading = archives.read(parts)
    yield from reading.batches()
    if reading.provenance.quarantined:
        sys.exit(f"quarantined: {reading.provenance.quarantined}")


def pyarrow_alone(parts: list[str]) -> Iterator[pa.RecordBatch]:
    """
    The bound: inflate and parse, once, the header taken at its word; times and numbers typed, everything else text.

    The same rows in the same columns with the same codec, as far as they are in the file; nothing is checked, hashed,
    taken apart or put right.
    """
    types = dict.fromkeys(COLUMNS, pa.string()) | {
        name: pa.int64() for name in ("transcripted_timestamp", "client_timestamp", "client_duration")
    }
    for part in parts:
        with zipfile.ZipFile(part) as archive:
            for info in archive.infolist():
                with archive.open(info) as stream, pacsv.open_csv(
                    pa.PythonFile(stream, mode="r"),
                    read_options=pacsv.ReadOptions(block_size=4 << 20),
                    parse_options=pacsv.ParseOptions(newlines_in_values=True),
                    convert_options=pacsv.ConvertOptions(
                        column_types=types, null_values=[""], strings_can_be_null=True
                    ),
                ) as reader:  # fmt: skip
                    yield from (_timed(batch) for batch in reader)


def _timed(batch: pa.RecordBatch) -> pa.RecordBatch:
    instant = pa.timestamp("ms", tz="UTC")
    columns = [
        column.cast(instant) if name.endswith("timestamp") else column
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.record_batch(columns, batch.schema.names)


def written(batches: Iterator[pa.RecordBatch], file: Path) -> int:
    """Rows of batches written as Parquet on a second thread, as the lake writes it."""
    waiting: queue.Queue[pa.Table | None] = queue.Queue(maxsize=1)

    def write() -> None:
        writer: pq.ParquetWriter | None = None
        while (table := waiting.get()) is not None:
            writer = writer or pq.ParquetWriter(
                file,
                table.schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=[name for name in table.schema.names if name in _REPEATING],
                column_encoding={
                    field.name: "DELTA_BINARY_PACKED"
                    for field in table.schema
                    if pa.types.is_integer(field.type) or pa.types.is_timestamp(field.type)
                },
            )
            writer.write_table(table, row_group_size=_ROW_GROUP)
        if writer is not None:
            writer.close()

    writing = threading.Thread(target=write)
    writing.start()
    rows, pending, count = 0, [], 0
    for batch in batches:
        pending.append(batch)
        count += batch.num_rows
        if count >= _ROW_GROUP:
            waiting.put(pa.Table.from_batches(pending))
            rows, pending, count = rows + count, [], 0
    if pending:
        waiting.put(pa.Table.from_batches(pending))
    waiting.put(None)
    writing.join()
    return rows + count


def to_one_file(read: Callable[[list[str]], Iterator[pa.RecordBatch]]) -> Callable[[list[str], Path], int]:
    return lambda parts, folder: written(read(parts), folder / "entries.parquet")


def road(parts: list[str], folder: Path) -> int:
    """From the parts to the lake's days, as the asset lands them: payloads read, sorted by key, hashed, on record."""
    landing = ArchiveLanding(Store(str(Path(parts[0]).parent)), Lake(str(folder / "lake")), "benchmark", _log)
    landed = LandedArchive()
    for one in arrived(landing.folder).values():
        land_archive(landing, one, landed)
    if landed.provenance.quarantined or landed.rows_unplaced:
        sys.exit(f"quarantined: {landed.provenance.quarantined}; without a place: {landed.rows_unplaced}")
    return sum(receipt.rows for receipt in landed.days.values())


WAYS: dict[str, Callable[[list[str], Path], int]] = {
    "road": road,
    "reader": to_one_file(ours),
    "pyarrow_alone": to_one_file(pyarrow_alone),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=list(WAYS))
    parser.add_argument("parts", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    parts = [str(part) for part in sorted(given.parts.glob("*.zip"))]
    started, cpu = time.perf_counter(), time.process_time()
    rows = WAYS[given.way](parts, given.folder)
    print(
        json.dumps(
            {
                "rows": rows,
                "seconds": time.perf_counter() - started,
                "cpu": time.process_time() - cpu,
                "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "parquet": sum(file.stat().st_size for file in given.folder.rglob("*.parquet")),
            }
        )
    )


if __name__ == "__main__":
    main()
