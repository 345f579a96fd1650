"""When entries can be read, and what they say at that time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from conversation_pipeline.simulator.world.entries import Entry
from conversation_pipeline.simulator.world.script import Conversation


@dataclass(frozen=True, slots=True)
class Delays:
    """
    How late the org lets its entries be read; all in milliseconds but the share.

    Attributes:
      entry: from an entry's time until it can be read.
      late: what is added to that for some entries.
      late_share: how many those are, 0 to 1.
      settle: from the end of a call until its entries can be read.
      association: from then until they name the right call (post-call association [doc]).
      vanish: how long before that moment they cannot be read at all.
      empty_before: until then they name no record; otherwise the first call of the conversation.
    """

    entry: int = 0
    late: int = 0
    late_share: float = 0.0
    settle: int = 0
    association: int = 0
    vanish: int = 0
    empty_before: bool = True

    def visible_from(self, entry: Entry) -> int:
        """The first instant (UTC epoch milliseconds) at which an entry API returns the entry."""
        delay = self.entry + (self.late if self.late and entry.coin < self.late_share * 256 else 0)
        return max(entry.at + delay, entry.visible_from(self.settle))


def readable(conversation: Conversation, now_ms: int, delays: Delays) -> Iterator[Entry]:
    """The entries that an entry API returns at `now_ms`, as they read then, in the order of their times."""
    calls = [str(entry.record_id) for entry in conversation.entries if entry.settles_after is not None]
    before_association = (calls[0],) if len(set(calls)) > 1 and not delays.empty_before else ()
    for entry in conversation.as_of(now_ms):
        visible_from = delays.visible_from(entry)
        if visible_from > now_ms:
            continue
        associated_at = visible_from + delays.association
        if entry.settles_after is None or now_ms >= associated_at:
            yield entry
        elif now_ms < associated_at - delays.vanish:
            yield replace(entry, related_records=before_association)
