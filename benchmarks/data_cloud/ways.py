"""Ways from a result of Data Cloud to Parquet, each in a process of its own."""

from __future__ import annotations

import argparse
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pajson
import pyarrow.parquet as pq

from benchmarks.data_cloud.pages import Result
from conversation_pipeline.defs.landing.data_cloud import DataCloudLanding, DataCloudPull, land_data_cloud
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.schemas.conversations import ENTRIES_DATA_CLOUD
from conversation_pipeline.settings import load_settings
from conversation_pipeline.storage import Lake, Staging

_SCHEMA = ENTRIES_DATA_CLOUD.schema
_ROW_GROUP_ROWS = 131_072
_FROM = {"entry_identifier": "id", "payload": "payload_text", "client_duration_ms": "duration_seconds"}


def ours(result: Result, url: str, folder: Path) -> int:
    """The project's own road: exchange, look, query, pages staged, one sorted and checked file a day."""
    settings = load_settings(
        _env_file=None,
        salesforce_instance_url=url,
        salesforce_client_id="client",
        salesforce_client_secret="secret",
        conversation_start_date=result.days[0],
        conversation_lake=str(folder / "lake"),
        conversation_staging=str(folder / "staging"),
        conversation_quotas=str(folder / "quotas.sqlite"),
        conversation_data_cloud_mode=result.mode,
    )
    org = Org(settings)
    lake, staging = Lake(settings.conversation_lake), Staging(settings.conversation_staging)
    landing = DataCloudLanding(org, lake, staging, "benchmark", logging.getLogger("benchmark"))
    try:
        landed = list(land_data_cloud(landing, result.days, DataCloudPull()))
    finally:
        org.close()
    return sum(metadata["dagster/partition_row_count"] for _, metadata in landed)


def alone(result: Result, url: str, folder: Path) -> int:
    """
    The bound: pyarrow reads the same Arrow streams from the local disk and writes the same columns with the same codec,
    by day, on two threads; payloads are not read (their columns are null), nothing is sorted or checked.
    """
    del url
    return _days(result, folder, lambda table: pa.table([_column(table, field) for field in _SCHEMA], _SCHEMA))


def alone_same(result: Result, url: str, folder: Path) -> int:
    """The bound for the same Parquet: payloads read by pyarrow's own JSON reader as well; not sorted, not checked."""
    del url

    def typed(table: pa.Table) -> pa.Table:
        read = _payloads(table["payload_text"])
        return pa.table([read.get(field.name, _column(table, field)) for field in _SCHEMA], _SCHEMA)

    return _days(result, folder, typed)


_MESSAGE = pa.struct(
    [
        ("messageType", pa.string()),
        ("inReplyToMessageId", pa.string()),
        ("staticContent", pa.struct([("formatType", pa.string()), ("text", pa.string())])),
        ("choices", pa.struct([("formatType", pa.string()), ("text", pa.string())])),
        ("choicesResponse", pa.struct([("formatType", pa.string())])),
    ]
)
_PAYLOAD = pa.schema([("entryType", pa.string()), ("abstractMessage", _MESSAGE)])


def _payloads(texts: pa.ChunkedArray) -> dict[str, pa.Array]:
    lines = "\n".join(text or "{}" for text in texts.to_pylist()).encode()
    options = pajson.ParseOptions(explicit_schema=_PAYLOAD, unexpected_field_behavior="ignore")
    with pa.BufferReader(lines) as source:
        read = pajson.read_json(source, pajson.ReadOptions(block_size=1 << 22), options)
    message = read["abstractMessage"].combine_chunks()
    content = pc.struct_field(message, "staticContent")
    return {
        "message_type": pc.struct_field(message, "messageType"),
        "in_reply_to_entry_identifier": pc.struct_field(message, "inReplyToMessageId"),
        "format_type": pc.coalesce(
            pc.struct_field(content, "formatType"),
            pc.struct_field(message, ["choices", "formatType"]),
            pc.struct_field(message, ["choicesResponse", "formatType"]),
        ),
        "text": pc.coalesce(pc.struct_field(content, "text"), pc.struct_field(message, ["choices", "text"])),
    }


def _column(table: pa.Table, field: pa.Field) -> pa.Array:
    name = _FROM.get(field.name, field.name)
    if name not in table.column_names:
        return (
            pa.repeat("", table.num_rows).cast(field.type)
            if not field.nullable
            else pa.nulls(table.num_rows, field.type)
        )
    return table[name].combine_chunks().cast(field.type, safe=False)


def _days(result: Result, folder: Path, typed: Callable[[pa.Table], pa.Table]) -> int:
    tables: queue.Queue[pa.Table | None] = queue.Queue(maxsize=4)

    def write() -> None:
        rest: list[pa.Table] = []
        day, writer = "", _written(folder / "nothing.parquet")
        while (table := tables.get()) is not None:
            for name, part in _by_day(table):
                if name != day:
                    writer.write_table(pa.concat_tables(rest or [_SCHEMA.empty_table()]))
                    writer.close()
                    rest, day, writer = [], name, _written(folder / f"{name}.parquet")
                rest.append(part)
                if sum(one.num_rows for one in rest) >= _ROW_GROUP_ROWS:
                    writer.write_table(pa.concat_tables(rest), row_group_size=_ROW_GROUP_ROWS)
                    rest = []
        writer.write_table(pa.concat_tables(rest or [_SCHEMA.empty_table()]), row_group_size=_ROW_GROUP_ROWS)
        writer.close()

    writing = threading.Thread(target=write)
    writing.start()
    rows = 0
    for number in range(result.pages):
        table = _page(result, number)
        rows += table.num_rows
        tables.put(typed(table))
    tables.put(None)
    writing.join()
    return rows


def _page(result: Result, number: int) -> pa.Table:
    """pyarrow reads Arrow by itself; of rows as JSON lists it has no reader, so Python's own comes first."""
    if result.mode == "v3":
        with pa.memory_map(str(result.page(number))) as source:
            return pa.ipc.open_stream(source).read_all()
    page = json.loads(result.page(number).read_bytes())
    told = page["metadata"]
    kinds = (
        {one["name"]: one["type"] for one in told}
        if isinstance(told, list)
        else {k: v["type"] for k, v in told.items()}
    )
    cells = zip(*page["data"], strict=True)
    return pa.table({name: _typed(list(cell), kind) for (name, kind), cell in zip(kinds.items(), cells, strict=True)})


def _typed(cells: list[str | None], kind: str) -> pa.Array:
    texts = pa.array(cells, pa.string())
    if kind.lower().startswith("timestamp"):
        return texts.cast(pa.timestamp("us", "UTC"))
    return texts.cast(pa.float64()) if kind.lower() == "numeric" else texts


def _by_day(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Rows come by time, so that a day is a slice."""
    counts = pc.value_counts(table["transcripted_timestamp"].cast(pa.date32())).sort(by="values").to_pylist()
    start = 0
    for one in counts:
        yield one["values"].isoformat(), table.slice(start, one["counts"])
        start += one["counts"]


def _written(path: Path) -> pq.ParquetWriter:
    low = ["entry_type", "message_type", "format_type", "sender_role", "modality", "visibility", "sender_display_name"]
    return pq.ParquetWriter(
        path, _SCHEMA, compression="zstd", compression_level=1, use_dictionary=low, write_statistics=True
    )


WAYS = {"alone": alone, "alone_same": alone_same, "ours": ours}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=list(WAYS))
    parser.add_argument("pages", type=Path)
    parser.add_argument("rows", type=int)
    parser.add_argument("days", type=int)
    parser.add_argument("mode")
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    result = Result(given.pages, given.rows, given.days, given.mode)
    began, cpu = time.perf_counter(), time.process_time()
    rows = WAYS[given.way](result, given.url, given.folder)
    told = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu, "megabytes": _peak()}
    if rows != given.rows:
        raise SystemExit(f"{given.way} landed {rows:,} rows of {given.rows:,}")
    print(json.dumps({"rows": rows, **told}))


def _peak() -> float:
    """The process's own highest memory, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


if __name__ == "__main__":
    main()
