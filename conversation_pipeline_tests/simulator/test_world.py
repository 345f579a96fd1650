"""The seeded world: the same for its seed, complete in what it shows, and plausible."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from conversation_pipeline.simulator.world.builder import Recipe, conversations_on
from conversation_pipeline.simulator.world.ids import to_18
from conversation_pipeline.simulator.world.metrics import session_metrics
from conversation_pipeline.simulator.world.schema import METRIC_TYPES, SOBJECTS
from conversation_pipeline.simulator.world.world import World

RECIPE = Recipe(seed=11, conversations_per_day=50)
SMALL = Recipe(seed=11, conversations_per_day=10)
FIRST = date(2026, 11, 9)


def instant(day: date, hour: int = 0) -> int:
    return int(datetime(day.year, day.month, day.day, hour, tzinfo=UTC).timestamp())


NOW = instant(date(2026, 11, 13), 18)

PUBLISHED_ENTRY_TYPES = set(
    "Message MessageDeliveryFailed MessageUpdated ParticipantChanged RoutingResult RoutingWorkResult Note FlagRaise "
    "FlagLower EndUserConsentUpdated SessionStatusChanged SessionOwnerChanged SessionContext ConsultConversationInfo "
    "ConversationUpdated SendTranscriptRequestReceived ModalityConnection TransferProgress "
    "ParticipantsConferenced".split()
)
PUBLISHED_MESSAGE_TYPES = set(
    "StaticContentMessage ChoicesMessage ChoicesResponseMessage FormMessage FormResponseMessage "
    "AuthenticationRequestMessage AuthenticationResponseMessage PaymentRequestMessage PaymentResponseMessage "
    "PaymentStatusMessage CommandMessage OrderMessage CatalogMessage InformationRequestMessage".split()
)
STATIC_FORMATS = set(
    "Text Attachments RichLink Media Buttons Carousel Links WebView Application ExperienceType MessageDefinition "
    "ExternalTemplate ErrorMessage CancelAction ExtendedText".split()
)
FORMATS = {
    "ChoicesMessage": "Buttons QuickReplies Carousel ListPicker TimePicker DisplayableOptions Media ConfirmMessage "
    "ExperienceType MessageDefinition",
    "ChoicesResponseMessage": "Selections ExperienceType",
    "FormMessage": "Inputs ListPicker Flow ExperienceType MessageDefinition",
    "FormResponseMessage": "Inputs Result Selections References ExperienceType",
    "AuthenticationRequestMessage": "EncryptedOAuthToken MessageDefinition",
    "AuthenticationResponseMessage": "EncryptedOAuthToken Result",
    "PaymentRequestMessage": "Payment MessageDefinition",
    "PaymentResponseMessage": "Result",
    "PaymentStatusMessage": "Inputs",
    "CommandMessage": "ExperienceType",
    "OrderMessage": "Inputs Result",
    "CatalogMessage": "Catalog MessageDefinition",
    "InformationRequestMessage": "InformationRequest",
}
"""Message type to its formats (section 2.3 of the entry reference)."""


@pytest.fixture(scope="module")
def world() -> World:
    """Five days of the company."""
    made = World(RECIPE, FIRST)
    made.reach(NOW)
    return made


def sessions(world: World, now: int = NOW) -> dict[str, dict]:
    return {str(row["Id"]): row for row in world.rows("MessagingSession", now)}


def of_day(world: World, day: date) -> dict:
    """Everything that a day shows: rows by CreatedDate, entries by their time."""
    start, end = instant(day), instant(day + timedelta(days=1))
    rows = {
        name: {row["Id"]: row for row in world.rows(name, NOW) if start <= int(row["CreatedDate"] or 0) < end}
        for name in SOBJECTS
    }
    entries = {entry.identifier: entry.payload for _, entry in world.entries_on(day, NOW)}
    return {"rows": rows, "entries": entries}


@pytest.mark.parametrize("first", [FIRST - timedelta(days=3), FIRST + timedelta(days=2)])
def test_a_day_is_the_same_whenever_the_world_begins(first):
    """
    A day depends on the seed and its date alone.
    """
    day = date(2026, 11, 12)

    assert of_day(World(SMALL, first), day) == of_day(World(SMALL, FIRST), day)


def test_another_seed_is_another_world(world):
    """
    No conversation is shared.
    """
    other = World(Recipe(12, SMALL.conversations_per_day), FIRST)
    other.reach(NOW)

    assert not set(other.conversations) & set(world.conversations)


def test_a_working_day_is_busier_than_a_weekend():
    """
    45 to 60 conversations on working days, clearly fewer on Saturday and Sunday.
    """
    counts = [conversations_on(RECIPE, FIRST + timedelta(days=place)) for place in range(7)]

    assert all(45 <= count <= 60 for count in counts[:5])
    assert all(count <= 35 for count in counts[5:])


@pytest.mark.parametrize("first", [FIRST, FIRST + timedelta(days=1), FIRST + timedelta(days=2)])
def test_any_three_days_show_every_type(world, first):
    """
    Each published entry type, message type and format, and types of no schema.
    """
    entries = [entry for place in range(3) for _, entry in world.entries_on(first + timedelta(days=place), NOW)]
    types = {entry.entry_type for entry in entries}
    messages = {entry.message_type for entry in entries if entry.message_type}
    static = {entry.format_type for entry in entries if entry.message_type == "StaticContentMessage"}

    assert types > PUBLISHED_ENTRY_TYPES
    assert messages > PUBLISHED_MESSAGE_TYPES
    assert static > STATIC_FORMATS


@pytest.mark.parametrize("message_type", FORMATS)
def test_any_three_days_show_every_format(world, message_type):
    """
    Those that the reference lists for the message type.
    """
    for first in range(3):
        days = [FIRST + timedelta(days=first + place) for place in range(3)]
        formats = {
            e.format_type for day in days for _, e in world.entries_on(day, NOW) if e.message_type == message_type
        }
        assert formats == set(FORMATS[message_type].split())


def test_ai_agents_bots_and_voice_bots_speak(world):
    """
    As digital worker, chatbot and voice bot; some callers' representatives cannot be told apart.
    """
    speakers = {(e.sender.app_type, e.sender.role) for c in world.conversations.values() for e in c.entries}

    assert speakers >= {("digital_worker", "DigitalWorker"), ("chatbot", "Chatbot"), ("voice_bot", "Chatbot"),
                        ("telephony_integration", "Agent"), ("telephony_integration", "EndUser"), ("agent", "Agent"),
                        ("agent", "Supervisor"), ("conversation", "Router"), ("conversation", "System"),
                        ("iamessage", "EndUser"), ("messaging", "EndUser")}  # fmt: skip


def test_answers_of_ai_agents_have_citations(world):
    """
    Each claim by its offsets, with the link that it stands on.
    """
    payloads = [json.loads(e.payload) for c in world.conversations.values() for e in c.entries
                if "citationContent" in e.payload]  # fmt: skip
    citations = [one for p in payloads for one in
                 p["abstractMessage"]["staticContent"]["citationContent"]["citations"]]  # fmt: skip

    assert all(one["citedReference"]["link"]["url"] for one in citations)
    assert max(len(p["abstractMessage"]["staticContent"]["citationContent"]["citations"]) for p in payloads) == 2


def test_some_messages_are_not_for_the_customer(world):
    """
    Whispers are notes, drafts of AI agents are messages: both internal.
    """
    kinds = {e.entry_type for c in world.conversations.values() for e in c.entries if e.visibility == "Internal"}

    assert kinds >= {"Note", "FlagRaise", "Message"}


def test_even_a_tiny_world_shows_every_type():
    """
    Rarities gather on the few conversations that there are.
    """
    tiny = World(Recipe(1, 4), FIRST)
    entries = [entry for place in range(3) for _, entry in tiny.entries_on(FIRST + timedelta(days=place), NOW)]

    assert {entry.entry_type for entry in entries} > PUBLISHED_ENTRY_TYPES


def test_transcripted_timestamps_are_unique_and_in_order(world):
    """
    Within a conversation they strictly grow.
    """
    for conversation in world.conversations.values():
        times = [entry.at for entry in conversation.entries]
        assert times == sorted(set(times))


def test_client_timestamps_are_not_in_order(world):
    """
    Some devices' clocks are wrong.
    """
    disordered = [
        conversation
        for conversation in world.conversations.values()
        if (times := [entry.client_at for entry in conversation.entries]) != sorted(times)
    ]

    assert disordered


def test_ids_are_well_formed_and_unique(world):
    """
    18 characters with the right checksum and the object's prefix.
    """
    seen = set()
    for name, sobject in SOBJECTS.items():
        for row in world.rows(name, NOW):
            identifier = str(row["Id"])
            assert identifier.startswith(sobject.key_prefix)
            assert to_18(identifier[:15]) == identifier
            assert identifier not in seen
            seen.add(identifier)


def test_lookups_lead_somewhere(world):
    """
    Sessions, calls and their details point at rows that exist.
    """
    for name in ("MessagingSession", "VoiceCall", "MessagingSessionMetrics", "AgentWork", "ConversationParticipant"):
        known = [f.name for f in SOBJECTS[name].fields if f.reference_to and set(f.reference_to) <= set(SOBJECTS)]
        for row in world.rows(name, NOW):
            for column in known:
                if row.get(column):
                    assert world.record(str(row[column])) is not None, (name, column)


def test_ended_sessions_have_the_metrics_of_their_entries(world):
    """
    Six rows that the entries explain.
    """
    metrics: dict[str, dict] = {}
    for row in world.rows("MessagingSessionMetrics", NOW):
        metrics.setdefault(row["MessagingSessionId"], {})[row["MessagingSessionMetricType"]] = row[
            "MessagingSessionMetricValue"
        ]
    by_session: dict[str, list] = {}
    for conversation in world.conversations.values():
        for entry in conversation.entries:
            by_session.setdefault(str(entry.record_id), []).append(entry)

    assert metrics
    for session, values in metrics.items():
        assert values == session_metrics(by_session[session])
        assert set(values) == set(METRIC_TYPES)


def test_conversations_span_sessions_and_midnight(world):
    """
    Mobile channels come back: several sessions in one conversation, some across midnight UTC.
    """
    by_conversation: dict[str, int] = {}
    crossing = 0
    for row in sessions(world).values():
        by_conversation[row["ConversationId"]] = by_conversation.get(row["ConversationId"], 0) + 1
        if row.get("EndTime") and row["StartTime"] // 86_400 != row["EndTime"] // 86_400:
            crossing += 1

    assert max(by_conversation.values()) >= 2
    assert crossing >= 3


def test_transferred_calls_are_several_rows_in_a_chain(world):
    """
    PreviousCallId and NextCallId lead through the rows of one conversation.
    """
    calls = {str(row["Id"]): row for row in world.rows("VoiceCall", NOW)}
    later = [row for row in calls.values() if row.get("PreviousCallId")]

    assert later
    for row in later:
        before = calls[row["PreviousCallId"]]
        assert before["NextCallId"] == row["Id"]
        assert before["ConversationId"] == row["ConversationId"]
        assert row["CallType"] == "Transfer"


def test_everything_that_a_reader_expects_happens(world):
    """
    Callbacks, abandoned sessions, time-outs, soft deletes, late Case links, open sessions, erasure logs.
    """
    rows = list(sessions(world).values())
    later = sessions(world, NOW + 3 * 86_400)

    assert any(row["CallType"] == "Callback" for row in world.rows("VoiceCall", NOW))
    assert any(row["Status"] == "Ended" and not row.get("AcceptTime") for row in rows)
    assert any(row.get("EndedByType") == "System" for row in rows)
    assert any(row["IsDeleted"] for row in later.values())
    assert any(row.get("EndTime") is None for row in rows)
    assert any(row.get("CaseId") and row["SystemModstamp"] >= row["EndTime"] + 86_400 for row in later.values())
    assert any(row["Status"] == "Completed" for row in world.rows("ConversationApiLog", NOW))


def test_payloads_have_the_quirks_of_the_wild(world):
    """
    Seconds beside milliseconds, explicit nulls, revised messages, bots without related records, missing names.
    """
    entries = [entry for conversation in world.conversations.values() for entry in conversation.entries]
    starts = {
        len(str(json.loads(entry.payload)["sessionStartTime"]))
        for entry in entries
        if entry.entry_type == "SessionStatusChanged"
    }

    assert starts == {10, 13}
    assert any('"wasRevised":true' in entry.payload for entry in entries)
    assert any('"inReplyToMessageId":null' in entry.payload for entry in entries)
    assert all(not entry.related_records for entry in entries if entry.sender.role == "Chatbot")
    assert any(entry.display_name is None for entry in entries if entry.sender.role == "EndUser")


def test_whispers_are_internal(world):
    """
    What the customer must not see says so.
    """
    notes = [e for c in world.conversations.values() for e in c.entries if e.entry_type == "Note"]

    assert {(note.visibility, note.sender.role) for note in notes} == {("Internal", "Supervisor")}


def test_dialogues_leave_no_blank(world):
    """
    Every `{order}` is filled, and hundreds of different sentences are said in three languages.
    """
    said = {e.text for c in world.conversations.values() for e in c.entries if e.text}

    assert not [text for text in said if "{" in text]
    assert len(said) > 500
    for mark in ("ß", "¿", "\n", '"', "🙏"):
        assert any(mark in text for text in said), mark
