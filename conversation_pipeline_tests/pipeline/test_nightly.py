"""Older days that the night reads again: those of sessions that went on, as long as they do, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta

import dagster as dg
import pytest

from conversation_pipeline.defs.landing import Landing, land_days
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.schemas.voice import VOICE_CALLS
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.storage import Staging
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, Control, Project

DAY = FIRST_DAY.isoformat()
"""Of the session that goes on."""
MADE_OF_SESSIONS = [
    "transcripts",
    "session_kpis",
    "agent_daily_kpis",
    "channel_daily_kpis",
    "queue_daily_kpis",
    "warehouse",
]
Asked = tuple[list[str], str, str]


@pytest.fixture
def simulator() -> Iterator[str]:
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=3, now=NOW).serve() as running:
        yield running.url


@pytest.fixture
def session(project: Project, control: Control) -> str:
    """A session that is open; its day was read ten days ago, and the day before this night just now."""
    project.environment["CONVERSATION_REREAD_DAYS"] = ""
    session = str(control.get("truth/records", sobject="MessagingSession", day=DAY)["records"][0]["Id"])
    control.post("records", update=[{"Id": session, "EndTime": None, "Status": "Active"}])
    read(project, DAY)
    nights_pass(10, project, control)
    return session


def read(project: Project, day: str) -> None:
    """Sessions and calls of a day."""
    with closing(Org(project.settings(), retry=project.retry)) as org:
        staging = Staging(project.environment["CONVERSATION_STAGING"])
        for dataset in (MESSAGING_SESSIONS, VOICE_CALLS):
            landing = Landing(dataset, org, project.lake, staging, "test", logging.getLogger(__name__))
            assert dict(land_days(landing, [day]))


def nights_pass(count: int, project: Project, control: Control) -> None:
    """The clock goes on, and the day that has ended is read."""
    tonight = now(control) + timedelta(days=count)
    control.post("clock", now=tonight.isoformat())
    read(project, (tonight - timedelta(days=1)).date().isoformat())


def now(control: Control) -> datetime:
    return datetime.fromisoformat(control.get("clock")["now"])


def requests(project: Project, control: Control) -> list[dg.RunRequest]:
    """What the schedule asks for tonight."""
    schedule = project.definitions().resolve_schedule_def("conversations_nightly")
    with closing(Org(project.settings(), retry=project.retry)) as org:
        given = {"lake": project.lake, "salesforce": org}
        with dg.build_schedule_context(
            instance=project.instance, scheduled_execution_time=now(control), resources=given
        ) as context:
            return list(schedule.evaluate_tick(context).run_requests or ())


def older(project: Project, control: Control) -> list[Asked]:
    """Of that, what is of the session's day: assets, first and last day of the run."""
    [_, *others] = [
        (
            [key.to_user_string() for key in request.asset_selection or ()],
            request.tags["dagster/asset_partition_range_start"],
            request.tags["dagster/asset_partition_range_end"],
        )
        for request in requests(project, control)
    ]
    return [(assets, first, last) for assets, first, last in others if first <= DAY <= last]


def ends(control: Control, session: str) -> None:
    control.post("records", update=[{"Id": session, "EndTime": now(control).isoformat(), "Status": "Ended"}])


def test_an_open_session_that_does_not_change_is_not_asked_for(
    project: Project, control: Control, session: str
) -> None:
    """However long it stays open; finding out costs a query an object."""
    control.post("counters/reset")

    assert older(project, control) == []

    routes = control.get("counters")["routes"]
    assert sum(counts["served"] for route, counts in routes.items() if route.startswith("rest")) <= 2


def test_the_day_of_a_session_that_went_on_is_asked_for_alone(project: Project, control: Control, session: str) -> None:
    """Its sessions, and what is made of them without a request more; neither entries nor anything else of that day."""
    ends(control, session)

    assert older(project, control) == [([MESSAGING_SESSIONS.name, *MADE_OF_SESSIONS], DAY, DAY)]


def test_days_of_sessions_that_ended_long_ago_are_not_asked_for(
    project: Project, control: Control, session: str
) -> None:
    """A change of theirs is for the sensor on changes."""
    others = [row["id"] for row in project.rows(MESSAGING_SESSIONS, DAY).to_pylist() if row["id"] != session]
    ends(control, session)
    read(project, DAY)
    nights_pass(4, project, control)
    control.post("records", update=[{"Id": others[0], "EndUserLanguage": "de"}])

    assert older(project, control) == []


def test_asking_comes_to_an_end(project: Project, control: Control, session: str) -> None:
    """Some nights after the session has ended its day is asked for no more, and its transcript is whole by then."""
    ends(control, session)
    nights = 0
    while older(project, control):
        read(project, DAY)
        nights_pass(1, project, control)
        nights += 1
        assert nights < 7, "the night asks for ever"

    assert nights >= 2


def test_a_week_without_a_night_loses_nothing(project: Project, control: Control, session: str) -> None:
    """A session that ended while the schedule was off is found once it is on again."""
    ends(control, session)
    control.post("clock", now=(now(control) + timedelta(days=7)).isoformat())

    assert older(project, control)


def test_an_org_that_does_not_answer_costs_no_night(project: Project, control: Control, session: str) -> None:
    """The last days are asked for all the same; older ones are looked for by the next night."""
    ends(control, session)
    control.post("faults", route="rest.query_all", effect={"status": 503})
    assert older(project, control) == []

    control.delete("faults")

    assert older(project, control)


def test_what_is_asked_for_can_be_run(project: Project, control: Control, session: str) -> None:
    """The schedule's request, as a run: the day's sessions, and models with their checks, without anything else."""
    ends(control, session)
    [(assets, first, last)] = older(project, control)
    before = len(control.entry_requests())

    project.materialize(first, last, assets=assets)

    rows = {row["id"]: row for row in project.rows(MESSAGING_SESSIONS, DAY).to_pylist()}
    assert rows[session]["end_time"] is not None
    assert len(control.entry_requests()) == before


def test_requests_name_the_checks_of_what_they_ask_for(project: Project, control: Control, session: str) -> None:
    """Assets evaluate their checks themselves: a request names all of those, and so none that asks the org."""
    ends(control, session)
    job = project.definitions().resolve_job_def("conversations_daily")
    named = [request for request in requests(project, control) if request.asset_check_keys is not None]

    checks = {key for request in named for key in request.asset_check_keys or ()}
    for request in named:
        job.get_subset(
            asset_selection=set(request.asset_selection or ()),
            asset_check_selection=set(request.asset_check_keys or ()),
        )

    assert dg.AssetCheckKey(dg.AssetKey("session_kpis"), "metrics_agree_with_salesforce") in checks
    assert "all_records_visible" not in {key.name for key in checks}
