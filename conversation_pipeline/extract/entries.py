"""
From a reply's JSON to the canonical entry columns, by one declared set of rules.

Source: ConversationEntry payload schema 0.0.2. Its ``required`` lists are not always right and new types appear
between releases, so nothing here fails on a shape: what is not understood keeps its raw payload, gets nulls, and is
counted as drift.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa

from conversation_pipeline.extract.windows import Window, from_milliseconds, to_milliseconds
from conversation_pipeline.salesforce.connection import readable
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.identifiers import record_id_18

ENTRY_TYPES = frozenset(
    "Message MessageDeliveryFailed MessageUpdated ParticipantChanged RoutingResult RoutingWorkResult Note FlagRaise "
    "FlagLower EndUserConsentUpdated SessionStatusChanged SessionOwnerChanged SessionContext ConsultConversationInfo "
    "ConversationUpdated SendTranscriptRequestReceived ModalityConnection TransferProgress "
    "ParticipantsConferenced".split()
)

BODY_OF_MESSAGE_TYPE = {
    "StaticContentMessage": "staticContent",
    "ChoicesMessage": "choices",
    "ChoicesResponseMessage": "choicesResponse",
    "FormMessage": "form",
    "FormResponseMessage": "formResponse",
    "AuthenticationRequestMessage": "authenticationRequest",
    "AuthenticationResponseMessage": "authenticationResponse",
    "PaymentRequestMessage": "paymentRequest",
    "PaymentResponseMessage": "paymentResponse",
    "PaymentStatusMessage": "paymentStatusResponse",
    "CommandMessage": "command",
    "OrderMessage": "order",
    "CatalogMessage": "catalog",
    "InformationRequestMessage": "informationRequest",
}

FORMAT_TYPES = frozenset(
    "Text Attachments RichLink Media Buttons Carousel Links WebView Application ExperienceType MessageDefinition "
    "ExternalTemplate ErrorMessage CancelAction ExtendedText QuickReplies ListPicker TimePicker DisplayableOptions "
    "ConfirmMessage Selections Inputs Flow Result References EncryptedOAuthToken Payment Catalog "
    "InformationRequest".split()
)

_INTERNAL_ENTRY_TYPES = frozenset({"Note", "FlagRaise", "FlagLower"})
_MESSAGE_MEMBERS = ("abstractMessage", "updatedMessage")

Json = dict[str, Any]


@dataclass
class Drift:
    """
    What a reply held that the published schema does not know, and how often: ``entry_type SurveyStarted: 2``.

    Names of types only: never a value. What stands where a type should and is no name is counted as such, for it may
    be somebody's words.
    """

    seen: Counter[str] = field(default_factory=Counter)


Notes = list[str]
"""What drifted in one entry; counted once the entry is known to be kept."""

_TYPE_NAME = re.compile(r"\w{1,64}", re.ASCII)


def _unknown(kind: str, name: str | None) -> str:
    if name is None:
        return f"{kind} (none)"
    return f"{kind} {name if _TYPE_NAME.fullmatch(name) else '(no name)'}"


class _Sender(msgspec.Struct, rename="camel"):
    app_type: str | None = None
    subject: str | None = None
    role: str | None = None


class _Entry(msgspec.Struct, rename="camel"):
    identifier: str | None = None
    entry_type: str | None = None
    entry_payload: msgspec.Raw = msgspec.Raw(b"null")
    sender: _Sender | None = None
    sender_display_name: str | None = None
    related_records: list[str] | None = None
    client_timestamp: int | None = None
    client_duration: int | None = None
    transcripted_timestamp: int | None = None
    server_received_timestamp: int | None = None
    modality: str | None = None
    visibility_strategy: str | None = None


class _Page(msgspec.Struct, rename="camel"):
    conversation_entries: list[msgspec.Raw] | None = None


_decode_page = msgspec.json.Decoder(_Page).decode
_decode_entry = msgspec.json.Decoder(_Entry).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True)
class ReadConversation:
    """
    What one reading said about one conversation.

    Attributes:
        bodies: Its pages, as they came.
        fetched_at: When it was read.
        window: What was asked for. An entry that does not tell its time is placed inside it; without it, inside the
            window whose rows are asked for.
    """

    conversation_identifier: str
    bodies: tuple[bytes, ...]
    fetched_at: datetime
    window: Window | None = None


def batches(
    readings: Iterable[ReadConversation],
    window: Window,
    dataset: Dataset,
    *,
    road: str,
    drift: Drift,
    rows_a_batch: int = 8192,
) -> Iterator[pa.RecordBatch]:
    """
    The readings' entries within the window as rows of an entries dataset.

    Memory does not grow with the number of readings: a batch is handed on as soon as it is full.
    """
    rows: list[Json] = []
    for reading in readings:
        rows += _rows(reading, window, road, drift)
        if len(rows) >= rows_a_batch:
            yield _batch(rows, dataset)
            rows = []
    yield _batch(rows, dataset)


def _batch(rows: list[Json], dataset: Dataset) -> pa.RecordBatch:
    columns = [pa.array([row.get(f.name) for row in rows], f.type) for f in dataset.fields]
    return pa.record_batch(columns, schema=dataset.schema)


def _rows(reading: ReadConversation, window: Window, road: str, drift: Drift) -> list[Json]:
    """The reading's entries in the window, each once: pages overlap, and the last word on an entry counts."""
    first, end = to_milliseconds(window.start), to_milliseconds(window.end)
    asked_for = reading.window or window
    kept: dict[str, tuple[_Entry, int, Notes]] = {}
    for body in reading.bodies:
        for raw in _decode_page(body).conversation_entries or ():
            notes: Notes = []
            entry = _entry(raw, notes)
            received = _received(entry, asked_for, notes)
            if first <= received < end:
                kept[_identifier(entry, raw, notes)] = entry, received, notes
    rows = []
    for identifier in sorted(kept):
        entry, received, notes = kept[identifier]
        rows.append(
            {
                "conversation_identifier": reading.conversation_identifier,
                "entry_identifier": identifier,
                "transcripted_timestamp": received,
                "road": road,
                "fetched_at": reading.fetched_at,
                **_columns(entry, notes),
            }
        )
        drift.seen.update(notes)
    return rows


def _columns(entry: _Entry, notes: Notes) -> Json:
    payload_text = _payload_text(entry.entry_payload)
    payload = _payload(payload_text, notes)
    entry_type = entry.entry_type or _string(payload.get("entryType"))
    if entry_type not in ENTRY_TYPES:
        notes.append(_unknown("entry_type", entry_type))
    sender = entry.sender or _Sender()
    visibility = entry.visibility_strategy or ("Internal" if entry_type in _INTERNAL_ENTRY_TYPES else "Default")
    return {
        "entry_type": entry_type,
        "sender_role": sender.role,
        "sender_app_type": sender.app_type,
        "sender_subject": sender.subject,
        "sender_display_name": entry.sender_display_name,
        "client_timestamp": _within(entry.client_timestamp, _INSTANTS, "client_timestamp", notes),
        "client_duration_ms": _within(entry.client_duration, _INT64, "client_duration", notes),
        "modality": entry.modality,
        "visibility": visibility,
        "related_records": [uuid_in_lower_case(record_id_18(record)) for record in entry.related_records or ()],
        "payload": payload_text,
        **_message_columns(payload, notes),
    }


_INSTANTS = range(-62_135_596_800_000, 253_402_300_800_000)
"""Milliseconds of the years 1 to 9999: what Python's datetime, and so every reader of the lake, can hold."""
_INT64 = range(-(2**63), 2**63)


def _within(value: int | None, bounds: range, member: str, notes: Notes) -> int | None:
    if value is None or value in bounds:
        return value
    notes.append(f"entry with a {member} out of range")
    return None


def _entry(raw: msgspec.Raw, notes: Notes) -> _Entry:
    try:
        return _decode_entry(raw)
    except msgspec.ValidationError:
        notes.append("entry with a member of an unexpected type")
    try:
        members = _decode_members(raw)
    except msgspec.ValidationError:
        return _Entry(entry_payload=raw)
    return _from_members(members)


def _from_members(members: dict[str, msgspec.Raw]) -> _Entry:
    """
    An entry some of whose members are not what the schema says. A wrong scalar (a number as text, a text as a number)
    is still a value: taken over rather than lost.
    """

    def value(name: str) -> Any:
        return msgspec.json.decode(members[name]) if name in members else None

    sender = _object(value("sender"))
    related = value("relatedRecords")
    return _Entry(
        identifier=_as_text(value("identifier")),
        entry_type=_as_text(value("entryType")),
        entry_payload=members.get("entryPayload", msgspec.Raw(b"null")),
        sender=_Sender(*(_as_text(sender.get(name)) for name in ("appType", "subject", "role"))),
        sender_display_name=_as_text(value("senderDisplayName")),
        related_records=[
            text for one in (related if isinstance(related, list) else [related]) if (text := _as_text(one))
        ],
        client_timestamp=_as_whole_number(value("clientTimestamp")),
        client_duration=_as_whole_number(value("clientDuration")),
        transcripted_timestamp=_as_whole_number(value("transcriptedTimestamp")),
        server_received_timestamp=_as_whole_number(value("serverReceivedTimestamp")),
        modality=_as_text(value("modality")),
        visibility_strategy=_as_text(value("visibilityStrategy")),
    )


def _as_text(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value)


def _as_whole_number(value: Any) -> int | None:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return int(value)
        except (ValueError, OverflowError):
            return None
    return None


def _received(entry: _Entry, asked_for: Window, notes: Notes) -> int:
    """
    When the server received the entry. Where it does not say so, the service's answer does: it was in the window that
    was asked for, as near to the client's own time as that allows. So the entry is kept, on one day.
    """
    for stamp in (entry.transcripted_timestamp, entry.server_received_timestamp):
        if stamp is not None and 0 < stamp < _INSTANTS.stop:
            return stamp
    notes.append("entry without a transcripted timestamp")
    first, last = to_milliseconds(asked_for.start), to_milliseconds(asked_for.end) - 1
    return min(max(entry.client_timestamp or first, first), last)


def _identifier(entry: _Entry, raw: msgspec.Raw, notes: Notes) -> str:
    if entry.identifier:
        return uuid_in_lower_case(entry.identifier)
    payload = _payload(_payload_text(entry.entry_payload), [])
    if identifier := _string(payload.get("id")):
        return uuid_in_lower_case(identifier)
    notes.append("entry without an identifier")
    return "unnamed-" + hashlib.sha256(bytes(raw)).hexdigest()[:32]


_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def uuid_in_lower_case(identifier: str) -> str:
    """Roads spell UUIDs in either case and mean the same; record ids, whose case counts, stay as they are."""
    return identifier.lower() if _UUID.fullmatch(identifier) else identifier


def _payload_text(raw: msgspec.Raw) -> str | None:
    """The payload's own JSON: the service sends it as an object, or as a string that holds one."""
    text = bytes(raw).decode()
    if text.startswith('"'):
        return str(msgspec.json.decode(raw))
    return None if text == "null" else text


def _payload(text: str | None, notes: Notes) -> Json:
    if not text:
        return {}
    try:
        payload = msgspec.json.decode(readable(text.encode()))
    except msgspec.DecodeError:
        payload = None
    except RecursionError:
        notes.append("payload that is nested too deeply")
        return {}
    if isinstance(payload, dict):
        return payload
    notes.append("payload that is no JSON object")
    return {}


def _message_columns(payload: Json, notes: Notes) -> Json:
    message = _first_object(payload, _MESSAGE_MEMBERS)
    if not message:
        return {}
    message_type = _string(message.get("messageType"))
    content = _content(message, message_type, notes)
    format_type = _string(content.get("formatType"))
    if format_type is not None and format_type not in FORMAT_TYPES:
        notes.append(_unknown("format_type", format_type))
    return {
        "message_type": message_type,
        "format_type": format_type,
        "text": _text(content, format_type),
        "in_reply_to_entry_identifier": _uuid(message.get("inReplyToMessageId")),
        "options": _options(content),
        "selected_options": _selected_options(content),
        "attachments": _attachments(content),
        "links": _links(content),
    }


def _content(message: Json, message_type: str | None, notes: Notes) -> Json:
    body = BODY_OF_MESSAGE_TYPE.get(message_type or "")
    if body is not None:
        return _object(message.get(body))
    notes.append(_unknown("message_type", message_type))
    bodies = (value for value in message.values() if isinstance(value, dict) and "formatType" in value)
    return next(bodies, {})


def _text(content: Json, format_type: str | None) -> str | None:
    """What a person reads; null where the entry only names what the device rendered."""
    if format_type == "MessageDefinition":
        return None
    if format_type == "ExternalTemplate":
        name = _string(_object(content.get("externalTemplate")).get("name"))
        return f"[template] {name}" if name else None
    if format_type == "ExtendedText":
        return _string(content.get("textContent")) or _without_markup(_string(content.get("richContent")))
    if format_type == "Selections":
        titles = [option["title"] for option in _selected_options(content) or () if option["title"]]
        return ", ".join(titles) or None
    candidates = (
        _string(content.get("text")),
        _string(content.get("title")),
        _title(content.get("title")),
        _title(content.get("formTitle")),
        _title(content.get("message")),
        _title(_object(content.get("linkItem")).get("titleItem")) if format_type == "RichLink" else None,
    )
    return next((text for text in candidates if text), None)


def _options(content: Json) -> list[Json] | None:
    event = _object(content.get("calendarEvent"))
    items = [
        *_objects(content.get("optionItems")),
        *_objects(content.get("confirm")),
        *_objects(content.get("options")),
        *_objects(event.get("timeSlotOptionItems")),
        *(
            choice
            for item in _objects(content.get("items"))
            for choice in _objects(item.get("interactionItems"))
            if "optionIdentifier" in choice
        ),
    ]
    return [_option(item) for item in items] or None


def _option(item: Json) -> Json:
    title = _title(item.get("titleItem")) or _string(item.get("title")) or _string(item.get("value"))
    if title is None:
        title = _slot(item.get("startTime"))
    return {"option_identifier": _string(item.get("optionIdentifier")), "title": title}


_FIRST_MILLISECONDS = 10**10
"""Payloads mix seconds and milliseconds; what is larger than this are milliseconds (2.2 of the reference)."""


def _slot(start: Any) -> str | None:
    """A time slot as a reader would write it."""
    if not isinstance(start, int) or isinstance(start, bool):
        return _string(start)
    milliseconds = start if start >= _FIRST_MILLISECONDS else start * 1000
    return f"{from_milliseconds(milliseconds):%Y-%m-%d %H:%M} UTC" if milliseconds in _INSTANTS else None


def _selected_options(content: Json) -> list[Json] | None:
    chosen = [
        *_objects(content.get("selectedOptions")),
        *(
            option
            for value in _objects(content.get("inputValues"))
            for option in _objects(value.get("selectedOptions"))
        ),
    ]
    options = [
        {"option_identifier": _string(option.get("optionIdentifier")), "title": _title(option.get("optionTitle"))}
        for option in chosen
    ]
    return options or None


def _attachments(content: Json) -> list[Json] | None:
    files = [*_objects(content.get("attachments")), _object(content.get("fullContent"))]
    assets = [_object(content.get("mediaAsset")), _object(content.get("image")), _object(content.get("video"))]
    found = [
        {
            "id": _string(file.get("id")),
            "name": _string(file.get("name")) or _string(file.get("description")),
            "mime_type": _string(file.get("mimeType")),
            "url": _string(file.get("url")) or _string(file.get("assetUrl")),
        }
        for file in (*files, *assets)
        if file
    ]
    return found or None


def _links(content: Json) -> list[Json] | None:
    items = [
        _object(content.get("linkItem")),
        *_objects(content.get("linkItems")),
        *_objects(content.get("links")),
        *(link for item in _objects(content.get("items")) for link in _objects(item.get("linkItems"))),
        *(action for action in _objects(content.get("actions")) if "url" in action),
    ]
    found = [
        {"title": _title(item.get("titleItem")) or _string(item.get("label")), "url": _string(item.get("url"))}
        for item in items
        if item
    ]
    if content.get("formatType") == "WebView":
        found.append({"title": _title(content.get("title")), "url": _string(content.get("url"))})
    for citation in _objects(_object(content.get("citationContent")).get("citations")):
        cited = _object(citation.get("citedReference"))
        found.append({"title": _string(cited.get("label")), "url": _string(_object(cited.get("link")).get("url"))})
    return found or None


def _title(value: Any) -> str | None:
    """The title of a title item, which may be plain text, an item, or an item inside an item."""
    while isinstance(value, dict):
        value = value.get("title", value.get("titleItem"))
    return _string(value)


def _first_object(payload: Json, names: Iterable[str]) -> Json:
    return next((found for name in names if (found := _object(payload.get(name)))), {})


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _uuid(value: Any) -> str | None:
    text = _string(value)
    return uuid_in_lower_case(text) if text else None


_LINE_END = re.compile(r"<br\s*/?>|</(?:p|div|li|h[1-6]|tr)>", re.IGNORECASE)
_MARKUP = re.compile(r"<[^>]*>")


def _without_markup(rich: str | None) -> str | None:
    """Rich text as a person reads it: lines, without tags, characters instead of entities."""
    if rich is None:
        return None
    return html.unescape(_MARKUP.sub("", _LINE_END.sub("\n", rich))).strip() or None
