"""An org that changes under its readers: columns added, removed and changed, picklist values that are new."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from conversation_pipeline.simulator.control.edits import sobject_of, typed
from conversation_pipeline.simulator.org import Org
from conversation_pipeline.simulator.world.records import Change, Record, Value
from conversation_pipeline.simulator.world.schema import TEXTUAL, Field, SObject

_TYPES = frozenset({
    "string", "picklist", "multipicklist", "textarea", "email", "phone", "url", "boolean", "int", "double", "datetime",
    "date", "reference", "address", "location", "base64",
})  # fmt: skip
_LENGTHS = {"string": 255, "picklist": 255, "textarea": 32_000, "int": 9, "double": 18, "reference": 18}
_MEMBERS = frozenset({"name", "type", "length", "picklist", "nillable", "filterable", "calculated", "referenceTo"})


def alter(org: Org, asked: dict[str, Any]) -> dict[str, Any]:
    """
    Change an object's columns: `{"object", "add": {...}, "remove": name, "change": {...}, "picklist": {...}}`.

    - `add`: `{"name", "type", "values": [...]}`; the values go round the rows, by id, without a new SystemModstamp, as
      a field that is created with a default does; without them every row is empty.
    - `change`: `{"name", "type"}`; what the rows hold is converted, and empty where it cannot be.
    - `picklist`: `{"name", "values": [...]}`: further values.

    Describe is new from now on, for If-Modified-Since too.

    Raises:
      ValueError: no such object, column or type, or nothing asked for.
    """
    sobject = sobject_of(org, asked.get("object"))
    steps: dict[str, Callable[[Org, SObject, Any], SObject]] = {
        "add": _added, "remove": _removed, "change": _changed, "picklist": _widened,
    }  # fmt: skip
    unknown = sorted(set(asked) - set(steps) - {"object"})
    if unknown or len(asked) < 2:
        raise ValueError(f"give `object` and some of {', '.join(steps)}")
    if not all(isinstance(asked[name], str if name == "remove" else dict) for name in steps if name in asked):
        raise ValueError("`remove` is a name; `add`, `change` and `picklist` are objects")
    for name, step in steps.items():
        if name in asked:
            sobject = step(org, sobject, asked[name])
    org.schema[sobject.name] = sobject
    org.schema_changed_at = org.clock.now
    org.edited = True
    return {"object": sobject.name, "fields": [field.name for field in sobject.fields]}


def _added(org: Org, sobject: SObject, asked: dict[str, Any]) -> SObject:
    values = asked.get("values")
    field = _field({key: value for key, value in asked.items() if key != "values"})
    if sobject.field(field.name) is not None:
        raise ValueError(f"{sobject.name} has a column {field.name} already")
    if values:
        parsed = [typed(field.type, value) for value in values]

        def fill(record: Record) -> None:
            _put(record, 0, field.name, parsed[zlib.crc32(record.id.encode()) % len(parsed)])

        org.world.amend(sobject.name, fill)
    return replace(sobject, fields=(*sobject.fields, field))


def _removed(_org: Org, sobject: SObject, name: str) -> SObject:
    field = _known(sobject, name)
    if field.system:
        raise ValueError(f"{field.name} is a system column")
    return replace(sobject, fields=tuple(other for other in sobject.fields if other is not field))


def _changed(org: Org, sobject: SObject, asked: dict[str, Any]) -> SObject:
    old = _known(sobject, str(asked.get("name")))
    new = replace(_field({**asked, "name": old.name}), nillable=old.nillable)

    def convert(record: Record) -> None:
        record.redraw(lambda row: row | {old.name: _converted(row.get(old.name), old.type, new.type)})
        for place, change in enumerate(record.changes):
            if old.name in change.values:
                _put(record, place, old.name, _converted(change.values[old.name], old.type, new.type))

    org.world.amend(sobject.name, convert)
    return replace(sobject, fields=tuple(new if field is old else field for field in sobject.fields))


def _widened(_org: Org, sobject: SObject, asked: dict[str, Any]) -> SObject:
    old = _known(sobject, str(asked.get("name")))
    new = replace(old, picklist=(*old.picklist, *asked.get("values", ())))
    return replace(sobject, fields=tuple(new if field is old else field for field in sobject.fields))


def _known(sobject: SObject, name: str) -> Field:
    field = sobject.field(name)
    if field is None:
        raise ValueError(f"{sobject.name} has no column {name}")
    return field


def _field(asked: dict[str, Any]) -> Field:
    unknown = sorted(set(asked) - _MEMBERS)
    if unknown:
        raise ValueError(f"a column has no {unknown[0]}; it has {', '.join(sorted(_MEMBERS))}")
    name, type_ = asked.get("name"), asked.get("type")
    if not name or type_ not in _TYPES:
        raise ValueError(f"a column has a name and a type: one of {', '.join(sorted(_TYPES))}")
    targets = tuple(asked.get("referenceTo", ()))
    return Field(
        str(name), str(type_), int(asked.get("length", _LENGTHS.get(str(type_), 0))),
        nillable=bool(asked.get("nillable", True)),
        filterable=bool(asked.get("filterable", type_ not in ("textarea", "base64", "address", "location"))),
        calculated=bool(asked.get("calculated", False)), reference_to=targets,
        relationship_name=_relationship(str(name)) if targets else None, picklist=tuple(asked.get("picklist", ())),
    )  # fmt: skip


def _relationship(name: str) -> str:
    return name.removesuffix("__c") + "__r" if name.endswith("__c") else name.removesuffix("Id")


def _put(record: Record, place: int, name: str, value: Value) -> None:
    """Rewrite a commit: the stamp stays as it was."""
    change = record.changes[place]
    record.rewrite(place, Change(change.at, change.values | {name: value}, change.by_user))


def _converted(value: Value, old: str, new: str) -> Value:
    if value is None or old == new:
        return value
    if new in TEXTUAL or new == "multipicklist":
        if old == "datetime" and isinstance(value, int):
            return datetime.fromtimestamp(int(value), UTC).isoformat()
        return str(value).lower() if isinstance(value, bool) else str(value)
    try:
        if new == "boolean":
            return str(value).lower() in ("true", "1", "yes")
        if new in ("int", "double"):
            return int(float(value)) if new == "int" else float(value)
        return typed(new, value) if old in TEXTUAL else None
    except ValueError:
        return None
