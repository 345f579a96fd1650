"""From an org to Parquet and DuckDB: complete, once, and the same each time."""

from __future__ import annotations

from datetime import datetime, timedelta

import pyarrow as pa

from conversation_pipeline.schemas.catalogue import DATASETS
from conversation_pipeline.schemas.conversations import CONVERSATION_ENTRIES
from conversation_pipeline_tests.conftest import FIRST_DAY, Control, Project

DAYS = [(FIRST_DAY + timedelta(days=offset)).isoformat() for offset in range(4)]


def settled(control: Control) -> None:
    """Moves the clock to when every call of the four days has settled."""
    control.post("clock", now="2026-11-14T02:00:00+00:00")


def entry_keys(table: pa.Table) -> list[tuple[str, str]]:
    return list(
        zip(
            table["conversation_identifier"].to_pylist(),
            table["entry_identifier"].to_pylist(),
            strict=True,
        )
    )


def test_every_entry_of_the_world_stands_once(project: Project, control: Control) -> None:
    """For every day, conversation_entries holds each entry that the org holds, once, and no other."""
    settled(control)

    project.materialize(DAYS[0], DAYS[-1])

    for day in DAYS:
        keys = entry_keys(project.rows(CONVERSATION_ENTRIES, day))
        assert sorted(keys) == sorted(control.true_entries(day))


def test_text_is_what_the_customer_saw(project: Project, control: Control) -> None:
    """Wherever the payload tells a reader something, the text column says it."""
    settled(control)

    project.materialize(DAYS[0], DAYS[-1])

    for day in DAYS:
        truth = control.true_entries(day)
        table = project.rows(CONVERSATION_ENTRIES, day)
        texts = dict(zip(entry_keys(table), table["text"].to_pylist(), strict=True))
        told = {key for key, entry in truth.items() if entry["text"] is not None}
        wrong = {truth[key]["format_type"] for key in told if texts[key] != truth[key]["text"]}
        assert told
        assert not wrong


def test_a_selection_without_its_title_is_read_from_the_choices(project: Project, control: Control) -> None:
    """A selection that names only the option's identifier has the title that was offered."""
    settled(control)

    project.materialize(DAYS[0], DAYS[-1])

    titles = [
        title
        for day in DAYS
        for row in project.rows(CONVERSATION_ENTRIES, day).to_pylist()
        for title in (option["title"] for option in row["selected_options"] or ())
    ]
    assert titles
    assert None not in titles


def test_materializing_twice_gives_identical_rows(project: Project, control: Control) -> None:
    """A second run over settled days leaves every file as it was."""
    settled(control)
    project.materialize(DAYS[0], DAYS[2])
    before = {r.uri: r.content_hash for dataset in DATASETS for r in project.lake.receipts(dataset)}

    project.materialize(DAYS[0], DAYS[2])

    after = {r.uri: r.content_hash for dataset in DATASETS for r in project.lake.receipts(dataset)}
    assert after == before


def test_a_settled_day_is_not_asked_for_again(project: Project, control: Control) -> None:
    """Reading a closed day again costs no entry request."""
    settled(control)
    project.materialize(DAYS[1])
    asked = len(control.entry_requests())

    project.materialize(DAYS[1])

    assert len(control.entry_requests()) == asked


def test_an_open_session_is_read_again(project: Project, control: Control) -> None:
    """What was said since the last run arrives with the next, while the day is open."""
    project.materialize(DAYS[3])
    control.post("clock", now=datetime(2026, 11, 13, 19, 0).isoformat() + "+00:00")

    project.materialize(DAYS[3])

    known = set(entry_keys(project.rows(CONVERSATION_ENTRIES, DAYS[3])))
    missing = set(control.true_entries(DAYS[3])) - known
    assert not {key for key in missing if control.true_entries(DAYS[3])[key]["modality"] != "Voice"}
