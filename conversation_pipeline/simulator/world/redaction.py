"""Other words in the place of those that were said: the same entry, the same time."""

from __future__ import annotations

import json
from collections.abc import Sequence

from conversation_pipeline.simulator.world.entries import Entry, Redaction, text_of


def redact(entry: Entry, words: str, at: int, related_records: Sequence[str] | None = None) -> None:
    """
    Let the entry read otherwise from `at` (UTC epoch milliseconds) on; a later redaction takes the place of this one.

    Raises:
      ValueError: the entry has no text of its own.
    """
    payload = json.loads(entry.payload)
    message = payload.get("abstractMessage") if isinstance(payload, dict) else None
    body = message.get("staticContent") if isinstance(message, dict) else None
    name = next((name for name in ("text", "textContent") if isinstance(body, dict) and name in body), None)
    if body is None or name is None:
        raise ValueError("only entries with text of their own can be redacted")
    body[name] = words
    kept = entry.related_records if related_records is None else tuple(related_records)
    text = text_of(payload)[2]
    entry.redaction = Redaction(at, json.dumps(payload, ensure_ascii=False, separators=(",", ":")), text, kept)
