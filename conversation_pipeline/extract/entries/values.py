"""JSON values as columns want them: what is of another shape is as good as missing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]

INSTANTS = range(-62_135_596_800_000, 253_402_300_800_000)
"""Milliseconds of the years 1 to 9999: what Python's datetime, and so every reader of the lake, can hold."""


def as_object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def as_string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def first_object(members: Json, names: Iterable[str]) -> Json:
    """The first of the members that is an object and holds anything."""
    return next((found for name in names if (found := as_object(members.get(name)))), {})


def title_of(value: Any) -> str | None:
    """The title of a title item, which may be plain text, an item, or an item inside an item."""
    while isinstance(value, dict):
        value = value["title"] if "title" in value else value.get("titleItem")
    return value if isinstance(value, str) and value else None


_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def uuid_in_lower_case(identifier: str) -> str:
    """Roads spell UUIDs in either case and mean the same; record ids, whose case counts, stay as they are."""
    lower = identifier.lower()
    return lower if lower != identifier and _UUID.fullmatch(lower) else identifier
