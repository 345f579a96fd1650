"""Words that were taken back upstream, under the same identifier and time: gone with the next reading (issue 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow.parquet as pq
import pytest

from conversation_pipeline.defs.resources import Org
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.storage.sql import sql
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, SPINE, Control, Project, project_for

DAY = FIRST_DAY.isoformat()
SETTLED = datetime.fromisoformat(f"{(FIRST_DAY + timedelta(days=2)).isoformat()}T03:00:00+00:00")
BEFORE = "flüsternde Geheimnummer"
AFTER = "hier stand etwas"
ROADS = ("conversation_data", "connect")
AFTER_ROADS = ("conversation_entries", "entry_conflicts", "messages", "transcripts", "warehouse")
EVERYWHERE = ("entries_conversation_data", "entries_connect", "conversation_entries", "messages", "transcripts")
IN_BOTH = {*EVERYWHERE, *(f"warehouse.{name}" for name in EVERYWHERE)}


@dataclass(frozen=True)
class World:
    """An org, a project that has landed a day of it, and one entry that somebody will want to take back."""

    control: Control
    project: Project
    conversation: str
    session: str
    entry: str

    def land(self, now: datetime, *assets: str) -> None:
        self.control.post("clock", now=now.isoformat())
        self.project.materialize(DAY, assets=assets or (*(f"entries_{road}" for road in ROADS), *AFTER_ROADS))

    def redact(self) -> None:
        self.control.post("redactions", conversationIdentifier=self.conversation, identifiers=[self.entry], text=AFTER)

    def told(self, words: str) -> set[str]:
        """Where a reader finds the words: datasets of the lake, and tables of the warehouse."""
        with duckdb.connect(self.project.environment["CONVERSATION_WAREHOUSE"], read_only=True) as connection:
            count = "SELECT count(*) FROM {table} t WHERE contains(t::VARCHAR, ?)"
            tables = [
                name for name in EVERYWHERE if connection.execute(sql(count, table=name), [words]).fetchone() != (0,)
            ]
        return self.told_in_lake(words) | {f"warehouse.{name}" for name in tables}

    def told_in_lake(self, words: str) -> set[str]:
        return {
            path.parent.parent.name
            for path in (self.project.folder / "lake").rglob("data.parquet")
            if words in str(pq.read_table(path).to_pylist())
        }

    def asked_at_night(self) -> list[set[str]]:
        """What the nightly schedule requests of the day and of no other one."""
        schedule = self.project.definitions().resolve_schedule_def("conversations_nightly")
        now = datetime.fromisoformat(self.control.get("clock")["now"])
        with (
            closing(Org(self.project.settings(), retry=self.project.retry)) as org,
            dg.build_schedule_context(
                instance=self.project.instance,
                scheduled_execution_time=now,
                resources={"lake": self.project.lake, "salesforce": org},
            ) as context,
        ):
            requests = schedule.evaluate_tick(context).run_requests or ()
        of_the_day = [one for one in requests if one.tags["dagster/asset_partition_range_end"] == DAY]
        asked = [{key.to_user_string() for key in one.asset_selection or ()} for one in of_the_day]
        return [datasets for datasets in asked if "conversation_entries" in datasets]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with made(tmp_path, ROADS) as world:
        assert world.told(BEFORE) == IN_BOTH
        world.redact()
        yield world


@pytest.fixture
def without_connect(tmp_path: Path) -> Iterator[World]:
    """Landed by the fuller road alone, as nothing had been taken back."""
    with made(tmp_path, ROADS[:1]) as world:
        yield world


@contextmanager
def made(tmp_path: Path, roads: Sequence[str]) -> Iterator[World]:
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=3, now=NOW).serve() as running:
        control, project = Control(running.url), project_for(running.url, tmp_path / "project", roads)
        control.post("clock", now=SETTLED.isoformat())
        begun = {one["Id"] for one in control.get("truth/records", sobject="MessagingSession", day=DAY)["records"]}
        (conversation, _), said = next(
            (key, one) for key, one in control.true_entries(DAY).items() if one["messaging_session_id"] in begun
        )
        content = {"formatType": "Text", "text": BEFORE}
        message = {"messageType": "StaticContentMessage", "id": "m", "staticContent": content}
        put = {
            "transcriptedTimestamp": said["transcripted_timestamp"],
            "relatedRecords": [said["messaging_session_id"]],
            "entryPayload": {"entryType": "Message", "abstractMessage": message},
        }
        told = control.post("entries", conversationIdentifier=conversation, entries=[put])
        world = World(control, project, conversation, said["messaging_session_id"], *told["identifiers"])
        assets = [name for name in SPINE if name not in AFTER_ROADS]
        world.land(SETTLED, *assets, *(f"entries_{road}" for road in roads), *AFTER_ROADS)
        yield world


def test_a_redaction_is_found_at_the_ages_that_are_set(world: World) -> None:
    """Nothing upstream tells of it: until the day is read again after CONVERSATION_REREAD_DAYS, the old words stay."""
    world.land(SETTLED + timedelta(days=4))
    before = world.told(BEFORE)

    world.land(SETTLED + timedelta(days=6))

    assert before == IN_BOTH
    assert world.told(BEFORE) == set()
    assert world.told(AFTER) == IN_BOTH


def test_a_redaction_is_found_with_any_change_to_the_conversation(world: World) -> None:
    """A conversation whose records changed is read as a whole, whatever the change was."""
    world.control.post("clock", now=(SETTLED + timedelta(hours=1)).isoformat())
    world.control.post("records", update=[{"Id": world.session, "EndUserLanguage": "fr"}])
    on_platform = ("messaging_sessions", "conversation_activity")

    world.land(SETTLED + timedelta(hours=2), *on_platform, "entries_conversation_data", "entries_connect", *AFTER_ROADS)

    assert world.told(BEFORE) == set()
    assert world.told(AFTER) == IN_BOTH


def test_a_road_that_is_added_later_and_has_other_words_has_the_fuller_one_read_again(without_connect: World) -> None:
    """The redacted words are shown at once; the fuller road asks for that conversation, and for it alone, once."""
    world = without_connect
    world.redact()
    world.project.environment["CONVERSATION_ROADS"] = ",".join(ROADS)

    world.land(SETTLED + timedelta(hours=2), "entries_connect", *AFTER_ROADS)
    meanwhile = {words: world.told_in_lake(words) for words in (BEFORE, AFTER)}
    before = len(world.control.entry_requests())
    world.land(SETTLED + timedelta(hours=3), "entries_conversation_data", *AFTER_ROADS)
    asked = world.control.entry_requests()[before:]
    world.land(SETTLED + timedelta(hours=4), "entries_conversation_data", *AFTER_ROADS)

    assert meanwhile[BEFORE] == {"entries_conversation_data", "entry_conflicts"}
    assert {"entries_connect", "entry_conflicts", "conversation_entries", "messages", "transcripts"} == meanwhile[AFTER]
    assert set(asked) == {world.conversation}
    assert world.control.entry_requests()[before:] == asked
    assert world.told_in_lake(BEFORE) == set()


def test_the_night_reads_older_days_again_on_which_a_poorer_road_has_other_words(without_connect: World) -> None:
    """The roads' days and what is made of them, until the fuller road has been read."""
    world = without_connect
    world.project.environment |= {"CONVERSATION_ROADS": ",".join(ROADS), "CONVERSATION_REREAD_DAYS": ""}
    world.redact()
    before = world.asked_at_night()
    world.land(SETTLED + timedelta(days=10), "entries_connect", *AFTER_ROADS)

    [datasets] = world.asked_at_night()
    world.land(SETTLED + timedelta(days=10, hours=1), *datasets)

    assert before == []
    assert datasets == {"entries_conversation_data", *AFTER_ROADS}
    assert world.told_in_lake(BEFORE) == set()
    assert world.asked_at_night() == []
