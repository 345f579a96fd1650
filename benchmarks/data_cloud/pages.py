"""The result of one query of Data Cloud on the disk, as each API hands it out: equal arguments, equal bytes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from conversation_pipeline.simulator.world.builder import Recipe
from conversation_pipeline.simulator.world.entries import Entry
from conversation_pipeline.simulator.world.world import World

CHUNK_ROWS = 20_000
JSON_ROWS = {"query_sql": 2_500, "v2": 10_000}
"""Rows of pages that are about as long as the services cut them: 2 MB and 8 MB."""

FIRST_DAY = date(2026, 10, 1)
_CONVERSATION_ROWS = 25
_INSTANT = pa.timestamp("us", "UTC")
_TYPES = {pa.string(): "varchar", _INSTANT: "timestamptz", pa.decimal128(38, 18): "numeric"}


@dataclass(frozen=True)
class Result:
    """
    Attributes:
        rows: Entries in all, evenly over the days, in the order of their creation.
        mode: The API that hands them out.
    """

    folder: Path
    rows: int
    days_count: int
    mode: str

    @property
    def page_rows(self) -> int:
        return JSON_ROWS.get(self.mode, CHUNK_ROWS)

    @property
    def pages(self) -> int:
        return -(-self.rows // self.page_rows)

    @cached_property
    def days(self) -> list[str]:
        return [(FIRST_DAY + timedelta(days=place)).isoformat() for place in range(self.days_count)]

    def page(self, number: int) -> Path:
        return self.folder / f"{self.mode}-{number:06d}"


def made(folder: Path, rows: int, days: int, mode: str) -> Result:
    """The result, made if it is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    result = Result(folder, rows, days, mode)
    if not result.page(result.pages - 1).exists():
        template = _template()
        for number in range(result.pages):
            start = number * result.page_rows
            table = _page(template, start, min(result.page_rows, rows - start), result)
            beside = result.page(number).with_suffix(".part")
            beside.write_bytes(_written(table, mode))
            beside.rename(result.page(number))
    return result


def _written(table: pa.Table, mode: str) -> bytes:
    if mode == "v3":
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return bytes(sink.getvalue())
    return json_page(table, mode)


def json_page(table: pa.Table, mode: str) -> bytes:
    """A page of query-sql, or what a batch of v2 holds besides its place in the result."""
    rows = [list(row) for row in zip(*(_cells(column) for column in table.columns), strict=True)]
    columns = [(field.name, _TYPES.get(field.type, "bigint")) for field in table.schema]
    if mode == "query_sql":
        metadata = [{"name": name, "type": kind.title(), "nullable": True} for name, kind in columns]
        return json.dumps({"data": rows, "metadata": metadata, "returnedRows": len(rows)}).encode()
    places = {name: {"type": kind.upper(), "placeInOrder": place} for place, (name, kind) in enumerate(columns)}
    return json.dumps({"data": rows, "metadata": places, "rowCount": len(rows), "queryId": "entries"}).encode()


def _cells(column: pa.ChunkedArray) -> list[object]:
    if column.type == _INSTANT:
        return [
            cell and cell.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z" for cell in column.to_pylist()
        ]
    return [cell if cell is None or isinstance(cell, str | int) else str(cell) for cell in column.to_pylist()]


def _template() -> list[Entry]:
    """Entries of a simulated org, as many as a chunk has."""
    world = World(Recipe(7, 400), FIRST_DAY)
    world.reach(int(datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day + 2, tzinfo=UTC).timestamp()))
    entries = [entry for conversation in world.conversations.values() for entry in conversation.entries]
    return list(_endless(entries, CHUNK_ROWS))


def _endless(entries: list[Entry], count: int) -> Iterator[Entry]:
    for place in range(count):
        yield entries[place % len(entries)]


def _page(template: list[Entry], start: int, count: int, result: Result) -> pa.Table:
    """Entries of the template with ids and times of their own, from a place in the result on."""
    said = [template[(start + place) % CHUNK_ROWS] for place in range(count)]
    places = range(start, start + count)
    ids = [str(uuid.UUID(int=_mixed(place), version=4)) for place in places]
    conversations = [place // _CONVERSATION_ROWS for place in places]
    first = int(datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC).timestamp() * 1_000_000)
    step = result.days_count * 86_400_000_000 / result.rows
    times = pa.array((first + np.arange(start, start + count) * step).astype("int64")).cast(_INSTANT)
    duration = pa.array([entry.duration for entry in said]).cast(pa.decimal128(38, 18))
    return pa.table(
        {
            "id": ids,
            "conversation_identifier": [str(uuid.UUID(int=_mixed(one, 2), version=4)) for one in conversations],
            "sender_display_name": pa.array([entry.display_name for entry in said], pa.string()),
            "sender_role": pa.array([entry.sender.role for entry in said], pa.string()),
            "conversation_id": [f"0dwAA{one:013d}" for one in conversations],
            "entry_type": [_screaming(entry.entry_type) for entry in said],
            "visibility": ["Visible"] * count,
            "payload_text": [entry.payload for entry in said],
            "client_timestamp": times,
            "transcripted_timestamp": times,
            "created_date": times,
            "modality": pa.array([entry.modality for entry in said], pa.string()),
            "duration_seconds": duration,
            "parent_entry_id": pa.nulls(count, pa.string()),
            "source_id": pa.nulls(count, pa.string()),
            "source_object": pa.nulls(count, pa.string()),
        }
    )


def _mixed(number: int, salt: int = 1) -> int:
    """Numbers that look drawn by chance, each different."""
    return (number * 0x9E3779B97F4A7C15F39CC0605CEDC835 + salt) % 2**128


def _screaming(name: str) -> str:
    return "".join(f"_{letter}" if letter.isupper() and place else letter for place, letter in enumerate(name)).upper()
