"""Conversations and participants have no SystemModstamp: what automation changes is found by a slow sweep."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from conversation_pipeline.defs.landing import Landing, land_days
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.defs.sweep import days_told_by_sessions
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.conversations import CONVERSATION_PARTICIPANTS, CONVERSATIONS
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.storage import Lake, Staging
from conversation_pipeline_tests.conftest import FIRST_DAY, IMPATIENT, NOW, Control, Project, project_for

DAY = (FIRST_DAY + timedelta(days=1)).isoformat()
ROWS = 450  # more than two pages of 200: a refresh is cheaper than a full pull
CONVERSATION = {CONVERSATIONS.name: "Id", CONVERSATION_PARTICIPANTS.name: "ConversationId"}
NAME = "changed by a flow"


@dataclass
class World:
    """A day of one object in an org and in a lake, and a conversation of that day that a session belongs to."""

    control: Control
    project: Project
    folder: Path
    dataset: Dataset
    row: str = ""
    conversation: str = ""

    @property
    def lake(self) -> Lake:
        return Lake(str(self.folder / "lake"))

    def begin(self) -> None:
        sobject, window = self.dataset.sobject, {"from": f"{DAY}T00:00:00+00:00", "to": f"{DAY}T23:00:00+00:00"}
        self.control.post("records/generate", sobject=sobject, count=ROWS, **window, seed=1)
        record = self.control.get("truth/records", sobject=sobject, day=DAY)["records"][5]
        self.row, self.conversation = record["Id"], record[CONVERSATION[self.dataset.name]]
        self.land()

    def land(self) -> dict[str, Any]:
        with closing(Org(self.project.settings(), IMPATIENT)) as org:
            org.query.rows_a_page = 200
            staging = Staging(str(self.folder / "staging"))
            landing = Landing(self.dataset, org, self.lake, staging, "test", logging.getLogger(__name__))
            return dict(land_days(landing, [DAY]))[DAY]

    def automation(self) -> None:
        self.control.post("records", update=[{"Id": self.row, "Name": NAME}], automation=True)

    def session_changes(self) -> None:
        """The lake learns of a session of the conversation that changed just now."""
        now = self.now()
        row = {"id": "0MwAA0000000001AAA", "created_date": now, "system_modstamp": now}
        batch = pa.RecordBatch.from_pylist([row | {"conversation_id": self.conversation}], MESSAGING_SESSIONS.schema)
        self.lake.replace(MESSAGING_SESSIONS, now.date().isoformat(), [batch], run_id="test")

    def now(self) -> datetime:
        return datetime.fromisoformat(self.control.get("clock")["now"])

    def later(self, **step: float) -> None:
        self.control.post("clock", now=(self.now() + timedelta(**step)).isoformat())

    def name(self) -> str:
        rows = self.lake.read(self.dataset, DAY).to_pylist()
        [found] = [row["name"] for row in rows if row["id"] == self.row]
        return str(found)

    def stale_days(self, read_at: dict[str, datetime] | None = None) -> list[str]:
        return days_told_by_sessions(self.dataset, self.lake, self.now(), lambda days: read_at or {})


@pytest.fixture(params=[CONVERSATIONS, CONVERSATION_PARTICIPANTS], ids=lambda dataset: dataset.name)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=4, now=NOW).serve() as running:
        project = project_for(running.url, tmp_path / "project")
        world = World(Control(running.url), project, tmp_path, request.param)
        world.begin()
        yield world


def test_the_last_days_are_read_as_a_whole_each_night(world: World) -> None:
    """A change that moved no stamp is found by the next night's reading; within the night a refresh is enough."""
    world.automation()
    world.later(hours=1)
    soon = world.land()["mode"], world.name()
    world.later(hours=20)

    night = world.land()["mode"], world.name()

    assert soon[0].startswith("refresh")
    assert soon[1] != NAME
    assert night == ("full pull", NAME)


def test_conversations_of_changed_sessions_are_read_again(world: World) -> None:
    """Of an older day, the records of that conversation come with those whose stamp moved: no call more."""
    world.later(days=10)
    world.automation()
    world.session_changes()
    world.control.post("counters/reset")

    landed = world.land()

    routes = world.control.get("counters")["routes"]
    assert landed["mode"].startswith("refresh")
    assert world.name() == NAME
    assert {route: counts["served"] for route, counts in routes.items() if route.startswith("rest")} == {
        "rest.describe": 1,
        "rest.query_all": 2,
    }


def test_the_night_asks_for_the_days_of_changed_sessions(world: World) -> None:
    """An older day is named once a session of it changed, without a call, and no more once it has been read since."""
    world.later(days=10)
    quiet = world.stale_days()
    world.control.post("counters/reset")
    world.session_changes()
    stale = world.stale_days()

    assert (quiet, stale) == ([], [DAY])
    assert world.stale_days({DAY: world.now() + timedelta(hours=1)}) == []
    assert not [route for route in world.control.get("counters")["routes"] if route.startswith("rest")]


def test_the_nightly_schedule_asks_for_the_swept_dataset_alone(world: World) -> None:
    """An older day's conversations are read again without anything else of that day."""
    world.later(days=10)
    world.session_changes()
    schedule = world.project.definitions().resolve_schedule_def("conversations_nightly")
    given = {"lake": world.lake, "salesforce": Org(world.project.settings())}
    with (
        dg.DagsterInstance.local_temp() as instance,
        dg.build_schedule_context(instance=instance, scheduled_execution_time=world.now(), resources=given) as context,
    ):
        asked = schedule.evaluate_tick(context).run_requests

    [swept] = [request for request in asked or () if request.asset_selection]
    assert swept.asset_selection == [dg.AssetKey(world.dataset.name)]
    assert swept.tags["dagster/asset_partition_range_start"] == DAY == swept.tags["dagster/asset_partition_range_end"]
