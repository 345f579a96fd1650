"""All ways on one result, side by side: ``python -m benchmarks.bulk``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bulk.pages import Result, made, written_as_json
from benchmarks.bulk.ways import WAYS

OPPONENTS = ("simple_salesforce", "dagster_salesforce", "dlt_source")


@contextmanager
def served(result: Result) -> Iterator[str]:
    """The result on a server in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bulk.server", str(result.folder), str(result.rows)]
    server = subprocess.Popen([*command, str(result.page_rows)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


def measured(command: list[str], scratch: Path) -> dict[str, float]:
    """What a process tells of itself in its last line; it works in a folder of its own, which is removed."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        done = subprocess.run([*command, folder], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command[1:4])} failed:\n{done.stderr[-2000:]}")
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def line(name: str, told: dict[str, float], bounds: Sequence[dict[str, float] | None]) -> str:
    shares = [
        ""
        if bound is None
        else f"{_per(told, 'seconds') / _per(bound, 'seconds'):.0%}, {_per(told, 'cpu') / _per(bound, 'cpu'):.0%}"
        for bound in bounds
    ]
    return (
        f"{name:20}{told['rows']:>11,.0f}{told['seconds']:>9.1f}{_per(told, 'seconds'):>11,.0f}{told['cpu']:>9.1f}"
        f"{told['megabytes']:>9,.0f}" + "".join(f"{share:>14}" for share in shares)
    )


def times(ours: dict[str, float] | None, told: dict[str, float]) -> str:
    """How many times as fast ours is into the same sink, where it ran."""
    return "" if ours is None else f"   ours_into_duckdb: {_per(ours, 'seconds') / _per(told, 'seconds'):.1f} times"


def _per(told: dict[str, float], what: str) -> float:
    """Rows a second, of the clock or of CPU."""
    return told["rows"] / told[what]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--order", choices=["created", "random"], default="created", help="rows by time, or mixed")
    parser.add_argument("--folder", type=Path, help="keeps the pages, for more runs; by default a temporary folder")
    parser.add_argument("--rounds", type=int, default=3, help="each way so often, in turns; the fastest counts")
    parser.add_argument("--ways", nargs="*", default=["pyarrow_alone", "pyarrow_days", "ours"], choices=list(WAYS))
    parser.add_argument("--opponents", type=Path, help="Python of an environment with requirements-opponents.txt")
    parser.add_argument("--against", nargs="*", choices=OPPONENTS, help="which of them; by default all there are")
    parser.add_argument("--dlt-source", type=Path, help="folder sources/salesforce of dlt's verified sources")
    given = parser.parse_args()
    against = given.against or [name for name in OPPONENTS if name != "dlt_source" or given.dlt_source]
    if "dlt_source" in against and not given.dlt_source:
        parser.error(
            "dlt_source needs --dlt-source: the folder sources/salesforce of github.com/dlt-hub/verified-sources"
        )
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        result = made(folder / f"{given.order}-{given.rows}", given.rows, order=given.order)
        size = sum(page.stat().st_size for page in result.pages)
        print(f"{given.rows:,} rows, {len(result.pages)} pages, {size / 1e6:,.0f} MB of CSV, order: {given.order}\n")
        print(
            f"{'way':20}{'rows':>11}{'seconds':>9}{'rows/s':>11}{'CPU s':>9}{'peak MB':>9}{'of alone, CPU':>14}"
            f"{'of days, CPU':>14}"
        )
        best: dict[str, dict[str, float]] = {}
        with served(result) as url:
            place = [str(result.folder), str(result.rows), str(result.page_rows), url]
            for _ in range(given.rounds):
                for way in given.ways:
                    told = measured([sys.executable, "-m", "benchmarks.bulk.ways", way, *place], folder)
                    if way not in best or told["seconds"] < best[way]["seconds"]:
                        best[way] = told
            bounds = [best.get(bound) for bound in ("pyarrow_alone", "pyarrow_days")]
            for way, told in best.items():
                print(line(way, told, bounds), flush=True)
            if given.opponents and "dlt_source" in against:
                written_as_json(result)
            for way in against if given.opponents else ():
                told = measured([*_opponent(given.opponents, given.dlt_source), way, url], folder)
                print(line(way, told, bounds) + times(best.get("ours_into_duckdb"), told), flush=True)


def _opponent(python: Path, dlt_source: Path | None) -> list[str]:
    command = [str(python), str(Path(__file__).with_name("opponents.py"))]
    return command if dlt_source is None else [*command, "--dlt-source", str(dlt_source.resolve())]


if __name__ == "__main__":
    main()
