"""Readings in the staging area: in parts, whole or not at all, a part in memory at a time (design, section 4)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from conversation_pipeline.defs.landing.readings import (
    StagedReading,
    held_readings,
    longest_page,
    read_back,
    stage_reading,
    superseded,
)
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.extract.work_list import Held
from conversation_pipeline.salesforce.bodies import Bodies
from conversation_pipeline.salesforce.entry_api import Reading
from conversation_pipeline.schemas.conversations import ENTRIES_CONVERSATION_DATA as DATASET
from conversation_pipeline.storage import Staging

DAY = "2026-11-18"
WINDOW = Window.of_day(DAY)
AT = datetime(2026, 11, 19, 3, tzinfo=UTC)


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(str(tmp_path))


def page(size: int, number: int = 0) -> bytes:
    return json.dumps({"conversationEntries": [], "number": number, "padding": "x" * size}).encode()


def reading(bodies: Sequence[bytes], *, name: str = "one", at: datetime = AT, window: Window = WINDOW) -> Reading:
    return Reading(name, window.start, window.end, bodies, at, entries=0, longest_page=7)


def held(staging: Staging, *names: str) -> list[Held[StagedReading]]:
    return held_readings(staging, staging.records(DATASET.name, [DAY]), names or ("one",))


def test_what_was_staged_is_read_back_as_it_came(staging: Staging) -> None:
    """Page by page, in order, with its window and the org's clock."""
    pages = [page(10, number) for number in range(3)]
    stage_reading(staging, DATASET, reading(pages))

    [found] = held_readings(staging, staging.records(DATASET.name, [DAY]), ["one"])
    [back] = read_back({"one": [found]}, staging)

    assert list(back.bodies) == pages
    assert (back.window, back.serves, back.fetched_at) == (WINDOW, WINDOW, AT)


def test_a_long_reading_is_staged_in_parts(staging: Staging) -> None:
    """Several pages of megabytes make several records; together they are one reading."""
    pages = [page(3 * 2**20, number) for number in range(5)]
    stage_reading(staging, DATASET, reading(pages))

    records = staging.records(DATASET.name, [DAY])
    [found] = held_readings(staging, records, ["one"])
    [back] = read_back({"one": [found]}, staging)

    assert len(records) == 3
    assert [back.bodies[place] for place in (4, 0, 2)] == [pages[4], pages[0], pages[2]]
    assert list(back.bodies[1:3]) == pages[1:3]


def test_a_reading_without_one_of_its_parts_is_none(staging: Staging) -> None:
    """Killed in between, it is asked for again."""
    stage_reading(staging, DATASET, reading([page(9 * 2**20), page(9 * 2**20)]))
    staging.discard(staging.records(DATASET.name, [DAY])[-1])

    assert held(staging) == []


def test_readings_of_other_conversations_are_passed_over(staging: Staging) -> None:
    """A run looks for its own."""
    stage_reading(staging, DATASET, reading([page(1)], name="other"))

    assert held(staging) == []
    assert len(held(staging, "other")) == 1


def test_a_later_reading_serves_what_it_told(staging: Staging) -> None:
    """The earlier one is left with what came before it."""
    noon = WINDOW.start + timedelta(hours=12)
    stage_reading(staging, DATASET, reading([page(1)], at=noon))
    stage_reading(staging, DATASET, reading([page(2)], window=Window(noon, WINDOW.end)))

    chain = sorted(
        held_readings(staging, staging.records(DATASET.name, [DAY]), ["one"]), key=lambda one: one.fetched_at
    )
    second, first = read_back({"one": chain}, staging)

    assert (first.serves, second.serves) == (Window(WINDOW.start, noon), Window(noon, WINDOW.end))


def test_no_instant_is_served_by_two_readings(staging: Staging) -> None:
    """Whatever windows the readings of runs side by side have, in whatever order they were fetched."""
    eight, nine = WINDOW.start + timedelta(hours=8), WINDOW.start + timedelta(hours=9)
    windows = [WINDOW, Window(eight, WINDOW.end), Window(nine, WINDOW.end), Window(eight, WINDOW.end)]
    for minutes, window in enumerate(windows):
        stage_reading(staging, DATASET, reading([page(1)], at=AT + timedelta(minutes=minutes), window=window))
    chain = sorted(held(staging), key=lambda one: one.fetched_at)

    served = [one.serves for one in read_back({"one": chain}, staging) if one.serves is not None]

    assert [one for one in served if one.start < one.end] == [Window(eight, WINDOW.end), Window(WINDOW.start, eight)]


def test_a_torn_reading_supersedes_none(staging: Staging) -> None:
    """A run was killed while it staged it: the one before is all there is."""
    stage_reading(staging, DATASET, reading([page(1)]))
    later = AT + timedelta(hours=1)
    stage_reading(staging, DATASET, reading([page(9 * 2**20), page(9 * 2**20)], at=later))
    staging.discard(staging.records(DATASET.name)[-1])

    assert superseded(staging.records(DATASET.name), before=later + timedelta(days=1)) == []


def test_a_reading_is_superseded_by_a_later_one_of_all_its_window(staging: Staging) -> None:
    """What was redacted upstream in between is not kept longer than it is wanted."""
    noon = WINDOW.start + timedelta(hours=12)
    for at, window in ((noon, WINDOW), (AT, WINDOW), (AT + timedelta(hours=1), Window(noon, WINDOW.end))):
        stage_reading(staging, DATASET, reading([page(1)], at=at, window=window))
    records = staging.records(DATASET.name)

    assert [one.fetched_at for one in superseded(records, before=AT + timedelta(days=1))] == [noon]
    assert superseded(records, before=AT) == []


def test_a_reading_without_entries_supersedes_none(staging: Staging) -> None:
    """Entries that vanish for a while, as a call's do, stay known."""
    stage_reading(staging, DATASET, reading([page(1)]))
    later = AT + timedelta(hours=1)
    stage_reading(staging, DATASET, replace(reading([page(1)], at=later), longest_page=0))

    assert superseded(staging.records(DATASET.name), before=later + timedelta(days=1)) == []


def test_the_longest_page_is_of_lately(staging: Staging) -> None:
    """The service may have lowered its cap since."""
    stage_reading(staging, DATASET, reading([page(1)]))
    records = staging.records(DATASET.name, [DAY])

    assert longest_page(records, since=AT) == 7
    assert longest_page(records, since=AT + timedelta(seconds=1)) == 0


def test_bodies_are_the_same_in_memory_and_on_disk() -> None:
    """Wherever they lie, a sequence of what was appended."""
    for in_memory in (1, 1000):
        bodies = Bodies(in_memory)
        for body in (b"one", b"", b"three"):
            bodies.append(body)

        assert list(bodies) == [b"one", b"", b"three"]
        assert (bodies[-1], list(bodies[:2])) == (b"three", [b"one", b""])
        with pytest.raises(IndexError):
            bodies[3]
