"""Both ways on one export, side by side: ``python -m benchmarks.archives``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.archives.parts import PART_BYTES, made
from benchmarks.archives.ways import WAYS

_BOUND = "pyarrow_alone"


def measured(way: str, parts: Path, scratch: Path) -> dict[str, float]:
    """What a way's process tells of itself; it works in a folder of its own, which is removed."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        command = [sys.executable, "-m", "benchmarks.archives.ways", way, str(parts), folder]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=os.environ | {"TMPDIR": str(folder)}
        )
    if done.returncode:
        sys.exit(f"{way} failed:\n{done.stderr[-2000:]}")
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def line(way: str, told: dict[str, float], bound: dict[str, float]) -> str:
    return (
        f"{way:16}{told['rows']:>12,.0f}{told['seconds']:>9.1f}{told['rows'] / told['seconds']:>11,.0f}"
        f"{told['cpu']:>8.1f}{told['megabytes']:>9,.0f}{bound['seconds'] / told['seconds']:>10.0%}"
        f"{bound['cpu'] / told['cpu']:>9.0%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=5_000, help="of CSV, before it is packed")
    parser.add_argument("--part-megabytes", type=int, default=PART_BYTES // 2**20, help="of ZIP, a part")
    parser.add_argument("--folder", type=Path, help="keeps the parts, for more runs; by default a temporary folder")
    parser.add_argument("--rounds", type=int, default=3, help="each way so often, in turns; the fastest counts")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        parts = folder / f"csv-{given.megabytes}-{given.part_megabytes}"
        files = made(parts, given.megabytes * 10**6, given.part_megabytes * 2**20)
        packed = sum(file.stat().st_size for file in files)
        print(f"{given.megabytes:,} MB of CSV in {len(files)} ZIP parts of {packed / 1e6:,.0f} MB together\n")
        print(
            f"{'way':16}{'rows':>12}{'seconds':>9}{'rows/s':>11}{'CPU s':>8}{'peak MB':>9}{'of alone':>10}{'by CPU':>9}"
        )
        runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(given.rounds):
            for way, told in runs.items():
                told.append(measured(way, parts, folder))
        bound = min(runs[_BOUND], key=lambda one: one["seconds"])
        for way, told in runs.items():
            print(line(way, min(told, key=lambda one: one["seconds"]), bound), flush=True)


if __name__ == "__main__":
    main()
