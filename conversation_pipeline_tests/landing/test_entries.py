"""The entry roads' landing: what is published last is the newest, and an org that tells nothing empties nothing."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from conversation_pipeline.defs.landing import ENTRY_ROADS, EntryLanding, land_entries, pull_entries
from conversation_pipeline.defs.landing.readings import stage_reading
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.salesforce.entry_api import Reading
from conversation_pipeline.salesforce.limits import CONVERSATION_DATA
from conversation_pipeline.schemas.conversations import CONVERSATION_ACTIVITY
from conversation_pipeline.storage import PublishError, Staging
from conversation_pipeline_tests.conftest import NOW, Control, Project

TODAY = "2026-11-13"
ROAD = ENTRY_ROADS[0]
RECORDS = ("messaging_sessions", "voice_calls", "conversations", "messaging_channels", "users")
At = Callable[[datetime], EntryLanding]


@pytest.fixture
def at(project: Project, control: Control) -> At:
    """A landing at some time, with the work list of that time."""
    control.post("limits", entry_requests=100_000)
    project.rate = CONVERSATION_DATA.with_count(100_000)

    def landing(now: datetime) -> EntryLanding:
        control.post("clock", now=now.isoformat())
        project.materialize("2026-11-10", TODAY, assets=(*RECORDS, CONVERSATION_ACTIVITY.name))
        settings = project.settings()
        org = Org(settings, retry=project.retry, rate=project.rate)
        return EntryLanding(
            ROAD, org, project.lake, Staging(settings.conversation_staging), "run", logging.getLogger("landing")
        )

    return landing


def keys(project: Project) -> list[tuple[str, ...]]:
    rows = project.rows(ROAD.dataset, TODAY).select(list(ROAD.dataset.key)).to_pylist()
    return sorted(tuple(row.values()) for row in rows)


def test_a_run_that_lands_late_does_not_undo_a_newer_one(project: Project, control: Control, at: At) -> None:
    """Two runs read the same day; the one that was begun first is the last to publish."""
    slow = at(NOW)
    read_by_slow = pull_entries(slow, [TODAY])
    quick = at(NOW + timedelta(days=1, hours=2))
    land_entries(quick, pull_entries(quick, [TODAY]), TODAY)

    land_entries(slow, read_by_slow, TODAY)

    assert keys(project) == sorted(control.true_entries(TODAY))


def test_a_road_that_finds_nothing_any_more_is_a_failure(project: Project, at: At) -> None:
    """A wrong URL looks like conversations that nobody knows; one that was read before tells the difference."""
    first = at(NOW)
    land_entries(first, pull_entries(first, [TODAY]), TODAY)
    project.environment["CONVERSATION_DATA_URL"] += "/elsewhere"
    later = at(NOW + timedelta(hours=1))

    with pytest.raises(PublishError, match="knows none of the"):
        pull_entries(later, [TODAY])


def test_a_day_is_closed_once_all_of_it_was_read_after_settling(control: Control, at: At) -> None:
    """Not while an earlier reading stands in for one that the org did not tell."""
    first = at(NOW)
    read = pull_entries(first, [TODAY])
    land_entries(first, read, TODAY)
    settled = at(NOW + timedelta(days=1, hours=2))
    due = next(need.conversation_identifier for need in read.needs if need.settled_at > NOW and need.readable)
    control.post("faults", conversation_identifier=due, effect={"status": 404})

    open_still = land_entries(settled, pull_entries(settled, [TODAY]), TODAY)
    control.delete("faults")
    closed = land_entries(settled, pull_entries(settled, [TODAY]), TODAY)

    assert (open_still["closed"], closed["closed"]) == (False, True)


def test_a_reading_tells_how_far_it_is_also_while_it_waits(
    control: Control, at: At, caplog: pytest.LogCaptureFixture
) -> None:
    """How many of how many, the rate, the share of the allowance, the time left; from the first second on."""
    caplog.set_level(logging.INFO, "landing")
    landing = replace(at(NOW), seconds_between_lines=0.02)
    control.post("switches", network_delay_min_ms=100, network_delay_max_ms=100)

    read = pull_entries(landing, [TODAY]).metadata["conversations_read"]

    lines = [line for line in caplog.messages if " of the allowance, " in line]
    line = rf"{ROAD.dataset.name}: (\d+) of {read}, [\d,]+ a minute, \d+% of the allowance, (.+)"
    told = [found.groups() for found in map(re.compile(line).fullmatch, lines) if found]
    assert len(told) == len(lines)
    assert told[0] == ("0", "none has come yet")
    assert re.fullmatch(r"[\d.,]+ minutes left", told[-1][1])


def test_an_entry_that_two_readings_place_apart_stands_once_with_its_later_word(project: Project, at: At) -> None:
    """Without a time of its own it is where it was asked for, and the second reading asked for less."""
    landing = at(NOW)
    pull = pull_entries(landing, [TODAY])
    conversation = next(need.conversation_identifier for need in pull.needs)
    day = Window.of_day(TODAY)
    for hours in (0, 12):
        window = Window(day.start + timedelta(hours=hours), day.end)
        body = json.dumps({"conversationEntries": [{"identifier": "timeless", "senderDisplayName": f"at {hours}"}]})
        told = Reading(conversation, window.start, window.end, [body.encode()], NOW + timedelta(hours=1 + hours), 1, 1)
        stage_reading(landing.staging, ROAD.dataset, told)

    land_entries(landing, pull, TODAY)

    found = project.rows(ROAD.dataset, TODAY).to_pylist()
    assert [row["sender_display_name"] for row in found if row["entry_identifier"] == "timeless"] == ["at 12"]
