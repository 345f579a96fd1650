"""One day of the company: how many conversations begin, on which channel, at what time, and how they go."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from conversation_pipeline.simulator.world.dialogues import MESSAGING, VOICE
from conversation_pipeline.simulator.world.messaging import Plan, Thread
from conversation_pipeline.simulator.world.people import Cast, person
from conversation_pipeline.simulator.world.script import Conversation, Script
from conversation_pipeline.simulator.world.voice import Call

# Monday to Sunday: the shop's service is quieter at the weekend.
_WEEK = (1.1, 1.05, 1.0, 1.0, 1.05, 0.6, 0.5)
_CHANNELS = ("chat", "whatsapp", "voice", "german", "chat", "sms", "chat", "voice", "whatsapp", "chat")
_PER_CONVERSATION = 1_000
_PER_DAY = 100_000 * _PER_CONVERSATION
_NUMBER_ONE = date(2000, 1, 1)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the world is made from; two worlds of one recipe are the same, day by day."""

    seed: int
    conversations_per_day: int
    metrics_delay: int = 60


def conversations_on(recipe: Recipe, day: date) -> int:
    """How many conversations begin on that UTC day; fewer at weekends."""
    wobble = random.Random(f"volume/{recipe.seed}/{day}").uniform(0.94, 1.06)
    return max(1, round(recipe.conversations_per_day * _WEEK[day.weekday()] * wobble))


def conversations_born(recipe: Recipe, cast: Cast, day: date) -> list[Conversation]:
    """Every conversation whose first message or ring falls on the UTC day, with all that happens in it later."""
    count = conversations_on(recipe, day)
    return [_conversation(recipe, cast, day, place) for place in range(count)]


def _conversation(recipe: Recipe, cast: Cast, day: date, place: int) -> Conversation:
    rng = random.Random(f"{recipe.seed}/{day}/{place}")
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    number = (day - _NUMBER_ONE).days * _PER_DAY + place * _PER_CONVERSATION
    # The team answers from 06:00 to 23:59 UTC, most questions come in the American morning.
    start = midnight + round(rng.triangular(6 * 3600, 23.98 * 3600, 16 * 3600) * 1000)
    script = Script(rng, cast, number, start)
    channel = _CHANNELS[place % len(_CHANNELS)]
    if channel == "voice":
        customer = person(rng, "en_US", known=rng.random() < 0.7)
        agents = [cast.agent_for(rng, "en_US")]
        Call(script, rng.choice(VOICE), customer, agents, "Inbound").play()
    else:
        language = cast.channels[channel].language
        thread = Thread(script, cast.channels[channel], person(rng, language, known=rng.random() < 0.5), recipe.metrics_delay)
        thread.open()
        thread.session(rng.choice([s for s in MESSAGING if s.language == language] or MESSAGING), Plan())
    return script.conversation
