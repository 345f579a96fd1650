"""Stages of the union, each run in a process of its own: ``python -m benchmarks.union.stages``."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.union.roads import ROADS
from conversation_pipeline.defs.assets.common import land_model
from conversation_pipeline.defs.assets.conversations import union_inputs
from conversation_pipeline.schemas.conversations import CONVERSATION_ENTRIES, ENTRY_CONFLICTS
from conversation_pipeline.storage import Lake
from conversation_pipeline.storage.models import run_model


def read(lake: Lake, day: str, out: Lake) -> int:
    """Every column of every row of the four roads, and nothing else: what no union can do without."""
    del out
    return sum(batch.num_rows for road in ROADS for batch in lake.dataset(road, [day]).to_batches())


def arrow(lake: Lake, day: str, out: Lake) -> int:
    """The union's SQL, to record batches."""
    del out
    with run_model(CONVERSATION_ENTRIES.name, union_inputs(lake, day), {}) as rows:
        return sum(batch.num_rows for batch in rows)


def day_file(lake: Lake, day: str, out: Lake) -> int:
    """On to the day's file, as the asset does it: sorted, checked, hashed, published."""
    told = land_model(CONVERSATION_ENTRIES, day, partial(union_inputs, lake, day), lake=out, run_id="benchmark")
    return int(told["dagster/partition_row_count"])


def conflicts(lake: Lake, day: str, out: Lake) -> int:
    """The day's file of ``entry_conflicts``."""
    told = land_model(ENTRY_CONFLICTS, day, partial(union_inputs, lake, day), lake=out, run_id="benchmark")
    return int(told["dagster/partition_row_count"])


STAGES: dict[str, Callable[[Lake, str, Lake], int]] = {it.__name__: it for it in (read, arrow, day_file, conflicts)}


def _peak_megabytes() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("lake", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    lake, out = Lake(str(given.lake)), Lake(str(given.out))
    began, spent = time.perf_counter(), os.times()
    made = sum(STAGES[given.stage](lake, day, out) for day in lake.partitions(ROADS[0]))
    seconds, ended = time.perf_counter() - began, os.times()
    cpu = ended.user + ended.system - spent.user - spent.system
    print(json.dumps({"made": made, "seconds": seconds, "cpu": cpu, "megabytes": _peak_megabytes()}))


if __name__ == "__main__":
    main()
