"""What each operation of the on-platform road costs in calls: no request without a purpose."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from conversation_pipeline.defs.landing import Landing, land_days, land_snapshot
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.defs.sensors import look
from conversation_pipeline.salesforce.bulk import Polling
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.messaging import MESSAGING_DELIVERY_ERRORS
from conversation_pipeline.schemas.people import USERS
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.storage import Lake, Staging
from conversation_pipeline_tests.conftest import FIRST_DAY, IMPATIENT, NOW, Control, Project, project_for

DATASET = MESSAGING_DELIVERY_ERRORS
DAY = FIRST_DAY.isoformat()
ROWS = 450  # three pages of 200


@dataclass
class World:
    control: Control
    project: Project
    folder: Path

    def calls(self) -> dict[str, int]:
        """What was asked since this was called last, tokens and the unmetered clock aside."""
        routes = self.control.get("counters")["routes"]
        self.control.post("counters/reset")
        unmetered = ("oauth.token", "rest.versions")
        return {route: counts["served"] for route, counts in routes.items() if route not in unmetered}

    def land(self, dataset: Dataset = DATASET, *, bulk_from_rows: int = 10_000) -> dict[str, Any]:
        with closing(Org(self.project.settings(), IMPATIENT, bulk_from_rows=bulk_from_rows)) as org:
            org.query.rows_a_page = 200
            org.bulk.polling = Polling(first=0.01, longest=0.02)
            staging, lake = Staging(str(self.folder / "staging")), Lake(str(self.folder / "lake"))
            landing = Landing(dataset, org, lake, staging, "test", logging.getLogger(__name__))
            return dict(land_days(landing, [DAY]))[DAY] if dataset.partitioned else land_snapshot(landing)

    def look(self, seen: dict[str, Any]) -> tuple[set[str], dict[str, Any]]:
        with closing(Org(self.project.settings(), IMPATIENT)) as org:
            return look(DATASET, seen, org=org, lake=Lake(str(self.folder / "lake")), landed=set)

    def later(self, **step: float) -> None:
        now = datetime.fromisoformat(self.control.get("clock")["now"])
        self.control.post("clock", now=(now + timedelta(**step)).isoformat())

    def ids(self) -> list[str]:
        records = self.control.get("truth/records", sobject=DATASET.sobject, day=DAY)["records"]
        return [record["Id"] for record in records]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=4, now=NOW).serve() as running:
        control = Control(running.url)
        window = {"from": f"{DAY}T00:00:00+00:00", "to": f"{DAY}T23:00:00+00:00"}
        control.post("records/generate", sobject=DATASET.sobject, count=ROWS, **window, seed=1)
        control.post("counters/reset")
        yield World(control, project_for(running.url, tmp_path / "project"), tmp_path)


@pytest.fixture
def landed(world: World) -> World:
    world.land()
    world.calls()
    world.later(hours=1)
    return world


def test_a_full_pull_by_rest(world: World) -> None:
    """Describe, and a call for each page."""
    world.land()

    assert world.calls() == {"rest.describe": 1, "rest.query_all": 1, "rest.query_more": 2}


def test_a_full_pull_by_bulk(world: World) -> None:
    """Describe, the page that told how many rows there are, and one job: created, polled twice, read once, deleted."""
    world.land(bulk_from_rows=100)

    assert world.calls() == {
        "rest.describe": 1,
        "rest.query_all": 1,
        "bulk_jobs.create": 1,
        "bulk_jobs.get": 2,
        "bulk_jobs.results": 1,
        "bulk_jobs.delete": 1,
    }


def test_a_refresh(landed: World) -> None:
    """Describe, the changed rows, the count."""
    landed.control.post("records", update=[{"Id": landed.ids()[0], "Type": "Warning"}])

    assert landed.land()["mode"] == "refresh of 1 changed rows"
    assert landed.calls() == {"rest.describe": 1, "rest.query_all": 2}


def test_a_refresh_of_nothing(landed: World) -> None:
    """Describe, an empty page, the count: what did not change is not read."""
    assert landed.land()["mode"] == "refresh of 0 changed rows"
    assert landed.calls() == {"rest.describe": 1, "rest.query_all": 2}


def test_a_refresh_after_a_purge(landed: World) -> None:
    """A count that is too high costs the ids in their pages more, and nothing else."""
    landed.control.post("records", delete=landed.ids()[:1])
    landed.control.post("records", purge=landed.ids()[:1])

    landed.land()

    assert landed.calls() == {"rest.describe": 1, "rest.query_all": 3, "rest.query_more": 2}


def test_a_snapshot(world: World) -> None:
    """Describe and a page."""
    world.land(USERS)

    assert world.calls() == {"rest.describe": 1, "rest.query_all": 1}


def test_the_looks_of_the_sensor(landed: World) -> None:
    """The first describes the object; those after it ask one question; each six hours deletions are asked for too."""
    _, seen = landed.look({})
    first = landed.calls()
    landed.later(minutes=15)
    _, seen = landed.look(seen)
    tick = landed.calls()
    landed.later(hours=7)
    landed.look(seen)

    assert first == {"rest.describe": 1, "rest.query_all": 1}
    assert tick == {"rest.query_all": 1}
    assert landed.calls() == {"rest.describe": 1, "rest.query_all": 1, "rest.deleted": 1}
