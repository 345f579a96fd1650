"""Ways from a bulk result to Parquet, each run in a process of its own: ``python -m benchmarks.bulk.ways WAY ...``."""

from __future__ import annotations

import argparse
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
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
    types = {str(field.api_name): field.type for field in FIELDS}
    tables: queue.Queue[pa.Table | None] = queue.Queue(maxsize=4)
    repeating = [name for name in COLUMNS if name in _REPEATING]

    def write() -> None:
        schema = pa.schema([(name, types[name]) for name in COLUMNS])
        with pq.ParquetWriter(
            folder / "alone.parquet",
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=repeating,
            column_encoding={
                name: "DELTA_BINARY_PACKED" for name, kind in types.items() if kind not in (pa.string(), pa.bool_())
            },
        ) as writer:
            while (table := tables.get()) is not None:
                writer.write_table(table, row_group_size=122_880)

    writing = threading.Thread(target=write)
    writing.start()
    rows = 0
    pending: list[pa.RecordBatch] = []
    for page in result.pages:
        with pacsv.open_csv(
            page,
            read_options=pacsv.ReadOptions(block_size=4 << 20),
            parse_options=pacsv.ParseOptions(newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(
                column_types=types, null_values=[""], strings_can_be_null=True, timestamp_parsers=[pacsv.ISO8601]
            ),
        ) as reader:
            for batch in reader:
                rows += batch.num_rows
                pending.append(batch)
                if sum(one.num_rows for one in pending) >= 122_880:
                    tables.put(pa.Table.from_batches(pending))
                    pending = []
    if pending:
        tables.put(pa.Table.from_batches(pending))
    tables.put(None)
    writing.join()
    return rows


_REPEATING = {
    *("Status", "Origin", "AgentType", "ChannelType", "EndedByType", "MessagingChannelId", "OwnerId", "ChannelKey"),
    "ChannelName",
}
WAYS: dict[str, Callable[[Result, str, Path], int]] = {
    way.__name__: way for way in (ours, ours_into_duckdb, pyarrow_alone)
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
