"""A lake with what four roads told of the same entries: made by DuckDB, straight to each day's file."""

from __future__ import annotations

from datetime import date, timedelta
from importlib import resources
from pathlib import Path

import duckdb

from conversation_pipeline.schemas.conversations import (
    CONVERSATION_PARTICIPANTS,
    CONVERSATIONS,
    ENTRIES_ARCHIVE,
    ENTRIES_CONNECT,
    ENTRIES_CONVERSATION_DATA,
    ENTRIES_DATA_CLOUD,
)
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.schemas.people import USERS
from conversation_pipeline.storage.lake import FILE
from conversation_pipeline.storage.parquet import ROW_GROUP_ROWS

ROADS = (ENTRIES_CONVERSATION_DATA, ENTRIES_DATA_CLOUD, ENTRIES_ARCHIVE, ENTRIES_CONNECT)
"""They tell 60, 50, 40 and 50 of a hundred entries: two rows an entry."""

_FIRST_DAY = date(2026, 9, 1)
_A_CONVERSATION = 40  # entries


def days(count: int) -> list[str]:
    return [(_FIRST_DAY + timedelta(days=number)).isoformat() for number in range(count)]


def made(folder: Path, rows: int, count: int) -> Path:
    """
    The lake, made unless it is there.

    Args:
        rows: Of all four roads together.
        count: Days over which they are spread evenly.
    """
    lake = folder / f"roads-{rows}-{count}"
    if (lake / "whole").exists():
        return lake
    entries = rows // 2 // count // _A_CONVERSATION * _A_CONVERSATION
    statements = resources.files("benchmarks.union").joinpath("day.sql").read_text().split(";\n")
    with duckdb.connect(config={"memory_limit": "4GB", "threads": 2, "temp_directory": str(folder / "spill")}) as org:
        org.execute("SET TimeZone = 'UTC'")
        org.execute("SET enable_progress_bar = false")
        for number, day in enumerate(days(count)):
            given = {"day": day, "first": number * entries, "entries": entries}
            for statement in statements:
                # A view takes no parameters; a day and two numbers need no quoting.
                for name, value in given.items():
                    statement = statement.replace(f"${name}", f"'{value}'" if name == "day" else str(value))
                org.execute(statement)
            for dataset in (*ROADS, MESSAGING_SESSIONS, CONVERSATIONS, CONVERSATION_PARTICIPANTS):
                _write(org, dataset.name, lake / dataset.name / f"day={day}")
        _write(org, USERS.name, lake / USERS.name)
    (lake / "whole").touch()
    return lake


def _write(org: duckdb.DuckDBPyConnection, name: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    org.table(name).write_parquet(str(folder / FILE), compression="zstd", row_group_size=ROW_GROUP_ROWS)
