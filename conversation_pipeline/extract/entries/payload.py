"""
An entry's payload: which message it holds, if any.

Types of members are taken as published first, which reads nothing that no column needs; what does not fit is read
again without any expectation. Both give the same wherever both understand the payload.
"""

from __future__ import annotations

from typing import Any

import msgspec

from conversation_pipeline.extract.entries.drift import Notes, unknown
from conversation_pipeline.extract.entries.flattening import BODY_OF_MESSAGE_TYPE
from conversation_pipeline.extract.entries.values import Json, as_object, as_string, first_object
from conversation_pipeline.salesforce.connection import readable

ENTRY_TYPES = frozenset(
    "Message MessageDeliveryFailed MessageUpdated ParticipantChanged RoutingResult RoutingWorkResult Note FlagRaise "
    "FlagLower EndUserConsentUpdated SessionStatusChanged SessionOwnerChanged SessionContext ConsultConversationInfo "
    "ConversationUpdated SendTranscriptRequestReceived ModalityConnection TransferProgress "
    "ParticipantsConferenced".split()
)

ROLES = frozenset("EndUser Chatbot Agent Supervisor System DigitalWorker Router".split())

_BY_LETTERS = {name.lower(): name for name in ENTRY_TYPES | ROLES}


def spelt(name: str) -> str:
    """``PARTICIPANT_CHANGED`` and ``END_USER``, as uploads and storage spell types and roles, as the API does (5.6)."""
    return _BY_LETTERS.get(name.replace("_", "").lower(), name)


class Payload(msgspec.Struct, frozen=True, gc=False):
    """
    Attributes:
        content: The body of its message; ``None`` where it holds no message.
    """

    entry_type: str | None = None
    identifier: str | None = None
    message_type: str | None = None
    in_reply_to: str | None = None
    content: Json | None = None


_EMPTY = Payload()

_TypedMessage: Any = msgspec.defstruct(
    "_TypedMessage",
    [
        ("messageType", str | None, None),
        ("inReplyToMessageId", str | None, None),
        *((body, dict[str, Any] | None, None) for body in BODY_OF_MESSAGE_TYPE.values()),
    ],
    gc=False,
)


class _TypedPayload(msgspec.Struct, rename="camel", gc=False):
    entry_type: str | None = None
    id: str | None = None
    abstract_message: _TypedMessage | None = None
    updated_message: _TypedMessage | None = None


_decode_typed = msgspec.json.Decoder(_TypedPayload).decode


_SHORT = 1_000
"""Characters; in so few nothing can be nested too deeply to be read."""


def names_no_message(text: str) -> bool:
    """
    Whether a look tells that an object holds no message, so that its JSON need not be read: most entries hold none.
    What is broken inside such an object is not noticed; it is kept.
    """
    return len(text) <= _SHORT and text[:1] == "{" and text[-1:] == "}" and 'Message"' not in text


def read_payload(text: str | None, notes: Notes) -> Payload:
    """What a payload's JSON says; anything at all may stand there."""
    if not text:
        return _EMPTY
    try:
        payload = _decode_typed(text)
    except (msgspec.DecodeError, RecursionError):
        return read_leniently(text, notes)
    message = payload.abstract_message or payload.updated_message
    if message is None:
        return Payload(payload.entry_type or None, payload.id or None)
    body = BODY_OF_MESSAGE_TYPE.get(message.messageType)
    if body is None:
        return read_leniently(text, notes)
    return Payload(
        payload.entry_type or None,
        payload.id or None,
        message.messageType,
        message.inReplyToMessageId or None,
        getattr(message, body) or {},
    )


def read_leniently(text: str, notes: Notes) -> Payload:
    """The same without any expectation; says in the notes what is not as the schema says."""
    payload = _json_object(text, notes)
    entry_type, identifier = as_string(payload.get("entryType")), as_string(payload.get("id"))
    message = first_object(payload, ("abstractMessage", "updatedMessage"))
    if not message:
        return Payload(entry_type, identifier)
    message_type = as_string(message.get("messageType"))
    return Payload(
        entry_type,
        identifier,
        message_type,
        as_string(message.get("inReplyToMessageId")),
        _content(message, message_type, notes),
    )


def _content(message: Json, message_type: str | None, notes: Notes) -> Json:
    body = BODY_OF_MESSAGE_TYPE.get(message_type or "")
    if body is not None:
        return as_object(message.get(body))
    notes.append(unknown("message_type", message_type))
    bodies = (value for value in message.values() if isinstance(value, dict) and "formatType" in value)
    return next(bodies, {})


def _json_object(text: str, notes: Notes) -> Json:
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
