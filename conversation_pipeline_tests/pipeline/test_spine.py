"""From an org to Parquet and DuckDB: complete, once, and the same each time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from conversation_pipeline.schemas.catalogue import DATASETS
from conversation_pipeline.schemas.conversations import CONVERSATION_ENTRIES, TRANSCRIPTS
from conversation_pipeline.simulator import Simulator
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, SPINE, Control, Project, project_for

DAYS = [(FIRST_DAY + timedelta(days=offset)).isoformat() for offset in range(4)]
ALL_SETTLED = "2026-11-14T02:00:00+00:00"


@dataclass(frozen=True)
class Landed:
    """Four days that have settled, landed by one run."""

    project: Project
    control: Control


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Landed]:
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=12, now=NOW).serve() as running:
        control = Control(running.url)
        control.post("clock", now=ALL_SETTLED)
        project = project_for(running.url, tmp_path_factory.mktemp("spine"))
        project.materialize(DAYS[0], DAYS[-1], assets=SPINE)
        yield Landed(project, control)


def entry_keys(table: pa.Table) -> list[tuple[str, str]]:
    return list(zip(table["conversation_identifier"].to_pylist(), table["entry_identifier"].to_pylist(), strict=True))


@pytest.mark.parametrize("day", DAYS)
def test_every_entry_of_the_world_stands_once(landed: Landed, day: str) -> None:
    """For every day, conversation_entries holds each entry that the org holds, once, and no other."""
    keys = entry_keys(landed.project.rows(CONVERSATION_ENTRIES, day))

    assert sorted(keys) == sorted(landed.control.true_entries(day))


@pytest.mark.parametrize("day", DAYS)
def test_text_is_what_the_customer_saw(landed: Landed, day: str) -> None:
    """Wherever the payload tells a reader something, the text column says it."""
    truth = landed.control.true_entries(day)
    told = {key for key, entry in truth.items() if entry["text"] is not None}
    table = landed.project.rows(CONVERSATION_ENTRIES, day)
    texts = dict(zip(entry_keys(table), table["text"].to_pylist(), strict=True))

    wrong = {truth[key]["format_type"] for key in told if not says(texts[key], truth[key])}

    assert told
    assert not wrong


def says(text: str | None, entry: dict[str, Any]) -> bool:
    """Of choices, the offer tells the titles that the payload leaves out."""
    if text is not None and entry["format_type"] == "Selections":
        return set(entry["text"].split(", ")) <= set(text.split(", "))
    return text == entry["text"]


def test_turns_come_in_the_server_s_order(landed: Landed) -> None:
    """Not in that of the devices' clocks, which is another one."""
    tables = [landed.project.rows(CONVERSATION_ENTRIES, day) for day in DAYS]
    entries = {row["entry_identifier"]: row for table in tables for row in table.to_pylist()}
    turns = [row["turns"] for day in DAYS for row in landed.project.rows(TRANSCRIPTS, day).to_pylist()]
    received = [[entries[turn["entry_identifier"]]["transcripted_timestamp"] for turn in told] for told in turns]
    made = [[entries[turn["entry_identifier"]]["client_timestamp"] for turn in told] for told in turns]

    assert received == [sorted(stamps) for stamps in received]
    assert made != [sorted(stamps) for stamps in made]


def test_a_selection_without_its_title_is_read_from_the_choices(landed: Landed) -> None:
    """A selection that names only the option's identifier has the title that was offered."""
    titles = [
        option["title"]
        for day in DAYS
        for row in landed.project.rows(CONVERSATION_ENTRIES, day).to_pylist()
        for option in row["selected_options"] or ()
    ]

    assert titles
    assert None not in titles


def test_materializing_twice_gives_identical_rows(landed: Landed) -> None:
    """A second run over settled days leaves every file as it was, and asks for no conversation."""
    before = {r.uri: r.content_hash for dataset in DATASETS for r in landed.project.lake.receipts(dataset)}
    asked = len(landed.control.entry_requests())

    landed.project.materialize(DAYS[0], DAYS[2], assets=SPINE)

    after = {r.uri: r.content_hash for dataset in DATASETS for r in landed.project.lake.receipts(dataset)}
    assert after == before
    assert len(landed.control.entry_requests()) == asked


def test_an_open_day_is_read_again(project: Project, control: Control) -> None:
    """What was said since the last run arrives with the next, while the day is open."""
    project.materialize(DAYS[0], DAYS[3], assets=SPINE)
    control.post("clock", now="2026-11-13T19:00:00+00:00")

    project.materialize(DAYS[0], DAYS[3], assets=SPINE)

    truth = control.true_entries(DAYS[3])
    missing = set(truth) - set(entry_keys(project.rows(CONVERSATION_ENTRIES, DAYS[3])))
    assert not {key for key in missing if truth[key]["modality"] != "Voice"}
