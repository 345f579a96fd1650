"""Both entry roads against every habit that the org may have: what is in the lake is what is true (issue 4)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from conversation_pipeline.salesforce.connection import Retry
from conversation_pipeline.salesforce.limits import CONVERSATION_DATA
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.conversations import (
    ENTRIES_CONNECT,
    ENTRIES_CONVERSATION_DATA,
)
from conversation_pipeline.simulator import Simulator
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, SPINE, Control, Project, project_for

DAYS = [(FIRST_DAY + timedelta(days=offset)).isoformat() for offset in range(2)]
ALL_SETTLED = f"{(FIRST_DAY + timedelta(days=2)).isoformat()}T09:00:00+00:00"
WORK_LIST = SPINE[: SPINE.index("conversation_activity") + 1]
DATASETS = {"conversation_data": ENTRIES_CONVERSATION_DATA, "connect": ENTRIES_CONNECT}
LONG = 1_203
"""Entries of one conversation: more than a page of either API holds, and seven in each millisecond."""

Key = tuple[str, str]
Rows = dict[Key, dict[str, Any]]


@dataclass(frozen=True)
class World:
    """An org, and a project that has its work list and no entries yet."""

    url: str
    ready: Path

    @property
    def control(self) -> Control:
        return Control(self.url)

    def restart(self) -> None:
        """The org in its first state: two days that have settled, ties, and one conversation without end."""
        self.control.post("reset")
        self.control.post("clock", now=ALL_SETTLED)
        self.control.post("entries/tie", every=3)
        long = next(
            entry
            for entry in self.control.true_entries(DAYS[0]).values()
            if entry["messaging_session_id"] and entry["text"]
        )
        self.control.post(
            "entries/generate",
            conversationIdentifier=long["conversation_identifier"],
            recordId=long["messaging_session_id"],
            count=LONG,
            tied=7,
            **{"from": f"{DAYS[0]}T20:00:00+00:00", "to": f"{DAYS[0]}T22:00:00+00:00"},
        )

    def project(self, folder: Path, *roads: str) -> Project:
        project = project_for(self.url, folder, roads)
        shutil.copytree(self.ready, folder / "lake")
        return project

    def truth(self, *days: str) -> Rows:
        return {key: entry for day in days or DAYS for key, entry in self.control.true_entries(day).items()}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=3, now=NOW).serve() as running:
        ready = project_for(running.url, tmp_path_factory.mktemp("ready"))
        world = World(running.url, ready.folder / "lake")
        world.restart()
        ready.materialize(DAYS[0], DAYS[-1], assets=WORK_LIST)
        yield world


@pytest.fixture(autouse=True)
def _restarted(world: World) -> None:
    world.restart()


def told(project: Project, dataset: Dataset) -> Rows:
    """What the lake holds, by conversation and entry."""
    rows = [row for day in DAYS for row in project.rows(dataset, day).to_pylist()]
    found = {(row["conversation_identifier"], row["entry_identifier"]): row for row in rows}
    assert len(found) == len(rows)
    return found


def only(rows: Rows, *columns: str) -> Rows:
    """The rows with these columns alone, times as instants."""
    return {key: {name: _as_told(name, row[name]) for name in columns} for key, row in rows.items()}


def _as_told(name: str, value: Any) -> Any:
    return datetime.fromtimestamp(value / 1000, NOW.tzinfo) if isinstance(value, int) else value


def is_text(entry: Mapping[str, Any]) -> bool:
    """Whether Connect tells it: static content of type text (Connect, Conversation Entry [doc])."""
    kinds = (entry["entry_type"], entry["message_type"], entry["format_type"])
    return kinds == ("Message", "StaticContentMessage", "Text")


@dataclass(frozen=True)
class Habit:
    """
    How an org may be; the rest is as assumed by default.

    Attributes:
        asked: Requests that we believe to be allowed to each user in a second.
        refuses: Whether the org refuses some, because it allows fewer.
    """

    road: str
    switches: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    asked: int = 90
    refuses: bool = False


def data(**switches: Any) -> Habit:
    return Habit("conversation_data", switches)


def connect(**switches: Any) -> Habit:
    return Habit("connect", switches)


FEW = {"entry_requests": 4, "entry_window_seconds": 1.0}
FEW_CALLS = {"connect_requests": 4, "connect_window_seconds": 1.0}

HABITS = {
    "payload as text, tokens": data(),
    "payload as object, no tokens": data(payload_form="object", page_tokens=False),
    "either payload, no order, no tokens": data(payload_form="mixed", page_tokens=False, entry_order="shuffled"),
    "oldest first, tokens": data(entry_order="oldest_first"),
    "a fixed window": Habit("conversation_data", {}, {**FEW, "entry_window": "fixed"}, asked=4),
    "a sliding window": Habit("conversation_data", {}, {**FEW, "entry_window": "sliding"}, asked=4),
    "429 that says how long": Habit("conversation_data", {}, {**FEW, "entry_window": "sliding"}, refuses=True),
    "429 that does not": Habit("conversation_data", {"retry_after": False}, FEW, refuses=True),
    "connect": connect(),
    "connect, blank texts": connect(connect_rich_entries="blank"),
    "connect, counts what it leaves out": connect(connect_filter_after_limit=True, connect_bot_text=False),
    "connect, 503 that says how long": Habit("connect", {"connect_retry_after": True}, FEW_CALLS, refuses=True),
}


@pytest.mark.parametrize("habit", HABITS.values(), ids=HABITS)
def test_the_lake_equals_the_truth(world: World, tmp_path: Path, habit: Habit) -> None:
    """Every entry of two days once, with its text, speaker and time: ties and 1,200 in one conversation included."""
    world.control.post("switches", **habit.switches)
    world.control.post("limits", **habit.limits)
    project = world.project(tmp_path / "project", habit.road)
    project.retry = Retry(attempts=40, timeout=None, wait_initial=0.01, wait_max=0.05)
    project.rate = CONVERSATION_DATA.with_count(habit.asked).scaled(1 / 60)
    dataset = DATASETS[habit.road]

    project.materialize(DAYS[0], DAYS[-1], assets=[dataset.name])

    truth = {key: entry for key, entry in world.truth().items() if _is_told(entry, habit)}
    rows = {key: row for key, row in told(project, dataset).items() if row["entry_type"]}
    columns = ("sender_role", "transcripted_timestamp")
    assert only(rows, *columns) == only(truth, *columns)
    assert {key for key, entry in truth.items() if entry["text"] not in (None, rows[key]["text"])} == set()
    assert len(truth) > LONG
    statuses = world.control.get("counters")["statuses"]
    assert bool({"429", "503"} & set(statuses)) is habit.refuses


def _is_told(entry: Mapping[str, Any], habit: Habit) -> bool:
    if habit.road != "connect":
        return True
    return is_text(entry) and (habit.switches.get("connect_bot_text", True) or entry["sender_role"] != "Chatbot")
