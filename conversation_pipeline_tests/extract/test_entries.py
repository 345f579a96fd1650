"""From a reply's JSON to entry columns (ConversationEntry payload schema 0.0.2; conversation-entry APIs 2.2 to 2.4)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from conversation_pipeline.extract.entries import ENTRY_TYPES, Drift, ReadConversation, batches, payload, wrapper
from conversation_pipeline.extract.entries.seen import Seen
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.salesforce.connection import readable
from conversation_pipeline.schemas.conversations import ENTRIES_CONNECT, ENTRIES_CONVERSATION_DATA

DAY = Window.of_day("2026-11-18")
NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
MILLISECONDS = round(NOON.timestamp() * 1000)
FETCHED_AT = datetime(2026, 11, 19, tzinfo=UTC)
ID = "0b6f2f0e-5f55-4a59-9f0e-2d9a6f7d1c01"
Row = dict[str, Any]


def entry(payload: Any = None, **members: Any) -> Row:
    """An entry as the API sends it, its payload as a JSON text."""
    told = payload if payload is not None else {"entryType": "FlagLower", "id": ID}
    return {
        "identifier": ID,
        "entryType": told.get("entryType", "Message"),
        "senderDisplayName": "Rita R.",
        "sender": {"appType": "agent", "subject": "005AA0000001111", "role": "Agent"},
        "recipients": None,
        "relatedRecords": ["0MwAA0000002222"],
        "clientTimestamp": MILLISECONDS - 87,
        "clientDuration": 0,
        "transcriptedTimestamp": MILLISECONDS,
        "modality": "Messaging",
        "visibilityStrategy": "Default",
        "entryPayload": json.dumps(told),
    } | members


def page(*entries: Any) -> bytes:
    """A page as a client hands it on."""
    return readable(json.dumps({"conversationEntries": list(entries)}).encode())


def table(
    *bodies: bytes, window: Window = DAY, asked_for: Window | None = None, drift: Drift | None = None
) -> pa.Table:
    reading = ReadConversation("conversation", bodies, FETCHED_AT, asked_for)
    found = batches([reading], window, ENTRIES_CONVERSATION_DATA, road="conversation_data", drift=drift or Drift())
    return pa.Table.from_batches(found, ENTRIES_CONVERSATION_DATA.schema)


def rows(*entries: Any, window: Window = DAY, asked_for: Window | None = None, drift: Drift | None = None) -> list[Row]:
    return table(page(*entries), window=window, asked_for=asked_for, drift=drift).to_pylist()


def row(*entries: Any) -> Row:
    [only] = rows(*entries)
    return only


def message(message_type: str, body: str, content: Row, *, entry_type: str = "Message", **members: Any) -> Row:
    """A payload around a message's content."""
    told = {"messageType": message_type, "id": ID, "references": [], body: content} | members
    return {"entryType": entry_type, "id": ID, "abstractMessage": told}


def static(content: Row) -> Row:
    return message("StaticContentMessage", "staticContent", content)


def choices(content: Row) -> Row:
    return message("ChoicesMessage", "choices", content)


def title(text: str) -> Row:
    return {"itemType": "TitleItem", "title": text}


def option(identifier: str, text: str) -> Row:
    return {"itemType": "TitleOptionItem", "optionIdentifier": identifier, "titleItem": title(text)}


def link(text: str, url: str) -> Row:
    return {"itemType": "TitleLinkItem", "titleItem": title(text), "url": url}


TWO = [option("o1", "Delivery"), option("o2", "Refund")]
TWO_OPTIONS = [
    {"option_identifier": "o1", "title": "Delivery"},
    {"option_identifier": "o2", "title": "Refund"},
]
LABEL = {"id": "a1", "name": "label.png", "mimeType": "image/png", "url": "https://example.invalid/f/1"}
LABEL_FILE = {"id": "a1", "name": "label.png", "mime_type": "image/png", "url": "https://example.invalid/f/1"}
PHOTO = {"id": "m1", "assetType": "ImageAsset", "mimeType": "image/jpeg", "assetUrl": "https://example.invalid/p",
         "description": "a photo"}  # fmt: skip
PHOTO_FILE = {"id": "m1", "name": "a photo", "mime_type": "image/jpeg", "url": "https://example.invalid/p"}
TRACK = link("Track it", "https://example.invalid/t")
TRACK_LINK = {"title": "Track it", "url": "https://example.invalid/t"}
CHOSEN = {"selectedOptions": [{"optionIdentifier": "o2", "optionTitle": title("Refund")}]}

# What each format type of 2.3 becomes: payload, then the columns that are not null besides the types.
GOLDEN: dict[str, tuple[Row, Row]] = {
    # Text is what a person reads
    "Text": (static({"formatType": "Text", "text": "It leaves today."}), {"text": "It leaves today."}),
    "Text with citations": (
        static({"formatType": "Text", "text": "See [1].", "citationContent": {"citations": [
            {"citedReference": {"citedReferenceType": "Link", "label": "Help", "link": {"url": "https://e.invalid"}}}
        ]}}),
        {"text": "See [1].", "links": [{"title": "Help", "url": "https://e.invalid"}]},
    ),
    "Attachments": (
        static({"formatType": "Attachments", "text": "the label", "attachments": [LABEL]}),
        {"text": "the label", "attachments": [LABEL_FILE]},
    ),
    "RichLink": (
        static({"formatType": "RichLink", "text": "Follow it", "linkItem": TRACK, "image": PHOTO}),
        {"text": "Follow it", "links": [TRACK_LINK], "attachments": [PHOTO_FILE]},
    ),
    "RichLink without text": (
        static({"formatType": "RichLink", "linkItem": TRACK}), {"text": "Track it", "links": [TRACK_LINK]},
    ),
    "Media": (
        static({"formatType": "Media", "mediaAsset": PHOTO, "linkItems": [TRACK]}),
        {"attachments": [PHOTO_FILE], "links": [TRACK_LINK]},
    ),
    "Buttons": (
        static({"formatType": "Buttons", "text": "Call us", "actions": [
            {"actionType": "Link", "label": "Open", "url": "https://e.invalid"},
            {"actionType": "PhoneCall", "label": "Call", "phoneNumber": "1555"},
        ]}),
        {"text": "Call us", "links": [{"title": "Open", "url": "https://e.invalid"}]},
    ),
    "Carousel": (
        static({"formatType": "Carousel", "items": [{"titleItem": title("One"), "linkItems": [TRACK]}]}),
        {"links": [TRACK_LINK]},
    ),
    "Links": (
        static({"formatType": "Links", "links": [{"url": "https://e.invalid"}]}),
        {"links": [{"title": None, "url": "https://e.invalid"}]},
    ),
    "WebView": (
        static({"formatType": "WebView", "title": "Survey", "url": "https://e.invalid"}),
        {"text": "Survey", "links": [{"title": "Survey", "url": "https://e.invalid"}]},
    ),
    "Application": (static({"formatType": "Application", "application": {"appId": "1"}}), {}),
    "ExperienceType": (static({"formatType": "ExperienceType", "values": [], "message": None}), {}),
    "MessageDefinition": (
        static({"formatType": "MessageDefinition", "messageDefinitionNameOrId": "Welcome", "text": "not shown"}), {},
    ),
    "ExternalTemplate": (
        static({"formatType": "ExternalTemplate", "externalTemplate": {"name": "order_sent", "languageCode": "en"}}),
        {"text": "[template] order_sent"},
    ),
    "ErrorMessage": (
        static({"formatType": "ErrorMessage", "errorDetails": {"errorCode": "1", "errorMessages": []},
                "title": "Sorry"}),
        {"text": "Sorry"},
    ),
    "CancelAction": (static({"formatType": "CancelAction", "timestamp": 1, "sequenceId": "1"}), {}),
    "ExtendedText": (
        static({"formatType": "ExtendedText", "textContent": "Plain", "richContent": "<p>Rich</p>",
                "fullContent": LABEL}),
        {"text": "Plain", "attachments": [LABEL_FILE]},
    ),
    "ExtendedText without text": (
        static({"formatType": "ExtendedText", "richContent": "<p>Tea &amp; <b>milk</b></p><p>Two<br/>lines</p>"}),
        {"text": "Tea & milk\nTwo\nlines"},
    ),
    # Choices
    "Choices Buttons": (
        choices({"formatType": "Buttons", "text": "About?", "optionItems": TWO}),
        {"text": "About?", "options": TWO_OPTIONS},
    ),
    "Choices QuickReplies": (
        choices({"formatType": "QuickReplies", "text": "About?", "optionItems": TWO}),
        {"text": "About?", "options": TWO_OPTIONS},
    ),
    "Choices Carousel": (
        choices({"formatType": "Carousel", "title": "Ours", "items": [
            {"titleItem": title("One"), "interactionItems": [TWO[0], TRACK]},
            {"titleItem": title("Two"), "interactionItems": [TWO[1]]},
        ]}),
        {"text": "Ours", "options": TWO_OPTIONS, "links": [TRACK_LINK]},
    ),
    "Choices ListPicker": (
        choices({"formatType": "ListPicker", "title": title("Pick"), "optionItems": TWO}),
        {"text": "Pick", "options": TWO_OPTIONS},
    ),
    "Choices ListPicker by message": (
        choices({"formatType": "ListPicker", "message": title("Pick one"), "optionItems": TWO}),
        {"text": "Pick one", "options": TWO_OPTIONS},
    ),
    "Choices TimePicker": (
        choices({"formatType": "TimePicker", "message": title("When?"), "calendarEvent": {
            "identifier": "c", "title": "Visit", "timeSlotOptionItems": [
                {"optionIdentifier": "s1", "startTime": 1_795_003_200, "duration": 900},
                {"optionIdentifier": "s2", "startTime": 1_795_003_200_000, "duration": 900},
                {"optionIdentifier": "s3", "startTime": 10**400, "duration": 900},
            ]}}),
        {"text": "When?", "options": [
            {"option_identifier": "s1", "title": "2026-11-18 12:00 UTC"},
            {"option_identifier": "s2", "title": "2026-11-18 12:00 UTC"},
            {"option_identifier": "s3", "title": None},
        ]},
    ),
    "Choices DisplayableOptions": (
        choices({"formatType": "DisplayableOptions", "title": "Menu", "displayType": "Menu",
                 "optionItems": [{"optionIdentifier": "o1", "title": "Delivery", "alias": "1"}]}),
        {"text": "Menu", "options": TWO_OPTIONS[:1]},
    ),
    "Choices Media": (
        choices({"formatType": "Media", "mediaAsset": PHOTO, "optionItems": TWO}),
        {"options": TWO_OPTIONS, "attachments": [PHOTO_FILE]},
    ),
    "Choices ConfirmMessage": (
        choices({"formatType": "ConfirmMessage", "message": title("Sure?"), "confirm": TWO}),
        {"text": "Sure?", "options": TWO_OPTIONS},
    ),
    "Choices MessageDefinition": (
        choices({"formatType": "MessageDefinition", "messageDefinitionNameOrId": "Menu",
                 "options": [{"optionIdentifier": "o1", "value": "Delivery"}]}),
        {"options": TWO_OPTIONS[:1]},
    ),
    "Selections": (
        message("ChoicesResponseMessage", "choicesResponse", {"formatType": "Selections", **CHOSEN},
                inReplyToMessageId=ID.upper()),
        {"text": "Refund", "selected_options": TWO_OPTIONS[1:], "in_reply_to_entry_identifier": ID},
    ),
    "Selections without title": (
        message("ChoicesResponseMessage", "choicesResponse",
                {"formatType": "Selections", "selectedOptions": [{"optionIdentifier": "o2", "optionTitle": None}]}),
        {"selected_options": [{"option_identifier": "o2", "title": None}]},
    ),
    # Forms and the rest
    "Inputs": (
        message("FormMessage", "form", {"formatType": "Inputs", "formTitle": title("Address"), "sections": []}),
        {"text": "Address"},
    ),
    "Inputs response": (
        message("FormResponseMessage", "formResponse", {"formatType": "Inputs", "formTitle": title("Address"),
                "inputValues": [{"inputValueType": "SelectedOptionsInputValue", "inputId": "i", **CHOSEN}]}),
        {"text": "Address", "selected_options": TWO_OPTIONS[1:]},
    ),
    "Flow": (message("FormMessage", "form", {"formatType": "Flow", "flowName": "f"}), {}),
    "Result": (message("FormResponseMessage", "formResponse", {"formatType": "Result", "result": {}}), {}),
    "References": (message("FormResponseMessage", "formResponse", {"formatType": "References"}), {}),
    "EncryptedOAuthToken": (
        message("AuthenticationRequestMessage", "authenticationRequest", {"formatType": "EncryptedOAuthToken"}), {},
    ),
    "EncryptedOAuthToken response": (
        message("AuthenticationResponseMessage", "authenticationResponse", {"formatType": "EncryptedOAuthToken"}), {},
    ),
    "Payment": (message("PaymentRequestMessage", "paymentRequest", {"formatType": "Payment"}), {}),
    "Payment response": (message("PaymentResponseMessage", "paymentResponse", {"formatType": "Result"}), {}),
    "Payment status": (message("PaymentStatusMessage", "paymentStatusResponse", {"formatType": "Inputs"}), {}),
    "Command": (message("CommandMessage", "command", {"formatType": "ExperienceType", "values": []}), {}),
    "Order": (message("OrderMessage", "order", {"formatType": "Result"}), {}),
    "Catalog": (message("CatalogMessage", "catalog", {"formatType": "Catalog"}), {}),
    "InformationRequest": (
        message("InformationRequestMessage", "informationRequest", {"formatType": "InformationRequest"}), {},
    ),
    "Selections of a form": (
        message("FormResponseMessage", "formResponse", {"formatType": "Selections", "formTitle": title("Which part?"),
                **CHOSEN}),
        {"text": "Which part?", "selected_options": TWO_OPTIONS[1:]},
    ),
    # Pictures beside what is offered, and files of templates
    "Choices QuickReplies with images": (
        choices({"formatType": "QuickReplies", "text": "About?", "optionItems": TWO, "images": [PHOTO]}),
        {"text": "About?", "options": TWO_OPTIONS, "attachments": [PHOTO_FILE]},
    ),
    "Carousel with images": (
        static({"formatType": "Carousel", "items": [], "images": [PHOTO]}), {"attachments": [PHOTO_FILE]},
    ),
    "ExternalTemplate with assets": (
        static({"formatType": "ExternalTemplate", "externalTemplate": {"name": "sent", "assets": [PHOTO]}}),
        {"text": "[template] sent", "attachments": [PHOTO_FILE]},
    ),
    # What one format borrows from another is read all the same
    "Text with options": (
        static({"formatType": "Text", "text": "About?", "optionItems": TWO}),
        {"text": "About?", "options": TWO_OPTIONS},
    ),
    "Text with a title alone": (
        static({"formatType": "Text", "text": None, "title": title("Hello")}), {"text": "Hello"},
    ),
    # Whispers and revisions
    "Note": (
        message("StaticContentMessage", "staticContent", {"formatType": "Text", "text": "offer it"}, entry_type="Note"),
        {"text": "offer it", "visibility": "Internal"},
    ),
    "FlagRaise": (
        message("StaticContentMessage", "staticContent", {"formatType": "Text", "text": "help"},
                entry_type="FlagRaise"),
        {"text": "help", "visibility": "Internal"},
    ),
    "MessageUpdated": (
        {"entryType": "MessageUpdated", "id": ID, "updatedMessage": static({"formatType": "Text", "text": "done"})[
            "abstractMessage"]},
        {"text": "done"},
    ),
}  # fmt: skip
READ_FROM_A_PAYLOAD = (
    "text", "options", "selected_options", "attachments", "links", "in_reply_to_entry_identifier",
)  # fmt: skip


@pytest.mark.parametrize("case", list(GOLDEN))
@pytest.mark.parametrize("form", ["string", "object"])
def test_a_payload_becomes_columns(case: str, form: str) -> None:
    """What each format type tells a reader, whether the payload is spelled as text or as an object."""
    payload, expected = GOLDEN[case]
    drift = Drift()
    given_payload = json.dumps(payload) if form == "string" else payload

    [found] = rows(entry(payload, entryPayload=given_payload, visibilityStrategy=None), drift=drift)

    assert {name: found[name] for name in READ_FROM_A_PAYLOAD if found[name] is not None} == {
        name: value for name, value in expected.items() if name != "visibility"
    }
    assert found["visibility"] == expected.get("visibility", "Default")
    assert found["entry_type"] == payload["entryType"]
    content = payload.get("abstractMessage") or payload["updatedMessage"]
    assert found["message_type"] == content["messageType"]
    assert found["format_type"] == next(value for value in content.values() if isinstance(value, dict))["formatType"]
    assert not drift.seen


# The rows of 2.4, text extraction: a payload, and the text that it must give.
TEXT_RULES: dict[str, tuple[Row, str | None]] = {
    "StaticContent Text": (static({"formatType": "Text", "text": "words"}), "words"),
    "StaticContent Buttons": (static({"formatType": "Buttons", "text": "words", "actions": []}), "words"),
    "StaticContent Attachments": (static({"formatType": "Attachments", "text": "words", "attachments": []}), "words"),
    "StaticContent RichLink": (static({"formatType": "RichLink", "text": "words", "linkItem": TRACK}), "words"),
    "RichLink without text": (static({"formatType": "RichLink", "text": None, "linkItem": TRACK}), "Track it"),
    "ExternalTemplate": (
        static({"formatType": "ExternalTemplate", "externalTemplate": {"name": "sent", "languageCode": "en"}}),
        "[template] sent",
    ),
    "ExtendedText": (static({"formatType": "ExtendedText", "textContent": "words", "richContent": "<b>x"}), "words"),
    "ExtendedText, fallback": (static({"formatType": "ExtendedText", "richContent": "<b>words</b>"}), "words"),
    "MessageDefinition": (static({"formatType": "MessageDefinition", "messageDefinitionNameOrId": "Welcome"}), None),
    "Choices, text": (choices({"formatType": "Buttons", "text": "words", "optionItems": TWO}), "words"),
    "Choices, title": (choices({"formatType": "DisplayableOptions", "title": "words", "optionItems": TWO}), "words"),
    "Choices, message": (choices({"formatType": "ConfirmMessage", "message": title("words"), "confirm": []}), "words"),
    "ChoicesResponse": (
        message("ChoicesResponseMessage", "choicesResponse", {"formatType": "Selections", "selectedOptions": [
            {"optionIdentifier": "1", "optionTitle": title("one")},
            {"optionIdentifier": "2", "optionTitle": title("two")},
        ]}),
        "one, two",
    ),
    "Form": (message("FormMessage", "form", {"formatType": "Inputs", "formTitle": title("words")}), "words"),
    "FormResponse": (
        message("FormResponseMessage", "formResponse", {"formatType": "Inputs", "formTitle": title("words"),
                "inputValues": [{"inputValueType": "SingleInputValue", "inputId": "i", "value": "secret"}]}),
        "words",
    ),
    "Note": (
        message("StaticContentMessage", "staticContent", {"formatType": "Text", "text": "words"}, entry_type="Note"),
        "words",
    ),
    "FlagRaise": (
        message("ChoicesMessage", "choices", {"formatType": "Buttons", "text": "words"}, entry_type="FlagRaise"),
        "words",
    ),
    "everything else": (static({"formatType": "CancelAction", "timestamp": 1, "sequenceId": "1"}), None),
}  # fmt: skip


@pytest.mark.parametrize("rule", list(TEXT_RULES))
def test_text_follows_the_rules(rule: str) -> None:
    """One test a row of 2.4; the payload is kept beside whatever the text is."""
    payload, text = TEXT_RULES[rule]

    found = row(entry(payload))

    assert found["text"] == text
    assert json.loads(found["payload"]) == payload


@pytest.mark.parametrize("entry_type", ["Note", "FlagRaise", "FlagLower"])
@pytest.mark.parametrize(("told", "visibility"), [(None, "Internal"), ("Internal", "Internal"), ("Default", "Default")])
def test_whispers_are_internal(entry_type: str, told: str | None, visibility: str) -> None:
    """They are between people of the company, unless the service itself says that the end user sees them."""
    found = row(entry({"entryType": entry_type, "id": ID}, visibilityStrategy=told))

    assert found["visibility"] == visibility


@pytest.mark.parametrize("app_type", ["chatbot", "digital_worker", "voice_bot"])
def test_turns_of_bots_and_ai_agents_are_messages(app_type: str) -> None:
    """They say what they say like anyone else, sources included."""
    cited = GOLDEN["Text with citations"][0]
    bot = {"appType": app_type, "subject": "0XxAA0000001111", "role": "Chatbot"}

    found = row(entry(cited, sender=bot, relatedRecords=[]))

    assert (found["sender_app_type"], found["sender_role"], found["text"]) == (app_type, "Chatbot", "See [1].")
    assert found["links"] == [{"title": "Help", "url": "https://e.invalid"}]
    assert found["related_records"] == []


@pytest.mark.parametrize("entry_type", sorted(ENTRY_TYPES))
def test_an_entry_without_a_message_has_no_message_columns(entry_type: str) -> None:
    """Everything that is no message keeps its payload alone; none of the published types is drift."""
    drift = Drift()

    [found] = rows(entry({"entryType": entry_type, "id": ID, "something": {"text": "not for readers"}}), drift=drift)

    assert found["entry_type"] == entry_type
    assert [found[name] for name in ("message_type", "format_type", *READ_FROM_A_PAYLOAD)] == [None] * 8
    assert not drift.seen


def test_the_wrapper_becomes_columns() -> None:
    """Who, when and about what; record ids in their 18 characters."""
    found = row(entry(relatedRecords=["0MwAA0000002222", "0LQAA0000002222AAA", ID.upper()]))

    assert found == found | {
        "conversation_identifier": "conversation",
        "entry_identifier": ID,
        "entry_type": "FlagLower",
        "sender_role": "Agent",
        "sender_app_type": "agent",
        "sender_subject": "005AA0000001111",
        "sender_display_name": "Rita R.",
        "client_timestamp": NOON - timedelta(milliseconds=87),
        "transcripted_timestamp": NOON,
        "client_duration_ms": 0,
        "modality": "Messaging",
        "related_records": ["0MwAA00000022220AA", "0LQAA0000002222AAA", ID],
        "road": "conversation_data",
        "fetched_at": FETCHED_AT,
    }


def test_rows_have_the_dataset_s_schema() -> None:
    """Types and columns are those that are declared, with rows and without."""
    assert table(page(entry())).schema == ENTRIES_CONVERSATION_DATA.schema
    assert table(page()).schema == ENTRIES_CONVERSATION_DATA.schema


@pytest.mark.parametrize("body", [b'{"conversationEntries":[]}', b'{"conversationEntries":null}', b"{}"])
def test_a_page_without_entries_has_no_rows(body: bytes) -> None:
    """An empty conversation is no fault."""
    assert table(body).num_rows == 0


def test_the_payload_s_text_is_untouched() -> None:
    """Order, spaces, escapes, unknown members and large numbers stay as the service wrote them."""
    payload = '{ "id":"x" ,"entryType":"Message","n":9007199254740993,"e":"\\u00e9\\/","dup":1,"dup":2}'
    as_text = page(entry(entryPayload=payload))
    as_object = page(entry(entryPayload=0)).replace(b'"entryPayload": 0', b'"entryPayload": ' + payload.encode())

    assert table(as_text)["payload"].to_pylist() == [payload]
    assert table(as_object)["payload"].to_pylist() == [payload]


@pytest.mark.parametrize(
    ("told", "read"),
    [
        (("Message", "EndUser"), ("Message", "EndUser")),
        (("MESSAGE", "END_USER"), ("Message", "EndUser")),
        (("ROUTING_WORK_RESULT", "DIGITAL_WORKER"), ("RoutingWorkResult", "DigitalWorker")),
        (("CLIENT_MENU", "NEW_ROLE"), ("CLIENT_MENU", "NEW_ROLE")),
    ],
)
def test_types_and_roles_have_one_spelling(told: tuple[str, str], read: tuple[str, str]) -> None:
    """Storage and uploads write them in capitals; models read one spelling; what nobody published stays as it is."""
    drift = Drift()

    [found] = rows(entry(entryType=told[0], sender={"appType": "agent", "role": told[1]}), drift=drift)

    assert (found["entry_type"], found["sender_role"]) == read
    assert drift.seen == ({f"entry_type {read[0]}": 1} if read[0] == "CLIENT_MENU" else {})


def test_who_ended_a_session_is_not_taken_from_its_entries() -> None:
    """The same action was seen to name the bot and the customer: no column depends on it, the payload keeps it."""
    ended = {"entryType": "SessionStatusChanged", "id": ID, "sessionId": "0MwAA0000002222", "sessionStatus": "Ended"}

    found = [row(entry(ended | {"sessionEndedByRole": role})) for role in ("Chatbot", "EndUser")]

    assert [json.loads(one.pop("payload"))["sessionEndedByRole"] for one in found] == ["Chatbot", "EndUser"]
    assert found[0] == found[1]


def test_unknown_types_are_kept_and_counted() -> None:
    """New types appear between releases: their rows are there, their payload too, and the drift says how often."""
    drift = Drift()
    survey = message("SurveyMessage", "survey", {"formatType": "Stars", "text": "How was it?"}, entry_type="Survey")

    found = rows(entry(survey), entry(survey, identifier="other"), drift=drift)

    assert [(one["entry_type"], one["message_type"], one["format_type"], one["text"]) for one in found] == [
        ("Survey", "SurveyMessage", "Stars", "How was it?")
    ] * 2
    assert [json.loads(one["payload"]) for one in found] == [survey] * 2
    assert drift.seen == {"entry_type Survey": 2, "message_type SurveyMessage": 2, "format_type Stars": 2}


def test_words_in_place_of_a_type_are_not_told() -> None:
    """Drift goes into logs and metadata: what is no name of a type may be somebody's words."""
    drift = Drift()

    [found] = rows(entry(entryType="my card is 4111"), drift=drift)

    assert found["entry_type"] == "my card is 4111"
    assert drift.seen == {"entry_type (no name)": 1}


def test_an_entry_stands_once() -> None:
    """Pages overlap, and UUIDs come in either case: one row, and the last word counts, for drift too."""
    drift = Drift()
    first = page(entry(senderDisplayName="first", entryType="New"), entry(senderDisplayName="second", entryType="New"))
    second = page(entry(senderDisplayName="third", identifier=ID.upper(), entryType="New"))

    found = table(first, second, drift=drift).to_pylist()

    assert [(one["entry_identifier"], one["sender_display_name"]) for one in found] == [(ID, "third")]
    assert drift.seen == {"entry_type New": 1}


def test_the_window_is_half_open() -> None:
    """Midnight belongs to the day that it begins."""
    stamps = [
        MILLISECONDS - 43_200_001,
        MILLISECONDS - 43_200_000,
        MILLISECONDS + 43_199_999,
        MILLISECONDS + 43_200_000,
    ]

    found = rows(*(entry(identifier=f"e{place}", transcriptedTimestamp=at) for place, at in enumerate(stamps)))

    assert [one["entry_identifier"] for one in found] == ["e1", "e2"]


def test_the_server_s_other_word_for_the_time_is_taken() -> None:
    """serverReceivedTimestamp is Connect's name for the same instant."""
    told = entry(serverReceivedTimestamp=MILLISECONDS + 5)
    del told["transcriptedTimestamp"]

    assert row(told)["transcripted_timestamp"] == NOON + timedelta(milliseconds=5)


@pytest.mark.parametrize("stamp", [None, 0, -5, 253_402_300_800_000, 2**63, 10**40, "soon", [], 1e300])
def test_an_entry_without_a_usable_time_is_kept_where_it_was_asked_for(stamp: Any) -> None:
    """The service answered it for that window, so it happened then: at the client's own time as far as that fits."""
    drift = Drift()

    [found] = rows(entry(transcriptedTimestamp=stamp), drift=drift)

    assert found["transcripted_timestamp"] == NOON - timedelta(milliseconds=87)
    assert drift.seen["entry without a transcripted timestamp"] == 1


@pytest.mark.parametrize("client", [None, 5, 10**40])
def test_such_an_entry_stands_on_one_day_of_a_long_reading(client: int | None) -> None:
    """A reading over three days gives it to one of them, not to none and not to each."""
    days = [Window.of_day(f"2026-11-{day}") for day in (17, 18, 19)]
    reading = Window(days[0].start, days[-1].end)
    odd = entry(transcriptedTimestamp=None, clientTimestamp=client)

    assert sum(len(rows(odd, window=day, asked_for=reading)) for day in days) == 1


@pytest.mark.parametrize("stamp", [253_402_300_800_000, -62_135_596_800_001, 2**63, -(10**40)])
def test_a_client_s_time_that_no_reader_can_hold_is_null(stamp: int) -> None:
    """Beyond the years 1 to 9999 a timestamp breaks whoever reads the lake; the drift says that there was one."""
    drift = Drift()

    [found] = rows(entry(clientTimestamp=stamp), drift=drift)

    assert found["client_timestamp"] is None
    assert drift.seen == {"entry with a client_timestamp out of range": 1}


def test_a_duration_that_no_column_can_hold_is_null() -> None:
    """The same for a number beyond 64 bits; an entry beside it that has none lacks nothing."""
    drift = Drift()

    found = rows(entry(clientDuration=2**63), entry(identifier="other", clientDuration=None), drift=drift)

    assert [one["client_duration_ms"] for one in found] == [None, None]
    assert drift.seen == {"entry with a client_duration out of range": 1}


def test_wrong_scalars_are_values_all_the_same() -> None:
    """A number as text and a text as number are taken over; their siblings are not touched."""
    drift = Drift()
    odd = entry(
        identifier=7, clientTimestamp=str(MILLISECONDS), clientDuration=1.0,
        relatedRecords=["0MwAA0000002222", None, 5], sender={"appType": 3, "subject": "s", "role": None},
    )  # fmt: skip

    [found] = rows(odd, drift=drift)

    assert found == found | {
        "entry_identifier": "7",
        "client_timestamp": NOON,
        "client_duration_ms": 1,
        "related_records": ["0MwAA00000022220AA", "5"],
        "sender_app_type": "3",
        "sender_subject": "s",
        "sender_role": None,
        "sender_display_name": "Rita R.",
    }
    assert drift.seen == {"entry with a member of an unexpected type": 1}


def test_an_identifier_is_looked_for_in_the_payload() -> None:
    """The wrapper's identifier equals the payload's id."""
    assert row(entry({"entryType": "FlagLower", "id": "from-payload"}, identifier=None))["entry_identifier"] == (
        "from-payload"
    )


def test_entries_without_any_identifier_are_kept_apart() -> None:
    """They get one from their content: the same at every reading, another for another content."""
    payload = {"entryType": "FlagLower"}
    drift = Drift()

    found = rows(*(entry(payload, identifier=None, senderDisplayName=name) for name in ("a", "b", "a")), drift=drift)

    assert sorted(one["sender_display_name"] for one in found) == ["a", "b"]
    assert drift.seen == {"entry without an identifier": 2}


@pytest.mark.parametrize("payload", ['"text"', "[1]", "not JSON", '{"cut":', "5"])
def test_a_payload_of_another_shape_is_kept(payload: str) -> None:
    """It is drift, and its text stands in the payload column."""
    drift = Drift()

    [found] = rows(entry(entryPayload=payload), drift=drift)

    assert found["payload"] == payload
    assert drift.seen == {"payload that is no JSON object": 1}


def test_a_payload_nested_a_thousand_deep_is_kept() -> None:
    """No reader goes that deep; the text is there all the same."""
    deep = '{"a":' * 5_000 + "1" + "}" * 5_000
    drift = Drift()

    [found] = rows(entry(entryPayload=deep), drift=drift)

    assert found["payload"] == deep
    assert drift.seen == {"payload that is nested too deeply": 1}


@pytest.mark.parametrize("form", ["string", "object"])
def test_half_an_emoji_does_not_cost_the_text(form: str) -> None:
    """A text that was cut inside a surrogate pair is read up to there."""
    payload = json.dumps(static({"formatType": "Text", "text": "see you \ud83d"}))
    body = json.dumps({"conversationEntries": [entry(entryPayload="here")]})
    body = body.replace('"here"', json.dumps(payload) if form == "string" else payload)

    [found] = table(readable(body.encode())).to_pylist()

    assert found["text"] == "see you \ufffd"


TEXTS = st.text(st.sampled_from("aZ09 \\\"'{}[]:,<>&\n\x00é\u202e🙂\ud83d"))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**12, 10**14)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.sampled_from(["Message", "Text", "Selections", "0MwAA0000002222", ID]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
WRAPPER = sorted(entry())
MEMBERS = sorted(
    {name for payload, _ in GOLDEN.values() for name in json.dumps(payload).split('"') if name.isidentifier()}
)


any_json = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@any_json
@given(st.dictionaries(st.sampled_from(WRAPPER), JSON, max_size=4))
@example({"transcriptedTimestamp": 10**40, "clientTimestamp": -(10**40), "clientDuration": 1e300})
def test_whatever_stands_in_an_entry_it_is_one_row(odd: Row) -> None:
    """Arbitrary JSON in place of any member never raises, and never loses the entry or its sibling."""
    members = odd | ({"transcriptedTimestamp": MILLISECONDS} if tells_a_time(odd) else {})

    found = rows(entry(**members), entry(identifier="sibling"))

    assert len(found) == 2 or odd.get("identifier") == "sibling"


@any_json
@given(JSON)
def test_whatever_stands_in_place_of_an_entry_is_one_row(odd: Any) -> None:
    """Even what is no object is kept, with drift, beside its sibling."""
    found = rows(odd, entry(identifier="sibling"))

    assert {"sibling"} < {one["entry_identifier"] for one in found}


@any_json
@given(st.sampled_from(list(GOLDEN)), st.data())
def test_whatever_stands_in_a_payload_it_is_one_row(case: str, data: st.DataObject) -> None:
    """The same for every member of every payload, at any depth; the payload's text stays as it was."""
    name = data.draw(st.sampled_from(MEMBERS))
    payload = replaced(GOLDEN[case][0], name, data.draw(JSON))

    found = row(entry({"entryType": "Message"}, entryPayload=json.dumps(payload)))

    assert found["payload"] == json.dumps(payload)


def tells_a_time(entry: Row) -> bool:
    """Whether the entry belongs to some day by its own word, and so perhaps to another."""
    try:
        return 0 < int(entry["transcriptedTimestamp"]) < 253_402_300_800_000
    except (KeyError, ValueError, TypeError, OverflowError):
        return False


def replaced(value: Any, name: str, by: Any) -> Any:
    """The value with whatever stands under that name replaced, wherever it stands."""
    if isinstance(value, dict):
        return {key: by if key == name else replaced(inner, name, by) for key, inner in value.items()}
    return [replaced(inner, name, by) for inner in value] if isinstance(value, list) else value


@any_json
@given(st.sampled_from(list(GOLDEN)), st.data())
def test_a_payload_that_is_as_published_reads_as_any_other(case: str, data: st.DataObject) -> None:
    """Expecting published types makes reading fast, and changes nothing of what is read."""
    name = data.draw(st.sampled_from(MEMBERS))
    text = json.dumps(replaced(GOLDEN[case][0], name, data.draw(JSON)))
    notes_of_quick: list[str] = []
    notes_of_lenient: list[str] = []

    assert payload.read_payload(text, notes_of_quick) == payload.read_leniently(text, notes_of_lenient)
    assert notes_of_quick == notes_of_lenient


@any_json
@given(st.lists(st.dictionaries(st.sampled_from(WRAPPER), JSON, max_size=2), max_size=3))
def test_a_page_that_is_as_published_reads_as_any_other(odd: list[Row]) -> None:
    """The same for the wrapper: whole pages at once, or entry by entry."""
    body = page(*(entry(identifier=f"e{place}") | members for place, members in enumerate(odd)))

    assert [told(one) for one in wrapper.read_page(body)] == [told(one) for one in wrapper.read_leniently(body)]


def told(entry: wrapper.Entry) -> Row:
    """An entry as it was read, whichever way."""
    members = {name: getattr(entry, name) for name in entry.__struct_fields__}
    payload_text = wrapper.payload_text(members.pop("entry_payload"))
    return {"notes": ()} | members | {"payload": payload_text}


@dataclass
class TakenPages(Sequence[bytes]):
    """Bodies that note which of them were taken."""

    bodies: list[bytes]
    taken: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.bodies)

    def __getitem__(self, place: Any) -> Any:
        self.taken.append(place)
        return self.bodies[place]


def test_a_long_reading_is_handed_on_page_by_page() -> None:
    """Memory does not grow with the length of a conversation: a full batch comes before the next page is taken."""
    pages = TakenPages([page(*(entry(identifier=f"e{number}-{place}") for place in range(4))) for number in range(3)])
    reading = ReadConversation("conversation", pages, FETCHED_AT)

    found = batches([reading], DAY, ENTRIES_CONVERSATION_DATA, road="conversation_data", drift=Drift(), rows_a_batch=4)

    assert next(iter(found)).num_rows == 4
    assert pages.taken == [2]


def test_pages_of_a_long_reading_overlap_as_well() -> None:
    """An entry on two pages is one row, with its last word, however many batches lie between them."""
    bodies = [page(entry(senderDisplayName=f"told {number}"), entry(identifier=f"e{number}")) for number in range(4)]
    reading = ReadConversation("conversation", bodies, FETCHED_AT)

    found = batches([reading], DAY, ENTRIES_CONVERSATION_DATA, road="conversation_data", drift=Drift(), rows_a_batch=1)

    names = {one["entry_identifier"]: one["sender_display_name"] for batch in found for one in batch.to_pylist()}
    assert names == {ID: "told 3", "e0": "Rita R.", "e1": "Rita R.", "e2": "Rita R.", "e3": "Rita R."}


def test_identifiers_of_neighbouring_pages_are_known() -> None:
    """However long the reading; one of long ago is taken for new, so that memory has a bound."""
    seen = Seen(most=4)
    for start in range(0, 100, 2):
        assert seen.add([f"e{start - 1}", f"e{start}", f"e{start + 1}"])[-2:] == [f"e{start}", f"e{start + 1}"]

    assert seen.add(["e99", "e98", "e97", "e0", "new"]) == ["e0", "new"]


def connect_entry(text: Any, **members: Any) -> Row:
    """An entry as Connect sends it: seven properties."""
    return {
        "clientDuration": 0,
        "clientTimestamp": MILLISECONDS - 87,
        "identifier": ID,
        "messageText": text,
        "relatedRecords": ["0MwAA0000002222"],
        "sender": {"appType": "iamessage", "role": "EndUser", "subject": "v2/iamessage/UNAUTH/NA/uid:1"},
        "serverReceivedTimestamp": MILLISECONDS,
    } | members


def connect_row(told: Row, *, drift: Drift | None = None) -> Row:
    reading = ReadConversation("conversation", (page(told),), FETCHED_AT)
    [batch] = batches([reading], DAY, ENTRIES_CONNECT, road="connect", drift=drift or Drift())
    [only] = batch.to_pylist()
    return only


def test_a_text_of_connect_is_a_message() -> None:
    """Connect fills messageText for static content of text type alone, so the types follow; it sends no payload."""
    drift = Drift()

    found = connect_row(connect_entry("on the way"), drift=drift)

    assert {name: value for name, value in found.items() if value is not None} == {
        "conversation_identifier": "conversation",
        "entry_identifier": ID,
        "entry_type": "Message",
        "message_type": "StaticContentMessage",
        "format_type": "Text",
        "text": "on the way",
        "sender_role": "EndUser",
        "sender_app_type": "iamessage",
        "sender_subject": "v2/iamessage/UNAUTH/NA/uid:1",
        "client_timestamp": NOON - timedelta(milliseconds=87),
        "transcripted_timestamp": NOON,
        "client_duration_ms": 0,
        "related_records": ["0MwAA00000022220AA"],
        "road": "connect",
        "fetched_at": FETCHED_AT,
    }
    assert not drift.seen


@pytest.mark.parametrize("text", [None, "", "  ", 5, {"a": "b"}])
def test_an_entry_of_connect_without_text_has_no_type(text: Any) -> None:
    """What it was, Connect does not say; that it was there, it does."""
    found = connect_row(connect_entry(text))

    assert [found[name] for name in ("entry_type", "message_type", "format_type", "text", "payload")] == [None] * 5


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("It&#39;s", 1),
        ("&lt;here&gt; &amp; &quot;there&quot;", 1),
        ("salt & pepper; A&B; &c", 0),
    ],
)
def test_entities_in_connect_s_texts_are_counted(text: str, counted: int) -> None:
    """They were asked to be left out; a text is kept as it came, for a customer may have written them."""
    drift = Drift()

    assert connect_row(connect_entry(text), drift=drift)["text"] == text
    assert drift.seen["text with HTML entities"] == counted


def test_batches_are_handed_on_as_they_fill() -> None:
    """Memory does not grow with the number of readings."""
    readings = [
        ReadConversation(f"c{place}", (page(entry(), entry(identifier="other")),), FETCHED_AT) for place in range(5)
    ]

    found = batches(readings, DAY, ENTRIES_CONVERSATION_DATA, road="conversation_data", drift=Drift(), rows_a_batch=4)

    assert [batch.num_rows for batch in found] == [4, 4, 2]
