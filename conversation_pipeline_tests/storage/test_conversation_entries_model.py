"""The model ``conversation_entries``: whose name an entry carries, and to which session it belongs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.conversations import (
    CONVERSATION_PARTICIPANTS,
    CONVERSATIONS,
    ENTRIES_ARCHIVE,
    ENTRIES_CONNECT,
    ENTRIES_CONVERSATION_DATA,
    ENTRIES_DATA_CLOUD,
)
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.schemas.people import USERS
from conversation_pipeline.schemas.voice import VOICE_CALLS
from conversation_pipeline.storage.models import run_model

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
AGENT = "005AA0000001111"
Row = dict[str, Any]


def table(dataset: Dataset, *rows: Row) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], dataset.schema)


def entry(subject: str, *, conversation: str = "c1", app_type: str = "agent", name: str | None = None) -> Row:
    return {
        "conversation_identifier": conversation,
        "entry_identifier": "e1",
        "sender_subject": subject,
        "sender_app_type": app_type,
        "sender_display_name": name,
        "transcripted_timestamp": NOON,
        "road": "conversation_data",
        "fetched_at": NOON,
    }


def joined(key: str, name: str | None, *, conversation: str = "0dw1", hours: int = 0, place: int = 1) -> Row:
    return {
        "id": f"0dx{place}",
        "conversation_id": conversation,
        "participant_key": key,
        "participant_display_name": name,
        "joined_time": NOON + timedelta(hours=hours),
        "created_date": NOON,
    }


CONVERSATION = {"id": "0dw1", "conversation_identifier": "c1", "created_date": NOON}
OTHER = {"id": "0dw2", "conversation_identifier": "c2", "created_date": NOON}
RITA = {"id": f"{AGENT}ABC", "name": "Rita Regular"}


def inputs(told: Row, *participants: Row, sessions: Sequence[Row] = ()) -> Mapping[str, pa.Table]:
    """What the model reads, for one entry."""
    entries = table(ENTRIES_CONVERSATION_DATA, told)
    return {
        "entries_conversation_data": entries,
        "entries_data_cloud": table(ENTRIES_DATA_CLOUD),
        "entries_archive": table(ENTRIES_ARCHIVE),
        "entries_connect": table(ENTRIES_CONNECT),
        "entries_of_two_days": entries,
        "messaging_sessions": table(MESSAGING_SESSIONS, *sessions),
        "voice_calls": table(VOICE_CALLS),
        "conversations": table(CONVERSATIONS, CONVERSATION, OTHER),
        "conversation_participants": table(CONVERSATION_PARTICIPANTS, *participants),
        "users": table(USERS, RITA),
    }


def named(told: Row, *participants: Row) -> list[str | None]:
    """The names of the model's rows for one entry."""
    with run_model("conversation_entries", inputs(told, *participants), {}) as rows:
        names: list[str | None] = rows.read_all()["sender_display_name"].to_pylist()
    return names


def test_a_sender_is_called_what_the_participant_was_called() -> None:
    """Entries name their sender as the conversation's participants are keyed."""
    assert named(entry("15550001111", app_type="messaging"), joined("15550001111", "Mo")) == ["Mo"]


def test_the_entry_s_own_name_comes_first() -> None:
    """What the service says of the entry itself stands."""
    assert named(entry(AGENT, name="Rita R."), joined(AGENT, "Somebody")) == ["Rita R."]


def test_the_participant_s_name_comes_before_the_user_s() -> None:
    """What the others saw, not what the org calls its user."""
    assert named(entry(AGENT), joined(AGENT, "Rita at your service")) == ["Rita at your service"]


@pytest.mark.parametrize("name", [None, "", "  "])
def test_a_participant_without_a_name_leaves_it_to_the_users(name: str | None) -> None:
    """An agent is found among the org's users by the 15 characters of the id."""
    assert named(entry(AGENT), joined(AGENT, name)) == ["Rita Regular"]


def test_a_participant_of_another_conversation_is_somebody_else() -> None:
    """Subjects are the same in many conversations; names need not be."""
    told = entry("15550001111", app_type="messaging")

    assert named(told, joined("15550001111", "Mo", conversation="0dw2")) == [None]


def test_who_joined_twice_is_one_sender_under_the_latest_name() -> None:
    """Joining again neither doubles entries nor brings back an old name."""
    old, new = joined(AGENT, "Trainee", place=1), joined(AGENT, "Rita", hours=1, place=2)

    assert named(entry(AGENT), new, old) == ["Rita"]


@pytest.mark.parametrize(
    ("told", "participants", "role"),
    [
        pytest.param({}, [{"participant_role": "Agent"}], "Agent", id="the participant's"),
        pytest.param({}, [{"participant_role": "End User"}], "EndUser", id="as the prose spells it"),
        pytest.param(
            {"sender_role": "Supervisor"}, [{"participant_role": "Agent"}], "Supervisor", id="the entry's own"
        ),
        pytest.param(
            {}, [{"participant_role": "Agent"}, {"participant_role": "EndUser"}], None, id="two of that name differ"
        ),
        pytest.param(
            {}, [{"participant_role": "Agent", "conversation_id": "0dw2"}], None, id="of another conversation"
        ),
        pytest.param({"sender_display_name": None}, [{"participant_role": "Agent"}], None, id="without a name"),
    ],
)
def test_a_sender_told_by_name_alone_has_the_participant_s_role(
    told: Row, participants: list[Row], role: str | None
) -> None:
    """As Data Cloud tells senders: without role, app type and subject."""
    sent = entry(AGENT, name="Rita") | {"sender_subject": None, "sender_app_type": None} | told
    there = [joined(f"key {place}", "Rita", place=place) | values for place, values in enumerate(participants)]

    with run_model("conversation_entries", inputs(sent, *there), {}) as rows:
        assert rows.read_all()["sender_role"].to_pylist() == [role]


@pytest.mark.parametrize(("keys", "subject"), [((AGENT,), AGENT), ((AGENT, AGENT), AGENT), ((AGENT, "other"), None)])
def test_a_sender_told_by_name_alone_is_the_one_participant_of_that_name(
    keys: tuple[str, ...], subject: str | None
) -> None:
    """So that an agent's messages count for the agent; of two agents of one name, for neither."""
    sent = entry(AGENT, name="Rita") | {"sender_subject": None, "sender_app_type": None}
    there = [joined(key, "Rita", place=place) | {"participant_role": "Agent"} for place, key in enumerate(keys)]

    with run_model("conversation_entries", inputs(sent, *there), {}) as rows:
        assert rows.read_all()["sender_subject"].to_pylist() == [subject]


def test_an_entry_is_of_the_session_that_it_names() -> None:
    """Also where that session began before the lake, and another one of the conversation goes on."""
    began_earlier, going_on = "0MwAA0000000001AAA", "0MwAA0000000002AAA"
    named_by_entry = {**entry(AGENT), "related_records": [began_earlier]}
    known = {"id": going_on, "conversation_identifier": "c1", "start_time": NOON, "created_date": NOON}

    assert session_of(named_by_entry, known) == began_earlier
    assert session_of(entry(AGENT), known) == going_on


def session_of(told: Row, known: Row) -> str | None:
    """The session that the model gives to one entry, of the one that is in the lake."""
    with run_model("conversation_entries", inputs(told, sessions=[known]), {}) as rows:
        [session] = rows.read_all()["messaging_session_id"].to_pylist()
    return None if session is None else str(session)
