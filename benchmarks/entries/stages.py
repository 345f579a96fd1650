"""Stages of the way from replies to Parquet, each run in a process of its own: ``... -m benchmarks.entries.stages``."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from benchmarks.entries.replies import DAY, Replies, kept
from conversation_pipeline.extract.entries import Drift, ReadConversation, batches
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.schemas.conversations import ENTRIES_CONVERSATION_DATA
from conversation_pipeline.storage import Lake

ROAD = "conversation_data"
_READ_AT = datetime(2026, 11, 19, tzinfo=UTC)


def read(replies: Replies, folder: Path) -> int:
    """The bytes alone, from the page cache."""
    del folder
    for _, bodies in replies.conversations():
        for _ in bodies:
            pass
    return replies.entries


def arrow(replies: Replies, folder: Path) -> int:
    """On to record batches of all columns."""
    del folder
    return sum(batch.num_rows for batch in _batches(replies))


def lake(replies: Replies, folder: Path) -> int:
    """On to the day's Parquet file: sorted, checked, hashed, published."""
    return Lake(str(folder)).replace(
        ENTRIES_CONVERSATION_DATA, DAY, _batches(replies), run_id="benchmark", road=ROAD, promised=replies.entries
    ).rows  # fmt: skip


STAGES: dict[str, Callable[[Replies, Path], int]] = {stage.__name__: stage for stage in (read, arrow, lake)}


def _batches(replies: Replies) -> Iterator[pa.RecordBatch]:
    readings = (ReadConversation(identifier, bodies, _READ_AT) for identifier, bodies in replies.conversations())
    return batches(readings, Window.of_day(DAY), ENTRIES_CONVERSATION_DATA, road=ROAD, drift=Drift())


def _peak_megabytes() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1_000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("replies", type=Path)
    parser.add_argument("entries", type=int)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    replies = kept(given.replies, given.entries)
    began, used = time.perf_counter(), time.process_time()
    rows = STAGES[given.stage](replies, given.folder)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    print(json.dumps({"rows": rows, "seconds": seconds, "cpu": cpu, "megabytes": _peak_megabytes()}))


if __name__ == "__main__":
    main()
