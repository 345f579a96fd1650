"""One day of the company: how many conversations begin, on which channel, at what time, and how they go."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

from conversation_pipeline.simulator.world.dialogues import CALLBACKS, FOLLOW_UPS, MESSAGING, VOICE, Scenario
from conversation_pipeline.simulator.world.erasure import PERSON, request
from conversation_pipeline.simulator.world.messaging import Plan, Thread
from conversation_pipeline.simulator.world.people import Cast, person
from conversation_pipeline.simulator.world.rarities import RARITIES, Happening, flag, whisper
from conversation_pipeline.simulator.world.records import Record
from conversation_pipeline.simulator.world.script import Conversation, Script, record_number
from conversation_pipeline.simulator.world.voice import Call

# Monday to Sunday: the shop's service is quieter at the weekend.
_WEEK = (1.1, 1.05, 1.0, 1.0, 1.05, 0.6, 0.5)
_CHANNELS = ("chat", "whatsapp", "voice", "german", "chat", "sms", "chat", "voice", "whatsapp", "chat")
_MESSAGING_PLACES = tuple(place for place, channel in enumerate(_CHANNELS) if channel != "voice")
_MOBILE = ("whatsapp", "sms")
_INTERLUDES: tuple[tuple[Happening, ...], ...] = (*[()] * 17, (whisper,), (whisper,), (flag,))
_HOUR = 3600
_LAST_PLACE = 99_999


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


def conversations_born(recipe: Recipe, cast: Cast, day: date, *, lasting: bool = False) -> Iterator[Conversation]:
    """
    Every conversation whose first message or ring falls on the UTC day, with all that happens in it later.

    `lasting` leaves out those that cannot go on beyond the following day.
    """
    count = conversations_on(recipe, day)
    rarities = _rarities(day, count)
    for place in range(count):
        if not lasting or _CHANNELS[place % len(_CHANNELS)] in _MOBILE:
            yield _conversation(recipe, cast, day, place, rarities.get(place, ()))


def records_born(recipe: Recipe, cast: Cast, day: date) -> list[Record]:
    """
    Rows of the day that belong to no conversation of the world.

    Every third day somebody who wrote years ago asks for erasure: a ConversationApiLog row, and nothing else left.
    """
    if day.toordinal() % 3:
        return []
    rng = random.Random(f"erasure/{recipe.seed}/{day}")
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    requested = midnight + rng.randrange(8 * _HOUR, 18 * _HOUR)
    number = record_number(day, _LAST_PLACE)
    identity, erased = Script.identify("ConversationApiLog", number), Script.identify("MessagingEndUser", number + 1)
    seconds = rng.randrange(200, 1500)
    return [
        request(identity, f"{number % 100_000_000:08d}", cast.integration_user_id, (PERSON, erased), requested, seconds,
                "Completed")
    ]  # fmt: skip


def _rarities(day: date, count: int) -> dict[int, tuple[Happening, ...]]:
    """Which of the day's rarities fall on which place of the day."""
    due = [rarity for number, rarity in enumerate(RARITIES) if number % 3 == day.toordinal() % 3]
    places = [place for place in range(count) if place % len(_CHANNELS) in _MESSAGING_PLACES]
    return {
        place: tuple(rarity for number, rarity in enumerate(due) if places[number % len(places)] == place)
        for place in places[: len(due)]
    }


def _conversation(recipe: Recipe, cast: Cast, day: date, place: int, rarities: tuple[Happening, ...]) -> Conversation:
    rng = random.Random(f"{recipe.seed}/{day}/{place}")
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    # The team answers from 06:00 UTC to midnight, most questions come in the American morning. A day's rarities
    # happen early enough to fall on that day.
    latest = 19.0 if rarities else 23.95
    start = midnight + round(rng.triangular(6 * _HOUR, latest * _HOUR, 16 * _HOUR) * 1000)
    script = Script(rng, cast, record_number(day, place), start)
    channel = _CHANNELS[place % len(_CHANNELS)]
    if channel == "voice":
        _call(script)
    else:
        _messages(script, recipe, channel, rarities, late=place % len(_CHANNELS) == 1)
    return script.conversation


def _call(script: Script) -> None:
    rng, cast = script.rng, script.cast
    customer = person(rng, "en_US", known=rng.random() < 0.7)
    called_back = rng.random() < 0.12
    agents = [cast.agent_for(rng, "en_US")]
    for _ in range(0 if called_back else rng.choice((0, 0, 0, 0, 0, 1, 1, 2))):
        agents.append(cast.agent_for(rng, "en_US", apart_from=agents[-1]))
    scenario = rng.choice(CALLBACKS if called_back else VOICE)
    Call(script, scenario, customer, agents, "Callback" if called_back else "Inbound").play()


def _messages(script: Script, recipe: Recipe, channel: str, rarities: tuple[Happening, ...], *, late: bool) -> None:
    rng, cast = script.rng, script.cast
    language = cast.channels[channel].language
    if channel in _MOBILE and rng.random() < 0.15:
        language = "es"
    customer = person(rng, language, known=rng.random() < 0.5)
    thread = Thread(script, cast.channels[channel], customer, recipe.metrics_delay)
    again = 0 if channel not in _MOBILE else rng.choice((1, 2) if late else (0, 0, 1, 1, 2))
    thread.session(_scenario(rng, MESSAGING, language), _plan(rng, channel, rarities, last=again == 0))
    for left in reversed(range(again)):
        _wait_for_next_session(script, late=late or rng.random() < 0.15)
        scenario = _scenario(rng, FOLLOW_UPS.get(language, MESSAGING), language)
        thread.session(scenario, _plan(rng, channel, (), last=left == 0))


def _wait_for_next_session(script: Script, *, late: bool) -> None:
    """Hours or days pass; a late customer writes shortly before midnight, and the session crosses it."""
    script.wait(3 * _HOUR, 22 * _HOUR)
    of_day = script.second % (24 * _HOUR)
    if late:
        script.now += (24 * _HOUR - of_day) * 1000 - script.rng.randrange(60, 300) * 1000
        if of_day > 23 * _HOUR:
            script.now += 24 * _HOUR * 1000
    elif of_day < 6 * _HOUR:
        script.now += (7 * _HOUR - of_day) * 1000


def _plan(rng: random.Random, channel: str, rarities: tuple[Happening, ...], *, last: bool) -> Plan:
    course = rng.random()
    served = bool(rarities) or course >= 0.24
    fate = rng.random()
    return Plan(
        bot_only=not served and course < 0.17,
        abandoned=not served and course >= 0.17,
        transferred=rng.random() < 0.14,
        timed_out=last and channel in _MOBILE and rng.random() < 0.25,
        rarities=rarities or rng.choice(_INTERLUDES),
        case_link=rng.randrange(86_400, 100_000) if served and fate < 0.12 else None,
        deleted_after=rng.randrange(6 * _HOUR, 20 * _HOUR) if fate > 0.975 else None,
    )


def _scenario(rng: random.Random, scenarios: tuple[Scenario, ...], language: str) -> Scenario:
    return rng.choice([scenario for scenario in scenarios if scenario.language == language])
