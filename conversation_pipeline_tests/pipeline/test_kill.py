"""Killed anywhere, run again, and nothing shows of it: the promise of staging, lake and warehouse together."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from conversation_pipeline.kill_points import KillPoint
from conversation_pipeline.schemas.catalogue import DATASETS
from conversation_pipeline.schemas.erasures import ERASURES
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.storage import Staging
from conversation_pipeline.storage.sql import sql
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, Control, Project, project_for
from conversation_pipeline_tests.extract import test_bulk
from conversation_pipeline_tests.pipeline.processes import killed

DAYS = [(FIRST_DAY + timedelta(days=offset)).isoformat() for offset in (2, 3)]
"""A day that has ended and one that is open: of the open one, only what a killed run staged may be used again."""

ON_PLATFORM = "messaging_sessions"
ENTRIES = "entries_conversation_data"
MODEL = "conversation_entries"
WAREHOUSE = "warehouse"

SAME_EACH_TIME = [dataset for dataset in DATASETS if dataset is not ERASURES]
"""The record of erasures tells which run replayed them, and when."""

KILLS = [
    (ON_PLATFORM, KillPoint.STAGING_WRITTEN, 2),
    (ON_PLATFORM, KillPoint.READING_STAGED, 2),
    (ON_PLATFORM, KillPoint.PARTITION_WRITTEN, 1),
    (ON_PLATFORM, KillPoint.PARTITION_RENAMED, 1),
    (ON_PLATFORM, KillPoint.PULL_CLOSED, 1),
    (ENTRIES, KillPoint.PULL_OPENED, 1),
    (ENTRIES, KillPoint.READING_RECEIVED, 4),
    (ENTRIES, KillPoint.STAGING_WRITTEN, 4),
    (ENTRIES, KillPoint.READING_STAGED, 4),
    (ENTRIES, KillPoint.PARTITION_WRITTEN, 1),
    (ENTRIES, KillPoint.PARTITION_SYNCED, 2),
    (ENTRIES, KillPoint.PARTITION_RENAMED, 1),
    (ENTRIES, KillPoint.PULL_CLOSED, 1),
    (MODEL, KillPoint.PARTITION_SYNCED, 2),
    (WAREHOUSE, KillPoint.WAREHOUSE_COPIED, 1),
    (WAREHOUSE, KillPoint.WAREHOUSE_APPLIED, 1),
    (WAREHOUSE, KillPoint.WAREHOUSE_RENAMED, 1),
]
"""Which asset is killed, where, and at the how-manieth passage."""

every_kill = pytest.mark.parametrize(
    ("asset", "point", "passage"), [kill for kill in KILLS if kill[0] in (ON_PLATFORM, MODEL)]
)
every_landing_kill = pytest.mark.parametrize("point", [kill[1] for kill in KILLS if kill[0] == WAREHOUSE])


@dataclass(frozen=True)
class World:
    """An org whose clock stands still, and what a run that nobody disturbs makes of it."""

    url: str
    undisturbed: Project

    @property
    def control(self) -> Control:
        return Control(self.url)

    def project(self, folder: Path, *, before: str) -> Project:
        """A project in which everything is materialized but this asset and what comes after it."""
        project = project_for(self.url, folder)
        kept = [dataset.name for dataset in DATASETS]
        if before != WAREHOUSE:
            kept = kept[: kept.index(before)]
        made = self.undisturbed.folder / "lake"
        for name in kept:
            if (made / name).is_dir():  # roads that are not in use have none
                shutil.copytree(made / name, folder / "lake" / name)
        return project


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=6, now=NOW).serve() as running:
        control = Control(running.url)
        control.post("switches", query_page_rows=3)
        # Each test has a quota store of its own, and all of them one org.
        control.post("limits", entry_requests=100_000)
        undisturbed = project_for(running.url, tmp_path_factory.mktemp("undisturbed"))
        undisturbed.materialize(DAYS[0], DAYS[-1])
        yield World(running.url, undisturbed)


@dataclass(frozen=True)
class Resumed:
    """A project whose entries were read by a run that was killed, and by a second one."""

    project: Project
    staged_by_the_first: set[str]
    asked_by_the_second: set[str]


@pytest.fixture(
    scope="module",
    params=[kill[1:] for kill in KILLS if kill[0] == ENTRIES],
    ids=lambda kill: f"{kill[0]}-{kill[1]}",
)
def resumed(world: World, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Resumed:
    point, passage = request.param
    project = world.project(tmp_path_factory.mktemp("resumed") / "project", before=ENTRIES)
    assert killed(project, [ENTRIES], DAYS, point, passage) == -signal.SIGKILL
    staged = staged_entries(project)
    world.control.post("counters/reset")
    project.materialize(DAYS[0], DAYS[-1], assets=[ENTRIES])
    return Resumed(project, staged, set(world.control.entry_requests()))


def contents(project: Project, *assets: str) -> dict[tuple[str, str | None], tuple[int, str]]:
    """Rows and content hash of every partition of some datasets, or of all."""
    return {
        (receipt.dataset, receipt.partition): (receipt.rows, receipt.content_hash)
        for dataset in SAME_EACH_TIME
        if not assets or dataset.name in assets
        for receipt in project.lake.receipts(dataset)
    }


def landed(project: Project) -> dict[str, list[str]]:
    """Every table of the warehouse, as text, row by row."""
    with duckdb.connect(project.environment["CONVERSATION_WAREHOUSE"], read_only=True) as connection:
        rows = "SELECT t::VARCHAR FROM {table} t ORDER BY 1"
        return {
            dataset.name: [row for (row,) in connection.execute(sql(rows, table=dataset.name)).fetchall()]
            for dataset in SAME_EACH_TIME
        }


def staged_entries(project: Project) -> set[str]:
    """Conversations whose answer is staged."""
    records = Staging(project.environment["CONVERSATION_STAGING"]).records(ENTRIES, DAYS)
    return {record.label[0] for record in records}


def left_over(project: Project) -> list[Path]:
    """Hidden files: drafts of partitions, raw answers and the warehouse that a killed process left behind."""
    return [path for path in project.folder.rglob(".*") if path.suffix in (".tmp", ".landing", ".peek")]


def test_every_kill_point_is_tested() -> None:
    """The kill points that are declared are those that are tested, here or with the bulk road, no more and no less."""
    [bulk_kills] = test_bulk.test_run_again_after_a_kill.pytestmark
    in_bulk = {point for point, *_ in bulk_kills.args[1]}

    assert {point for _, point, _ in KILLS} | in_bulk == set(KillPoint)


@every_kill
def test_run_again_after_a_kill(world: World, tmp_path: Path, asset: str, point: KillPoint, passage: int) -> None:
    """After ``kill -9`` and a second run, an asset's partitions are row for row those of an undisturbed run."""
    project = world.project(tmp_path / "project", before=asset)
    assert killed(project, [asset], DAYS, point, passage) == -signal.SIGKILL

    project.materialize(DAYS[0], DAYS[-1], assets=[asset])

    assert contents(project, asset) == contents(world.undisturbed, asset)


@every_landing_kill
def test_land_again_after_a_kill(world: World, tmp_path: Path, point: KillPoint) -> None:
    """After ``kill -9`` amid a landing and a second one, the warehouse holds what an undisturbed one holds."""
    project = world.project(tmp_path / "project", before=WAREHOUSE)
    assert killed(project, [WAREHOUSE], DAYS, point, 1) == -signal.SIGKILL

    project.materialize_asset(WAREHOUSE)

    assert landed(project) == landed(world.undisturbed)


@every_landing_kill
def test_readers_of_a_killed_landing_see_all_or_nothing_of_it(world: World, tmp_path: Path, point: KillPoint) -> None:
    """Right after ``kill -9`` the warehouse opens and is the old one or the new one, whole."""
    project = world.project(tmp_path / "project", before=WAREHOUSE)
    shutil.copy(world.undisturbed.environment["CONVERSATION_WAREHOUSE"], project.folder)
    shutil.rmtree(project.folder / "lake" / MODEL / f"day={DAYS[1]}")

    killed(project, [WAREHOUSE], DAYS, point, 1)

    full = landed(world.undisturbed)
    removed = {**full, MODEL: [row for row in full[MODEL] if f"'day': {DAYS[1]}" not in row]}
    assert landed(project) == (removed if point == KillPoint.WAREHOUSE_RENAMED else full)


def test_entries_read_again_after_a_kill(world: World, resumed: Resumed) -> None:
    """After ``kill -9`` and a second run, the days' entries are row for row those of an undisturbed run."""
    assert contents(resumed.project, ENTRIES) == contents(world.undisturbed, ENTRIES)


def test_what_was_staged_is_not_asked_for_twice(world: World, resumed: Resumed) -> None:
    """The second run asks for all conversations but those that the killed one had staged."""
    assert resumed.asked_by_the_second == staged_entries(world.undisturbed) - resumed.staged_by_the_first


def test_a_killed_run_of_everything(world: World, tmp_path: Path) -> None:
    """After ``kill -9`` amid a run of all assets and a second run, the whole lake and the warehouse are right."""
    project = project_for(world.url, tmp_path / "project")
    assert killed(project, [], DAYS, KillPoint.READING_STAGED, 20) == -signal.SIGKILL

    project.materialize(DAYS[0], DAYS[-1])

    assert contents(project) == contents(world.undisturbed)
    assert landed(project) == landed(world.undisturbed)


@pytest.mark.parametrize("point", [KillPoint.STAGING_WRITTEN, KillPoint.PARTITION_SYNCED])
def test_drafts_of_killed_runs_are_swept(world: World, tmp_path: Path, point: KillPoint) -> None:
    """What a killed run left half-written is removed by a later run, once nobody can be writing it any more."""
    project = world.project(tmp_path / "project", before=ENTRIES)
    killed(project, [ENTRIES], DAYS, point, 1)
    drafts = left_over(project)
    for draft in drafts:
        os.utime(draft, (0, 0))

    project.materialize(DAYS[0], DAYS[-1], assets=[ENTRIES, "erasures"])

    assert drafts
    assert left_over(project) == []
