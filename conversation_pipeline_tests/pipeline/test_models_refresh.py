"""Models are made again for the days whose inputs changed, down the whole chain, and for no others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg
import pytest

from conversation_pipeline.definitions import build_defs
from conversation_pipeline.settings import ROADS, Settings
from conversation_pipeline_tests.conftest import FIRST_DAY, SPINE, Control, Project
from conversation_pipeline_tests.pipeline.looks import Looks

DAY = "2024-03-20"
"""Long past: not only the newest day is looked at."""


def of_all_roads() -> Settings:
    return Settings.model_construct(conversation_roads=",".join(ROADS))


def week(first: int, last: int) -> set[str]:
    """Days from so many before DAY to so many after."""
    return {(date.fromisoformat(DAY) + timedelta(days=offset)).isoformat() for offset in range(first, last + 1)}


@pytest.fixture
def looks() -> Iterator[Looks]:
    looks = Looks(dg.DagsterInstance.ephemeral(), build_defs(of_all_roads))
    assert not looks.requested()
    yield looks
    looks.instance.dispose()


CHAIN: dict[str, dict[str, set[str]]] = {
    # Titles of choices are looked up on the day before, too.
    "entries_conversation_data": {"conversation_entries": week(0, 1), "entry_conflicts": week(0, 0)},
    "entries_data_cloud": {"conversation_entries": week(0, 1), "entry_conflicts": week(0, 0)},
    "entries_archive": {"conversation_entries": week(0, 1), "entry_conflicts": week(0, 0)},
    "conversation_entries": {"messages": week(0, 0), "session_kpis": week(-7, 0)},
    "messages": {"transcripts": week(-7, 0)},
    "session_kpis": {name: week(0, 0) for name in ("agent_daily_kpis", "queue_daily_kpis", "channel_daily_kpis")},
    "messaging_sessions": {
        "conversation_entries": week(0, 7),
        "entry_conflicts": week(0, 7),
        "transcripts": week(0, 0),
        "session_kpis": week(0, 0),
    },
    "messaging_session_metrics": {"session_kpis": week(-7, 0)},
    "agent_work": {"session_kpis": week(-7, 0)},
    "conversation_participants": {"conversation_entries": week(0, 7)},
}
"""Of each input, the models that read it and the days: sessions reach into the days after their creation."""


@pytest.mark.parametrize("changed", CHAIN)
def test_a_change_asks_for_the_days_that_read_it(looks: Looks, changed: str) -> None:
    """For each link of the chain, by its own days; what follows from there is asked for once that has changed."""
    looks.landed(changed, DAY)

    assert looks.requested() == CHAIN[changed]


@pytest.mark.parametrize("landed", CHAIN)
def test_a_landing_that_changed_nothing_asks_for_nothing(looks: Looks, landed: str) -> None:
    """The file was there as it would have been written."""
    looks.landed(landed, DAY, changed=False)

    assert not looks.requested()


def test_a_change_that_is_landed_again_is_still_a_change(looks: Looks) -> None:
    """Between two looks: the first landing changed the day, the second found it so."""
    looks.landed("messages", DAY)
    looks.landed("messages", DAY, changed=False)

    assert looks.requested() == CHAIN["messages"]


def test_a_request_is_made_once(looks: Looks) -> None:
    """The next look finds nothing new."""
    looks.landed("messages", DAY)
    looks.requested()

    assert not looks.requested()


def test_what_the_same_run_has_made_is_not_asked_for(looks: Looks) -> None:
    """Of a night's run, which makes inputs and models."""
    looks.landed("messages", DAY)
    for day in week(-7, 0):
        looks.landed("transcripts", day)

    assert not looks.requested()


@pytest.mark.parametrize(("landed", "day"), [("voice_call_recordings", DAY), ("messages", DAY), ("users", None)])
def test_the_warehouse_is_landed_when_anything_has_changed(looks: Looks, landed: str, day: str | None) -> None:
    """Of what no model reads, and today's names, too."""
    looks.landed(landed, day)
    looks.requested()

    assert looks.warehouse


def test_the_warehouse_is_not_landed_for_nothing(looks: Looks) -> None:
    """A landing copies its file."""
    looks.landed("messages", DAY, changed=False)
    looks.requested()

    assert not looks.warehouse


@pytest.mark.parametrize("snapshot", ["users", "queues", "messaging_channels"])
def test_new_names_refresh_no_day(looks: Looks, snapshot: str) -> None:
    """Each snapshot of users would otherwise ask for every day there is."""
    looks.landed(snapshot, None)

    assert not looks.requested()


def test_landings_tell_whether_they_changed_anything(project: Project, control: Control) -> None:
    """Of a run over settled days that is repeated, nothing asks for anything; of a day that went on, what went on."""
    day = FIRST_DAY.isoformat()
    control.post("clock", now="2026-11-14T02:00:00+00:00")
    spine = [name for name in SPINE if name not in ("warehouse", "users", "messaging_channels")]
    project.materialize(day, assets=SPINE)
    first = {name: project.metadata(name, day)["changed"] for name in spine}

    project.materialize(day, assets=SPINE)

    assert first == dict.fromkeys(spine, True)
    assert {name: project.metadata(name, day)["changed"] for name in spine} == dict.fromkeys(spine, False)


def test_the_sensor_starts_stopped() -> None:
    """A user switches on what the org allows."""
    sensor = build_defs(of_all_roads).get_sensor_def("models_refresh")

    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
