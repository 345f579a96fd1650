"""Ways from a bulk result to Parquet, each run in a process of its own: ``python -m benchmarks.bulk.ways WAY ...``."""

from __future__ import annotations

import argparse
import json
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from itertools import accumulate
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from benchmarks.bulk.pages import COLUMNS, Result
from conversation_pipeline.extract.bulk import ROAD, BulkRoad
from conversation_pipeline.extract.on_platform import Selection
from conversation_pipeline.salesforce.auth import BearerAuth, ClientCredentials
from conversation_pipeline.salesforce.bulk import Bulk, Polling
from conversation_pipeline.salesforce.connection import Connection, Timeouts
from conversation_pipeline.salesforce.quotas import SqliteQuotaStore
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.storage import Lake
from conversation_pipeline.storage.notes import Notes

FIELDS = tuple(field for field in MESSAGING_SESSIONS.fields if field.api_name in COLUMNS)
SELECTION = Selection(MESSAGING_SESSIONS, FIELDS, ())


def ours(result: Result, url: str, folder: Path) -> int:
    """The project's own road: job, pages, Arrow, one sorted and checked file a day."""
    store = SqliteQuotaStore(folder / "quotas.sqlite")
    auth = BearerAuth(ClientCredentials(url, "integration-client", "a-secret"))
    connection = Connection(url, auth, store, timeouts=Timeouts(body=1_200.0))
    bulk = Bulk(connection, polling=Polling(first=0.05), page_records=result.page_rows)
    road = BulkRoad(bulk, Notes(str(folder / "staging"), "bulk-jobs"), scratch=folder)
    lake = Lake(str(folder / "lake"))

    def into(batches: Iterator[pa.RecordBatch], promised: int) -> int:
        receipts = lake.replace_days(
            MESSAGING_SESSIONS, result.days, batches, run_id="benchmark", road=ROAD, promised=promised
        )
        return sum(receipt.rows for receipt in receipts.values())

    rows = road.land(SELECTION, result.days, into)
    connection.close()
    store.close()
    return rows


def ours_into_duckdb(result: Result, url: str, folder: Path) -> int:
    """The same, and on into a table of a DuckDB file."""
    ours(result, url, folder)
    with duckdb.connect(str(folder / "w.duckdb")) as connection:
        connection.execute("SET enable_progress_bar = false")
        files = str(folder / "lake" / MESSAGING_SESSIONS.name / "*" / "*.parquet")
        connection.execute("CREATE TABLE sessions AS FROM read_parquet($files)", {"files": files})
        return int(connection.execute("SELECT count(*) FROM sessions").fetchall()[0][0])


def pyarrow_alone(result: Result, url: str, folder: Path) -> int:
    """
    The bound: pyarrow parses the same bytes from the local disk and writes the same columns with the same codec,
    on two threads; not sorted, not checked, not by day.
    """
    del url
    tables: queue.Queue[pa.Table | None] = queue.Queue(maxsize=4)

    def write() -> None:
        with _written(folder / "alone.parquet") as writer:
            while (table := tables.get()) is not None:
                writer.write_table(table, row_group_size=_ROW_GROUP_ROWS)

    writing = threading.Thread(target=write)
    writing.start()
    rows = 0
    pending: list[pa.RecordBatch] = []
    for page in result.pages:
        with _parsed(page, use_threads=True) as reader:
            for batch in reader:
                rows += batch.num_rows
                pending.append(batch)
                if sum(one.num_rows for one in pending) >= _ROW_GROUP_ROWS:
                    tables.put(pa.Table.from_batches(pending))
                    pending = []
    if pending:
        tables.put(pa.Table.from_batches(pending))
    tables.put(None)
    writing.join()
    return rows


def pyarrow_days(result: Result, url: str, folder: Path) -> int:
    """
    The bound for the same files: pyarrow alone, one file a day, sorted by id; on two threads, whatever memory it
    takes, nothing checked.
    """
    del url
    parts: dict[date, list[pa.RecordBatch]] = defaultdict(list)

    def route(page: Path) -> list[tuple[date, pa.RecordBatch]]:
        with _parsed(page, use_threads=False) as reader:
            rows = pa.concat_batches(list(reader))
        days = rows["CreatedDate"].cast(pa.date32())
        counts = pc.value_counts(days).sort(by="values").to_pylist()
        if not _ascending(days):
            rows = pc.take(rows, pc.sort_indices(days), boundscheck=False)
        starts = accumulate((one["counts"] for one in counts), initial=0)
        return [(one["values"], rows.slice(start, one["counts"])) for one, start in zip(counts, starts, strict=False)]

    def write(day: date) -> int:
        rows = pa.concat_batches(parts.pop(day))
        if not _ascending(rows["Id"]):
            rows = pc.take(rows, pc.sort_indices(rows, sort_keys=[("Id", "ascending")]), boundscheck=False)
        with _written(folder / f"{day}.parquet") as writer:
            writer.write_batch(rows, row_group_size=_ROW_GROUP_ROWS)
        count: int = rows.num_rows
        return count

    with ThreadPoolExecutor(2) as threads:
        for routed in threads.map(route, result.pages):
            for day, part in routed:
                parts[day].append(part)
        return sum(threads.map(write, sorted(parts)))


def _parsed(page: Path, *, use_threads: bool) -> pacsv.CSVStreamingReader:
    return pacsv.open_csv(
        page,
        read_options=pacsv.ReadOptions(block_size=4 << 20, use_threads=use_threads),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types=_TYPES, null_values=[""], strings_can_be_null=True, timestamp_parsers=[pacsv.ISO8601]
        ),
    )


def _written(file: Path) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        file,
        pa.schema([(name, _TYPES[name]) for name in COLUMNS]),
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in COLUMNS if name in _REPEATING],
        column_encoding={
            name: "DELTA_BINARY_PACKED" for name, kind in _TYPES.items() if kind not in (pa.string(), pa.bool_())
        },
    )


def _ascending(values: pa.Array) -> bool:
    ascending: bool = pc.all(pc.less_equal(values[:-1], values[1:]), min_count=0).as_py()
    return ascending


_ROW_GROUP_ROWS = 122_880
_TYPES = {str(field.api_name): field.type for field in FIELDS}
_REPEATING = {
    *("Status", "Origin", "AgentType", "ChannelType", "EndedByType", "MessagingChannelId", "OwnerId", "ChannelKey"),
    "ChannelName",
}
WAYS: dict[str, Callable[[Result, str, Path], int]] = {
    way.__name__: way for way in (ours, ours_into_duckdb, pyarrow_alone, pyarrow_days)
}


def _peak_megabytes() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1_000


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("result", type=Path)
    parser.add_argument("rows", type=int)
    parser.add_argument("page_rows", type=int)
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    began, used = time.perf_counter(), time.process_time()
    landed = WAYS[given.way](Result(given.result, given.rows, given.page_rows), given.url, given.folder)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    print(json.dumps({"rows": landed, "seconds": seconds, "cpu": cpu, "megabytes": _peak_megabytes()}))
