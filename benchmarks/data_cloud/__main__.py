"""Results of Data Cloud into day partitions, by each API: ``python -m benchmarks.data_cloud``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.data_cloud.pages import Result, made
from benchmarks.data_cloud.ways import WAYS

_BOUNDS = ("alone", "alone_same")


@contextmanager
def served(result: Result) -> Iterator[str]:
    """The result on a server in a process of its own."""
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.data_cloud.server", *_place(result)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


def measured(way: str, result: Result, url: str, scratch: Path) -> dict[str, float]:
    """What a process tells of itself in its last line; it works in a folder of its own, which is removed."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        command = [sys.executable, "-m", "benchmarks.data_cloud.ways", way, *_place(result), url, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{way} failed:\n{done.stderr[-3000:]}")
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def _place(result: Result) -> list[str]:
    return [str(result.folder), str(result.rows), str(result.days_count), result.mode]


def _share(told: dict[str, float], bound: dict[str, float] | None, what: str) -> str:
    return "" if bound is None else f"{bound[what] / told[what]:.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000_000, help="by v3; the JSON APIs get a tenth of them")
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--modes", nargs="+", default=["v3", "query_sql", "v2"], choices=["v3", "query_sql", "v2"])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--rounds", type=int, default=1, help="each way so often, in turns; the least CPU counts")
    parser.add_argument("--folder", type=Path, help="keeps the pages, for more runs; by default a temporary folder")
    given = parser.parse_args()
    print(
        f"{'mode':10}{'way':12}{'entries':>12}{'seconds':>9}{'entries/s':>11}{'CPU s':>8}{'peak MB':>9}"
        f"{'of alone: s':>13}{'CPU':>6}{'of the same: s':>16}{'CPU':>6}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        for mode in given.modes:
            rows = given.entries if mode == "v3" else given.entries // 10
            result = made(folder / f"{mode}-{rows}-{given.days}", rows, given.days, mode)
            best: dict[str, dict[str, float]] = {}
            with served(result) as url:
                for _ in range(given.rounds):
                    for way in given.ways:
                        told = measured(way, result, url, folder)
                        if way not in best or told["cpu"] < best[way]["cpu"]:
                            best[way] = told
            for way, told in best.items():
                shares = [_share(told, best.get(bound), what) for bound in _BOUNDS for what in ("seconds", "cpu")]
                print(
                    f"{mode:10}{way:12}{told['rows']:>12,.0f}{told['seconds']:>9.1f}"
                    f"{told['rows'] / told['seconds']:>11,.0f}{told['cpu']:>8.1f}{told['megabytes']:>9,.0f}"
                    f"{shares[0]:>13}{shares[1]:>6}{shares[2]:>16}{shares[3]:>6}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
