"""Replies of the Conversation Data API as the simulator words them: the same bytes for the same arguments."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import astuple, replace
from datetime import UTC, date, datetime, timedelta
from itertools import count, islice
from pathlib import Path
from random import Random

from benchmarks.entries.replies import DAY, Page, Replies
from conversation_pipeline.simulator.conversation_data.wire import page
from conversation_pipeline.simulator.world.builder import Recipe
from conversation_pipeline.simulator.world.entries import Entry
from conversation_pipeline.simulator.world.world import World

ENTRIES_A_PAGE = 1_000
_WORLD_DAYS = 3  # whatever the seed, any three days of the world show every published type
_OBJECT_EVERY = 10  # one page in so many has its payloads as objects, the others as strings


def made(folder: Path, entries: int, *, one_conversation: bool) -> Replies:
    """
    That many entries of one day: of conversations as long as the world's, or of one conversation.

    The world's own entries come again and again, each time with identifiers and times of their own.
    """
    file = folder / "replies.json"
    pages: list[Page] = []
    chance = Random(4)
    with file.open("wb") as out:
        for place, (identifier, chunk) in enumerate(_chunks(entries, chance, one_conversation=one_conversation)):
            body = bytes(page(chunk, None, "string" if place % _OBJECT_EVERY else "object").body)
            pages.append(Page(identifier, out.tell(), len(body)))
            out.write(body)
    pages.sort(key=lambda one: one.conversation_identifier)  # as a landing takes its readings; pages keep their order
    (folder / "pages.json").write_text(json.dumps([astuple(one) for one in pages]))
    return Replies(file, pages, entries)


def _chunks(entries: int, chance: Random, *, one_conversation: bool) -> Iterator[tuple[str, list[Entry]]]:
    first = int(datetime.fromisoformat(DAY).replace(tzinfo=UTC).timestamp() * 1000)
    places = count()
    said = _said(chance)

    def again(entry: Entry) -> Entry:
        at = first + next(places) * 86_400_000 // entries
        identifier = _uuid(chance)
        payload = entry.payload.replace(entry.identifier, identifier)
        return replace(entry, identifier=identifier, payload=payload, at=at, client_at=at - 80)

    if one_conversation:
        identifier, endless = _uuid(chance), (entry for conversation in said for entry in conversation)
        for start in range(0, entries, ENTRIES_A_PAGE):
            yield identifier, [again(entry) for entry in islice(endless, min(ENTRIES_A_PAGE, entries - start))]
        return
    left = entries
    while left:
        conversation = next(said)[: min(left, ENTRIES_A_PAGE)]
        left -= len(conversation)
        yield _uuid(chance), [again(entry) for entry in conversation]


def _said(chance: Random) -> Iterator[list[Entry]]:
    """The world's conversations, mixed, for ever."""
    last = date.fromisoformat(DAY)
    world = World(Recipe(7, 400), last - timedelta(days=_WORLD_DAYS - 1))
    world.reach(int(datetime.fromisoformat(DAY).replace(hour=23, tzinfo=UTC).timestamp()))
    conversations = [one.entries for one in world.conversations.values() if one.entries]
    while True:
        chance.shuffle(conversations)
        yield from conversations


def _uuid(chance: Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))
