"""Both entry roads against every habit that the org may have: what is in the lake is what is true (issue 4)."""

from __future__ import annotations

import shutil
import socket
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
    CONVERSATION_ENTRIES,
    CONVERSATIONS,
    ENTRIES_CONNECT,
    ENTRIES_CONVERSATION_DATA,
)
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.schemas.voice import VOICE_CALLS
from conversation_pipeline.simulator import Simulator
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, SPINE, Control, Project, project_for

DAYS = [(FIRST_DAY + timedelta(days=offset)).isoformat() for offset in range(2)]
ALL_SETTLED = f"{(FIRST_DAY + timedelta(days=2)).isoformat()}T09:00:00+00:00"
WORK_LIST = (*SPINE[: SPINE.index("conversation_activity") + 1], "conversation_participants")
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
    rows = [row for day in DAYS for row in rows_of(project, dataset, day)]
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
TOO_FEW = {"entry_requests": 2, "entry_window_seconds": 1.0}
"""So few that any machine asks too fast."""
FEW_CALLS = {"connect_requests": 4, "connect_window_seconds": 1.0}

HABITS = {
    "payload as text, tokens": data(),
    "payload as object, no tokens": data(payload_form="object", page_tokens=False),
    "either payload, no order, no tokens": data(payload_form="mixed", page_tokens=False, entry_order="shuffled"),
    "oldest first, tokens": data(entry_order="oldest_first"),
    "a fixed window": Habit("conversation_data", {}, {**FEW, "entry_window": "fixed"}, asked=4),
    "a sliding window": Habit("conversation_data", {}, {**FEW, "entry_window": "sliding"}, asked=4),
    "429 that says how long": Habit("conversation_data", {}, {**TOO_FEW, "entry_window": "sliding"}, refuses=True),
    "429 that does not": Habit("conversation_data", {"retry_after": False}, TOO_FEW, refuses=True),
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


# Both roads at once


def rows_of(project: Project, dataset: Dataset, day: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = project.rows(dataset, day).to_pylist()
    return rows


def entries_of(project: Project, *roads: str) -> None:
    project.materialize(DAYS[0], DAYS[-1], assets=[*(DATASETS[road].name for road in roads), "conversation_entries"])


@pytest.mark.parametrize("bot_text", [True, False])
def test_two_roads_tell_one_truth(world: World, tmp_path: Path, bot_text: bool) -> None:
    """Each dataset is of its road alone; together each entry once, by the fuller road, whatever the other tells."""
    world.control.post("switches", connect_bot_text=bot_text)
    project = world.project(tmp_path / "project", *DATASETS)

    entries_of(project, *DATASETS)

    truth, rows = world.truth(), told(project, CONVERSATION_ENTRIES)
    assert {
        dataset.name: {row["road"] for row in told(project, dataset).values()} for dataset in DATASETS.values()
    } == {dataset.name: {road} for road, dataset in DATASETS.items()}
    assert set(rows) == set(truth)
    assert {row["road"] for row in rows.values()} == {"conversation_data"}
    assert {key for key, row in rows.items() if "connect" in row["roads_seen"]} == {
        key for key, entry in truth.items() if _is_told(entry, connect(connect_bot_text=bot_text))
    }


def test_entries_are_of_the_session_or_call_that_they_were_said_in(world: World, tmp_path: Path) -> None:
    """By the record that they name, in 15 characters or 18, or by the time where they name none, as bots' do."""
    project = world.project(tmp_path / "project", "conversation_data")

    entries_of(project, "conversation_data")

    truth, rows = world.truth(), told(project, CONVERSATION_ENTRIES)
    ids = ("messaging_session_id", "voice_call_id")
    known = {row["id"] for it in (MESSAGING_SESSIONS, VOICE_CALLS) for day in DAYS for row in rows_of(project, it, day)}
    attributed = {key for key, entry in truth.items() if known & {entry[name] for name in ids}}
    assert any(not rows[key]["related_records"] for key in attributed)
    assert only({key: rows[key] for key in attributed}, *ids) == only({key: truth[key] for key in attributed}, *ids)


def test_a_road_that_fails_is_not_replaced_by_another(world: World, tmp_path: Path) -> None:
    """With the Conversation Data API switched off its dataset fails, and Connect is not asked in its place."""
    world.control.post("switches", conversation_service="off")
    project = world.project(tmp_path / "project", *DATASETS)

    result = project.materialize(
        DAYS[0], DAYS[-1], assets=[ENTRIES_CONVERSATION_DATA.name, "conversation_entries"], raise_on_error=False
    )

    assert not result.success
    assert project.lake.partitions(ENTRIES_CONVERSATION_DATA) == []
    assert "connect.entries" not in world.control.get("counters")["routes"]


# What comes late


def at(world: World, hours: float, *, after: str = ALL_SETTLED) -> None:
    world.control.post("clock", now=(datetime.fromisoformat(after) + timedelta(hours=hours)).isoformat())


def materialize(project: Project, first: str, last: str) -> None:
    project.materialize(first, last, assets=[*WORK_LIST, ENTRIES_CONVERSATION_DATA.name])


def test_late_entries_arrive(world: World, tmp_path: Path) -> None:
    """Stored up to ten minutes late and in no order, while the day goes on: once it has settled nothing is missing."""
    world.control.post("switches", late_entry_share=0.5, late_entry_seconds=600)
    project = project_for(world.url, tmp_path / "project")
    for time in ("T18:00", "T18:20"):
        at(world, 0, after=f"{DAYS[-1]}{time}:00+00:00")
        materialize(project, *DAYS)

    at(world, 0)
    materialize(project, *DAYS)

    assert set(told(project, ENTRIES_CONVERSATION_DATA)) == set(world.truth())


@pytest.mark.parametrize("before", ["first_call", "none"])
def test_a_call_s_entries_are_of_that_call_in_the_end(world: World, tmp_path: Path, before: str) -> None:
    """They name another call, or none, until they are tied anew, long after they settled: a day later that is found."""
    association = {"voice_association_minutes": 20 * 60, "voice_vanish_seconds": 600}
    world.control.post("switches", voice_before_association=before, **association)
    project = world.project(tmp_path / "project", "conversation_data")
    entries_of(project, "conversation_data")
    at_first = told(project, ENTRIES_CONVERSATION_DATA)

    at(world, 24)
    entries_of(project, "conversation_data")

    calls = {key: entry["voice_call_id"] for key, entry in world.truth().items() if entry["modality"] == "Voice"}
    related = told(project, ENTRIES_CONVERSATION_DATA)
    assert {key: related[key]["related_records"] for key in calls} == {key: [call] for key, call in calls.items()}
    assert any(at_first[key]["related_records"] != [call] for key, call in calls.items() if key in at_first)
    assert {
        key: row["voice_call_id"] for key, row in told(project, CONVERSATION_ENTRIES).items() if key in calls
    } == calls


def test_a_conversation_that_goes_on_later_is_read_again(world: World, tmp_path: Path) -> None:
    """Days one by one, each as soon as it has ended: what a conversation says on a later day is there as well."""
    project = project_for(world.url, tmp_path / "project")
    for place, day in enumerate(DAYS):
        at(world, 24 * (place - 1), after=ALL_SETTLED)
        materialize(project, day, day)

    conversations = [{conversation for conversation, _ in world.truth(day)} for day in DAYS]
    assert conversations[0] & conversations[1]
    assert set(told(project, ENTRIES_CONVERSATION_DATA)) == set(world.truth())


def test_what_is_uploaded_into_a_day_long_past_arrives_with_the_record_s_change(world: World, tmp_path: Path) -> None:
    """The window in which a change is found is none of entries: a changed conversation's day is read as a whole."""
    project = world.project(tmp_path / "project", "conversation_data")
    entries_of(project, "conversation_data")
    (conversation, _), entry = next(
        (key, one) for key, one in world.truth(DAYS[0]).items() if one["messaging_session_id"]
    )
    put = {
        "identifier": "0ddba11e-0000-4000-8000-000000000000",
        "transcriptedTimestamp": entry["transcripted_timestamp"],
    }
    world.control.post("entries", conversationIdentifier=conversation, entries=[put])
    at(world, 1)
    world.control.post("records", update=[{"Id": entry["messaging_session_id"], "EndUserLanguage": "fr"}])
    at(world, 2)

    materialize(project, *DAYS)

    assert (conversation, put["identifier"]) in told(project, ENTRIES_CONVERSATION_DATA)


# What is not asked for


def test_files_are_kept_as_references(world: World, tmp_path: Path) -> None:
    """An attachment's address is in its column; nobody goes there, for that takes rights of its own and may expire."""
    truth = world.truth()
    (conversation, _), entry = next(iter(truth.items()))
    with socket.create_server(("127.0.0.1", 0)) as store:
        store.settimeout(0.1)
        url = f"http://127.0.0.1:{store.getsockname()[1]}/file/1"
        file = {"id": "a", "name": "label.png", "mimeType": "image/png", "url": url}
        content = {"formatType": "Attachments", "attachments": [file], "text": "look"}
        message = {"messageType": "StaticContentMessage", "id": "m", "staticContent": content}
        put = {"transcriptedTimestamp": entry["transcripted_timestamp"], "entryPayload": {"abstractMessage": message}}
        world.control.post("entries", conversationIdentifier=conversation, entries=[put])
        project = world.project(tmp_path / "project", "conversation_data")

        entries_of(project, "conversation_data")

        with pytest.raises(TimeoutError):
            store.accept()
    rows = told(project, CONVERSATION_ENTRIES).values()
    assert url in {file["url"] for row in rows for file in row["attachments"] or ()}


def test_conversation_records_that_are_missing_hide_no_conversation(world: World, tmp_path: Path) -> None:
    """Sessions and calls name their conversation themselves; the object may be empty or partly migrated."""
    world.control.post("hide", object="Conversation", unshared=1)
    project = project_for(world.url, tmp_path / "project", ("conversation_data",))

    project.materialize(*DAYS, assets=[*WORK_LIST, ENTRIES_CONVERSATION_DATA.name])

    assert sum(project.rows(CONVERSATIONS, day).num_rows for day in DAYS) == 0
    assert set(told(project, ENTRIES_CONVERSATION_DATA)) == set(world.truth())
