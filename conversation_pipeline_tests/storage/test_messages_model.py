"""The models ``messages`` and ``transcripts``: what a person reads, as a reader expects it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.conversations import CONVERSATION_ENTRIES, MESSAGES, TRANSCRIPTS
from conversation_pipeline.schemas.messaging import MESSAGING_CHANNELS, MESSAGING_SESSIONS
from conversation_pipeline.schemas.people import USERS
from conversation_pipeline.schemas.voice import VOICE_CALLS
from conversation_pipeline.storage.models import run_model

DAY = datetime(2026, 11, 18, tzinfo=UTC)
SESSION, CALL = "0Mw000000000001AAA", "0LQ000000000001AAA"
TRACK = {"title": "Track it here", "url": "https://shop.example/1"}
Row = dict[str, Any]


def table(dataset: Dataset, *rows: Row) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], dataset.schema)


def said(place: int = 1, **values: Any) -> Row:
    """An entry of the session, so many minutes after midnight: a plain text, unless said otherwise."""
    usual = {"entry_type": "Message", "message_type": "StaticContentMessage", "format_type": "Text"}
    sender = {"sender_role": "Agent", "sender_subject": "005A", "messaging_session_id": SESSION}
    keys = {"conversation_identifier": "c", "entry_identifier": f"e{place}"}
    return keys | usual | sender | {"transcripted_timestamp": DAY + timedelta(minutes=place)} | values


def messages(*entries: Row) -> list[Row]:
    """The model's rows, in order."""
    with run_model("messages", {"conversation_entries": table(CONVERSATION_ENTRIES, *entries)}, {}) as rows:
        found: list[Row] = rows.read_all().cast(MESSAGES.schema).to_pylist()
    return found


def transcript(*entries: Row) -> Row:
    """The only row of the model ``transcripts``, of a session that begins at midnight."""
    session = {"id": SESSION, "created_date": DAY, "start_time": DAY}
    inputs = {
        "messaging_sessions": table(MESSAGING_SESSIONS, session),
        "voice_calls": table(VOICE_CALLS),
        "messages": table(MESSAGES, *messages(*entries)),
        "messaging_channels": table(MESSAGING_CHANNELS),
        "users": table(USERS),
    }
    with run_model("transcripts", inputs, {"day_start": DAY, "day_end": DAY + timedelta(days=1)}) as rows:
        [row] = rows.read_all().cast(TRANSCRIPTS.schema).to_pylist()
    return dict(row)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        pytest.param({"options": [{"title": "Yes"}, {"title": "No"}]}, "Well?\n( ) Yes\n( ) No", id="choices"),
        pytest.param({"attachments": [{"name": "label.pdf"}]}, "Well?\n[file] label.pdf", id="file"),
        pytest.param({"attachments": [{"mime_type": "image/png"}]}, "Well?\n[image]", id="picture without a name"),
        pytest.param({"attachments": [{"mime_type": "text/csv"}]}, "Well?\n[file] text/csv", id="file without a name"),
        pytest.param({"links": [TRACK]}, "Well?\n[link] Track it here https://shop.example/1", id="link"),
        pytest.param(
            {"links": [TRACK], "text": "Track it here"},
            "Track it here\n[link] https://shop.example/1",
            id="link titled by the words beside it",
        ),
        pytest.param({"links": [{"title": "Well?"}]}, "Well?\n[link] Well?", id="link without an address"),
    ],
)
def test_what_is_more_than_words_is_spelt_out(values: Row, shown: str) -> None:
    """Choices, files and links stand below the text."""
    [message] = messages(said(**({"text": "Well?"} | values)))

    assert message["text"] == shown


@pytest.mark.parametrize(
    ("message_type", "format_type", "shown"),
    [
        ("PaymentRequestMessage", "Payment", "[payment request]"),
        ("CatalogMessage", "Catalog", "[catalog]"),
        ("FormResponseMessage", "Result", "[form response]"),
        ("StaticContentMessage", "CancelAction", "[cancel action]"),
        ("StaticContentMessage", None, "[message]"),
        ("Message", None, "[message]"),
    ],
)
def test_what_has_no_words_is_called_by_what_it_is(message_type: str, format_type: str | None, shown: str) -> None:
    """A reader sees that something was sent, and what."""
    [message] = messages(said(message_type=message_type, format_type=format_type))

    assert message["text"] == shown


def test_a_sender_who_is_named_once_is_named_throughout() -> None:
    """Some roads leave the name out of some entries."""
    named, nameless = said(1, text="Hi", sender_display_name="Rita"), said(2, text="So?")

    assert [message["sender_name"] for message in messages(named, nameless)] == ["Rita", "Rita"]


@pytest.mark.parametrize(
    "other", [{"sender_subject": "005B"}, {"sender_role": "Supervisor"}, {"conversation_identifier": "d"}]
)
def test_nobody_gets_another_s_name(other: Row) -> None:
    """A name is of one sender in one role of one conversation."""
    named, nameless = said(1, text="Hi", sender_display_name="Rita"), said(2, text="So?", **other)

    assert [message["sender_name"] for message in messages(named, nameless)][1] != "Rita"


def test_senders_whom_nothing_tells_apart_share_no_name() -> None:
    """Without a subject, two nameless entries need not be of one sender."""
    unknown = {"sender_subject": None, "sender_role": None}
    named, nameless = said(1, text="Hi", sender_display_name="Rita", **unknown), said(2, text="So?", **unknown)

    assert [message["sender_name"] for message in messages(named, nameless)] == ["Rita", "Unknown"]


@pytest.mark.parametrize(
    ("role", "name"),
    [("EndUser", "Customer"), ("Chatbot", "Bot"), ("DigitalWorker", "Bot"), ("Agent", "Agent"), (None, "Unknown")],
)
def test_who_has_no_name_is_called_by_the_role(role: str | None, name: str) -> None:
    """As a reader would call them."""
    [message] = messages(said(text="Hi", sender_role=role))

    assert message["sender_name"] == name


@pytest.mark.parametrize(("call", "modality"), [(None, "Messaging"), (CALL, "Voice")])
def test_what_is_said_in_a_call_is_voice(call: str | None, modality: str) -> None:
    """Archives and Connect do not tell the modality; the call does."""
    [message] = messages(said(text="Hi", voice_call_id=call, modality=None))

    assert message["modality"] == modality


@pytest.mark.parametrize(
    ("values", "line"),
    [
        pytest.param({"sender_role": "EndUser", "sender_display_name": "Mo"}, "Mo (customer): Hi", id="customer"),
        pytest.param({"sender_role": "DigitalWorker", "sender_display_name": "Scout"}, "Scout (bot): Hi", id="bot"),
        pytest.param({"sender_role": "Agent", "sender_display_name": "Rita"}, "Rita (agent): Hi", id="agent"),
        pytest.param({"sender_role": "EndUser"}, "Customer: Hi", id="nameless"),
        pytest.param({"sender_role": None, "sender_display_name": "Mo"}, "Mo: Hi", id="role unknown"),
        pytest.param(
            {"sender_role": "Supervisor", "sender_display_name": "Grace", "visibility": "Internal"},
            "Grace (supervisor, internal): Hi",
            id="whisper",
        ),
        pytest.param({"sender_role": "Agent", "visibility": "Internal"}, "Agent (internal): Hi", id="nameless whisper"),
    ],
)
def test_plain_text_tells_who_spoke_and_to_whom(values: Row, line: str) -> None:
    """Customer, agent and bot are told apart, and what the customer never saw is marked."""
    assert transcript(said(text="Hi", **values))["transcript"] == f"2026-11-18 00:01:00  {line}"


def test_whispers_stand_in_the_transcript_and_are_not_counted() -> None:
    """The count is of what the customer could see."""
    found = transcript(said(1, text="Hi"), said(2, text="Offer the voucher", visibility="Internal"))

    assert (found["message_count"], [turn["is_internal"] for turn in found["turns"]]) == (1, [False, True])


def test_lines_of_one_message_are_set_in() -> None:
    """Each turn begins at the margin."""
    found = transcript(said(text="Which?", options=[{"title": "S"}, {"title": "M"}]))

    assert found["transcript"].endswith("Which?\n    ( ) S\n    ( ) M")
