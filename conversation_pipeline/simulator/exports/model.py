"""Exports and their states by the org's clock; no HTTP, no bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from conversation_pipeline.simulator.world.entries import Entry
from conversation_pipeline.simulator.world.ids import record_id
from conversation_pipeline.simulator.world.script import Conversation

Told = tuple[Conversation, tuple[Entry, ...]]
"""A conversation and those of its entries that the export holds, by time."""


@dataclass(frozen=True, slots=True)
class Layout:
    """
    How an archive is written.

    Attributes:
      format: `csv` (one row an entry, spelling A), `jsonl` (wrapped JSON Lines, spelling B), `json_per_conversation`
        (one object a conversation, spelling C with payload).
      encoding: a Python codec name; `utf-8-sig` is UTF-8 with its mark.
      part_bytes: a part is closed after about so many bytes.
      corruption: what is wrong with the first part; empty for nothing.
    """

    format: str
    encoding: str
    delimiter: str
    line_end: str
    part_bytes: int
    corruption: str


@dataclass(slots=True)
class Export:
    """
    One request, UTC epoch seconds of the org's world throughout.

    Attributes:
      files: name to bytes, once it is complete and as long as its links live.
      content: what the archive has to hold, once it is complete.
    """

    id: str
    requested_by: str
    requested_at: int
    begins_at: int
    completes_at: int
    expires_at: int
    layout: Layout
    files: dict[str, bytes] = field(default_factory=dict)
    content: list[Told] = field(default_factory=list)
    built: bool = False
    replaced: bool = False

    def state(self, now: int) -> str:
        """Queued, Processing or Completed; Expired once the links are dead."""
        if self.replaced or now >= self.expires_at:
            return "Expired"
        if now >= self.completes_at:
            return "Completed"
        return "Processing" if now >= self.begins_at else "Queued"

    def stem(self, organization_id: str) -> str:
        """`ConversationTranscriptExport_<orgId15>_<yyyyMMddHHmmss>`."""
        completed = datetime.fromtimestamp(self.completes_at, UTC)
        return f"ConversationTranscriptExport_{organization_id[:15]}_{completed:%Y%m%d%H%M%S}"


class Exports:
    """The exports of the org, oldest first."""

    def __init__(self) -> None:
        self.all: list[Export] = []

    def next_id(self) -> str:
        """The id of the next export."""
        return record_id("0bX", len(self.all) + 1)

    def find(self, identifier: str) -> Export | None:
        """The export with that id."""
        return next((export for export in self.all if export.id == identifier), None)

    def available_at(self, interval: int) -> int:
        """From when on another one may be asked for: so many seconds after the last one was complete."""
        return max((export.completes_at + interval for export in self.all), default=0)

    def open(self, export: Export) -> None:
        """Take an export in; the files of former ones are removed."""
        for former in self.all:
            former.replaced = True
            former.files.clear()
        self.all.append(export)


def held(conversations: Iterable[Conversation], now_ms: int, voice_settle_ms: int) -> list[Told]:
    """What an export of that instant holds: every entry of all time that the org's APIs return."""
    told = []
    for conversation in sorted(conversations, key=lambda one: one.identifier):
        entries = [entry for entry in conversation.entries if entry.visible_from(voice_settle_ms) <= now_ms]
        if entries:
            told.append((conversation, tuple(sorted(entries, key=lambda one: (one.at, one.identifier)))))
    return told
