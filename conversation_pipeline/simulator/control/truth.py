"""What is true in the world now, told without any road's shape: the measure for everything that reads it."""

from __future__ import annotations

from datetime import date
from typing import Any

from conversation_pipeline.simulator.org import Org
from conversation_pipeline.simulator.soql.evaluate import json_datetime, render_value


def entries_of(org: Org, day: date) -> list[dict[str, Any]]:
    """Every entry of that UTC day (by transcripted timestamp) that an API returns now, oldest first."""
    now_ms, settle = org.clock.now_ms, org.voice_settle_ms()
    found = [
        {
            "conversation_identifier": conversation.identifier, "entry_identifier": entry.identifier,
            "entry_type": entry.entry_type, "message_type": entry.message_type, "format_type": entry.format_type,
            "text": entry.text, "sender_role": entry.sender.role, "modality": entry.modality,
            "transcripted_timestamp": entry.at,
            "messaging_session_id": entry.record_id if (entry.record_id or "").startswith("0Mw") else None,
            "voice_call_id": entry.record_id if (entry.record_id or "").startswith("0LQ") else None,
        }
        for conversation, entry in org.world.entries_on(day, org.clock.now)
        if entry.visible_from(settle) <= now_ms
    ]  # fmt: skip
    return sorted(found, key=lambda row: (row["transcripted_timestamp"], row["entry_identifier"]))


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
