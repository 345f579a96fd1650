"""
A page of entries: who, when and about what, with the payload as it came.

Whole pages are read as the schema says; a page with an entry that is not is read entry by entry, so that an odd one
keeps what it has and does not harm its siblings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from conversation_pipeline.extract.entries.drift import Notes
from conversation_pipeline.extract.entries.payload import read_payload
from conversation_pipeline.extract.entries.values import as_object, uuid_in_lower_case


class Sender(msgspec.Struct, rename="camel", gc=False):
    app_type: str | None = None
    subject: str | None = None
    role: str | None = None


class Entry(msgspec.Struct, rename="camel", gc=False):
    """An entry of either API; ``server_received_timestamp`` and ``message_text`` are Connect's."""

    entry_payload: Any = None
    identifier: str | None = None
    entry_type: str | None = None
    sender: Sender | None = None
    sender_display_name: str | None = None
    related_records: tuple[str, ...] | None = None
    client_timestamp: int | None = None
    client_duration: int | None = None
    transcripted_timestamp: int | None = None
    server_received_timestamp: int | None = None
    modality: str | None = None
    visibility_strategy: str | None = None
    message_text: Any = None


class _TextEntry(Entry, rename="camel", gc=False):
    """An entry whose payload is a string that holds JSON, as the schema says; Connect's have none."""

    entry_payload: str | None = None


class _RawEntry(Entry, rename="camel", gc=False):
    """An entry whose payload may be anything: a string that holds JSON, or that JSON itself."""

    entry_payload: msgspec.Raw = msgspec.Raw(b"null")


class OddEntry(Entry, gc=False):
    """An entry that is not as the schema says, and what of it."""

    notes: tuple[str, ...] = ()


def payload_text(payload: str | msgspec.Raw | None) -> str | None:
    """The payload's own JSON."""
    if not isinstance(payload, msgspec.Raw):
        return payload
    text = bytes(payload).decode()
    if text.startswith('"'):
        return str(msgspec.json.decode(payload))
    return None if text == "null" else text


class _Page(msgspec.Struct, rename="camel"):
    conversation_entries: list[msgspec.Raw] | None = None


class _PageOfTexts(msgspec.Struct, rename="camel"):
    conversation_entries: list[_TextEntry] | None = None


class _PageOfRaws(msgspec.Struct, rename="camel"):
    conversation_entries: list[_RawEntry] | None = None


_AS_PUBLISHED: tuple[Callable[[bytes], _PageOfTexts | _PageOfRaws], ...] = (
    msgspec.json.Decoder(_PageOfTexts).decode,
    msgspec.json.Decoder(_PageOfRaws).decode,
)
_decode_page = msgspec.json.Decoder(_Page).decode
_decode_entry = msgspec.json.Decoder(_RawEntry).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def read_page(body: bytes) -> Sequence[Entry]:
    """
    The entries of a page in its order, each with an identifier.

    Raises:
        msgspec.DecodeError: the body is no page of JSON.
    """
    for decode in _AS_PUBLISHED:
        with suppress(msgspec.DecodeError):
            entries = decode(body).conversation_entries or ()
            identifiers = [entry.identifier or "" for entry in entries]
            if all(identifiers):
                together = "".join(identifiers)
                if together != together.lower():
                    for entry, identifier in zip(entries, identifiers, strict=True):
                        entry.identifier = uuid_in_lower_case(identifier)
                return entries
    return read_leniently(body)


def read_leniently(body: bytes) -> Sequence[Entry]:
    """The same, entry by entry, without any expectation."""
    return [_one(raw) for raw in _decode_page(body).conversation_entries or ()]


def _one(raw: msgspec.Raw) -> Entry:
    notes: Notes = []
    entry = _entry(raw, notes)
    entry.identifier = _identifier(entry, raw, notes)
    return noted(entry, *notes)


def noted(entry: Entry, *notes: str) -> Entry:
    """The entry, with what is not as the schema says about it; besides what is noted already."""
    if not notes:
        return entry
    members = msgspec.structs.asdict(entry)
    return OddEntry(**members | {"notes": (*members.get("notes", ()), *notes)})


def _entry(raw: msgspec.Raw, notes: Notes) -> Entry:
    try:
        return _decode_entry(raw)
    except msgspec.ValidationError:
        notes.append("entry with a member of an unexpected type")
    try:
        members = _decode_members(raw)
    except msgspec.ValidationError:
        return _RawEntry(entry_payload=raw)
    return _from_members(members)


def _from_members(members: dict[str, msgspec.Raw]) -> Entry:
    """
    An entry some of whose members are not what the schema says. A wrong scalar (a number as text, a text as a number)
    is still a value: taken over rather than lost.
    """

    def value(name: str) -> Any:
        return msgspec.json.decode(members[name]) if name in members else None

    sender = as_object(value("sender"))
    related = value("relatedRecords")
    return _RawEntry(
        identifier=_as_text(value("identifier")),
        entry_type=_as_text(value("entryType")),
        entry_payload=members.get("entryPayload", msgspec.Raw(b"null")),
        sender=Sender(*(_as_text(sender.get(name)) for name in ("appType", "subject", "role"))),
        sender_display_name=_as_text(value("senderDisplayName")),
        related_records=tuple(
            text for one in (related if isinstance(related, list) else [related]) if (text := _as_text(one))
        ),
        client_timestamp=_as_whole_number(value("clientTimestamp")),
        client_duration=_as_whole_number(value("clientDuration")),
        transcripted_timestamp=_as_whole_number(value("transcriptedTimestamp")),
        server_received_timestamp=_as_whole_number(value("serverReceivedTimestamp")),
        modality=_as_text(value("modality")),
        visibility_strategy=_as_text(value("visibilityStrategy")),
        message_text=value("messageText"),
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


def _identifier(entry: Entry, raw: msgspec.Raw, notes: Notes) -> str:
    identifier = entry.identifier or read_payload(payload_text(entry.entry_payload), []).identifier
    if identifier:
        return uuid_in_lower_case(identifier)
    notes.append("entry without an identifier")
    return "unnamed-" + hashlib.sha256(bytes(raw)).hexdigest()[:32]
