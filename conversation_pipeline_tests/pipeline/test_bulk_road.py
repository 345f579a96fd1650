"""Bulk job or REST query: the same rows, whichever carried them, at the lower price."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from conversation_pipeline.defs.landing import Landing, land_days
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.salesforce.bulk import Polling
from conversation_pipeline.salesforce.errors import QueryTooLong, SalesforceError
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.custom import with_custom_fields
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

    def land(
        self, folder: Path, *, bulk_from_rows: int, dataset: Dataset = MESSAGING_SESSIONS
    ) -> dict[str, dict[str, Any]]:
        with closing(Org(self.project.settings(), IMPATIENT)) as org:
            org.bulk_from_rows = bulk_from_rows
            org.bulk.polling = Polling(first=0.01, longest=0.02)
            staging = Staging(str(folder / "staging"))
            lake = Lake(str(folder / "lake"))
            landing = Landing(dataset, org, lake, staging, "test", logging.getLogger(__name__))
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


def test_a_job_may_be_split_by_the_org(world: World, tmp_path: Path) -> None:
    """A query with ORDER BY or LIMIT switches PK chunking off and times out on large objects; ours has neither."""
    world.control.post("switches", bulk_after_polls=10)
    world.control.post(
        "faults", route="bulk_jobs.results", effect={"status": 400, "body": [{"errorCode": "API_ERROR"}]}
    )
    with suppress(SalesforceError):
        world.land(tmp_path, bulk_from_rows=1_000)
    with closing(Org(world.project.settings(), IMPATIENT)) as org:
        [job] = org.bulk.jobs()
        told = org.query.connection.get(f"/services/data/v66.0/jobs/query/{job.id}").json()

    assert told["isPkChunkingSupported"]


def test_a_column_that_came_unasked_stands_in_the_metadata(world: World, tmp_path: Path) -> None:
    """A result page with a column more lands, and the partition's metadata says which and on how many pages (D8)."""
    broken = {"status": 400, "body": [{"errorCode": "API_ERROR"}]}
    world.control.post("faults", route="bulk_jobs.results", effect=broken, times=1)
    with suppress(SalesforceError):
        world.land(tmp_path, bulk_from_rows=1_000)
    with closing(Org(world.project.settings(), IMPATIENT)) as org:
        [page] = org.bulk.pages(org.bulk.wait(org.bulk.jobs()[0]), tmp_path)
    with closing(page.file):
        names, *values = csv.reader(io.TextIOWrapper(page.file, encoding="utf-8", newline=""))
    wider = io.StringIO()
    csv.writer(wider, quoting=csv.QUOTE_ALL).writerows([[*names, "Unasked"], *([*row, "x"] for row in values)])
    headers = {"Content-Type": "text/csv", "Sforce-NumberOfRecords": str(page.records), "Sforce-Locator": "null"}
    told = {"status": 200, "headers": headers, "body": wider.getvalue()}
    world.control.post("faults", route="bulk_jobs.results", effect=told)

    landed = world.land(tmp_path, bulk_from_rows=1_000)

    assert [metadata["not_asked_for"] for metadata in landed.values()] == [{"unexpected column Unasked": 1}] * 3


@pytest.fixture
def wide(world: World) -> Dataset:
    """Sessions with so many custom fields that their query fits into no URI."""
    names = [f"A_custom_field_with_a_rather_long_name_{number:03}__c" for number in range(300)]
    for name in names:
        world.control.post("schema", object="MessagingSession", add={"name": name, "type": "string", "values": ["x"]})
    [dataset] = with_custom_fields([MESSAGING_SESSIONS], [f"MessagingSession.{name}" for name in names])
    world.control.post("counters/reset")
    return dataset


def test_a_query_too_long_for_a_uri_goes_by_bulk(world: World, wide: Dataset, tmp_path: Path) -> None:
    """All columns come by one job, however few rows there are: columns of one row are never read at two times."""
    landed = world.land(tmp_path, bulk_from_rows=1_000_000, dataset=wide)

    calls = world.calls()
    rows = Lake(str(tmp_path / "lake")).read(wide, DAYS[0]).to_pylist()
    assert {metadata["mode"] for metadata in landed.values()} == {"bulk job"}
    assert (calls["bulk_jobs.create"], calls.get("rest.query_all", 0)) == (1, 0)
    assert {row[field.name] for row in rows for field in wide.fields[-300:]} == {"x"}


def test_a_query_that_neither_api_takes_says_what_to_do(world: World, wide: Dataset, tmp_path: Path) -> None:
    """Too long for a URI and refused by Bulk: fewer columns is the way out, and nothing is published."""
    world.control.post("switches", bulk_unsupported_objects="MessagingSession")

    with pytest.raises(QueryTooLong, match="take names out of CONVERSATION_CUSTOM_FIELDS"):
        world.land(tmp_path, bulk_from_rows=1_000_000, dataset=wide)

    assert Lake(str(tmp_path / "lake")).partitions(wide) == []
