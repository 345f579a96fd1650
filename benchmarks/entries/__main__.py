"""From replies' bytes to the day's Parquet file, on one core: ``python -m benchmarks.entries``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.entries.pages import made
from benchmarks.entries.replies import Replies
from benchmarks.entries.stages import STAGES


def measured(stage: str, replies: Replies, folder: Path) -> dict[str, float]:
    """What one stage tells of itself, from a process of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = [sys.executable, "-m", "benchmarks.entries.stages", stage]
        command += [str(replies.file.parent), str(replies.entries), scratch]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{stage} failed:\n{done.stderr[-2000:]}")
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--case", choices=["day", "conversation"], nargs="+", default=["day", "conversation"])
    parser.add_argument("--rounds", type=int, default=3, help="each stage so often, in turns; the least CPU counts")
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    given = parser.parse_args()
    print(
        f"{'case':14}{'entries':>11}{'MB':>8}  {'stage':7}{'seconds':>9}{'entries/s':>11}"
        f"{'CPU s':>8}{'a CPU s':>10}{'peak MB':>9}"
    )
    for case in given.case:
        for entries in given.entries:
            with tempfile.TemporaryDirectory(dir=given.folder) as folder:
                replies = made(Path(folder), entries, one_conversation=case == "conversation")
                # Staging thousands of short conversations would measure the disk's fsync.
                stages = [stage for stage in STAGES if stage != "landing" or case == "conversation"]
                best: dict[str, dict[str, float]] = {}
                for _ in range(given.rounds):
                    for stage in stages:
                        told = measured(stage, replies, Path(folder))
                        if stage not in best or told["cpu"] < best[stage]["cpu"]:
                            best[stage] = told
                for stage, told in best.items():
                    print(
                        f"{case:14}{entries:>11,}{replies.size / 1e6:>8,.0f}  {stage:7}{told['seconds']:>9.2f}"
                        f"{entries / told['seconds']:>11,.0f}{told['cpu']:>8.2f}{entries / told['cpu']:>10,.0f}"
                        f"{told['megabytes']:>9,.0f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
