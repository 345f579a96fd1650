"""A person whom the org has erased: gone from every file that this project keeps, and nobody else with them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conversation_pipeline.kill_points import KillPoint
from conversation_pipeline.schemas.conversations import CONVERSATION_ENTRIES
from conversation_pipeline.schemas.erasures import ERASURES
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.storage.erasure import waiting
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, Control, Project, project_for
from conversation_pipeline_tests.pipeline.processes import killed

DAYS = [(FIRST_DAY + timedelta(days=offset)).isoformat() for offset in range(3)]
ALL_SETTLED = "2026-11-14T02:00:00+00:00"
pytestmark = pytest.mark.timeout(300)  # the first test waits for two runs of everything
CANARY = "zwitschernder Kanarienvogel"


@dataclass
class World:
    """An org, and a project that has landed three days of it; somebody said something that nobody else says."""

    control: Control
    project: Project
    customers: list[str]

    def erase(self, customer: str) -> str:
        """Has the org erase a customer and waits until it is done; returns the day on which that was asked for."""
        self.control.post("erasures", messagingEndUserIds=[customer], seconds=0)
        now = datetime.fromisoformat(self.control.get("clock")["now"])
        self.control.post("clock", now=(now + timedelta(minutes=10)).isoformat())
        return now.date().isoformat()

    def by_hand(self, day: str, *assets: str) -> None:
        self.project.materialize(day, assets=assets or ("conversation_api_log", "erasures", "warehouse"))

    def entries(self) -> set[tuple[str, str]]:
        """What the lake holds of the three days."""
        tables = [self.project.rows(CONVERSATION_ENTRIES, day) for day in DAYS]
        return {(row["conversation_identifier"], row["entry_identifier"]) for it in tables for row in it.to_pylist()}

    def true_entries(self) -> set[tuple[str, str]]:
        return {key for day in DAYS for key in self.control.true_entries(day)}

    def records_of(self, customer: str) -> list[dict[str, Any]]:
        rows = [row for day in DAYS for row in self.project.rows(MESSAGING_SESSIONS, day).to_pylist()]
        return [row for row in rows if row["messaging_end_user_id"] == customer]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("erasures")
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=4, now=NOW).serve() as running:
        control, project = Control(running.url), project_for(running.url, folder)
        control.post("clock", now=ALL_SETTLED)
        customers = customers_of(control)
        put_canary(control, next(iter(customers.values())), next(iter(customers)))
        with dg.DagsterInstance.local_temp(str(folder)) as instance:
            project.instance = instance
            project.materialize(DAYS[0], DAYS[-1])
            yield World(control, project, list(customers))


def customers_of(control: Control) -> dict[str, tuple[str, dict[str, Any]]]:
    """End users who began a session on the second day, with a conversation and an entry of theirs."""
    sessions = {
        one["Id"]: one for one in control.get("truth/records", sobject="MessagingSession", day=DAYS[1])["records"]
    }
    return {
        sessions[entry["messaging_session_id"]]["MessagingEndUserId"]: (conversation, entry)
        for (conversation, _), entry in control.true_entries(DAYS[1]).items()
        if entry["messaging_session_id"] in sessions
    }


def put_canary(control: Control, said: tuple[str, dict[str, Any]], customer: str) -> None:
    conversation, entry = said
    content = {"formatType": "Text", "text": CANARY}
    message = {"messageType": "StaticContentMessage", "id": "canary", "staticContent": content}
    payload = {"entryType": "Message", "id": "canary", "abstractMessage": message}
    at = {"transcriptedTimestamp": entry["transcripted_timestamp"], "relatedRecords": [entry["messaging_session_id"]]}
    control.post("entries", conversationIdentifier=conversation, entries=[{**at, "entryPayload": payload}])
    control.post("records", update=[{"Id": customer, "Name": CANARY}])


def files_with(words: str, folder: Path) -> set[str]:
    """The files below a folder that hold the words, as they are or compressed."""
    return {file.name for file in folder.rglob("*") if file.is_file() and words.encode() in contents(file)}


def contents(file: Path) -> bytes:
    raw = file.read_bytes()
    if file.suffix == ".parquet":
        return raw + str(pq.read_table(file).to_pylist()).encode() + str(pq.read_metadata(file).metadata).encode()
    if file.suffix == ".zst":
        with pa.CompressedInputStream(pa.BufferReader(raw), "zstd") as plain:
            return raw + bytes(plain.read())
    return raw


@pytest.fixture(scope="module")
def erased(world: World) -> str:
    """Who is erased by the org; then every dataset is read again, as at night, and with them the log."""
    customer = world.customers[0]
    assert {"data.parquet", "warehouse.duckdb"} < files_with(CANARY, world.project.folder)
    day = world.erase(customer)
    world.project.materialize(DAYS[0], day)
    return customer


def test_no_file_holds_a_word_of_theirs(world: World, erased: str) -> None:
    """Lake, staging, warehouse, notes, quotas and Dagster's own storage, compressed or not."""
    assert files_with(CANARY, world.project.folder) == set()


def test_nobody_else_is_missing(world: World, erased: str) -> None:
    """The lake's entries are those that the org still has, each of them."""
    assert world.entries() == world.true_entries()
    assert not world.records_of(erased)


def test_the_record_says_what_the_org_s_log_says(world: World, erased: str) -> None:
    """Which deletion, whose, which conversations went."""
    [told] = [one for one in world.control.get("truth/erasures")["erasures"] if one["conversation_identifiers"]]

    rows = {row["id"]: row for row in world.project.rows(ERASURES).to_pylist()}
    row = rows[told["conversation_api_log_id"]]
    assert row["requested_entity_id"] == erased
    assert row["conversation_identifiers"] == sorted(told["conversation_identifiers"])
    assert row["replayed_at"] is not None


def test_a_run_tells_what_it_removed(world: World, erased: str) -> None:
    """Counts in the UI, by dataset."""
    told = world.project.metadata("erasures")

    assert told["erasures_replayed"] >= 1
    assert told["rows_removed_by_dataset"][CONVERSATION_ENTRIES.name] >= 1
    assert told["rows_removed"] == sum(told["rows_removed_by_dataset"].values())
    assert told["answers_removed"] >= 1


def test_a_replay_can_be_run_by_hand(world: World, erased: str) -> None:
    """The log, erasures and the warehouse are all it takes; nothing else is read again."""
    customer = world.customers[1]
    day = world.erase(customer)

    world.by_hand(day)

    assert world.entries() == world.true_entries()
    assert not world.records_of(customer)


@pytest.mark.parametrize(("customer", "passage"), [(2, 1), (3, 3)], ids=["planned", "half-removed"])
def test_a_killed_replay_is_done_again(world: World, erased: str, customer: int, passage: int) -> None:
    """Whether it had only been planned or was half done: the next one ends it, and the record tells it once."""
    gone = world.customers[customer]
    day = world.erase(gone)
    world.by_hand(day, "conversation_api_log")
    assert killed(world.project, ["erasures"], [day], KillPoint.PARTITION_RENAMED, passage) == -signal.SIGKILL
    assert waiting(world.project.lake)

    world.by_hand(day)

    assert world.entries() == world.true_entries()
    assert not world.records_of(gone)
    assert not waiting(world.project.lake)


def test_the_sensor_asks_while_a_deletion_waits(world: World, erased: str) -> None:
    """Once the log tells of a completed deletion, erasures and the warehouse are requested, until it is replayed."""
    before = tick(world)
    day = world.erase(world.customers[4])
    world.by_hand(day, "conversation_api_log")

    requested = tick(world)
    world.by_hand(day, "erasures", "warehouse")

    assert [request.asset_selection for request in requested] == [[dg.AssetKey("erasures"), dg.AssetKey("warehouse")]]
    assert (before, tick(world)) == ([], [])


def tick(world: World) -> list[dg.RunRequest]:
    sensor = world.project.definitions().get_sensor_def("erasures_upstream")
    with dg.build_sensor_context(instance=world.project.instance, resources={"lake": world.project.lake}) as context:
        return list(sensor.evaluate_tick(context).run_requests or [])
