"""Which entries a Connect request gets; no HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from conversation_pipeline.simulator.world.entries import Entry

MAX_RECORDS = 1000


@dataclass(frozen=True, slots=True)
class Window:
    """Bounds in epoch milliseconds, both inclusive, on the server's time; from which end to read, and how many."""

    start: int
    end: int
    limit: int
    from_start: bool


@dataclass(frozen=True, slots=True)
class Told:
    """What this org tells by Connect: bots' text or not, messages without plain text blank or not at all."""

    bot_text: bool
    rich: bool
    filter_after_limit: bool

    def tells(self, entry: Entry) -> bool:
        """Whether the entry is in an answer; events never are."""
        if entry.entry_type != "Message" or (entry.sender.role == "Chatbot" and not self.bot_text):
            return False
        return self.rich or is_text(entry)


def is_text(entry: Entry) -> bool:
    """Whether messageText is filled: static content of type text (Connect, Conversation Entry [doc])."""
    return (entry.message_type, entry.format_type) == ("StaticContentMessage", "Text")


def select(entries: Sequence[Entry], window: Window, told: Told) -> list[Entry]:
    """The entries of one answer, FromStart oldest first, FromEnd newest first; there is no token for more."""
    tells: Callable[[Entry], bool] = told.tells
    found = [entry for entry in entries if window.start <= entry.at <= window.end]
    found.sort(key=lambda entry: (entry.at, entry.identifier), reverse=not window.from_start)
    if told.filter_after_limit:
        return [entry for entry in found[: window.limit] if tells(entry)]
    return [entry for entry in found if tells(entry)][: window.limit]
