"""What each road has told of a day and what it lacks, held against the simulator's own world (issue 6, point 4)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.compute as pc
import pytest

from conversation_pipeline.defs.assets.coverage import ALL_READ, NONE_MISSING, STAY_CLOSED
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.conversations import (
    CONVERSATION_ACTIVITY,
    ENTRIES_ARCHIVE,
    ENTRIES_DATA_CLOUD,
    TRANSCRIPT_ARCHIVES,
)
from conversation_pipeline.schemas.coverage import ROAD_COVERAGE
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.simulator.exports.drop import dropped
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, QUIET, SPINE, Control, Project, project_for

DAY, NEXT = (FIRST_DAY + timedelta(days=offset) for offset in (1, 2))
KEY, NEXT_KEY = DAY.isoformat(), NEXT.isoformat()
DAYS = (FIRST_DAY.isoformat(), KEY)
SETTLED = f"{NEXT_KEY}T09:00:00+00:00"
ROADS = ("conversation_data", "data_cloud", "archive", "connect")
WORK_LIST = (*SPINE[: SPINE.index("conversation_activity") + 1], "conversation_participants")
READ = {
    "conversation_data": "entries_conversation_data",
    "data_cloud": "entries_data_cloud",
    "connect": "entries_connect",
}
UNITED = ("conversation_entries", "entry_conflicts", "road_coverage")
COUNTS = (
    "conversations_expected",
    "conversations_read",
    "conversations_missing",
    "conversations_not_due",
    "entries",
    "entries_missing",
    "entries_not_yet_visible",
    "entries_beyond_reach",
    "entries_late",
)
REMEMBERED = ("closed_at", "entries_at_close")
Row = Mapping[str, Any]


@dataclass
class World:
    """An org whose day has settled, and a project that has the work list of that day, and an archive, landed."""

    url: str
    ready: Path

    @property
    def control(self) -> Control:
        return Control(self.url)

    def restart(self, now: str = SETTLED) -> None:
        self.control.post("reset")
        self.control.post("clock", now=now)

    def project(self, folder: Path, *roads: str) -> Project:
        project = project_for(self.url, folder, roads)
        project.environment["CONVERSATION_ARCHIVES"] = str(self.ready / "archives")
        others = () if "archive" in roads else (ENTRIES_ARCHIVE.name, TRANSCRIPT_ARCHIVES.name)
        shutil.copytree(self.ready / "lake", folder / "lake", ignore=shutil.ignore_patterns(*others))
        return project

    def fault(self, conversation: str, route: str, **effect: Any) -> None:
        self.control.post("faults", route=route, conversation_identifier=conversation, effect=effect)


def cover(project: Project, *roads: str, day: str = KEY) -> dg.ExecuteInProcessResult:
    """Reads these roads for the day, unites what is in the lake, and counts."""
    return project.materialize(day, assets=[*(READ[road] for road in roads), *UNITED])


def rows(project: Project, day: str = KEY) -> dict[str, Row]:
    return {row["road"]: row for row in project.rows(ROAD_COVERAGE, day).to_pylist()}


def counts(row: Row) -> Row:
    """Those that are not 0."""
    return {name: row[name] for name in COUNTS if row[name]}


def check(run: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    [found] = [one for one in run.get_asset_check_evaluations() if one.check_name == name]
    return found


def lacking(project: Project) -> Mapping[str, int]:
    return {road: row["conversations_missing"] for road, row in rows(project).items() if row["conversations_missing"]}


def missing(project: Project, day: str = KEY) -> Any:
    return project.metadata("road_coverage", day)["missing_conversations"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=8, now=NOW).serve() as running:
        ready = project_for(running.url, tmp_path_factory.mktemp("ready"), roads=("archive",))
        ready.environment["CONVERSATION_ARCHIVES"] = str(ready.folder / "archives")
        world = World(running.url, ready.folder)
        world.restart()
        ready.materialize(*DAYS, assets=WORK_LIST)
        [file] = dropped(running.url, ready.folder / "archives")
        land_archive(ready, file.name.removesuffix("_1.zip"))
        ready.instance.dispose()
        yield world


@pytest.fixture(autouse=True)
def _restarted(world: World) -> None:
    world.restart()


def land_archive(project: Project, name: str) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(TRANSCRIPT_ARCHIVES.name, [name])
        project.definitions().get_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(TRANSCRIPT_ARCHIVES.name)],
            partition_key=name,
            run_config=QUIET,
        )


@pytest.fixture
def talk(world: World) -> str:
    """A conversation of the day in which an agent or a person wrote plain text."""
    said = [entry for entry in world.control.true_entries(KEY).values() if is_text(entry)]
    return str(min(entry["conversation_identifier"] for entry in said if entry["modality"] == "Messaging"))


def is_text(entry: Row) -> bool:
    return (entry["entry_type"], entry["message_type"], entry["format_type"]) == (
        "Message",
        "StaticContentMessage",
        "Text",
    )


def expected(world: World, project: Project) -> tuple[int, int]:
    """Conversations of the day's work list, and entries of the day."""
    return project.rows(CONVERSATION_ACTIVITY, KEY).num_rows, len(world.control.true_entries(KEY))


# A day that all roads have told


def test_a_day_that_every_road_told_lacks_nothing(world: World, tmp_path: Path) -> None:
    """Four roads: each told every conversation, and every entry but what Connect cannot tell; all checks pass."""
    project = world.project(tmp_path / "project", *ROADS)

    run = cover(project, *READ)

    conversations, entries = expected(world, project)
    texts = sum(map(is_text, world.control.true_entries(KEY).values()))
    whole = {"conversations_expected": conversations, "conversations_read": conversations, "entries": entries}
    assert {road: counts(row) for road, row in rows(project).items()} == {
        **dict.fromkeys(ROADS, whole),
        "connect": {**whole, "entries": texts, "entries_beyond_reach": entries - texts},
    }
    assert {road: row["is_closed"] for road, row in rows(project).items()} == dict.fromkeys(ROADS, True)
    assert all(check(run, name).passed for name in (ALL_READ, NONE_MISSING, STAY_CLOSED))


def test_what_a_road_cannot_have_is_counted_with_the_reason(world: World, tmp_path: Path) -> None:
    """Connect without bots' words: entries that are no text, and texts of bots, apart."""
    world.control.post("switches", connect_bot_text=False)
    project = world.project(tmp_path / "project", "conversation_data", "connect")

    cover(project, "conversation_data", "connect")

    entries = world.control.true_entries(KEY).values()
    by_bots = sum(is_text(entry) and entry["sender_role"] == "Chatbot" for entry in entries)
    assert {one["reason"]: one["entries"] for one in rows(project)["connect"]["beyond_reach"]} == {
        "Connect tells texts alone": sum(not is_text(entry) for entry in entries),
        "Connect need not tell what bots say": by_bots,
    }


# A conversation that a road does not tell


def test_a_conversation_that_the_only_road_refuses_is_exactly_what_is_missing(
    world: World, tmp_path: Path, talk: str
) -> None:
    """No other road knows of it: the work list does, and the check says what to do."""
    world.fault(talk, "conversation_data.entries", status=404)
    project = world.project(tmp_path / "project", "conversation_data")

    run = cover(project, "conversation_data")

    assert missing(project) == {"conversation_data": [talk]}
    assert lacking(project) == {"conversation_data": 1}
    found = check(run, ALL_READ)
    assert not found.passed
    assert found.description == (
        f"conversation_data lacks 1 conversations of {KEY}: materialize entries_conversation_data of those days "
        "again; what is refused or not found each time is named in that run's log"
    )


@pytest.mark.parametrize("road", ["conversation_data", "connect"])
def test_a_conversation_that_a_road_is_silent_about_is_missing_by_what_another_tells(
    world: World, tmp_path: Path, talk: str, road: str
) -> None:
    """The answer is well formed and empty; only the other road's entries show that there was something to tell."""
    world.fault(talk, f"{road}.entries", status=200, body='{"conversationEntries": []}')
    project = world.project(tmp_path / "project", "conversation_data", "connect")

    run = cover(project, "conversation_data", "connect")

    assert missing(project) == {road: [talk]}
    assert lacking(project) == {road: 1}
    entries = [entry for key, entry in world.control.true_entries(KEY).items() if key[0] == talk and is_text(entry)]
    assert rows(project)[road]["entries_missing"] == len(entries)
    assert not check(run, NONE_MISSING).passed


@pytest.mark.parametrize("dataset", [ENTRIES_DATA_CLOUD, ENTRIES_ARCHIVE], ids=lambda dataset: dataset.name)
def test_a_conversation_that_is_gone_from_a_bulk_road_is_missing_there(
    world: World, tmp_path: Path, talk: str, dataset: Dataset
) -> None:
    """Its entries are exactly what that road lacks."""
    project = world.project(tmp_path / "project", *ROADS)
    cover(project, *READ)
    drop(project, dataset, talk)

    cover(project)

    road = dataset.name.removeprefix("entries_")
    told = [conversation for conversation, _ in world.control.true_entries(KEY) if conversation == talk]
    assert missing(project) == {road: [talk]}
    assert {name: row["entries_missing"] for name, row in rows(project).items() if row["entries_missing"]} == {
        road: len(told)
    }


def drop(project: Project, dataset: Dataset, conversation: str) -> None:
    """Takes a conversation out of a road's day, whose receipt says the same as before."""
    receipt = project.lake.receipt(dataset, KEY)
    assert receipt is not None
    there = project.rows(dataset, KEY)
    others = there.filter(pc.not_equal(there["conversation_identifier"], conversation))
    assert others.num_rows < there.num_rows
    project.lake.replace(
        dataset, KEY, others.to_batches(), run_id="test", road=receipt.road, provenance=receipt.provenance
    )


def test_a_conversation_that_is_told_after_all_is_missing_no_more(world: World, tmp_path: Path, talk: str) -> None:
    """The next run asks for it again, and the check passes."""
    world.fault(talk, "conversation_data.entries", status=404)
    project = world.project(tmp_path / "project", "conversation_data")
    cover(project, "conversation_data")
    world.control.delete("faults")

    run = cover(project, "conversation_data")

    assert lacking(project) == {}
    assert check(run, ALL_READ).passed


def test_a_conversation_that_turns_out_to_have_nothing_to_tell_is_missing_no_more(
    world: World, tmp_path: Path, talk: str
) -> None:
    """No row of the road's day changes: what is known of its readings does."""
    world.fault(talk, "conversation_data.entries", status=404)
    project = world.project(tmp_path / "project", "conversation_data")
    cover(project, "conversation_data")
    world.control.delete("faults")
    world.fault(talk, "conversation_data.entries", status=200, body='{"conversationEntries": []}')

    cover(project, "conversation_data")

    found = rows(project)["conversation_data"]
    assert (found["conversations_missing"], found["conversations_silent"]) == (0, 1)


# What a road cannot have told yet


def test_what_came_after_the_archive_is_beyond_its_reach(world: World, tmp_path: Path) -> None:
    """The next day's entries up to the time at which it was taken are its own, those after it are not."""
    world.restart(f"{NEXT_KEY}T23:00:00+00:00")
    project = world.project(tmp_path / "project", "conversation_data", "archive")
    project.materialize(NEXT_KEY, assets=WORK_LIST)

    cover(project, "conversation_data", day=NEXT_KEY)

    later = datetime.fromisoformat(SETTLED).timestamp() * 1000
    after = [one for one in world.control.true_entries(NEXT_KEY).values() if one["transcripted_timestamp"] > later]
    archive = rows(project, NEXT_KEY)["archive"]
    assert archive["beyond_reach"] == [{"reason": "said after the newest archive was taken", "entries": len(after)}]
    assert archive["entries_missing"] == 0
    assert not archive["is_closed"]


def test_before_its_lag_has_passed_data_cloud_lacks_nothing(world: World, tmp_path: Path) -> None:
    """Half an hour after midnight it is not asked yet: its entries are awaited, not missing."""
    world.restart(f"{NEXT_KEY}T00:31:00+00:00")
    project = world.project(tmp_path / "project", "conversation_data", "data_cloud")

    run = cover(project, "conversation_data", "data_cloud")

    found = rows(project)["data_cloud"]
    assert not found["is_read"]
    assert found["entries_missing"] == 0
    assert found["entries_not_yet_visible"] == found["entries_of_all_roads"] - found["entries_beyond_reach"] > 0
    assert found["conversations_not_due"] == found["conversations_expected"]
    assert check(run, ALL_READ).passed


def test_a_day_that_data_cloud_was_never_asked_for_is_missing_once_it_is_due(world: World, tmp_path: Path) -> None:
    """The other road was read long after the lag."""
    project = world.project(tmp_path / "project", "conversation_data", "data_cloud")

    cover(project, "conversation_data")

    found = rows(project)["data_cloud"]
    assert found["entries_missing"] == found["entries_of_all_roads"] - found["entries_beyond_reach"] > 0


def test_a_call_whose_entries_are_not_stored_yet_is_not_due(world: World, tmp_path: Path) -> None:
    """Read five minutes after it has ended: the work list has it, the road is not asked for it."""
    call = max(
        (
            one
            for one in world.control.get("truth/records", sobject="VoiceCall", day=KEY)["records"]
            if one["CallEndDateTime"]
        ),
        key=lambda one: one["CallEndDateTime"],
    )
    ended = datetime.fromisoformat(call["CallEndDateTime"].replace("+0000", "+00:00"))
    world.restart((ended + timedelta(minutes=5)).isoformat())
    project = project_for(world.url, tmp_path / "project")
    project.materialize(*DAYS, assets=[*WORK_LIST, READ["conversation_data"], *UNITED])

    found = rows(project)["conversation_data"]
    assert found["conversations_not_due"] == 1
    assert found["conversations_missing"] == 0
    assert not found["is_closed"]


# Roads that come and go


def test_a_road_that_is_added_is_counted_from_then_on(world: World, tmp_path: Path) -> None:
    """Until it was read for the day it lacks everything that it could tell."""
    project = world.project(tmp_path / "project", "conversation_data")
    cover(project, "conversation_data")
    assert set(rows(project)) == {"conversation_data"}
    project.environment["CONVERSATION_ROADS"] = "conversation_data,connect"

    run = cover(project)

    conversations, _ = expected(world, project)
    connect = rows(project)["connect"]
    assert (connect["is_read"], connect["conversations_missing"]) == (False, conversations)
    assert not check(run, ALL_READ).passed


def test_a_road_that_is_removed_is_counted_no_more(world: World, tmp_path: Path) -> None:
    """What it told stays in the union, and what the others lack of that is still missing."""
    project = world.project(tmp_path / "project", "conversation_data", "connect")
    cover(project, "conversation_data", "connect")
    project.environment["CONVERSATION_ROADS"] = "connect"

    cover(project)

    assert set(rows(project)) == {"connect"}


# What differs


def test_an_entry_that_a_road_tells_otherwise_is_conflicting_there(world: World, tmp_path: Path, talk: str) -> None:
    """Its text is redacted between the readings of two roads."""
    project = world.project(tmp_path / "project", "conversation_data", "connect")
    cover(project, "connect")
    entry = next(key for key, one in world.control.true_entries(KEY).items() if key[0] == talk and is_text(one))
    world.control.post("redactions", conversationIdentifier=talk, identifiers=[entry[1]], text="[redacted]")

    cover(project, "conversation_data")

    assert {road: row["entries_conflicting"] for road, row in rows(project).items()} == {
        "conversation_data": 0,
        "connect": 1,
    }


# What comes late


def test_entries_that_come_after_the_day_was_closed_are_late(world: World, tmp_path: Path, talk: str) -> None:
    """Three are put into a conversation of the day after it was closed; the check tells what is to be made again."""
    project = world.project(tmp_path / "project", "conversation_data")
    cover(project, "conversation_data")
    closed = rows(project)["conversation_data"]
    late_entries(world, talk, 3)

    project.materialize(*DAYS, assets=WORK_LIST)
    run = cover(project, "conversation_data")

    found = rows(project)["conversation_data"]
    assert (closed["entries_late"], found["entries_late"]) == (0, 3)
    assert [found[name] for name in REMEMBERED] == [closed[name] for name in REMEMBERED]
    assert check(run, STAY_CLOSED).description == (
        f"3 entries came after their day was closed ({KEY}): they are in conversation_entries; models_refresh makes "
        "what follows from them, or materialize messages, transcripts and the marts of those days again"
    )


def test_entries_that_are_united_after_the_day_was_counted_are_not_late(world: World, tmp_path: Path) -> None:
    """The road had told them when the day was first seen closed; the union was behind."""
    project = world.project(tmp_path / "project", "conversation_data")
    project.materialize(KEY, assets=[READ["conversation_data"], "road_coverage"])

    cover(project, "conversation_data")

    found = rows(project)["conversation_data"]
    assert found["entries"]
    assert (found["is_closed"], found["entries_at_close"], found["entries_late"]) == (True, found["entries"], 0)


def late_entries(world: World, conversation: str, count: int) -> None:
    """Into a session of the day, whose record says that it has changed since."""
    session = next(
        entry["messaging_session_id"]
        for entry in world.control.true_entries(KEY).values()
        if entry["conversation_identifier"] == conversation and entry["messaging_session_id"]
    )
    world.control.post(
        "entries/generate",
        conversationIdentifier=conversation,
        recordId=session,
        count=count,
        **{"from": f"{KEY}T20:00:00+00:00", "to": f"{KEY}T20:01:00+00:00"},
    )
    world.control.post("clock", now=f"{NEXT_KEY}T10:00:00+00:00")
    world.control.post("records", update=[{"Id": session, "EndUserLanguage": "fr"}])
    world.control.post("clock", now=f"{NEXT_KEY}T11:00:00+00:00")
