"""Bulk job or REST query: the same rows, whichever carried them, at the lower price."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from conversation_pipeline.defs.landing import Landing, land_days
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.salesforce.bulk import Polling
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.storage import Lake, Staging
from conversation_pipeline_tests.conftest import FIRST_DAY, IMPATIENT, NOW, Control, Project, project_for

DAYS = [(FIRST_DAY + timedelta(days=offset)).isoformat() for offset in range(3)]
ROWS = 3_000


@dataclass
class World:
    control: Control
    project: Project

    def land(self, folder: Path, *, bulk_from_rows: int) -> dict[str, dict[str, Any]]:
        with closing(Org(self.project.settings(), IMPATIENT)) as org:
            org.bulk_from_rows = bulk_from_rows
            org.bulk.polling = Polling(first=0.01, longest=0.02)
            staging = Staging(str(folder / "staging"))
            lake = Lake(str(folder / "lake"))
            landing = Landing(MESSAGING_SESSIONS, org, lake, staging, "test", logging.getLogger(__name__))
            return dict(land_days(landing, DAYS))

    def calls(self) -> dict[str, int]:
        routes = self.control.get("counters")["routes"]
        return {route: counts["served"] for route, counts in routes.items() if not route.startswith("oauth")}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=4, now=NOW).serve() as running:
        control = Control(running.url)
        control.post(
            "records/generate",
            sobject=MESSAGING_SESSIONS.sobject,
            count=ROWS,
            **{"from": f"{DAYS[0]}T00:00:00+00:00", "to": f"{DAYS[-1]}T23:59:00+00:00"},
            seed=1,
        )
        control.post("counters/reset")
        yield World(control, project_for(running.url, tmp_path / "project"))


def rows(folder: Path, day: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = Lake(str(folder / "lake")).read(MESSAGING_SESSIONS, day).to_pylist()
    return found


def test_a_bulk_job_brings_the_rows_of_a_rest_query(world: World, tmp_path: Path) -> None:
    """Three days by one job hold the same rows, values and types as by paging."""
    by_bulk = world.land(tmp_path / "bulk", bulk_from_rows=1_000)
    by_rest = world.land(tmp_path / "rest", bulk_from_rows=1_000_000)

    assert {landed["mode"] for landed in by_bulk.values()} == {"bulk job"}
    assert {landed["mode"] for landed in by_rest.values()} == {"full pull"}
    for day in DAYS:
        assert rows(tmp_path / "bulk", day) == rows(tmp_path / "rest", day)


def test_many_days_are_one_job(world: World, tmp_path: Path) -> None:
    """One job answers for a run of days, and is deleted when its rows are landed."""
    world.land(tmp_path, bulk_from_rows=1_000)

    calls = world.calls()
    assert calls["bulk_jobs.create"] == 1
    assert calls["bulk_jobs.delete"] == 1
    assert calls["rest.query_all"] == 1  # its first page told how many rows there are


def test_few_rows_are_one_query(world: World, tmp_path: Path) -> None:
    """Three days of two pages together cost two calls and the describe."""
    world.land(tmp_path, bulk_from_rows=10_000)

    calls = world.calls()
    assert calls == {"rest.describe": 1, "rest.query_all": 1, "rest.query_more": 1}


def test_what_a_run_of_days_cost_stands_once(world: World, tmp_path: Path) -> None:
    """Requests in the metadata of the days add up to the requests that were sent."""
    landed = world.land(tmp_path, bulk_from_rows=1_000)

    sent = sum(counts["served"] for counts in world.control.get("counters")["routes"].values())
    assert sum(metadata["requests"] for metadata in landed.values()) == sent - 2  # describe and its token


def test_an_object_that_bulk_refuses_is_read_by_rest(world: World, tmp_path: Path) -> None:
    """INVALIDENTITY at creation falls back to paging; nothing is lost."""
    world.control.post("switches", bulk_unsupported_objects="MessagingSession")

    landed = world.land(tmp_path, bulk_from_rows=1_000)

    assert {metadata["mode"] for metadata in landed.values()} == {"full pull"}
    assert sum(metadata["dagster/partition_row_count"] for metadata in landed.values()) >= ROWS
