"""Four roads united, stage by stage: ``python -m benchmarks.union``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.dataset as pads

from benchmarks.union.roads import ROADS, made
from benchmarks.union.stages import STAGES


def measured(stage: str, lake: Path, scratch: Path) -> dict[str, float]:
    """What one stage tells of itself, from a process of its own."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        command = [sys.executable, "-m", "benchmarks.union.stages", stage, str(lake), folder]
        environment = os.environ | {"TMPDIR": folder}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{stage} failed:\n{done.stderr[-2000:]}")
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000, help="of all four roads together")
    parser.add_argument("--days", type=int, default=30, help="they are spread over so many")
    parser.add_argument("--stage", choices=STAGES, nargs="+", default=list(STAGES))
    parser.add_argument("--rounds", type=int, default=2, help="each stage so often; the least CPU counts")
    parser.add_argument("--folder", type=Path, help="keeps the lake, for more runs; by default a temporary folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        lake = made(folder, given.rows, given.days)
        rows = sum(pads.dataset(lake / road.name).count_rows() for road in ROADS)
        size = sum(file.stat().st_size for road in ROADS for file in (lake / road.name).rglob("*.parquet"))
        print(f"{rows:,} rows of four roads, {size / 1e6:,.0f} MB of Parquet, {given.days} days\n")
        print(f"{'stage':11}{'made':>12}{'seconds':>9}{'rows/s':>11}{'CPU s':>8}{'a CPU s':>11}{'peak MB':>9}")
        for stage in given.stage:
            runs = (measured(stage, lake, folder) for _ in range(given.rounds))
            told = min(runs, key=lambda run: run["cpu"])
            print(
                f"{stage:11}{told['made']:>12,.0f}{told['seconds']:>9.1f}{rows / told['seconds']:>11,.0f}"
                f"{told['cpu']:>8.1f}{rows / told['cpu']:>11,.0f}{told['megabytes']:>9,.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
