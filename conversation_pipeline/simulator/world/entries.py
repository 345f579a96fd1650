"""Conversation entries: one thing that was said or happened, and what a reader of it should find."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Speaker:
    """A participant as entries name it: application type, subject, role (Conversation Entry Payload Schema [doc])."""

    app_type: str
    subject: str
    role: str
    display_name: str | None = None

    def wire(self) -> dict[str, Any]:
        """The participant's JSON."""
        return {"appType": self.app_type, "subject": self.subject, "role": self.role}


@dataclass(frozen=True, slots=True)
class Redaction:
    """
    What an entry reads from `at` (UTC epoch milliseconds) on: identifier and times stay (Connect, redaction [doc]).
    """

    at: int
    payload: str
    text: str | None
    related_records: tuple[str, ...]


@dataclass(slots=True)
class Entry:
    """
    One conversation entry.

    Attributes:
      identifier: UUID, the key of the entry.
      payload: the entry payload as JSON text.
      at: transcripted timestamp, UTC epoch milliseconds, unique within the conversation.
      client_at: when the sender's device made it; not in order.
      duration: milliseconds, the length of a spoken utterance, else 0.
      related_records: record ids as the entry carries them; bots leave them out.
      record_id: the session or call that it belongs to, 18 characters, whether the entry says so or not.
      settles_after: for voice, the end of the conversation: the entry cannot be read before that and the delay.
      text: what the reader saw where the payload tells it.
      verbatim: for an entry that was put in by hand, the JSON that the reply repeats member by member.
      redaction: the words that took the place of those above, and when.
    """

    identifier: str
    entry_type: str
    payload: str
    sender: Speaker
    display_name: str | None
    at: int
    client_at: int
    duration: int
    modality: str | None
    visibility: str | None
    related_records: tuple[str, ...]
    record_id: str | None
    settles_after: int | None = None
    message_type: str | None = None
    format_type: str | None = None
    text: str | None = None
    verbatim: dict[str, Any] | None = None
    redaction: Redaction | None = None

    def as_of(self, now_ms: int) -> Entry:
        """The entry as it reads at `now_ms` (UTC epoch milliseconds)."""
        new = self.redaction
        if new is None or new.at > now_ms:
            return self
        verbatim = self.verbatim
        if verbatim is not None:
            payload = new.payload if isinstance(verbatim["entryPayload"], str) else json.loads(new.payload)
            verbatim = {**verbatim, "entryPayload": payload, "relatedRecords": list(new.related_records)}
        return replace(self, payload=new.payload, text=new.text, related_records=new.related_records,
                       verbatim=verbatim, redaction=None)  # fmt: skip

    def visible_from(self, voice_settle_ms: int) -> int:
        """The first instant (UTC epoch milliseconds) at which an API returns this entry."""
        return self.at if self.settles_after is None else max(self.at, self.settles_after + voice_settle_ms)

    @property
    def coin(self) -> int:
        """A number from 0 to 255 that is the entry's own: decides what varies from entry to entry."""
        return hashlib.blake2s(self.identifier.encode(), digest_size=1).digest()[0]


def text_of(payload: dict[str, Any]) -> tuple[str | None, str | None, str | None]:
    """
    Message type, format type and readable text of a payload (conversation-entry APIs, text extraction rules).

    Each is None where the payload does not tell it.
    """
    message = payload.get("abstractMessage") or payload.get("updatedMessage")
    if not isinstance(message, dict):
        return None, None, None
    kind = message.get("messageType")
    body = next((message[key] for key in _BODIES if isinstance(message.get(key), dict)), None)
    if body is None:
        return kind, None, None
    format_type = body.get("formatType")
    if kind == "StaticContentMessage":
        return kind, format_type, _static_text(body)
    if kind == "ChoicesMessage":
        return kind, format_type, body.get("text") or _title(body) or _item_title(body.get("message"))
    if kind == "ChoicesResponseMessage":
        titles = [_item_title(option.get("optionTitle")) for option in body.get("selectedOptions") or ()]
        return kind, format_type, ", ".join(title for title in titles if title) or None
    if kind in ("FormMessage", "FormResponseMessage"):
        return kind, format_type, _item_title(body.get("formTitle"))
    return kind, format_type, None


_TAG = re.compile(r"<[^>]*>")
_BODIES = ("staticContent", "choices", "choicesResponse", "form", "formResponse", "authenticationRequest",
           "authenticationResponse", "paymentRequest", "paymentResponse", "paymentStatusResponse", "command", "order",
           "catalog", "informationRequest")  # fmt: skip


def _item_title(item: Any) -> str | None:
    return item.get("title") if isinstance(item, dict) else None


def _title(body: dict[str, Any]) -> str | None:
    title = body.get("title")
    return title if isinstance(title, str) else _item_title(title)


def _static_text(body: dict[str, Any]) -> str | None:
    match body.get("formatType"):
        case "Text" | "Buttons" | "Attachments":
            return body.get("text") or None
        case "RichLink":
            return body.get("text") or _item_title((body.get("linkItem") or {}).get("titleItem"))
        case "ExternalTemplate":
            return f"[template] {body['externalTemplate']['name']}"
        case "ExtendedText":
            return body.get("textContent") or _TAG.sub("", body.get("richContent") or "") or None
        case _:
            return None
