"""
A backfill that is killed at random moments, again and again, until it is done: what it asked twice, what it landed.

    python -m conversation_pipeline_tests.pipeline.random_kills 50

prints what became of fifty kills; ``test_random_kills.py`` does the same with a few.
"""

from __future__ import annotations

import itertools
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pyarrow as pa

from conversation_pipeline.schemas.conversations import ENTRIES_CONNECT, ENTRIES_CONVERSATION_DATA
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.storage import Staging
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, SPINE, Control, Project, project_for
from conversation_pipeline_tests.pipeline.processes import ended, materialize, started

DAYS = [(FIRST_DAY + timedelta(days=offset)).isoformat() for offset in range(3)]
ALL_SETTLED = f"{(FIRST_DAY + timedelta(days=4)).isoformat()}T06:00:00+00:00"
ROADS = {"conversation_data.entries": ENTRIES_CONVERSATION_DATA, "connect.entries": ENTRIES_CONNECT}
BEFORE = SPINE[: SPINE.index("conversation_activity") + 1]
ASSETS = tuple(dataset.name for dataset in ROADS.values())
A_BATCH = 3 * 4
"""Conversations under way at once: of three execution users four each, and of Connect's one user fewer."""

BETWEEN_KILLS = 30.0
"""Seconds by which the org's clock goes on with each restart."""

Asked = tuple[str, str]
"""The road's dataset and the conversation that it was asked for."""


@dataclass(frozen=True)
class Kill:
    """
    Attributes:
        seconds: How long the process had lived.
        asked: What it had asked for.
        lost: What of that was not staged.
        lost_requests: With how many requests; a long conversation takes several.
        repeated: What of that an earlier process had staged.
    """

    seconds: float
    asked: frozenset[Asked]
    lost: frozenset[Asked]
    lost_requests: int
    repeated: frozenset[Asked]


@dataclass(frozen=True)
class Backfill:
    """A backfill that was killed until it came to its end, and the requests that it took."""

    project: Project
    kills: tuple[Kill, ...]
    repeated_by_the_last: frozenset[Asked]


@dataclass
class World:
    """
    An org whose answers take a while, and what a backfill that nobody disturbs makes of it.

    Attributes:
        delay_ms: How long a request is on its way at most, and its answer as well.
        ready: A lake that has all that comes before the entry roads.
        lasts: Seconds that the undisturbed backfill took.
    """

    url: str
    folder: Path
    delay_ms: int
    ready: Path = field(init=False)
    undisturbed: Backfill = field(init=False)
    lasts: float = field(init=False)

    def __post_init__(self) -> None:
        self.control.post("clock", now=ALL_SETTLED)
        project = project_for(self.url, self.folder / "ready")
        project.materialize(DAYS[0], DAYS[-1], assets=BEFORE)
        self.ready = project.folder / "lake"
        self.control.post("limits", entry_requests=100_000, connect_requests=100_000)
        self.control.post("switches", network_delay_min_ms=self.delay_ms // 4, network_delay_max_ms=self.delay_ms)
        ended(started(nothing, project))
        began = time.monotonic()
        self.undisturbed = self.backfill("undisturbed", [])
        self.lasts = time.monotonic() - began

    @property
    def control(self) -> Control:
        return Control(self.url)

    def backfill(self, name: str, moments: Sequence[float]) -> Backfill:
        """
        Runs both roads over all days in a process, and again after each kill, until one comes to its end.

        Args:
            moments: How many seconds each process lives; those after the last one live as long as they need.
        """
        project = project_for(self.url, self.folder / name, tuple(road.partition(".")[0] for road in ROADS))
        shutil.copytree(self.ready, project.folder / "lake")
        kills: list[Kill] = []
        for seconds in [*moments, None]:
            before = staged(project)
            self.control.post("counters/reset")
            process = started(materialize, project, ASSETS, tuple(DAYS))
            process.join(seconds)
            if seconds is not None:
                process.kill()
            how = ended(process)
            asked = self._asked()
            if how == 0:
                break
            assert how == -signal.SIGKILL, (project.folder / "process.log").read_text()[-2000:]
            lost = frozenset(asked) - staged(project)
            again = sum(one in lost for one in asked)
            kills.append(Kill(seconds or 0, frozenset(asked), lost, again, before.intersection(asked)))
            self.control.post("clock", advance_seconds=BETWEEN_KILLS)
        return Backfill(project, tuple(kills), before.intersection(asked))

    def _asked(self) -> list[Asked]:
        requests = self.control.get("requests")["requests"]
        return [(ROADS[one["route"]].name, one["conversation_identifier"]) for one in requests if one["route"] in ROADS]


def nothing(project: Project) -> None:
    """So that what is measured next does not begin with imports."""


def staged(project: Project) -> frozenset[Asked]:
    """Conversations whose answer is staged, by road."""
    staging = Staging(project.environment["CONVERSATION_STAGING"])
    return frozenset(
        (dataset.name, record.label[0]) for dataset in ROADS.values() for record in staging.records(dataset.name, DAYS)
    )


def landed(project: Project) -> dict[tuple[str, str], pa.Table]:
    """The lake's entries by road and day, without what tells when they were read."""
    return {
        (dataset.name, day): _timeless(project.lake.read(dataset, day)) for dataset in ROADS.values() for day in DAYS
    }


def _timeless(table: pa.Table) -> pa.Table:
    return table.select([name for name in table.column_names if name != "fetched_at"]).replace_schema_metadata()


@contextmanager
def world(folder: Path, conversations_per_day: int, delay_ms: int) -> Iterator[World]:
    org = Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=conversations_per_day, now=NOW)
    with org.serve() as running:
        yield World(running.url, folder, delay_ms)


def moments(rng: random.Random, lasts: float) -> Iterator[float]:
    """For how long processes live, without end: any time up to what the whole takes, but for the first imports."""
    while True:
        yield rng.uniform(0.2, 1) * lasts


def main(count: int) -> None:
    """Kills until there were so many; prints what they cost, and fails if anything shows of them in the lake."""
    rng = random.Random(count)
    with tempfile.TemporaryDirectory() as folder, world(Path(folder), 12, 300) as org:
        right = landed(org.undisturbed.project)
        print(f"undisturbed: {org.lasts:.1f} s, {len(staged(org.undisturbed.project))} readings", flush=True)
        kills: list[Kill] = []
        numbers = itertools.count(1)
        while len(kills) < count:
            some = list(itertools.islice(moments(rng, org.lasts), count - len(kills)))
            done = org.backfill(f"backfill-{next(numbers)}", some)
            same = landed(done.project) == right
            kills += done.kills
            again = sum(len(kill.repeated) for kill in done.kills) + len(done.repeated_by_the_last)
            print(
                f"{len(done.kills):3} kills: conversations lost by each {[len(kill.lost) for kill in done.kills]}, "
                f"asked for though staged {again}, "
                f"lake {'the same' if same else 'DIFFER'}",
                flush=True,
            )
            if not same:
                raise SystemExit("a kill shows in what was landed")
        worst = max(len(kill.lost) for kill in kills)
        print(
            f"{len(kills)} kills, {sum(bool(kill.asked) for kill in kills)} of them after the first entry request, "
            f"{sum(bool(kill.lost) for kill in kills)} with conversations under way; requests repeated: "
            f"{sum(kill.lost_requests for kill in kills)}; conversations lost by one kill: {worst} at most (a batch is "
            f"{A_BATCH})"
        )
        if worst > A_BATCH or any(kill.repeated for kill in kills):
            raise SystemExit("a kill cost more than a batch")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
