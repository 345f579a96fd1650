"""The report's page: what it says, and what it must never do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from conversation_pipeline.report import Figures, heat_strip, render, words
from conversation_pipeline.report.page import STATES, STRIP_COLOURS
from conversation_pipeline.report.plots import COUNTS, SECONDS, spark, ticks
from conversation_pipeline_tests.report.days import NAME, everything, nothing

DAYS = {"nothing": nothing, "everything": everything}
each_day = pytest.mark.parametrize("day", DAYS.values(), ids=DAYS)
EMPTY = {
    "hours": "No messaging session and no voice call was created on this day.",
    "responses": "No agent responded in a session of this day that was told whole.",
    "waits": "No session or call of this day was accepted by an agent.",
    "channels": "No channel had a session or call on this day.",
    "queues": "No work came from a queue on this day.",
    "agents": "No work reached an agent on this day.",
    "metrics": "Salesforce has stored no metrics yet for a session of this day that was told whole.",
    "coverage": "Coverage of this day was not counted yet: materialize road_coverage.",
    "drift": "Nothing unknown was seen on this day, and the org's objects are as declared.",
    "active": "No run has read conversations one by one for this day.",
    "quotas": "This instance of Dagster has no record of a run that read this day.",
}


class Page(HTMLParser):
    """The page's elements; whatever is not closed as it should be is kept in ``wrong``."""

    VOID = frozenset({"meta", "wbr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


@each_day
def test_the_page_asks_for_nothing_and_runs_nothing(day: Callable[[], Figures]) -> None:
    """No script, no link, no picture from elsewhere, no style sheet but its own; a browser is told so as well."""
    page = render(day())

    elements = Page(page).tags
    assert {tag for tag, _ in elements} & {"script", "link", "img", "iframe", "object", "form", "a"} == set()
    assert {name for _, attributes in elements for name in attributes if name.startswith("on")} == set()
    assert "url(" not in page
    assert "@import" not in page
    assert {"http-equiv": "Content-Security-Policy", "content": "default-src 'none'; style-src 'unsafe-inline'"} in [
        attributes for tag, attributes in elements if tag == "meta"
    ]


@each_day
def test_every_element_is_closed(day: Callable[[], Figures]) -> None:
    page = Page(render(day()))

    assert (page.wrong, page.open) == ([], [])


def test_names_from_the_org_are_escaped() -> None:
    """A queue may be called <b>."""
    page = render(everything())

    assert "<b>Sonderfälle</b>" not in page
    assert page.count("&amp; &lt;b&gt;Sonderfälle&lt;/b&gt;") >= 4 * NAME.count("Sonderfälle")


@pytest.mark.parametrize("section", EMPTY)
def test_what_is_empty_says_so(section: str) -> None:
    """A day without anything has a sentence in each place."""
    [found] = re.findall(rf'<section id="{section}">(.*?)</section>', render(nothing()), re.DOTALL)

    assert EMPTY[section].replace("'", "&#39;") in found.replace("'", "&#39;")
    assert "<svg" not in found
    assert "<table" not in found


def test_a_day_without_calls_says_so() -> None:
    figures = everything()
    messaging = [row for row in figures.channels if row["channel_type"] != "Voice"]

    assert "No voice calls on this day." not in render(figures)
    assert "No voice calls on this day." in render(replace(figures, channels=messaging))


def test_the_page_is_the_same_for_the_same_figures() -> None:
    """So a report made again of the same lake changes nothing that anybody sees."""
    assert render(everything()) == render(everything())


def test_coverage_has_a_cell_for_each_day_and_road() -> None:
    """Its legend names the states that occur, and no others."""
    [section] = re.findall(r'<section id="coverage">(.*?)</section>', render(everything()), re.DOTALL)

    assert len(re.findall(r"<title>", section)) == 4 * 14
    assert re.findall(r'<li><i class="swatch ([a-z]+)"></i>', section) == list(STATES)


def test_the_small_picture_of_coverage_has_each_day_in_its_colour() -> None:
    """Days in a row of the same state are one stroke, whose dashes they are."""
    heat = everything().heat
    found = {
        ((int(y) - 27) // 20, (int(x) - 118) // 20 + day): colour
        for colour, path in re.findall(r"<path stroke='(#[0-9a-f]+)'[^>]* d='([^']+)'", heat_strip(heat))
        for x, y, length in re.findall(r"M(\d+) (\d+)h(\d+)", path)
        for day in range((int(length) + 3) // 20)
    }

    assert found == {
        (row, day): STRIP_COLOURS[cell.state]
        for row, cells in enumerate(heat.roads.values())
        for day, cell in enumerate(cells)
        if cell.state != "none"
    }


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3_599.6, "1 h 00 min"),
        (359_999, "100 h 00 min"),
    ],
)
def test_durations_are_told_in_two_units(seconds: float | None, told: str) -> None:
    assert words.duration(seconds).replace("\N{NO-BREAK SPACE}", " ") == told


@pytest.mark.parametrize(
    ("highest", "steps", "axis"),
    [
        (0, COUNTS, [0, 1]),
        (3, COUNTS, [0, 1, 2, 3]),
        (5, COUNTS, [0, 2, 4, 6]),
        (1_234_567, COUNTS, [0, 1_000_000, 2_000_000]),
        (95, SECONDS, [0, 30, 60, 90, 120]),
    ],
)
def test_axes_end_at_round_values_above_what_they_show(highest: float, steps: tuple[int, ...], axis: list[int]) -> None:
    assert ticks(highest, steps) == axis


def test_a_line_is_parted_where_a_day_is_not_known() -> None:
    """Days before the first known one are not drawn; a last day that is not known has no point."""
    line = spark([None, 1.0, 2.0, None, 3.0, 4.0, None])

    assert [len(points.split()) for points in line.lines] == [2, 2]
    assert line.end is None
