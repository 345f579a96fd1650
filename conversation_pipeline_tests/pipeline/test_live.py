"""The current day as it goes on: nothing lost, and no request for what can not have changed (design, section 6)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
import pyarrow.compute as pc
import pytest

from conversation_pipeline.defs.live import JOB, days_that_go_on
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract.windows import Window, to_milliseconds
from conversation_pipeline.extract.work_list import OVERLAP
from conversation_pipeline.salesforce.limits import CONVERSATION_DATA
from conversation_pipeline.schemas.conversations import CONVERSATION_ACTIVITY, CONVERSATIONS, ENTRIES_CONVERSATION_DATA
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.schemas.voice import VOICE_CALLS
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.storage import Staging
from conversation_pipeline_tests.conftest import NOW, Control, Project

YESTERDAY, TODAY = "2026-11-12", "2026-11-13"
ROAD = ENTRIES_CONVERSATION_DATA
AS_FAR_AS_ENTRIES = (
    MESSAGING_SESSIONS.name,
    VOICE_CALLS.name,
    CONVERSATIONS.name,
    CONVERSATION_ACTIVITY.name,
    ROAD.name,
)


def refresh(project: Project, first: str = TODAY, last: str = TODAY) -> None:
    """What the schedule asks for, as far as the entries."""
    project.materialize(first, last, job=JOB, assets=AS_FAR_AS_ENTRIES)


def at(control: Control, now: datetime) -> None:
    control.post("clock", now=now.isoformat())


@pytest.fixture
def simulator() -> Iterator[str]:
    """An org with enough going on at any time."""
    with Simulator(seed=7, first_day=date(2026, 11, 10), conversations_per_day=40, now=NOW).serve() as running:
        yield running.url


@pytest.fixture
def live(project: Project, control: Control) -> Project:
    """A project whose day was refreshed at 15:00."""
    control.post("limits", entry_requests=100_000)
    project.rate = CONVERSATION_DATA.with_count(100_000)
    for name in ("messaging_channels", "users"):
        project.materialize_asset(name)
    refresh(project, "2026-11-10", TODAY)
    return project


def asked_since(control: Control, before: int) -> list[str]:
    return control.entry_requests()[before:]


def test_a_refresh_asks_only_for_what_can_have_changed(live: Project, control: Control) -> None:
    """Open conversations that are not idle, those whose records changed, and those that settled: each once."""
    before, later = len(control.entry_requests()), NOW + timedelta(minutes=5)
    at(control, later)

    refresh(live)

    rows = live.rows(CONVERSATION_ACTIVITY, TODAY).to_pylist()
    due = {
        row["conversation_identifier"]
        for row in rows
        if ("Messaging" in row["modality"] or row["settled_at"] <= later)
        and (row["is_live"] or row["changed_at"] >= NOW or NOW < row["settled_at"] <= later)
    }
    assert set(asked_since(control, before)) == due
    assert 0 < len(due) < len(rows)


def test_a_conversation_that_goes_on_is_read_from_where_it_was_read_last(live: Project, control: Control) -> None:
    """Less an overlap: entries may be stored out of order."""
    at(control, NOW + timedelta(minutes=30))

    refresh(live)

    staging = Staging(live.environment["CONVERSATION_STAGING"])
    newest = [one for one in staging.records(ROAD.name, [TODAY]) if one.fetched_at > NOW]
    starts = {int(one.label[1]) for one in newest}
    assert to_milliseconds(NOW - OVERLAP) in starts
    metadata = live.metadata(ROAD.name, TODAY)
    assert metadata["conversations_read_from_their_watermark"] > 0
    assert starts <= {to_milliseconds(NOW - OVERLAP), to_milliseconds(Window.of_day(TODAY).start)}


def test_a_refresh_of_a_day_where_nothing_changed_asks_for_no_entries(live: Project, control: Control) -> None:
    """However often it is refreshed."""
    at(control, NOW + timedelta(days=2))
    refresh(live, YESTERDAY, TODAY)
    before = len(control.entry_requests())

    refresh(live, YESTERDAY, TODAY)

    assert asked_since(control, before) == []


def test_a_refresh_costs_one_request_for_each_changed_conversation(live: Project, control: Control) -> None:
    """Of a day that has settled."""
    at(control, NOW + timedelta(days=2))
    refresh(live, YESTERDAY, TODAY)
    before = len(control.entry_requests())
    some = live.rows(MESSAGING_SESSIONS, YESTERDAY).to_pylist()[:2]
    control.post("records", update=[{"Id": row["id"], "EndUserLanguage": "de"} for row in some])
    at(control, NOW + timedelta(days=2, minutes=5))

    refresh(live, YESTERDAY, YESTERDAY)

    assert sorted(asked_since(control, before)) == sorted(row["conversation_identifier"] for row in some)


@pytest.fixture
def swept(live: Project, control: Control) -> Project:
    """Two days that were read once more a week after they settled; their raw answers have passed their retention."""
    at(control, NOW + timedelta(days=10))
    refresh(live, YESTERDAY, TODAY)
    shutil.rmtree(live.environment["CONVERSATION_STAGING"])
    return live


def test_a_settled_day_costs_no_request_after_its_raw_answers_are_gone(swept: Project, control: Control) -> None:
    """What the lake holds stands as it is, however many of its conversations have no entry on that day."""
    before, rows = len(control.entry_requests()), swept.rows(ROAD, YESTERDAY)

    refresh(swept, YESTERDAY, TODAY)

    assert asked_since(control, before) == []
    assert swept.rows(ROAD, YESTERDAY) == rows
    assert swept.metadata(ROAD.name, YESTERDAY)["closed"] is True


def test_changed_conversations_cost_a_request_each_after_the_raw_answers_are_gone(
    swept: Project, control: Control
) -> None:
    """But for paging: how long a page may be has to be found out anew. The others keep their rows, and the next refresh
    costs nothing again."""
    before = len(control.entry_requests())
    some = swept.rows(MESSAGING_SESSIONS, YESTERDAY).to_pylist()[:2]
    control.post("records", update=[{"Id": row["id"], "EndUserLanguage": "de"} for row in some])
    at(control, NOW + timedelta(days=10, minutes=5))

    refresh(swept, YESTERDAY, YESTERDAY)
    asked = asked_since(control, before)
    refresh(swept, YESTERDAY, YESTERDAY)

    assert set(asked) == {row["conversation_identifier"] for row in some}
    assert asked_since(control, before) == asked
    keys = swept.rows(ROAD, YESTERDAY).select(list(ROAD.key)).to_pylist()
    assert sorted(tuple(key.values()) for key in keys) == sorted(control.true_entries(YESTERDAY))


def test_a_conversation_that_is_listed_later_is_asked_for_after_the_raw_answers_are_gone(
    swept: Project, control: Control
) -> None:
    """Though no record of it has changed: who sees it now may not have seen it when the day was read."""
    rows = swept.rows(CONVERSATION_ACTIVITY, YESTERDAY).to_pylist()
    hidden = rows[0]
    entries = swept.rows(ROAD, YESTERDAY)
    told = {"told_at": (NOW + timedelta(days=10)).isoformat(), "listed": "of the others"}
    kept = entries.filter(pc.field("conversation_identifier") != hidden["conversation_identifier"])
    swept.lake.replace(ROAD, YESTERDAY, kept.to_batches(), run_id="before", provenance=told)
    before = len(control.entry_requests())

    swept.materialize_asset(ROAD.name, YESTERDAY)

    asked = set(asked_since(control, before))
    with_rows = set(kept["conversation_identifier"].to_pylist())
    assert asked == {row["conversation_identifier"] for row in rows} - with_rows
    assert hidden["conversation_identifier"] in asked
    assert swept.rows(ROAD, YESTERDAY).num_rows == entries.num_rows


def test_a_day_that_was_refreshed_as_it_went_on_is_the_day_that_was(live: Project, control: Control) -> None:
    """Refreshed all along, it ends closed, with every entry of the org once and none else, whatever was read when."""
    now = NOW
    while now < NOW + timedelta(hours=12):
        now += timedelta(minutes=60)
        at(control, now)
        first, *_, last = [day.isoformat() for day in (*days_that_go_on(now), days_that_go_on(now)[-1])]
        refresh(live, first, last)

    keys = live.rows(ROAD, TODAY).select(list(ROAD.key)).to_pylist()
    truth = control.true_entries(TODAY)
    assert sorted(tuple(key.values()) for key in keys) == sorted(truth)
    assert live.metadata(ROAD.name, TODAY)["closed"] is True


def test_the_schedule_asks_for_today_and_for_yesterday_until_it_has_settled() -> None:
    """What reached over midnight settles some time after it."""
    midnight = datetime.fromisoformat("2026-11-14T00:00:00+00:00")

    assert [day.isoformat() for day in days_that_go_on(midnight - timedelta(minutes=5))] == [TODAY]
    assert [day.isoformat() for day in days_that_go_on(midnight)] == [TODAY, "2026-11-14"]
    assert [day.isoformat() for day in days_that_go_on(midnight + timedelta(hours=4))] == ["2026-11-14"]


def requested(project: Project, at: datetime) -> list[tuple[list[str], str, str]]:
    """What the schedule asks for at some time: assets (none for all), first and last day."""
    schedule = project.definitions().resolve_schedule_def(JOB)
    org = Org(project.settings(), retry=project.retry)
    given = {"lake": project.lake, "salesforce": org}
    with (
        dg.DagsterInstance.local_temp() as instance,
        dg.build_schedule_context(instance=instance, scheduled_execution_time=at, resources=given) as context,
    ):
        asked = schedule.evaluate_tick(context).run_requests or []
    return [
        (
            [key.to_user_string() for key in request.asset_selection or ()],
            request.tags["dagster/asset_partition_range_start"],
            request.tags["dagster/asset_partition_range_end"],
        )
        for request in asked
    ]


def test_the_schedule_asks_for_older_sessions_that_changed(live: Project, control: Control) -> None:
    """Somebody wrote into a session of an earlier day: its day's sessions are read again, and no other day's."""
    later = NOW + timedelta(hours=3)
    at(control, later)
    before = requested(live, later + timedelta(hours=1))
    session = live.rows(MESSAGING_SESSIONS, "2026-11-11").to_pylist()[0]["id"]
    control.post("records", update=[{"Id": session, "Status": "Active"}])

    after = requested(live, later)

    assert before == [([], TODAY, TODAY)]
    assert ([MESSAGING_SESSIONS.name], "2026-11-11", "2026-11-11") in after


def metadata_of(project: Project) -> dict[str, Any]:
    return project.metadata(ROAD.name, TODAY)


def test_metadata_tells_what_a_refresh_cost_and_saved(live: Project, control: Control) -> None:
    """Conversations that were read, and those that stood as they were."""
    before = len(control.entry_requests())
    at(control, NOW + timedelta(minutes=5))

    refresh(live)

    told = metadata_of(live)
    asked = set(asked_since(control, before))
    assert told["conversations_read"] == len(asked)
    assert told["conversation_days_unchanged"] == told["conversations"] - len(asked)
