"""A dataset with every kind of column, rows for it, and steps that tests run in processes of their own."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from conversation_pipeline.schemas import INSTANT, Dataset, Field, Group
from conversation_pipeline.storage import Lake, Staging, Warehouse

DAY = "2026-11-01"
MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)
OPTION = pa.struct([("label", pa.string()), ("position", pa.int64())])

FIELDS = (
    Field("conversation", pa.string(), "Which conversation.", required=True),
    Field("entry", pa.int64(), "Which entry of it.", required=True),
    Field("said_at", INSTANT, "When it was said."),
    Field("text", pa.string(), "What was said."),
    Field("score", pa.float64(), "How well."),
    Field("by_bot", pa.bool_(), "By whom."),
    Field("due", pa.date32(), "Until when."),
    Field("related", pa.list_(pa.string()), "Related records."),
    Field("options", pa.list_(OPTION), "What was offered."),
)
ENTRIES = Dataset(
    name="entries",
    grain="one row an entry",
    group=Group.CONVERSATIONS,
    key=("conversation", "entry"),
    fields=FIELDS,
    partition_by="said_at",
)
QUEUES = Dataset(
    name="queues",
    grain="one row a queue; it's a snapshot",
    group=Group.ON_PLATFORM,
    key=("id",),
    fields=(
        Field("id", pa.string(), "Record id.", required=True),
        Field("label", pa.string(), "The queue's name."),
    ),
)

Row = dict[str, Any]


def row(number: int, text: str = "hello") -> Row:
    return {
        "conversation": f"c{number // 10:06}",
        "entry": number,
        "said_at": MIDNIGHT + timedelta(seconds=number % 86_400),
        "text": f"{text} {number}",
        "score": number / 3,
        "by_bot": number % 2 == 0,
        "due": MIDNIGHT.date(),
        "related": ["a", "b"][: number % 3],
        "options": [{"label": "yes", "position": number}] if number % 2 else None,
    }


def rows(count: int, text: str = "hello") -> list[Row]:
    return [row(number, text) for number in range(count)]


def batches(records: Sequence[Row], size: int = 1000, dataset: Dataset = ENTRIES) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(records), size):
        yield pa.RecordBatch.from_pylist(records[start : start + size], schema=dataset.schema)


def replace_small(folder: Path) -> None:
    Lake(str(folder / "lake")).replace(ENTRIES, DAY, batches(rows(50, "new")), run_id="second")


def replace_often(folder: Path) -> None:
    """Replace one partition again and again, each time by rows that all say which round of whom it was."""
    lake = Lake(str(folder / "lake"))
    for turn in range(25):
        lake.replace(ENTRIES, DAY, batches(rows(100 + turn, f"{os.getpid()}-{turn}")), run_id=str(os.getpid()))


def replace_large(folder: Path) -> None:
    """About 240 MB of rows out of order, with 32 MiB of memory; prints the most that Arrow ever held."""
    large = ({**row(number), "text": "x" * 80_000} for number in range(3000, 0, -1))
    bunches = (pa.RecordBatch.from_pylist([next(large) for _ in range(25)], schema=ENTRIES.schema) for _ in range(120))
    Lake(str(folder / "lake"), memory=32 * 2**20).replace(ENTRIES, DAY, bunches, run_id="large")
    sys.stdout.write(str(pa.default_memory_pool().max_memory()))


def replace_on_full_disk(folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    noise = [{**row(number), "text": os.urandom(64).hex()} for number in range(2000)]
    Lake(str(folder / "lake")).replace(ENTRIES, DAY, batches(noise), run_id="full")


def stage(folder: Path) -> None:
    Staging(str(folder / "staging")).put("entries", DAY, ["c1"], b"answer", fetched_at=MIDNIGHT)


def land(folder: Path) -> None:
    Warehouse(folder / "w.duckdb").land(Lake(str(folder / "lake")), [ENTRIES, QUEUES])


STEPS: dict[str, Callable[[Path], None]] = {
    step.__name__: step for step in (replace_small, replace_often, replace_large, replace_on_full_disk, stage, land)
}


def start(step: Callable[[Path], None], folder: Path, kill_at: str | None = None) -> subprocess.Popen[str]:
    """Run a step in a process of its own, which dies at a kill point where one is named."""
    environment = os.environ | ({"CONVERSATION_KILL_AT": kill_at} if kill_at else {})
    return subprocess.Popen(
        [sys.executable, "-m", __name__, step.__name__, str(folder)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(step: Callable[[Path], None], folder: Path, kill_at: str | None = None) -> tuple[int, str, str]:
    """Its return code (``-9`` if killed) and what it wrote to both outputs."""
    process = start(step, folder, kill_at)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


if __name__ == "__main__":
    STEPS[sys.argv[1]](Path(sys.argv[2]))
