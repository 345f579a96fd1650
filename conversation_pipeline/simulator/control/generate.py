"""Plain rows and entries in any number, drawn by what describe and the schema say: for paging, limits, benchmarks."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from conversation_pipeline.simulator.control.edits import sobject_of, utc_seconds
from conversation_pipeline.simulator.org import Org
from conversation_pipeline.simulator.world.entries import Entry, Speaker, text_of
from conversation_pipeline.simulator.world.ids import record_id, to_18
from conversation_pipeline.simulator.world.records import Change, Record, Row, Value
from conversation_pipeline.simulator.world.schema import POINTED_AT, Field, SObject

MOST_ROWS = 1_000_000
_POOL = 200
_PATTERNS = 499
"""Rows are copies of so many patterns, with names, ids and times of their own: drawing each would take too long."""
_STEP = 30
_NOT_DRAWN = frozenset({"datetime", "date", "address", "location", "base64"})
_SPEAKERS = (
    Speaker("messaging", "15550001111", "EndUser", "Olivia Walker"),
    Speaker("agent", record_id("005", 1)[:15], "Agent", "Rita R."),
)
Draw = Callable[[random.Random], Value]


def generate(org: Org, asked: dict[str, Any]) -> dict[str, Any]:
    """
    Make plain rows: `{"sobject", "count", "from", "to", "seed"}`.

    Equal seeds give equal rows; `CreatedDate` and `SystemModstamp` lie from `from` (inclusive) to `to` (exclusive),
    in the order of the ids. The rows stand alone: of their lookups only those that cannot be empty point anywhere.

    Raises:
      ValueError: no such object, a count out of range, or a span that is empty.
    """
    sobject = sobject_of(org, asked.get("sobject"))
    count = _number(asked, "count", None)
    start, end = _span(asked)
    world = org.world
    world.reach(end)
    rng = random.Random(f"generate/{asked.get('seed', 0)}/{sobject.name}")
    delays = {field.name: _delay(field) for field in sobject.fields if field.type == "datetime" and not field.system}
    patterns = _patterns(org, sobject, rng, min(count, _PATTERNS), start)
    first, created_by = world.numbers_by_hand(count), world.cast.integration_user_id
    named = sobject.name_field == "Name"
    for number, at in enumerate(sorted(rng.choices(range(start, end), k=count)), start=first):
        drawn = partial(_row, rng.choice(patterns), delays, at, f"{number % 100_000_000:08d}" if named else None)
        identifier = record_id(sobject.key_prefix, number)
        world.add_record(Record(sobject.name, identifier, [Change(at, {})], created_by, drawn=drawn))
    ends = (record_id(sobject.key_prefix, number) for number in (first, first + count - 1))
    org.edited = True
    return {"sobject": sobject.name, "generated": count, "ids": list(ends)}


def generate_entries(org: Org, asked: dict[str, Any]) -> dict[str, Any]:
    """
    Make text entries in any number: `{"conversationIdentifier", "count", "from", "to", "tied", "seed", "recordId"}`.

    They lie evenly from `from` (inclusive) to `to` (exclusive), customer and representative by turns; so many as
    `tied` (1) share each millisecond. `recordId` is the session or call that they belong to. Equal seeds give equal
    entries.

    Raises:
      ValueError: no such conversation, a count or a tie out of range, or a span that is empty.
    """
    identifier = str(asked.get("conversationIdentifier"))
    conversation = org.world.conversation(identifier, org.clock.now)
    if conversation is None:
        raise ValueError("no such conversation now; POST /simulator/records can insert a Conversation")
    count, tied = _number(asked, "count", None), _number(asked, "tied", 1)
    start, end = _span(asked)
    groups, span = -(-count // tied), (end - start) * 1000
    if groups > span:
        raise ValueError("the span has too few milliseconds for so many entries")
    rng = random.Random(f"generate/{asked.get('seed', 0)}/{identifier}")
    record = to_18(asked["recordId"]) if asked.get("recordId") else None
    made = [_text(rng, place, start * 1000 + place // tied * span // groups, record) for place in range(count)]
    conversation.entries[:] = sorted([*conversation.entries, *made], key=lambda entry: entry.at)
    org.edited = True
    return {"generated": count, "identifiers": [made[0].identifier, made[-1].identifier]}


def tie_entries(org: Org, asked: dict[str, Any]) -> dict[str, Any]:
    """
    Give every nth entry of every conversation the millisecond of the one before: `{"every": n}`, n from 2.

    Raises:
      ValueError: n is no such number.
    """
    every = _number(asked, "every", None)
    if every < 2:
        raise ValueError("every is a number from 2")
    org.world.tie(every)
    org.edited = True
    return {"every": every}


def _text(rng: random.Random, place: int, at: int, record: str | None) -> Entry:
    identifier = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    words = f"Entry {place}, {rng.randrange(10_000)}"
    content = {"formatType": "Text", "text": words}
    message = {"messageType": "StaticContentMessage", "id": identifier, "staticContent": content}
    payload = {"entryType": "Message", "id": identifier, "abstractMessage": message}
    sender = _SPEAKERS[place % len(_SPEAKERS)]
    return Entry(
        identifier, "Message", json.dumps(payload, separators=(",", ":")), sender, sender.display_name, at, at, 0,
        "Messaging", "Default", (record[:15],) if record else (), record, None, *text_of(payload),
    )  # fmt: skip


def _span(asked: dict[str, Any]) -> tuple[int, int]:
    if not all(isinstance(asked.get(name), str) for name in ("from", "to")):
        raise ValueError("`from` and `to` are date-times, such as 2026-11-20T12:00:00Z")
    start, end = utc_seconds(asked["from"]), utc_seconds(asked["to"])
    if start >= end:
        raise ValueError("`from` lies before `to`")
    return start, end


def _number(asked: dict[str, Any], name: str, default: int | None) -> int:
    value = asked.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MOST_ROWS:
        raise ValueError(f"{name} is a number from 1 to {MOST_ROWS}")
    return value


def _row(pattern: Row, delays: dict[str, int], at: int, name: str | None) -> Row:
    row = pattern | {column: at + delay for column, delay in delays.items()}
    if name:
        row["Name"] = name
    return row


def _delay(field: Field) -> int:
    """Seconds from a row's creation to a date-time of it: what starts, starts before it ends."""
    return _STEP * 10 if "End" in field.name else _STEP


def _patterns(org: Org, sobject: SObject, rng: random.Random, count: int, start: int) -> list[Row]:
    draws = {field.name: _drawing(org, field, start) for field in sobject.fields if _is_drawn(field, sobject)}
    return [{name: draw(rng) for name, draw in draws.items()} for _ in range(count)]


def _is_drawn(field: Field, sobject: SObject) -> bool:
    if field.system or field.calculated or field.name == sobject.name_field:
        return False
    return field.type not in _NOT_DRAWN and (field.type != "reference" or not field.nillable)


def _drawing(org: Org, field: Field, start: int) -> Draw:
    """How a value of that column is drawn, by its describe type."""
    match field.type:
        case "reference":
            ids = _pool(org, field, start)
            return lambda rng: rng.choice(ids)
        case "picklist":
            values = field.picklist or (None,)
            return lambda rng: rng.choice(values)
        case "boolean":
            return lambda rng: rng.random() < 0.5
        case "int":
            return lambda rng: rng.randrange(1000)
        case "double":
            return lambda rng: round(rng.random() * 5, 2)
        case _:
            label, length = field.name[:12], max(1, field.length)
            return lambda rng: f"{label} {rng.randrange(10_000)}"[:length]


def _pool(org: Org, field: Field, start: int) -> list[str]:
    """Records that a required lookup can point at: some that were there before, else ids that lead nowhere."""
    for target in (*(t for t in field.reference_to if t == "User"), *field.reference_to):
        records = org.world.records_of(target) if target in org.schema else []
        found = [record.id for record in records if record.changes[0].at <= start and not record.drawn][:_POOL]
        if found:
            return found
    target = field.reference_to[0]
    prefix = org.schema[target].key_prefix if target in org.schema else POINTED_AT.get(target, "0XX")
    return [record_id(prefix, number) for number in range(_POOL)]
