"""Whom the org has erased leaves every file of the lake and every staged answer, and nobody else does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from conversation_pipeline.schemas import INSTANT, Dataset, Field, Group
from conversation_pipeline.schemas.catalogue import DATASETS
from conversation_pipeline.schemas.conversations import (
    CONVERSATION_API_LOG,
    CONVERSATION_PARTICIPANTS,
    CONVERSATIONS,
    ENTRIES_CONVERSATION_DATA,
    TRANSCRIPTS,
)
from conversation_pipeline.schemas.erasures import ERASURES, REMEMBERED_END_USERS
from conversation_pipeline.schemas.messaging import MESSAGING_END_USERS, MESSAGING_SESSIONS
from conversation_pipeline.schemas.people import AGENT_WORK
from conversation_pipeline.schemas.voice import VOICE_CALLS
from conversation_pipeline.storage import Lake, Staging, StorageError
from conversation_pipeline.storage.erasure import Replay, erased, remember, replay, telling_columns, waiting

DAY = datetime(2026, 11, 10, 9, tzinfo=UTC)
NEXT_DAY = DAY + timedelta(days=1)

ANNA, BERT = "0PA000000000001AAA", "0PA000000000002AAA"
ANNAS, BERTS = "a1a1a1a1-0000-4000-8000-000000000001", "b2b2b2b2-0000-4000-8000-000000000002"
ANNAS_CALL = "c3c3c3c3-0000-4000-8000-000000000003"
ANNAS_RECORD, BERTS_RECORD, CALL_RECORD = "0dw000000000001AAA", "0dw000000000002AAA", "0dw000000000003AAA"
ANNAS_SESSION, BERTS_SESSION = "0Mw000000000001AAA", "0Mw000000000002AAA"
CALL, AGENT = "0LQ000000000001AAA", "005000000000001AAA"
LOG, LOG_OF_BERT = "1CL000000000001AAA", "1CL000000000002AAA"

MENTIONS = Dataset(
    name="mentions",
    grain="One row per mention.",
    group=Group.MARTS,
    key=("mention",),
    fields=(
        Field("mention", pa.string(), "Key.", required=True),
        Field("said_at", INSTANT, "When.", required=True),
        Field("messaging_session_ids", pa.list_(pa.string()), "Sessions."),
    ),
    partition_by="said_at",
)
"""A dataset of tomorrow, which only a list of ids ties to a session."""

Row = dict[str, Any]


@dataclass
class House:
    """A lake and a staging area with two customers, Anna and Bert."""

    lake: Lake
    staging: Staging
    datasets: tuple[Dataset, ...] = (*DATASETS, MENTIONS)
    runs: list[Replay] = field(default_factory=list)

    def put(self, dataset: Dataset, *rows: Row, at: datetime = DAY, **provenance: str) -> None:
        dated = [{str(dataset.partition_by): at, **row} for row in rows]
        batch = pa.RecordBatch.from_pylist(dated, schema=dataset.schema)
        day = at.date().isoformat()
        self.lake.replace(dataset, day, [batch], run_id="put", road="soql", promised=len(rows), provenance=provenance)

    def asked_to_erase(
        self, entity: str, entity_type: str = "MessagingEndUser", status: str = "Completed", log: str = LOG
    ) -> None:
        row = {"id": log, "requested_entity_type": entity_type, "requested_entity_identifier": entity}
        before = [row for row in self.rows(CONVERSATION_API_LOG) if row["id"] != log]
        self.put(CONVERSATION_API_LOG, *before, {**row, "status": status, "action": "Delete"})

    def replay(self) -> Replay:
        return replay(self.lake, self.staging, self.datasets, run_id="erasing")

    def rows(self, dataset: Dataset, at: datetime = DAY) -> list[Row]:
        rows: list[Row] = self.lake.read(dataset, at.date().isoformat()).to_pylist()
        return rows

    def stage(self, dataset: str, label: list[str], body: str) -> None:
        self.staging.put(dataset, DAY.date().isoformat(), label, body.encode(), fetched_at=DAY)

    def staged(self) -> set[str]:
        names = {dataset.name for dataset in DATASETS}
        days = [DAY.date().isoformat()]
        return {self.staging.read(one).decode() for name in names for one in self.staging.records(name, days)}


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(Lake(str(tmp_path / "lake")), Staging(str(tmp_path / "staging")))
    house.put(MESSAGING_END_USERS, {"id": ANNA, "name": "Anna"}, {"id": BERT, "name": "Bert"})
    house.put(
        MESSAGING_SESSIONS,
        {"id": ANNAS_SESSION, "messaging_end_user_id": ANNA, "conversation_id": ANNAS_RECORD},
        {"id": BERTS_SESSION, "messaging_end_user_id": BERT, "conversation_id": BERTS_RECORD},
        selection="as asked",
    )
    house.put(VOICE_CALLS, {"id": CALL, "end_user_id": ANNA, "conversation_id": CALL_RECORD})
    house.put(
        CONVERSATIONS,
        {"id": ANNAS_RECORD, "conversation_identifier": ANNAS},
        {"id": BERTS_RECORD, "conversation_identifier": BERTS},
        {"id": CALL_RECORD, "conversation_identifier": ANNAS_CALL},
    )
    house.put(
        CONVERSATION_PARTICIPANTS,
        {"id": "0dx000000000001AAA", "conversation_id": ANNAS_RECORD, "participant_entity_id": AGENT},
        {"id": "0dx000000000002AAA", "conversation_id": BERTS_RECORD, "participant_entity_id": AGENT},
    )
    house.put(AGENT_WORK, {"id": "0Bz000000000001AAA", "work_item_id": ANNAS_SESSION})
    house.put(MENTIONS, {"mention": "1", "messaging_session_ids": [BERTS_SESSION, ANNAS_SESSION]}, {"mention": "2"})
    for at in (DAY, NEXT_DAY):
        house.put(ENTRIES_CONVERSATION_DATA, entry(ANNAS), entry(BERTS), entry(ANNAS_CALL), at=at)
    return house


def entry(conversation: str) -> Row:
    return {"conversation_identifier": conversation, "entry_identifier": "1", "text": f"words of {conversation}"}


def conversations(rows: list[Row]) -> set[str]:
    return {row["conversation_identifier"] for row in rows}


@pytest.mark.parametrize("at", [DAY, NEXT_DAY])
def test_a_person_s_entries_leave_every_day(house: House, at: datetime) -> None:
    """From the end user over sessions, calls and conversation records to the entries of all their conversations."""
    house.asked_to_erase(ANNA)

    house.replay()

    assert conversations(house.rows(ENTRIES_CONVERSATION_DATA, at)) == {BERTS}


@pytest.mark.parametrize(
    ("dataset", "left"),
    [
        (MESSAGING_END_USERS, {BERT}),
        (MESSAGING_SESSIONS, {BERTS_SESSION}),
        (VOICE_CALLS, set()),
        (CONVERSATIONS, {BERTS_RECORD}),
        (CONVERSATION_PARTICIPANTS, {"0dx000000000002AAA"}),
        (AGENT_WORK, {"0Bz000000000001AAA"}),
    ],
    ids=lambda it: it.name if isinstance(it, Dataset) else "",
)
def test_a_person_s_records_leave_as_in_the_org(house: House, dataset: Dataset, left: set[str]) -> None:
    """What the org's deletion removes is removed here; agents' work stays."""
    house.asked_to_erase(ANNA)

    house.replay()

    assert {row["id"] for row in house.rows(dataset)} == left


def test_a_list_of_ids_tells_whose_a_row_is(house: House) -> None:
    """A row that names an erased session among others goes, whatever the dataset is called."""
    house.asked_to_erase(ANNA)

    house.replay()

    assert [row["mention"] for row in house.rows(MENTIONS)] == ["2"]


def test_a_conversation_is_erased_alone(house: House) -> None:
    """A deletion by conversation leaves the person's other conversations and their record."""
    house.asked_to_erase(ANNAS_RECORD, "Conversation")

    house.replay()

    assert conversations(house.rows(ENTRIES_CONVERSATION_DATA)) == {BERTS, ANNAS_CALL}
    assert {row["id"] for row in house.rows(MESSAGING_END_USERS)} == {ANNA, BERT}


@pytest.mark.parametrize("status", ["Requested", "Enqueued", "InProgress", "Failed"])
def test_only_completed_deletions_are_replayed(house: House, status: str) -> None:
    """What the org has not done, or could not do, is not done here."""
    house.asked_to_erase(ANNA, status=status)

    house.replay()

    assert conversations(house.rows(ENTRIES_CONVERSATION_DATA)) == {ANNAS, BERTS, ANNAS_CALL}


def test_an_agent_is_no_customer(house: House) -> None:
    """A deletion of something else than end users and conversations removes nothing, and is reported."""
    house.asked_to_erase(AGENT, "User")

    done = house.replay()

    assert done.not_understood == {"User": 1}
    assert len(house.rows(CONVERSATION_PARTICIPANTS)) == 2


def test_files_without_such_rows_are_left_alone(house: House) -> None:
    """A day of Bert's is not written again when Anna goes."""
    third_day = NEXT_DAY + timedelta(days=1)
    house.put(ENTRIES_CONVERSATION_DATA, entry(BERTS), at=third_day)
    before = house.lake.receipt(ENTRIES_CONVERSATION_DATA, third_day.date().isoformat())
    house.asked_to_erase(ANNA)

    house.replay()

    assert house.lake.receipt(ENTRIES_CONVERSATION_DATA, third_day.date().isoformat()) == before


def test_the_receipt_stays_true(house: House) -> None:
    """A rewritten file tells its present rows, that rows were erased, and what the next refresh wants to know."""
    house.asked_to_erase(ANNA)

    house.replay()

    receipt = house.lake.receipt(MESSAGING_SESSIONS, DAY.date().isoformat())
    assert receipt is not None
    assert (receipt.rows, receipt.promised, receipt.road) == (1, None, "soql")
    assert receipt.provenance == {"selection": "as asked", "erased_rows": "1"}


def test_staged_answers_go_by_label_and_by_content(house: House) -> None:
    """A conversation's own answers go, and so do pages that hold one of the records, in 18 or 15 characters."""
    house.stage("entries_conversation_data", [ANNAS, "1", "2", "3"], "said by Anna")
    house.stage("entries_conversation_data", [BERTS, "1", "2", "3"], "said by Bert")
    house.stage("messaging_sessions", ["page", "1"], f'[{{"Id": "{ANNAS_SESSION}"}}, {{"Id": "{BERTS_SESSION}"}}]')
    house.stage("messaging_sessions", ["page", "2"], f'[{{"Id": "{BERTS_SESSION}"}}]')
    house.stage("conversation_participants", ["page", "1"], f'[{{"ConversationId": "{ANNAS_RECORD[:15]}"}}]')
    house.asked_to_erase(ANNA)

    house.replay()

    assert house.staged() == {"said by Bert", f'[{{"Id": "{BERTS_SESSION}"}}]'}


def test_the_record_counts_and_names_no_word(house: House) -> None:
    """Who went, which conversations and how many rows by dataset; nothing that anybody said, no name."""
    house.stage("entries_conversation_data", [ANNAS, "1", "2", "3"], "said by Anna")
    house.asked_to_erase(ANNA)

    house.replay()

    [row] = house.lake.read(ERASURES, None).to_pylist()
    assert row["requested_entity_id"] == ANNA
    assert row["conversation_identifiers"] == sorted([ANNAS, ANNAS_CALL])
    assert counts(row["rows_removed"]) == {
        "conversation_participants": 1,
        "conversations": 2,
        "entries_conversation_data": 4,
        "mentions": 1,
        "messaging_end_users": 1,
        "messaging_sessions": 1,
        "remembered_end_users": 2,
        "voice_calls": 1,
    }
    assert counts(row["answers_removed"]) == {"entries_conversation_data": 1}
    assert row["run_id"] == "erasing"
    assert "nna" not in str(row)


def counts(removed: list[Mapping[str, Any]]) -> dict[str, int]:
    return {one["dataset"]: one["count"] for one in removed}


def test_a_second_replay_changes_nothing(house: House) -> None:
    """What is on record is not done twice, and the record's file is left alone."""
    house.asked_to_erase(ANNA)
    house.replay()
    record = house.lake.receipt(ERASURES, None)

    again = house.replay()

    assert house.lake.receipt(ERASURES, None) == record
    assert (again.new, again.rows, again.files) == (0, {}, 0)


class Meanwhile(tuple[Dataset, ...]):
    """Datasets; when a replay begins to search them, something else happens first."""

    happens: Callable[[], object]

    def __iter__(self) -> Iterator[Dataset]:
        self.happens()
        return super().__iter__()


def during_a_replay(house: House, happens: Callable[[], object]) -> None:
    """A replay; meanwhile, when it has put on record what is to go, something else happens."""
    datasets = Meanwhile(house.datasets)
    datasets.happens = happens
    replay(house.lake, house.staging, datasets, run_id="the slow one")


def test_two_replays_at_once_lose_nothing_of_each_other(house: House) -> None:
    """One begins, puts on record what is to go, and is slow; another comes with one more erasure and ends first."""
    house.stage("entries_conversation_data", [BERTS, "1", "2", "3"], "said by Bert")
    house.asked_to_erase(ANNA)

    def another() -> None:
        house.asked_to_erase(BERT, log=LOG_OF_BERT)
        house.replay()

    during_a_replay(house, another)

    record = {row["id"]: row for row in house.lake.read(ERASURES, None).to_pylist()}
    assert record[LOG]["conversation_identifiers"] == sorted([ANNAS, ANNAS_CALL])
    assert record[LOG_OF_BERT]["conversation_identifiers"] == [BERTS]
    assert counts(record[LOG]["rows_removed"])["entries_conversation_data"] == 4
    assert counts(record[LOG_OF_BERT]["rows_removed"])["entries_conversation_data"] == 2
    assert counts(record[LOG_OF_BERT]["answers_removed"]) == {"entries_conversation_data": 1}
    assert not waiting(house.lake)
    assert not house.rows(ENTRIES_CONVERSATION_DATA)


def test_what_two_replays_remove_of_one_erasure_is_counted_together(house: House) -> None:
    """An entry that comes back while one is at work is removed by the other: five in all."""
    house.asked_to_erase(ANNA)

    def another() -> None:
        house.replay()
        house.put(ENTRIES_CONVERSATION_DATA, entry(ANNAS), entry(BERTS))

    during_a_replay(house, another)

    [row] = house.lake.read(ERASURES, None).to_pylist()
    assert counts(row["rows_removed"])["entries_conversation_data"] == 5
    assert conversations(house.rows(ENTRIES_CONVERSATION_DATA)) == {BERTS}


def test_an_erasure_that_grew_meanwhile_is_not_done(house: House) -> None:
    """A session that is landed while a replay is at work is found by another; only who looked for it may say done."""
    house.asked_to_erase(ANNA)
    late = {"id": "0Mw000000000009AAA", "messaging_end_user_id": ANNA, "conversation_identifier": BERTS}

    def another() -> None:
        house.put(MESSAGING_SESSIONS, late, at=NEXT_DAY)
        with pytest.raises(StorageError):
            during_a_replay(house, stops)

    def stops() -> None:
        raise StorageError("killed")

    during_a_replay(house, another)

    [row] = house.lake.read(ERASURES, None).to_pylist()
    assert BERTS in row["conversation_identifiers"]
    assert row["replayed_at"] is None
    house.replay()
    assert not house.rows(ENTRIES_CONVERSATION_DATA)


def test_what_comes_back_is_removed_again(house: House) -> None:
    """Rows that a slow run or an old archive brought back, when nothing else tells whose they are any more."""
    house.asked_to_erase(ANNA)
    house.replay()
    house.put(ENTRIES_CONVERSATION_DATA, entry(ANNAS), entry(BERTS))

    house.replay()

    [row] = house.lake.read(ERASURES, None).to_pylist()
    assert conversations(house.rows(ENTRIES_CONVERSATION_DATA)) == {BERTS}
    assert counts(row["rows_removed"])["entries_conversation_data"] == 5


@pytest.mark.parametrize(
    ("label", "body"), [([ANNAS, "1", "2", "3"], "said by Anna"), (["page", "1"], f'[{{"Id": "{ANNAS_SESSION}"}}]')]
)
def test_what_is_staged_later_is_removed_too(house: House, label: list[str], body: str) -> None:
    """A slow run that stages an answer after the replay, and is killed, brings no row back: the answer goes all the
    same, and the record counts it."""
    house.asked_to_erase(ANNA)
    house.replay()
    house.stage("messaging_sessions", label, body)

    again = house.replay()

    [row] = house.lake.read(ERASURES, None).to_pylist()
    assert house.staged() == set()
    assert again.answers == counts(row["answers_removed"]) == {"messaging_sessions": 1}


def test_who_it_was_is_remembered(house: House) -> None:
    """The org's deletion takes sessions and calls along; read again before the replay, those days tell nothing."""
    remember(house.lake, run_id="before")
    for dataset in (MESSAGING_SESSIONS, VOICE_CALLS, CONVERSATIONS, CONVERSATION_PARTICIPANTS):
        house.put(dataset)
    house.asked_to_erase(ANNA)

    house.replay()

    assert conversations(house.rows(ENTRIES_CONVERSATION_DATA)) == {BERTS}


def test_nothing_is_remembered_of_the_erased(house: House) -> None:
    """The bookkeeping of whose a conversation was is erased like all else; of others nothing is forgotten."""
    house.asked_to_erase(ANNA)
    house.replay()
    house.put(MESSAGING_SESSIONS)

    remember(house.lake, run_id="later")

    [row] = house.rows(REMEMBERED_END_USERS)
    assert (row["id"], row["end_user_id"], row["conversation_identifier"]) == (BERTS_SESSION, BERT, BERTS)


def test_what_is_remembered_outlives_a_lost_column(house: House) -> None:
    """A column that the user may no longer see does not make us forget; what is told anew is taken."""
    remember(house.lake, run_id="before")
    house.put(MESSAGING_SESSIONS, {"id": ANNAS_SESSION}, {"id": BERTS_SESSION, "messaging_end_user_id": ANNA})

    remember(house.lake, run_id="later")

    rows = {row["id"]: (row["end_user_id"], row["conversation_id"]) for row in house.rows(REMEMBERED_END_USERS)}
    assert rows == {
        ANNAS_SESSION: (ANNA, ANNAS_RECORD),
        BERTS_SESSION: (ANNA, BERTS_RECORD),
        CALL: (ANNA, CALL_RECORD),
    }


def test_landings_can_ask_who_is_erased(house: House) -> None:
    """Identifiers of conversations and records; nobody, at the cost of one small read, where nobody is."""
    assert erased(house.lake) == frozenset()
    house.asked_to_erase(ANNA)

    house.replay()

    assert erased(house.lake) == {ANNA, ANNAS, ANNAS_CALL, ANNAS_RECORD, CALL_RECORD, ANNAS_SESSION, CALL}


def test_a_deletion_waits_until_it_is_replayed(house: House) -> None:
    """What the sensor asks: completed upstream, not yet on record here."""
    house.asked_to_erase(ANNA)
    before = waiting(house.lake)

    house.replay()

    assert (before, waiting(house.lake)) == ([LOG], [])


def test_every_dataset_that_knows_people_is_reached() -> None:
    """Only what tells of the org's own staff, channels and archives, and sums, hold nothing of one customer's."""
    by_id_alone = {dataset.name for dataset in DATASETS if telling_columns(dataset) in ((), ("id",))}
    of_the_org = {"agent_work", "conversation_api_log", "erasures", "messaging_channels", "queues", "users"}
    of_many = {"agent_daily_kpis", "queue_daily_kpis", "channel_daily_kpis", "road_coverage", "transcript_archives"}

    assert by_id_alone == {"messaging_end_users", *of_the_org, *of_many}


def test_a_torn_transcript_file_stops_the_replay(house: House, tmp_path: Path) -> None:
    """Nothing is recorded as done before all of it is."""
    house.put(TRANSCRIPTS, {"interaction_id": ANNAS_SESSION, "conversation_identifier": ANNAS})
    file = Path(house.lake.uri(TRANSCRIPTS, DAY.date().isoformat()))
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    house.asked_to_erase(ANNA)
    with pytest.raises(Exception, match="parquet"):
        house.replay()
    file.write_bytes(whole)

    house.replay()

    assert (house.rows(TRANSCRIPTS), waiting(house.lake)) == ([], [])
