"""``conversation-pipeline plan``: what it says before a backfill is what the backfill then asks (design, section 5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from conversation_pipeline.cli import main
from conversation_pipeline.defs.forecast import RoadForecast
from conversation_pipeline.defs.landing.readings import stage_reading
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract.estimate import Usual, Work
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.plan import ROADS, Backfill, planned, report
from conversation_pipeline.salesforce.entry_api import Reading
from conversation_pipeline.salesforce.limits import QuietHours
from conversation_pipeline.schemas.conversations import CONVERSATION_ACTIVITY, ENTRIES_CONVERSATION_DATA
from conversation_pipeline.storage import Staging
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, SPINE, Control, Project

DAYS = [(FIRST_DAY + timedelta(days=offset)).isoformat() for offset in range(3)]
WORK_LIST = SPINE[: SPINE.index("entries_conversation_data")]
ENTRIES = "entries_conversation_data"
FIRST, LAST = FIRST_DAY, FIRST_DAY + timedelta(days=2)


@pytest.fixture
def org(project: Project) -> Iterator[Org]:
    with closing(Org(project.settings())) as org:
        yield org


@pytest.fixture
def listed(project: Project) -> Project:
    """A project whose lake holds the days' work list, and none of their entries."""
    project.materialize(DAYS[0], DAYS[-1], assets=WORK_LIST)
    return project


def plan(org: Org, roads: Sequence[str] = ROADS[:1], last: date = LAST) -> Backfill:
    return planned(org, FIRST, last, roads)


def command(project: Project, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    monkeypatch.chdir(project.folder)
    return CliRunner().invoke(main, ["plan", *arguments], env={**project.environment, "COLUMNS": "100"})


def queries(control: Control) -> int:
    return sum("query" in request["route"] for request in control.get("requests")["requests"])


def test_a_listed_day_is_told_to_the_request(listed: Project, org: Org, control: Control) -> None:
    """By the lake's own work list: the run then asks for as many conversations."""
    [road] = plan(org).roads

    listed.materialize(DAYS[0], DAYS[-1], assets=[ENTRIES])

    assert road.work.conversations == len(set(control.entry_requests()))
    assert road.listed == sum(listed.rows(CONVERSATION_ACTIVITY, day).num_rows for day in DAYS)


def test_nothing_is_left_of_what_is_staged(listed: Project, org: Org) -> None:
    """After the backfill, the same plan has no request in it."""
    listed.materialize(DAYS[0], DAYS[-1], assets=[ENTRIES])

    [road] = plan(org).roads

    assert (road.work.requests, road.stand) == (0, road.listed - road.waiting)


def test_planning_reads_no_conversation(listed: Project, org: Org, control: Control) -> None:
    """And so marks none active."""
    plan(org, ROADS)

    assert control.entry_requests() == []


def test_other_days_are_counted_by_two_queries(project: Project, org: Org, control: Control) -> None:
    """However many days there are: one for the sessions, one for the calls."""
    [road] = plan(org, last=NOW.date()).roads

    assert queries(control) == 2
    assert road.listed == 0
    assert road.expected > 0


def test_the_estimate_is_near_what_the_work_list_says(project: Project, org: Org) -> None:
    """Sessions that last over midnight are all that it does not see."""
    [estimated] = plan(org).roads
    project.materialize(DAYS[0], DAYS[-1], assets=WORK_LIST)

    [exact] = plan(org).roads

    assert estimated.work.conversations == pytest.approx(exact.work.conversations, rel=0.15)


def test_an_org_without_calls_is_counted_by_its_sessions(project: Project, org: Org, control: Control) -> None:
    """An object that it lacks counts for nothing."""
    before = plan(org).roads[0].expected
    control.post("hide", object="VoiceCall", absent=True)

    assert 0 < plan(org).roads[0].expected < before


def test_connect_is_told_with_its_second_request(listed: Project, org: Org) -> None:
    """A page that brings nothing new is what tells it the end."""
    [road] = plan(org, ["connect"]).roads

    assert road.work.requests == 2 * road.work.conversations


def test_what_is_staged_tells_what_a_conversation_costs(listed: Project, org: Org) -> None:
    """Bytes are known once some have been read."""
    [before] = plan(org).roads
    listed.materialize(DAYS[0], assets=[ENTRIES])

    [after] = plan(org).roads

    assert before.work.received_bytes is None
    assert after.work.received_bytes is not None
    assert after.work.received_bytes > 100 * after.work.conversations


def test_landed_days_whose_raw_answers_are_gone_are_not_asked_for(listed: Project, org: Org) -> None:
    """What the lake holds of them stands."""
    listed.materialize(DAYS[0], DAYS[-1], assets=[ENTRIES])
    Staging(listed.environment["CONVERSATION_STAGING"]).sweep(NOW + timedelta(days=40), timedelta(days=30))

    [road] = plan(org).roads

    assert (road.work.conversations, road.stand) == (0, road.listed - road.waiting)


def test_landed_days_that_are_due_to_be_read_again_are_told_apart(listed: Project, org: Org, control: Control) -> None:
    """A backfill of missing partitions leaves them out."""
    listed.materialize(DAYS[0], DAYS[-1], assets=[ENTRIES])
    control.post("clock", now=(NOW + timedelta(days=10)).isoformat())

    [road] = plan(org).roads

    assert road.of_landed_days == road.work.conversations > 0


def test_each_work_list_tells_what_it_needs(listed: Project, control: Control) -> None:
    """In the UI, for each day: conversations, the requests they need now, and the minutes."""
    told = listed.metadata("conversation_activity", DAYS[1])

    listed.materialize(DAYS[1], assets=[ENTRIES])

    assert told["conversation_data_requests_left"] == len(set(control.entry_requests()))
    assert told["conversations_listed"] == listed.rows(CONVERSATION_ACTIVITY, DAYS[1]).num_rows
    assert told["conversation_data_minutes_left"] > 0


def test_a_work_list_needs_no_users(listed: Project) -> None:
    """It asks no entry API: where the users can not be read, the minutes that they would take are left out."""
    listed.environment["CONVERSATION_DATA_USERS"] = "/nowhere/users.json"

    listed.materialize(DAYS[1], assets=["conversation_activity"])

    told = listed.metadata("conversation_activity", DAYS[1])
    assert told["conversation_data_requests_left"] > 0
    assert "conversation_data_minutes_left" not in told


def test_a_reading_in_parts_is_one_reading(listed: Project, org: Org) -> None:
    """What a conversation costs is told by all of its parts: pages and bytes."""
    staging = Staging(listed.environment["CONVERSATION_STAGING"])
    pages = [b'"' + b"x" * 6 * 2**20 + b'"'] * 3
    window = Window.of_day(DAYS[0])
    stage_reading(staging, ENTRIES_CONVERSATION_DATA, Reading("long", window.start, window.end, pages, NOW, 3, 1))

    [road] = plan(org).roads

    assert road.work.usual.requests == len(pages)
    assert road.work.usual.received_bytes == pytest.approx(sum(map(len, pages)), rel=0.01)


def test_the_command_ends_with_a_sentence(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """And fits a terminal of a hundred columns."""
    done = command(project, monkeypatch, "--to", LAST.isoformat())

    assert done.exit_code == 0, done.output
    assert "with the 3 users at hand." in done.output
    assert max(len(line) for line in done.output.splitlines()) <= 100


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--from", "2020-01-01"], "2020-01-01 lies before CONVERSATION_START_DATE, 2026-11-10"),
        (["--to", "2030-01-01"], "give days up to today, 2026-11-13 (UTC)"),
        (["--from", "2026-11-12", "--to", "2026-11-11"], "there are no days from 2026-11-12 to 2026-11-11"),
    ],
    ids=["too early", "not yet", "none"],
)
def test_days_that_can_not_be_read_are_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    """With the sentence to act on, and an exit code."""
    done = command(project, monkeypatch, *arguments)

    assert done.exit_code == 1
    assert sentence in " ".join(done.output.split())


def large(org: Org, users: int = 3, roads: Sequence[str] = ROADS[:1], quiet: QuietHours | None = None) -> str:
    """What is said of a million conversations."""
    small = plan(org, roads)

    def grown(road: RoadForecast) -> RoadForecast:
        allowance = replace(road.allowance, users=users, quiet=quiet)
        return replace(road, allowance=allowance, work=Work(1_000_000, Usual(road.road.requests_a_conversation)))

    console = Console(width=100)
    with console.capture() as told:
        for part in report(replace(small, roads=[grown(road) for road in small.roads])):
            console.print(part, highlight=False)
    return " ".join(told.get().split())


def test_the_budget_is_named_where_users_do_not_help(project: Project, org: Org) -> None:
    """Three users and the default budget: what binds, what it lets in, and what a larger one would bring."""
    told = large(org)

    assert "lets 90 new conversations a minute be read in the long run, however many users there are" in told
    assert "The active budget of 2,700 sets the pace, not the users: with 8,100" in told
    assert "At most 2,700 conversations are held active at once: 25% of the org's standard limit of 11,000" in told


def test_one_more_user_is_offered_where_the_rate_binds(project: Project, org: Org) -> None:
    """With the budget that the user needs, and the time that it takes then."""
    told = large(org, users=1)

    assert "1 x 90 a minute" in told
    assert (
        "7.7 days with the 1 user at hand. One more user and an active budget of 5,400 (49% of the limit) make" in told
    )


def test_connect_is_held_against_the_allocation(project: Project, org: Org) -> None:
    """What it takes a day, of how much; and that users do not help there."""
    told = large(org, users=1, roads=ROADS)

    assert "24-hour allocation of 100,000" in told
    assert "Connect REST API 23,980 a day" in told
    assert "The limit of 1,000 calls an hour sets the pace; more users do not help here." in told


def test_quiet_hours_are_told(project: Project, org: Org) -> None:
    """When they are, and what they let in."""
    told = large(org, quiet=QuietHours.parse("20:00-06:00", 5_400))

    assert "In the quiet hours, 20:00 to 06:00 UTC less the last half hour, 5,400 let 180" in told
