"""One simulated day by all four entry roads: what each must have is there; what it cannot have is missing, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from conversation_pipeline.defs.landing.archive import arrived
from conversation_pipeline.extract.windows import from_milliseconds
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.conversations import (
    CONVERSATION_ENTRIES,
    ENTRIES_ARCHIVE,
    ENTRIES_CONNECT,
    ENTRIES_CONVERSATION_DATA,
    ENTRIES_DATA_CLOUD,
    TRANSCRIPT_ARCHIVES,
)
from conversation_pipeline.schemas.coverage import ROAD_COVERAGE
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.simulator.exports.drop import dropped
from conversation_pipeline.storage.store import Store
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, QUIET, SPINE, Control, Project, project_for

DAY = (FIRST_DAY + timedelta(days=2)).isoformat()
TODAY = NOW.date().isoformat()
SNAPSHOT = datetime(2026, 11, 12, 15, 0, tzinfo=UTC)
"""When the archive is exported: in the middle of the day."""

ROADS: Mapping[str, Dataset] = {
    "conversation_data": ENTRIES_CONVERSATION_DATA,
    "data_cloud": ENTRIES_DATA_CLOUD,
    "archive": ENTRIES_ARCHIVE,
    "connect": ENTRIES_CONNECT,
}
READ = (
    *SPINE[: SPINE.index("conversation_activity") + 1],
    "entries_conversation_data",
    "entries_data_cloud",
    "entries_connect",
    "conversation_entries",
    "road_coverage",
)
Key = tuple[str, str]
Row = dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """
    The day as each road told it, beside the truth.

    Attributes:
        truth: What the org has of the day, by conversation and entry identifier.
        today: The same of the day that goes on.
        at_snapshot: Keys of what there was of the day when the archive was exported.
        told: By road and key.
        united: What the union made of it, by key.
        project: Where it was read into.
    """

    truth: dict[Key, Row]
    today: dict[Key, Row]
    at_snapshot: frozenset[Key]
    told: dict[str, dict[Key, Row]]
    united: dict[Key, Row]
    project: Project

    def coverage(self, day: str = DAY) -> dict[str, Row]:
        return {row["road"]: row for row in self.project.rows(ROAD_COVERAGE, day).to_pylist()}


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reading]:
    """An export of the afternoon, and on the day after it the other three roads; it is only read."""
    folder = tmp_path_factory.mktemp("four_roads")
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=12, now=SNAPSHOT).serve() as running:
        control = Control(running.url)
        project = project_for(running.url, folder, tuple(ROADS))
        project.environment["CONVERSATION_ARCHIVES"] = str(folder / "archives")
        at_snapshot = frozenset(control.true_entries(DAY))
        dropped(running.url, folder / "archives")
        control.post("clock", now=NOW.isoformat())
        _land(project)
        project.materialize(FIRST_DAY.isoformat(), TODAY, assets=READ)
        truth, today = control.true_entries(DAY), control.true_entries(TODAY)
    told = {road: _by_key(project, dataset) for road, dataset in ROADS.items()}
    yield Reading(truth, today, at_snapshot, told, _by_key(project, CONVERSATION_ENTRIES), project)
    project.instance.dispose()


def _land(project: Project) -> None:
    """Lands the archive as the sensor would."""
    [name] = arrived(Store(project.environment["CONVERSATION_ARCHIVES"]))
    project.instance.add_dynamic_partitions(TRANSCRIPT_ARCHIVES.name, [name])
    project.definitions().resolve_implicit_global_asset_job_def().execute_in_process(
        instance=project.instance,
        asset_selection=[dg.AssetKey(TRANSCRIPT_ARCHIVES.name)],
        partition_key=name,
        run_config=QUIET,
    )


def _by_key(project: Project, dataset: Dataset) -> dict[Key, Row]:
    rows = project.rows(dataset, DAY).to_pylist()
    found = {(row["conversation_identifier"], row["entry_identifier"]): row for row in rows}
    assert len(found) == len(rows)
    return found


def _is_plain_text(entry: Row) -> bool:
    """What Connect has: the texts of messages, nothing that was chosen, attached or done."""
    return (entry["entry_type"], entry["message_type"], entry["format_type"]) == (
        "Message",
        "StaticContentMessage",
        "Text",
    )


def _why_not(reading: Reading, road: str, key: Key) -> str | None:
    """Why a road cannot have an entry of the day; None where it must have it."""
    if road == "connect" and not _is_plain_text(reading.truth[key]):
        return "text only"
    if road == "archive" and key not in reading.at_snapshot:
        return "after the snapshot"
    return None


# What each road must have


@pytest.mark.parametrize("road", ROADS)
def test_a_road_has_what_it_must_have_and_nothing_else(reading: Reading, road: str) -> None:
    """Every entry of the day that the road can tell, and none that the org does not have."""
    must = {key for key in reading.truth if _why_not(reading, road, key) is None}

    assert set(reading.told[road]) == must
    assert must


@pytest.mark.parametrize("road", ["conversation_data", "data_cloud"])
def test_the_full_roads_have_the_whole_day(reading: Reading, road: str) -> None:
    """Both tell all of a day that has ended and settled."""
    assert set(reading.told[road]) == set(reading.truth)


# What they cannot have, and that it is known


def test_data_cloud_is_not_asked_for_the_day_that_goes_on(reading: Reading) -> None:
    """Its entries are on their way; the metadata says from when the day is asked for."""
    assert reading.today

    assert reading.project.metadata("entries_data_cloud", TODAY)["asked_for_from"] == "2026-11-14T01:00:00+00:00"
    assert reading.coverage(TODAY)["data_cloud"]["entries_not_yet_visible"] == len(reading.today)


def test_connect_lacks_what_is_no_text(reading: Reading) -> None:
    """Choices, files, joins and routing are beyond its reach, and counted as such."""
    beyond = [key for key in reading.truth if _why_not(reading, "connect", key) == "text only"]

    assert reading.coverage()["connect"]["entries_beyond_reach"] == len(beyond) > 0


def test_an_archive_lacks_what_came_after_its_snapshot(reading: Reading) -> None:
    """The afternoon's export ends in the afternoon; the rest of the day is counted, with the reason."""
    after = [key for key in reading.truth if _why_not(reading, "archive", key) == "after the snapshot"]

    assert after
    [beyond] = reading.coverage()["archive"]["beyond_reach"]
    assert beyond == {"reason": "said after the newest archive was taken", "entries": len(after)}


@pytest.mark.parametrize("road", ROADS)
def test_nothing_is_missing_without_a_reason(reading: Reading, road: str) -> None:
    """What a road told, what it cannot have and what it cannot have yet are the whole day."""
    counts = reading.coverage()[road]

    assert counts["entries_missing"] == 0
    assert counts["entries"] + counts["entries_beyond_reach"] + counts["entries_not_yet_visible"] == len(reading.truth)


# What they say


@pytest.mark.parametrize("road", ROADS)
def test_types_are_those_of_the_org(reading: Reading, road: str) -> None:
    """After each road's spellings have become one."""
    told = {key: row["entry_type"] for key, row in reading.told[road].items()}

    assert told == {key: reading.truth[key]["entry_type"] for key in told}


@pytest.mark.parametrize("road", ROADS)
def test_plain_texts_are_what_was_said(reading: Reading, road: str) -> None:
    """To the letter, line breaks and emojis included."""
    told = {key: row["text"] for key, row in reading.told[road].items() if _is_plain_text(reading.truth[key])}

    assert told == {key: reading.truth[key]["text"] for key in told}
    assert told


@pytest.mark.parametrize("column", ["message_type", "format_type", "text"])
def test_roads_agree_on_every_message(reading: Reading, column: str) -> None:
    """Choices, forms and files too: whichever road tells an entry tells the same of it."""
    fullest = reading.told["conversation_data"]
    for road in ("data_cloud", "archive", "connect"):
        told = {key: row[column] for key, row in reading.told[road].items()}

        assert told == {key: fullest[key][column] for key in told}, road


@pytest.mark.parametrize("road", ROADS)
def test_times_agree(reading: Reading, road: str) -> None:
    """To the millisecond."""
    told = {key: row["transcripted_timestamp"] for key, row in reading.told[road].items()}

    assert told == {key: from_milliseconds(reading.truth[key]["transcripted_timestamp"]) for key in told}


# What the union makes of them


def test_the_union_has_each_entry_once(reading: Reading) -> None:
    """By whichever roads it came."""
    assert set(reading.united) == set(reading.truth)


def test_each_entry_says_by_which_roads_it_came(reading: Reading) -> None:
    """As the roads' own datasets have it."""
    seen = {key: set(row["roads_seen"]) for key, row in reading.united.items()}

    assert seen == {key: {road for road in ROADS if key in reading.told[road]} for key in reading.truth}
