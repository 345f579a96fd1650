"""What is true in the world now, told without any road's shape: the measure for everything that reads it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from conversation_pipeline.simulator.org import Org
from conversation_pipeline.simulator.soql.evaluate import json_datetime, render_value


def midnight_ms(day: date) -> int:
    """The beginning of a UTC day as epoch milliseconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def entries_of(org: Org, day: date) -> list[dict[str, Any]]:
    """Every entry of that UTC day (by transcripted timestamp) that an API returns now, oldest first."""
    start, end = midnight_ms(day), midnight_ms(day + timedelta(days=1))
    found = [
        {
            "conversation_identifier": conversation.identifier, "entry_identifier": entry.identifier,
            "entry_type": entry.entry_type, "message_type": entry.message_type, "format_type": entry.format_type,
            "text": entry.text, "sender_role": entry.sender.role, "sender_subject": entry.sender.subject,
            "modality": entry.modality, "visibility": entry.visibility,
            "transcripted_timestamp": entry.at,
            "messaging_session_id": entry.record_id if (entry.record_id or "").startswith("0Mw") else None,
            "voice_call_id": entry.record_id if (entry.record_id or "").startswith("0LQ") else None,
        }
        for conversation in org.world.conversations_between(start, end, org.clock.now)
        for entry in org.readable(conversation)
        if start <= entry.at < end
    ]  # fmt: skip
    return sorted(found, key=lambda row: (row["transcripted_timestamp"], row["entry_identifier"]))


def redactions_of(org: Org) -> list[dict[str, Any]]:
    """Every entry that reads otherwise now than it did once, oldest redaction first; erased ones are gone."""
    now_ms = org.clock.now_ms
    found = [
        {
            "conversation_identifier": conversation.identifier, "entry_identifier": entry.identifier,
            "transcripted_timestamp": entry.at, "redacted_at": entry.redaction.at,
            "text_before": entry.text, "text": entry.redaction.text,
        }
        for conversation in org.world.conversations.values()
        for entry in conversation.entries
        if entry.redaction is not None and entry.redaction.at <= now_ms
        if conversation.erased_at is None or conversation.erased_at > now_ms
    ]  # fmt: skip
    return sorted(found, key=lambda row: (row["redacted_at"], row["entry_identifier"]))


def erasures_of(org: Org) -> list[dict[str, Any]]:
    """
    Every erasure that was requested by now, oldest first: what ConversationApiLog says, and what went with it.

    `conversation_identifiers`, `entry_identifiers` and `record_ids` name what goes when it is Completed.
    """
    org.world.reach(org.clock.now)
    going = {erasure.log.id: erasure for erasure in org.world.erasures}
    found = []
    for row in org.world.rows("ConversationApiLog", org.clock.now):
        erasure = going.get(str(row["Id"]))
        conversations = erasure.conversations if erasure and erasure.completed_at is not None else ()
        found.append({
            "conversation_api_log_id": row["Id"], "status": row["Status"],
            "requested_entity_type": row["RequestedEntityType"],
            "requested_entity_identifier": row["RequestedEntityIdentifier"],
            "requested_at": render_value("datetime", row["RequestedDate"]),
            "completed_at": (
                render_value("datetime", row["SystemModstamp"]) if row["Status"] == "Completed" else None
            ),
            "conversation_identifiers": [conversation.identifier for conversation in conversations],
            "entry_identifiers": [entry.identifier for found in conversations for entry in found.entries],
            "record_ids": [record.id for record in erasure.records] if conversations and erasure else [],
        })  # fmt: skip
    return sorted(found, key=lambda one: (one["requested_at"], one["conversation_api_log_id"]))


def records_of(org: Org, sobject: str, day: date | None) -> list[dict[str, Any]]:
    """
    Every row of the object now with all its columns, soft-deleted rows included; `day` is the UTC day of CreatedDate.

    Raises:
      KeyError: no such object.
    """
    fields = org.schema[sobject].fields
    return [
        {field.name: render_value(field.type, row.get(field.name)) for field in fields}
        | {"IsDeleted": row["IsDeleted"]}
        for row in org.world.rows(sobject, org.clock.now)
        if day is None or json_datetime(int(row["CreatedDate"] or 0)).startswith(day.isoformat())
    ]
