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
from conversation_pipeline.salesforce.entry_api import Reading
from conversation_pipeline.schemas.conversations import ENTRIES_CONVERSATION_DATA
from conversation_pipeline.storage import Lake, Staging

ROAD = "conversation_data"
_READ_AT = datetime(2026, 11, 19, tzinfo=UTC)
_MEMORY = 96 * 2**20  # as the landing has it


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


def landing(replies: Replies, folder: Path) -> int:
    """From replies to the day's file the way a run takes: staged in parts, read back, landed."""
    # Not above: it brings Dagster along, whose memory is no other stage's.
    from conversation_pipeline.defs.landing.readings import read_back, stage_reading, whole_readings

    staging, day = Staging(str(folder / "staging")), Window.of_day(DAY)
    for conversation, bodies in replies.conversations():
        reading = Reading(conversation, day.start, day.end, bodies, _READ_AT, entries=0, longest_page=1)
        stage_reading(staging, ENTRIES_CONVERSATION_DATA, reading)
    whole = whole_readings(staging.records(ENTRIES_CONVERSATION_DATA.name, [DAY]))
    readings = read_back({one.conversation_identifier: [one] for one in whole}, staging)
    told = batches(readings, day, ENTRIES_CONVERSATION_DATA, road=ROAD, drift=Drift())
    return Lake(str(folder / "lake"), memory=_MEMORY).replace(
        ENTRIES_CONVERSATION_DATA, DAY, told, run_id="benchmark", road=ROAD, promised=replies.entries, first_counts=True
    ).rows  # fmt: skip


STAGES: dict[str, Callable[[Replies, Path], int]] = {stage.__name__: stage for stage in (read, arrow, lake, landing)}


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
