"""Plain rows in any number, drawn column by column from what describe says: for paging, limits and benchmarks."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from conversation_pipeline.simulator.control.edits import BY_HAND, sobject_of, utc_seconds
from conversation_pipeline.simulator.org import Org
from conversation_pipeline.simulator.world.ids import record_id
from conversation_pipeline.simulator.world.records import Change, Record, Row, Value
from conversation_pipeline.simulator.world.schema import POINTED_AT, Field, SObject

MOST_ROWS = 1_000_000
_POOL = 200
_STEP = 30
"""Seconds between the date-times of a row, in the order of its columns: what starts, starts before it ends."""
Draw = Callable[[random.Random, int], Value]


def generate(org: Org, asked: dict[str, Any]) -> dict[str, Any]:
    """
    Make plain rows: `{"sobject", "count", "from", "to", "seed"}`.

    Equal seeds give equal rows; `CreatedDate` and `SystemModstamp` lie from `from` (inclusive) to `to` (exclusive),
    in the order of the ids. The rows stand alone: of their lookups only those that cannot be empty point anywhere.

    Raises:
      ValueError: no such object, a count out of range, or a span that is empty.
    """
    sobject = sobject_of(org, asked.get("sobject"))
    count, start, end = asked.get("count"), utc_seconds(asked["from"]), utc_seconds(asked["to"])
    if isinstance(count, bool) or not isinstance(count, int) or not 0 < count <= MOST_ROWS:
        raise ValueError(f"count is a number from 1 to {MOST_ROWS}")
    if start >= end:
        raise ValueError("`from` lies before `to`")
    world = org.world
    world.reach(end)
    draws = [(field.name, _drawing(org, field)) for field in sobject.fields if _is_drawn(field, sobject)]
    first, seed = BY_HAND + world.count(), f"generate/{asked.get('seed', 0)}/{sobject.name}"
    created_by = world.cast.integration_user_id
    times = sorted(random.Random(seed).choices(range(start, end), k=count))
    for place, at in enumerate(times):
        identifier = record_id(sobject.key_prefix, first + place)
        name = f"{(first + place) % 100_000_000:08d}" if sobject.name_field == "Name" else None
        drawn = partial(_row, draws, f"{seed}/{place}", at, name)
        world.add_record(Record(sobject.name, identifier, [Change(at, {})], created_by, drawn=drawn))
    ends = (record_id(sobject.key_prefix, number) for number in (first, first + count - 1))
    org.edited = True
    return {"sobject": sobject.name, "generated": count, "ids": list(ends)}


def _row(draws: list[tuple[str, Draw]], seed: str, at: int, name: str | None) -> Row:
    rng = random.Random(seed)
    row: Row = {"Name": name} if name else {}
    row.update((column, draw(rng, at)) for column, draw in draws)
    return row


def _is_drawn(field: Field, sobject: SObject) -> bool:
    if field.system or field.calculated or field.name == sobject.name_field:
        return False
    return field.type != "reference" or not field.nillable


def _drawing(org: Org, field: Field) -> Draw:
    """How a value of that column is drawn, by its describe type."""
    match field.type:
        case "reference":
            ids = _pool(org, field)
            return lambda rng, _at: ids[int(rng.random() * len(ids))]
        case "picklist":
            values = field.picklist or (None,)
            return lambda rng, _at: values[int(rng.random() * len(values))]
        case "boolean":
            return lambda rng, _at: rng.random() < 0.5
        case "int":
            return lambda rng, _at: int(rng.random() * 1000)
        case "double":
            return lambda rng, _at: round(rng.random() * 5, 2)
        case "datetime":
            # Columns come in the order of a record's life.
            delay = _STEP * (1 + sum(map(ord, field.name)) % 3) if "End" not in field.name else _STEP * 10
            return lambda _rng, at: at + delay
        case "date":
            return lambda _rng, _at: None
        case _:
            label, length = field.name[:12], max(1, field.length)
            return lambda rng, _at: f"{label} {int(rng.random() * 10_000)}"[:length]


def _pool(org: Org, field: Field) -> list[str]:
    """Records that a required lookup can point at; where the org shows none, ids of records that it does not show."""
    for target in (*(t for t in field.reference_to if t == "User"), *field.reference_to):
        found = [record.id for record in org.world.records_of(target)[:_POOL]] if target in org.schema else []
        if found:
            return found
    prefix = POINTED_AT.get(field.reference_to[0], "0XX")
    return [record_id(prefix, number) for number in range(_POOL)]
