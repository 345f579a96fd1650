"""Erasure of a person or of a conversation: what goes with it, and the row of ConversationApiLog that tells of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from conversation_pipeline.simulator.world.records import Change, Record
from conversation_pipeline.simulator.world.script import Conversation

PERSON, CONVERSATION = "MessagingEndUser", "Conversation"
OPERATIONS = {PERSON: "deleteConversationParticipantData", CONVERSATION: "deleteConversationsById"}
"""Requested entity type to operation [doc; `Conversation` as an entity type is assumed]."""
_BELONGINGS = (
    ("MessagingSession", "ConversationId"), ("ConversationParticipant", "ConversationId"),
    ("VoiceCall", "ConversationId"), ("MessagingSessionMetrics", "MessagingSessionId"),
    ("VoiceCallRecording", "VoiceCallId"),
)  # fmt: skip
"""Objects whose rows go with what that column points at; masters stand before their details."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """
    One request to erase.

    Attributes:
      log: the row of ConversationApiLog.
      records: the rows that go.
      conversations: those whose entries go.
      completed_at: when they go (UTC epoch seconds); None when the request fails.
    """

    log: Record
    records: tuple[Record, ...]
    conversations: tuple[Conversation, ...]
    completed_at: int | None


def belongings(target: str, records: Iterable[Record]) -> list[Record]:
    """The rows among `records` that are erased with that end user or conversation (18-character id)."""
    by_object: dict[str, list[Record]] = {}
    for record in records:
        by_object.setdefault(record.sobject, []).append(record)
    sessions = by_object.get("MessagingSession", ())
    kept = [record for record in sessions if record.first("MessagingEndUserId") == target]
    going = {target, *(str(record.first("ConversationId")) for record in kept)}
    found = [record for name in (PERSON, CONVERSATION) for record in by_object.get(name, ()) if record.id in going]
    for name, column in _BELONGINGS:
        details = [record for record in by_object.get(name, ()) if record.first(column) in going]
        going |= {record.id for record in details}
        found += details
    return found


def request(
    identifier: str, name: str, user: str, target: tuple[str, str], requested_at: int, seconds: int, outcome: str
) -> Record:
    """
    The ConversationApiLog row of a request, with the statuses that it runs through in so many seconds.

    Arguments:
      identifier: the row's id; `name` its auto-number; `user` who asks.
      target: entity type and 18-character id; the row tells 15 characters of it [doc].
      requested_at: UTC epoch seconds.
      outcome: `Completed` or `Failed`.
    """
    kind, entity = target
    log = Record("ConversationApiLog", identifier, [Change(requested_at, {
        "Name": name, "OwnerId": user, "Action": "Delete", "Operation": OPERATIONS[kind], "RequestedById": user,
        "RequestedDate": requested_at, "RequestedEntityIdentifier": entity[:15], "RequestedEntityType": kind,
        "Status": "Requested",
    })], user)  # fmt: skip
    for at, status in _course(seconds, outcome):
        log.change(requested_at + at, {"Status": status}, by_user=False)
    return log


def _course(seconds: int, outcome: str) -> Iterator[tuple[int, str]]:
    """Statuses and when they come, in whole seconds from the request."""
    yield min(20, seconds // 4), "Enqueued"
    yield min(90, seconds // 2), "InProgress"
    yield seconds, outcome
