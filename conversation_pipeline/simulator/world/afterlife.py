"""What happens to conversations once they are over: some are redacted, some people ask for erasure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from conversation_pipeline.simulator.world.entries import Entry
from conversation_pipeline.simulator.world.erasure import PERSON, Erasure, belongings, request
from conversation_pipeline.simulator.world.redaction import redact
from conversation_pipeline.simulator.world.script import Conversation, Script, record_number

REMOVED = "[removed]"
_HOUR, _DAY = 3_600, 86_400
_PLACE = 99_998


@dataclass(frozen=True, slots=True)
class Customs:
    """How many entries of a day's conversations are redacted later, and how many people are erased."""

    redactions: int = 0
    erasures: int = 0


def redactions(seed: int, day: date, conversations: Sequence[Conversation], count: int) -> Iterator[Entry]:
    """
    Redact a text of that many of the day's conversations, one to thirty hours after the last word.

    Which ones depends on the seed and the day alone; the first of two are the first of one.
    """
    rng = random.Random(f"redaction/{seed}/{day}")
    for conversation in rng.sample(conversations, len(conversations))[:count]:
        said = [entry for entry in conversation.entries
                if entry.sender.role == "EndUser" and entry.format_type == "Text"]  # fmt: skip
        at = conversation.entries[-1].at + rng.randrange(_HOUR, 30 * _HOUR) * 1000
        place = rng.random()
        if said:
            entry = said[int(place * len(said))]
            redact(entry, REMOVED, at)
            yield entry


def erasures(seed: int, day: date, conversations: Sequence[Conversation], count: int, user: str) -> Iterator[Erasure]:
    """Erase that many of the people who wrote first on that day and were served by the next, two days later."""
    rng = random.Random(f"afterlife/{seed}/{day}")
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    latest = (midnight + 2 * _DAY) * 1000
    over = [found for found in conversations if _end_user(found) and found.entries[-1].at < latest]
    for place, conversation in enumerate(rng.sample(over, len(over))[:count]):
        requested = midnight + 2 * _DAY + rng.randrange(8 * _HOUR, 14 * _HOUR)
        seconds = rng.randrange(200, 1500)
        target = _end_user(conversation)
        records = belongings(target, conversation.records)
        number = record_number(day, _PLACE) + place
        log = request(Script.identify("ConversationApiLog", number), f"{number % 100_000_000:08d}", user,
                      (PERSON, target), requested, seconds, "Completed")  # fmt: skip
        yield Erasure(log, tuple(records), (conversation,), requested + seconds)


def _end_user(conversation: Conversation) -> str:
    return next((record.id for record in conversation.records if record.sobject == PERSON), "")
