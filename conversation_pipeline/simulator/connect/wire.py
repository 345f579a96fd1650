"""Conversation entries as Connect sends them: seven members, text as HTML entities unless told otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from conversation_pipeline.simulator.connect.model import is_text
from conversation_pipeline.simulator.endpoint import json_response
from conversation_pipeline.simulator.world.entries import Entry

_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;", "\\": "&#92;"})


def page(entries: Sequence[Entry], *, encoded: bool) -> Response:
    """`{"conversationEntries": [...]}`; `encoded` is Connect's default, X-Chatter-Entity-Encoding: false is not."""
    return _private({"conversationEntries": [_rendered(entry, encoded=encoded) for entry in entries]})


def update_results(reasons: Sequence[tuple[str, str | None]]) -> Response:
    """What became of each entry of a redaction: its identifier, and why it failed if it did."""
    results = [{"identifier": name, "success": why is None, "failureReason": why} for name, why in reasons]
    return _private({"conversationEntriesUpdateResults": results})


def _private(content: dict[str, Any]) -> Response:
    return json_response(content, headers={"cache-control": "no-cache,must-revalidate,max-age=0,no-store,private"})


def _rendered(entry: Entry, *, encoded: bool) -> dict[str, Any]:
    words = (entry.text or "") if is_text(entry) else ""
    sender = entry.sender
    return {
        "clientDuration": entry.duration, "clientTimestamp": entry.client_at, "identifier": entry.identifier,
        "messageText": words.translate(_ENTITIES) if encoded else words,
        "relatedRecords": list(entry.related_records),
        "sender": {"appType": sender.app_type, "role": sender.role, "subject": sender.subject},
        "serverReceivedTimestamp": entry.at,
    }  # fmt: skip
