"""Words that were taken back upstream, under the same identifier and time: gone with the next reading (issue 4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from conversation_pipeline.schemas.conversations import ENTRIES_CONVERSATION_DATA
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.storage.sql import sql
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, SPINE, Control, Project, project_for

DAY = FIRST_DAY.isoformat()
SETTLED = datetime.fromisoformat(f"{(FIRST_DAY + timedelta(days=2)).isoformat()}T03:00:00+00:00")
BEFORE = "flüsternde Geheimnummer"
AFTER = "hier stand etwas"
ROADS = ("conversation_data", "connect")
AFTER_ROADS = ("conversation_entries", "messages", "transcripts", "warehouse")
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
        lake = {
            path.parent.parent.name
            for path in (self.project.folder / "lake").rglob("data.parquet")
            if words in str(pq.read_table(path).to_pylist())
        }
        with duckdb.connect(self.project.environment["CONVERSATION_WAREHOUSE"], read_only=True) as connection:
            count = "SELECT count(*) FROM {table} t WHERE contains(t::VARCHAR, ?)"
            tables = [
                name for name in EVERYWHERE if connection.execute(sql(count, table=name), [words]).fetchone() != (0,)
            ]
        return lake | {f"warehouse.{name}" for name in tables}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=3, now=NOW).serve() as running:
        control, project = Control(running.url), project_for(running.url, tmp_path / "project", ROADS)
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
        world.land(SETTLED, *assets, ENTRIES_CONVERSATION_DATA.name, "entries_connect", *AFTER_ROADS)
        assert world.told(BEFORE) == IN_BOTH
        world.redact()
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
