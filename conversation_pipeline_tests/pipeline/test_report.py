"""The report of a simulated org: its figures are those of the marts, of the org's counters and of nothing else."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pyarrow as pa
import pytest

from conversation_pipeline.defs.assets.report import published, report_name
from conversation_pipeline.report import words
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.coverage import ROAD_COVERAGE
from conversation_pipeline.schemas.marts import CHANNEL_DAILY_KPIS, QUEUE_DAILY_KPIS, SESSION_KPIS
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.storage.models import run_model
from conversation_pipeline.storage.store import Store
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, SPINE, Control, Project, project_for
from conversation_pipeline_tests.storage.object_store import object_store

DAYS = [(FIRST_DAY + timedelta(days=offset)).isoformat() for offset in range(3)]
DAY = DAYS[-1]
NEXT_MORNING = "2026-11-13T08:00:00+00:00"
READ = (*SPINE[: SPINE.index("messages")], "messaging_session_metrics", "agent_work", "queues", "entries_connect")
MARTS = ("session_kpis", "channel_daily_kpis", "queue_daily_kpis", "agent_daily_kpis", "road_coverage", "report")
SHOWN_AT_ONCE = 1_000
"""Letters from which on Dagster's UI shows a text only to who clicks on it."""

LONG_ENOUGH = 12
"""Letters of a text that does not stand on the page by chance."""


class Page(HTMLParser):
    """
    What a reader finds.

    Attributes:
        figures: Text of what is marked ``data-figure``, by that name.
        tables: Rows of each section's table, by the section's id: texts of the cells, the first one without its
            second line.
        text: All of it.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.figures: dict[str, str] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self.text = ""
        self._figure: str | None = None
        self._section = ""
        self._in_cell = self._aside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._figure = given.get("data-figure") or self._figure
        if tag == "section":
            self._section = given["id"] or ""
        elif tag == "tr":
            self.tables.setdefault(self._section, []).append([])
        elif tag == "td":
            self.tables[self._section][-1].append("")
            self._in_cell, self._aside = True, False
        elif tag in ("small", "span") and self._in_cell:
            self._aside = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "td":
            self._in_cell = False
        self._figure = None

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._figure:
            self.figures[self._figure] = self.figures.get(self._figure, "") + data
        if self._in_cell and not self._aside:
            self.tables[self._section][-1][-1] += data.strip()

    def rows(self, section: str) -> list[list[str]]:
        """Without the headings, which have no cells of this kind."""
        return [row for row in self.tables[section] if row]


@dataclass(frozen=True)
class Landed:
    """Three days of an org, read by one run, and the page of the last of them."""

    project: Project
    control: Control
    served: Mapping[str, int]

    @property
    def html(self) -> str:
        return self.html_of(DAY)

    def html_of(self, day: str) -> str:
        return (self.project.folder / "lake" / report_name(day)).read_text(encoding="utf-8")

    @property
    def page(self) -> Page:
        return Page(self.html)

    def mart(self, dataset: Dataset, day: str = DAY) -> pd.DataFrame:
        return self.project.rows(dataset, day).to_pandas()


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Landed]:
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=12, now=NOW).serve() as running:
        control = Control(running.url)
        control.post("clock", now=NEXT_MORNING)
        (conversation, _), entry = next(iter(control.true_entries(DAY).items()))
        unknown = {"entryType": "MoodChanged", "transcriptedTimestamp": entry["transcripted_timestamp"]}
        control.post("entries", conversationIdentifier=conversation, entries=[unknown])
        control.post("schema", object="MessagingSession", add={"name": "Region__c", "type": "string"})
        project = project_for(running.url, tmp_path_factory.mktemp("report"), roads=("conversation_data", "connect"))
        project.materialize(DAYS[0], DAYS[-1], assets=(*READ, "entry_conflicts", *MARTS))
        served = {route: counts["served"] for route, counts in control.get("counters")["routes"].items()}
        yield Landed(project, control, served)
        project.instance.dispose()


# Figures


@pytest.mark.parametrize("day", DAYS)
def test_figures_are_those_of_the_marts(landed: Landed, day: str) -> None:
    """Computed a second time in pandas: counts from the marts by channel, means from the sessions and calls."""
    channels, kpis = landed.mart(CHANNEL_DAILY_KPIS, day), landed.mart(SESSION_KPIS, day)
    kpis = kpis[kpis.is_deleted != True]  # noqa: E712  (null counts)
    calls = channels.channel_type == "Voice"
    responses = (kpis.average_agent_response_time * kpis.agent_response_count).sum() / kpis.agent_response_count.sum()
    abandoned, accepted = channels.abandoned_count.sum(), channels.accepted_count.sum()

    shown = Page(landed.html_of(day)).figures

    assert shown == {
        "state": shown["state"],
        "sessions": words.number(channels[~calls].interaction_count.sum()),
        "calls": words.number(channels[calls].interaction_count.sum()),
        "messages": words.number(channels.agent_message_count.sum() + channels.end_user_message_count.sum()),
        "agent_response_seconds": words.duration(responses),
        "wait_seconds": words.duration(kpis.wait_seconds.mean()),
        "handle_seconds": words.duration(kpis.handle_seconds.mean()),
        "abandonment": words.share(abandoned / (abandoned + accepted)),
        "containment": words.share(channels.contained_count.sum() / channels.bot_count.sum()),
    }


def test_the_days_have_what_makes_figures_differ(landed: Landed) -> None:
    """Without sessions that were abandoned, or that a bot contained, those figures would be right by chance."""
    channels = pd.concat([landed.mart(CHANNEL_DAILY_KPIS, day) for day in DAYS])

    assert channels.abandoned_count.sum() > 0
    assert channels.contained_count.sum() > 0


def test_the_channels_are_those_of_the_mart(landed: Landed) -> None:
    """Every channel once, with its own numbers."""
    expected = {
        (
            row["channel_name"],
            words.number(row["interaction_count"]),
            words.number(row["accepted_count"]),
            words.share(row["abandonment_rate"]),
            words.duration(row["average_wait_seconds"]),
            words.duration(row["average_agent_response_time"]),
            words.duration(row["average_handle_seconds"]),
            words.share(row["containment_rate"]),
        )
        for row in landed.project.rows(CHANNEL_DAILY_KPIS, DAY).to_pylist()
    }

    assert {tuple(row) for row in landed.page.rows("channels")} == expected


def test_the_queues_are_those_of_the_mart(landed: Landed) -> None:
    queues = landed.mart(QUEUE_DAILY_KPIS)

    assert {(name, work) for name, work, *_ in landed.page.rows("queues")} == {
        (name or "(no queue)", words.number(count))
        for name, count in zip(queues.queue_name, queues.work_count, strict=True)
    }


def test_every_session_and_call_has_its_place_in_its_hour(landed: Landed) -> None:
    """What the bars say when pointed at adds up to the mart, hour by hour."""
    kpis = landed.mart(SESSION_KPIS)
    kpis = kpis[kpis.is_deleted != True]  # noqa: E712  (null counts)
    [plot] = re.findall(r'<section id="hours">(.*?)</section>', landed.html, re.DOTALL)
    told = re.findall(r"<title>(\d\d):00 UTC, [^:]+: ([\d,]+)</title>", plot)

    by_hour = pd.DataFrame(told, columns=["hour", "count"]).astype(int).groupby("hour")["count"].sum()

    assert by_hour.to_dict() == kpis.groupby(kpis.created_date.dt.hour).size().to_dict()


def test_stored_metrics_stand_against_computed_ones(landed: Landed) -> None:
    """As many sessions as have a stored value and were told whole; counts agree in all of them."""
    kpis = landed.mart(SESSION_KPIS)
    whole = kpis[kpis.is_told_whole == True]  # noqa: E712  (null counts)

    shown = {name: (compared, agreeing) for name, compared, agreeing, _ in landed.page.rows("metrics")}

    count = words.number(whole.stored_agent_message_count.notna().sum())
    assert shown["AgentMessageCount"] == (count, count)


def test_sessions_that_were_not_told_whole_are_not_compared() -> None:
    """Messages may be missing from them: of two sessions whose counts differ, one is compared."""
    rows = [
        {"is_told_whole": whole, "agent_message_count": 1, "stored_agent_message_count": 2} for whole in (True, False)
    ]
    kpis = pa.Table.from_pylist(rows, SESSION_KPIS.schema)

    with run_model("report_metrics", {"session_kpis": kpis}, {"tolerance_seconds": 1}) as told:
        [found] = [row for row in told.read_all().to_pylist() if row["metric"] == "AgentMessageCount"]

    assert found == {"metric": "AgentMessageCount", "compared": 1, "agreeing": 0, "largest_difference": 1.0}


def test_coverage_is_that_of_the_mart(landed: Landed) -> None:
    coverage = landed.project.rows(ROAD_COVERAGE, DAY).to_pylist()

    assert {(row[0], row[1], row[4]) for row in landed.page.rows("coverage")} == {
        (
            {"conversation_data": "Conversation Data", "connect": "Connect"}[row["road"]],
            f"{row['conversations_read']:,} of {row['conversations_expected']:,}",
            words.number(row["entries"]),
        )
        for row in coverage
    }


def test_requests_are_those_that_the_org_served(landed: Landed) -> None:
    """One run read three days: its requests stand on the page of each, and are all that there were."""
    [*roads, _] = landed.page.rows("quotas")
    tokens_of_users = landed.served["oauth.token"] - 1  # the org's own client has one as well

    assert {name: requests for name, requests, *_ in roads} == {
        "entries_conversation_data": words.number(landed.served["conversation_data.entries"] + tokens_of_users),
        "entries_connect": words.number(landed.served["connect.entries"]),
    }


def test_what_is_unknown_is_on_the_page(landed: Landed) -> None:
    """A type that no published schema has; a column that came to the org later is no finding at first sight."""
    [section] = re.findall(r'<section id="drift">(.*?)</section>', landed.html, re.DOTALL)

    assert "entry_type MoodChanged" in section
    assert landed.project.metadata("entries_conversation_data", DAY)["drift_seen"]["entry_type MoodChanged"] == 1


# What must never be


def test_no_customer_s_words_are_on_the_page(landed: Landed) -> None:
    """None of what anybody wrote on the day, however it was written."""
    texts = {entry["text"] for entry in landed.control.true_entries(DAY).values() if entry["text"]}
    long_enough = {text for text in texts if len(text) >= LONG_ENOUGH}

    assert len(long_enough) > 50
    assert {text for text in long_enough if text in landed.page.text} == set()


# Where it is


def test_the_ui_says_where_the_page_lies_and_what_it_says(landed: Landed) -> None:
    metadata = landed.project.metadata("report", DAY)

    assert Path(metadata["report"]).read_text(encoding="utf-8") == landed.html
    assert landed.page.figures["sessions"] in metadata["summary"]


def test_a_page_on_an_object_store_is_one_object(tmp_path: Path) -> None:
    """Complete at once, beside the datasets; its address in the UI has no key in it."""
    with object_store() as store:
        metadata = published("<p>a page</p>", DAY, Store(store.url("lake")))

    assert store.objects == {f"lake/{report_name(DAY)}": b"<p>a page</p>"}
    assert metadata["report"].value == f"s3://bucket/lake/{report_name(DAY)}"


def test_the_picture_of_coverage_is_in_its_metadata(landed: Landed) -> None:
    """An SVG within the text, in fewer letters than the UI shows without a click."""
    told = landed.project.metadata("road_coverage", DAY)["coverage"]

    assert len(told) < SHOWN_AT_ONCE
    encoded = re.match(r"!\[coverage\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", told)
    assert encoded is not None
    picture = ElementTree.fromstring(base64.b64decode(encoded[1]))
    texts = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["Conversation Data", "Connect", "30 Oct", "12 Nov"]


def test_a_day_before_anything_was_read_has_a_page(tmp_path: Path, simulator: str) -> None:
    """Nothing is in the lake: the page says so in each of its places."""
    project = project_for(simulator, tmp_path / "project")

    project.materialize(DAY, assets=["report"])

    page = (project.folder / "lake" / report_name(DAY)).read_text(encoding="utf-8")
    assert "Coverage of this day was not counted yet" in page
    assert "This instance of Dagster has no record of a run that read this day." in page
