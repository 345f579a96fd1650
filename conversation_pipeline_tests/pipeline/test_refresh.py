"""Refreshing a day costs what changed, and ends with what a full pull would bring."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from conversation_pipeline.defs.landing import Landing, land_days
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.defs.sensors import look
from conversation_pipeline.schemas.messaging import MESSAGING_DELIVERY_ERRORS
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.storage import Lake, Staged, Staging
from conversation_pipeline_tests.conftest import FIRST_DAY, IMPATIENT, NOW, Control, Project, project_for

DATASET = MESSAGING_DELIVERY_ERRORS
DAY = FIRST_DAY.isoformat()
UNFILTERABLE = {"filterable": False}
ROWS = 450  # more than two pages of 200: a refresh is cheaper than a full pull


class SlowStaging(Staging):
    """Before the first answer is read back something happens, once."""

    meanwhile: Callable[[], object] | None = None

    def read(self, staged: Staged) -> bytes:
        happens, self.meanwhile = self.meanwhile, None
        if happens is not None:
            happens()
        return super().read(staged)


@dataclass
class Reader:
    """One day of one object, read into a lake of its own."""

    project: Project
    folder: Path

    @property
    def lake(self) -> Lake:
        return Lake(str(self.folder / "lake"))

    def land(self, *, full: bool = False, meanwhile: Callable[[], object] | None = None) -> dict[str, Any]:
        """Lands the day; when all of it has been asked for and none of it is published, something happens meanwhile."""
        with closing(Org(self.project.settings(), IMPATIENT)) as org:
            org.query.rows_a_page = 200
            staging = SlowStaging(str(self.folder / "staging"))
            staging.meanwhile = meanwhile
            landing = Landing(DATASET, org, self.lake, staging, "test", logging.getLogger(__name__), full)
            return dict(land_days(landing, [DAY]))[DAY]

    def look(
        self, seen: dict[str, Any], landed: Callable[[Mapping[str, float]], set[str]] = set
    ) -> tuple[set[str], dict[str, Any]]:
        with closing(Org(self.project.settings(), IMPATIENT)) as org:
            return look(DATASET, seen, org=org, lake=self.lake, landed=landed)

    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.lake.read(DATASET, DAY).to_pylist()
        return rows


@dataclass
class World:
    control: Control
    project: Project

    def reader(self, folder: Path) -> Reader:
        return Reader(self.project, folder)

    def restart(self) -> list[str]:
        """An org that holds just the day's rows; returns their ids."""
        self.control.post("reset")
        self.control.post("clock", now=NOW.isoformat())
        self.control.post(
            "records/generate",
            sobject=DATASET.sobject,
            count=ROWS,
            **{"from": f"{DAY}T00:00:00+00:00", "to": f"{DAY}T23:00:00+00:00"},
            seed=1,
        )
        records = self.control.get("truth/records", sobject=DATASET.sobject, day=DAY)["records"]
        return sorted(record["Id"] for record in records)

    def later(self, **step: float) -> None:
        now = datetime.fromisoformat(self.control.get("clock")["now"])
        self.control.post("clock", now=(now + timedelta(**step)).isoformat())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=4, now=NOW).serve() as running:
        yield World(Control(running.url), project_for(running.url, tmp_path_factory.mktemp("refresh")))


def test_a_refresh_asks_for_the_changes_and_the_count(world: World, tmp_path: Path) -> None:
    """A day of three pages in which one row changed costs describe, clock, one page and one count."""
    ids, reader = world.restart(), world.reader(tmp_path)
    reader.land()
    world.later(hours=1)
    world.control.post("records", update=[{"Id": ids[7], "FailureReason": "number is gone"}])
    world.control.post("counters/reset")

    landed = reader.land()

    asked = {route: counts["served"] for route, counts in world.control.get("counters")["routes"].items()}
    asked.pop("oauth.token")
    assert landed["mode"] == "refresh of 1 changed rows"
    assert asked == {"rest.describe": 1, "rest.query_all": 2}
    assert [row["failure_reason"] for row in reader.rows() if row["id"] == ids[7]] == ["number is gone"]


def test_rows_deleted_for_good_leave_with_the_next_refresh(world: World, tmp_path: Path) -> None:
    """A purged row is not in the lake after a refresh, though nothing tells of it but the count."""
    ids, reader = world.restart(), world.reader(tmp_path)
    reader.land()
    world.later(hours=1)
    world.control.post("records", delete=[ids[3]])
    world.control.post("records", purge=[ids[3]])

    landed = reader.land()

    assert landed["mode"] == "refresh of 0 changed rows"
    assert ids[3] not in {row["id"] for row in reader.rows()}


def test_a_soft_deleted_row_stays_and_says_so(world: World, tmp_path: Path) -> None:
    """What lies in the recycle bin is kept with is_deleted."""
    ids, reader = world.restart(), world.reader(tmp_path)
    reader.land()
    world.later(hours=1)
    world.control.post("records", delete=[ids[3]])

    reader.land()

    assert [row["is_deleted"] for row in reader.rows() if row["id"] == ids[3]] == [True]


def test_a_column_that_appears_is_filled_by_the_next_reading(world: World, tmp_path: Path) -> None:
    """A day that was read while a column was hidden is pulled as a whole once it is visible."""
    world.restart()
    reader = world.reader(tmp_path)
    world.control.post("hide", object=DATASET.sobject, fields=["FailureReason"])
    reader.land()
    world.control.post("hide", object=DATASET.sobject, fields=[])

    landed = reader.land()

    assert landed["mode"] == "full pull"
    assert any(row["failure_reason"] for row in reader.rows())


def test_the_sensor_names_the_days_that_changed(world: World, tmp_path: Path) -> None:
    """A look after a change names its day; a look after nothing names none; both by one query."""
    ids, reader = world.restart(), world.reader(tmp_path)
    reader.land()
    _, seen = reader.look({})
    world.later(hours=1)
    quiet, seen = reader.look(seen)
    world.later(hours=1)
    world.control.post("records", update=[{"Id": ids[0], "FailureReason": "again"}])

    changed, _ = reader.look(seen)

    assert quiet == set()
    assert changed == {DAY}


def test_a_first_look_reaches_back_to_the_oldest_reading(world: World, tmp_path: Path) -> None:
    """What changed between the backfill and the moment the sensor was switched on is found."""
    ids, reader = world.restart(), world.reader(tmp_path)
    reader.land()
    world.later(hours=3)
    world.control.post("records", update=[{"Id": ids[0], "FailureReason": "before the sensor"}])
    world.later(hours=3)

    days, _ = reader.look({})

    assert days == {DAY}


def test_a_day_whose_run_failed_is_requested_again(world: World, tmp_path: Path) -> None:
    """An hour after a request that nothing came of, the day is named once more; one that landed is not."""
    world.restart()
    reader = world.reader(tmp_path)
    reader.land()
    world.later(hours=1)
    _, seen = reader.look({})
    world.later(hours=1)
    requested = {**seen, "pending": {DAY: 0.0}}

    again, _ = reader.look(requested, landed=lambda pending: set())
    done, _ = reader.look(requested, landed=set)

    assert (again, done) == ({DAY}, set())


@pytest.mark.parametrize("full", [True, False], ids=["pull", "refresh"])
def test_a_run_that_lands_late_does_not_undo_a_newer_one(full: bool, world: World, tmp_path: Path) -> None:
    """Two runs read the same day side by side; the one that asked first is the last to publish."""
    ids, reader = world.restart(), world.reader(tmp_path)
    reader.land()
    world.later(hours=1)

    def another_run() -> None:
        world.control.post("records", update=[{"Id": ids[0], "FailureReason": "since the slow one asked"}])
        world.later(minutes=1)
        reader.land()

    reader.land(full=full, meanwhile=another_run)

    assert [row["failure_reason"] for row in reader.rows() if row["id"] == ids[0]] == ["since the slow one asked"]


def test_a_resumed_pull_tells_when_it_was_begun(world: World, tmp_path: Path) -> None:
    """Rows that a killed run had staged are as old as its pull: the next refresh begins there."""
    ids, reader = world.restart(), world.reader(tmp_path)
    reader.land()
    staged = next((tmp_path / "staging").rglob("*.zst"))
    begun = datetime.fromisoformat(world.control.get("clock")["now"])
    (staged.parent / "pull.json").write_text(json.dumps({"started_at": begun.isoformat()}))
    world.later(minutes=30)
    world.control.post("records", update=[{"Id": ids[0], "FailureReason": "between kill and resume"}])
    world.later(minutes=20)
    resumed = reader.land(full=True)
    world.later(minutes=1)

    reader.land()

    assert resumed["mode"] == "full pull"
    assert [row["failure_reason"] for row in reader.rows() if row["id"] == ids[0]] == ["between kill and resume"]


def test_a_hidden_column_keeps_what_was_read_before(world: World, tmp_path: Path) -> None:
    """A column that field-level security hides is reported, and does not empty what the lake holds of it."""
    world.restart()
    reader = world.reader(tmp_path)
    reader.land()
    before = reader.rows()
    world.control.post("hide", object=DATASET.sobject, fields=["FailureReason"])

    reader.land(full=True)

    world.control.post("hide", object=DATASET.sobject, fields=[])
    assert reader.rows() == before


def test_the_sensor_sees_a_late_commit(world: World, tmp_path: Path) -> None:
    """A row whose stamp lies minutes before it could be seen is found by the look after."""
    ids, reader = world.restart(), world.reader(tmp_path)
    reader.land()
    _, seen = reader.look({})
    world.control.post("switches", commit_delay_seconds=300)
    world.later(minutes=30)
    world.control.post("records", update=[{"Id": ids[0], "FailureReason": "late"}])
    world.later(minutes=1)
    before, seen = reader.look(seen)
    world.later(minutes=5)

    after, _ = reader.look(seen)

    assert (before, after) == (set(), {DAY})


def test_the_sensor_names_the_days_of_deleted_records(world: World, tmp_path: Path) -> None:
    """A record that was deleted for good brings its day back, by the org's own list of deletions."""
    ids, reader = world.restart(), world.reader(tmp_path)
    reader.land()
    _, seen = reader.look({})
    world.later(hours=1)
    world.control.post("records", delete=[ids[5]])
    _, seen = reader.look(seen)
    world.control.post("records", purge=[ids[5]])
    world.later(hours=7)

    days, _ = reader.look(seen)

    assert days == {DAY}


def test_a_delete_and_an_insert_do_not_hide_each_other(world: World, tmp_path: Path) -> None:
    """One row purged and one inserted leave the org's count as it was; the refresh loses and gains a row."""
    ids, reader = world.restart(), world.reader(tmp_path)
    reader.land()
    world.later(hours=1)
    world.control.post("records", delete=[ids[3]])
    world.control.post("records", purge=[ids[3]])
    created = f"{DAY}T12:00:00+00:00"
    [new] = world.control.post("records", insert=[{"sobject": DATASET.sobject, "CreatedDate": created}])["inserted"]

    landed = reader.land()

    found = {row["id"] for row in reader.rows()}
    assert landed["mode"] == "refresh of 1 changed rows"
    assert len(found) == ROWS
    assert new in found
    assert ids[3] not in found


def test_an_object_without_a_stamp_is_pulled_as_a_whole(world: World, tmp_path: Path) -> None:
    """Where no field that a condition may name tells of changes, a day is read again from the start."""
    ids, reader = world.restart(), world.reader(tmp_path)
    for name in ("SystemModstamp", "LastModifiedDate"):
        world.control.post("schema", object=DATASET.sobject, change={"name": name, "type": "datetime"} | UNFILTERABLE)
    reader.land()
    world.control.post("records", update=[{"Id": ids[7], "FailureReason": "unseen"}])

    landed = reader.land()

    assert landed["mode"] == "full pull"
    assert [row["failure_reason"] for row in reader.rows() if row["id"] == ids[7]] == ["unseen"]


def test_a_reading_is_dated_by_the_org_s_clock(world: World, tmp_path: Path) -> None:
    """The next refresh begins where the org's clock stood, whatever ours says."""
    world.restart()
    reader = world.reader(tmp_path)

    landed = reader.land()

    assert datetime.fromisoformat(landed["asked_at"]) == datetime.fromisoformat(world.control.get("clock")["now"])


def test_a_locator_that_is_lost_starts_the_query_again(world: World, tmp_path: Path) -> None:
    """A token that ends between two pages takes the locator with it; every row is there once all the same."""
    ids, reader = world.restart(), world.reader(tmp_path)
    refused = {"status": 401, "body": [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]}
    world.control.post("faults", route="rest.query_more", nth=2, times=1, effect=refused)
    world.control.post("counters/reset")

    reader.land()

    asked = world.control.get("counters")["routes"]
    assert sorted(row["id"] for row in reader.rows()) == ids
    assert asked["rest.query_all"]["served"] == 2


STEPS = st.lists(
    st.sampled_from(["insert", "update", "late update", "soft delete", "undelete", "purge", "refresh", "wait"]),
    min_size=1,
    max_size=10,
)


@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS, seed=st.integers(0, 10_000))
def test_a_refresh_equals_a_full_pull(
    world: World, tmp_path_factory: pytest.TempPathFactory, steps: list[str], seed: int
) -> None:
    """Whatever happens to the day's rows between refreshes, the last one ends with the rows of a full pull."""
    rng = random.Random(seed)
    ids = world.restart()
    refreshed = world.reader(tmp_path_factory.mktemp("refreshed"))
    refreshed.land()
    for step in steps:
        _happens(step, world, refreshed, ids, rng)
    world.later(minutes=20)
    world.control.post("switches", commit_delay_seconds=0)

    refreshed.land()

    full = world.reader(tmp_path_factory.mktemp("full"))
    full.land(full=True)
    assert refreshed.rows() == full.rows()


def _happens(step: str, world: World, reader: Reader, ids: list[str], rng: random.Random) -> None:
    some = rng.sample(ids, 3)
    match step:
        case "insert":
            created = f"{DAY}T12:00:{rng.randrange(60):02}+00:00"
            world.control.post(
                "records", insert=[{"sobject": DATASET.sobject, "CreatedDate": created, "Type": "Error"}]
            )
        case "update":
            world.control.post("records", update=[{"Id": one, "FailureReason": str(rng.random())} for one in some])
        case "late update":
            world.control.post("switches", commit_delay_seconds=120)
            world.control.post("records", update=[{"Id": some[0], "FailureReason": str(rng.random())}])
        case "soft delete":
            _tolerant(world, delete=some[:1])
        case "undelete":
            _tolerant(world, undelete=some[:1])
        case "purge":
            _tolerant(world, delete=some[:1])
            _tolerant(world, purge=some[:1])
        case "refresh":
            reader.land()
        case "wait":
            world.later(minutes=rng.randrange(1, 90))
    world.later(seconds=rng.randrange(1, 20))


def _tolerant(world: World, **change: list[str]) -> None:
    """What can not be done to a row (it is gone already) is not done."""
    with suppress(httpx.HTTPStatusError):
        world.control.post("records", **change)
