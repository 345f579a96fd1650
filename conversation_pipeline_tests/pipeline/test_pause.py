"""A backfill's life: terminated in the middle, given another execution user, launched again (issue 4, item 5)."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from conversation_pipeline.schemas.conversations import ENTRIES_CONVERSATION_DATA
from conversation_pipeline.simulator import Simulator
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, SPINE, Control, Project, project_for
from conversation_pipeline_tests.pipeline.processes import SCALED, SECONDS, ended, started

DAYS = [(FIRST_DAY + timedelta(days=offset)).isoformat() for offset in range(3)]
WORK_LIST = SPINE[: SPINE.index(ENTRIES_CONVERSATION_DATA.name)]
UNDER_WAY = 8
"""Requests of a user that may be without an answer when the run is terminated; each is staged or asked once more."""


@dataclass(frozen=True)
class Resumed:
    """
    A backfill that was terminated and launched again.

    Attributes:
        first, second: Conversations that each run asked for.
        by_user: Requests that the second run's users were served.
    """

    project: Project
    control: Control
    exit_code: int | None
    first: list[str]
    second: list[str]
    by_user: dict[str, int]


def backfill(project: Project) -> None:
    """All days in one run, at ten requests a second and user."""
    project.rate = SCALED
    project.materialize(DAYS[0], DAYS[-1], assets=[ENTRIES_CONVERSATION_DATA.name])


def served(control: Control) -> dict[str, int]:
    users = control.get("counters")["execution_users"]
    return {user: counts["served"] for user, counts in users.items()}


def users_of(project: Project, count: int) -> str:
    return json.dumps(json.loads(project.environment["CONVERSATION_DATA_USERS"])[:count])


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Resumed]:
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=30, now=NOW).serve() as running:
        control = Control(running.url)
        control.post("limits", entry_requests=10, entry_window_seconds=1.0, entry_window="sliding")
        project = project_for(running.url, tmp_path_factory.mktemp("paused") / "project")
        one, two = users_of(project, 1), users_of(project, 2)
        project.materialize(DAYS[0], DAYS[-1], assets=WORK_LIST)
        project.environment["CONVERSATION_DATA_USERS"] = one
        run = started(backfill, project)
        _wait_until_served(control, 25)
        assert run.pid is not None
        os.kill(run.pid, signal.SIGINT)  # what Terminate in the UI comes to
        exit_code = ended(run)
        first = control.entry_requests()
        control.post("counters/reset")
        project.environment["CONVERSATION_DATA_USERS"] = two
        backfill(project)
        yield Resumed(project, control, exit_code, first, control.entry_requests(), served(control))


def _wait_until_served(control: Control, count: int) -> None:
    late = time.monotonic() + SECONDS
    while sum(served(control).values()) < count:
        assert time.monotonic() < late, "the backfill never got that far"
        time.sleep(0.02)


def test_a_terminated_backfill_stops_in_the_middle(resumed: Resumed) -> None:
    """It ends on the signal, with some conversations read and others not: or else the rest would show nothing."""
    assert resumed.exit_code not in (0, None, -signal.SIGKILL)
    assert 25 <= len(resumed.first) < len(set(resumed.first) | set(resumed.second))


def test_nothing_that_was_staged_is_asked_twice(resumed: Resumed) -> None:
    """Launched again, a backfill asks for what is left, and once more for no more than was under way."""
    asked_twice = set(resumed.first) & set(resumed.second)

    assert len(asked_twice) <= UNDER_WAY


def test_a_user_who_was_added_takes_its_share(resumed: Resumed) -> None:
    """Half of what was left, give or take what one window lets through."""
    assert len(resumed.by_user) == 2
    fewer, more = sorted(resumed.by_user.values())

    assert fewer >= 10
    assert more - fewer <= SCALED.count


def test_every_entry_stands_once_in_the_end(resumed: Resumed) -> None:
    """Terminated and resumed, the days are the org's."""
    for day in DAYS:
        keys = resumed.project.rows(ENTRIES_CONVERSATION_DATA, day).select(list(ENTRIES_CONVERSATION_DATA.key))
        assert sorted(tuple(key.values()) for key in keys.to_pylist()) == sorted(resumed.control.true_entries(day))
