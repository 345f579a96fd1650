"""
SOQL text, built in one place. Values are quoted here and nowhere else; names come from declarations and describe.

Contract: SOQL and SOSL reference, quoted string escapes and date formats.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

_ESCAPES = str.maketrans({"\\": r"\\", "'": r"\'", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\b": r"\b", "\f": r"\f"})


def literal(value: str | int | float | bool | datetime | None) -> str:
    """
    A value as SOQL writes it.

    Raises:
        ValueError: for a datetime without a time zone, which SOQL would read in nobody's zone, and for numbers that
            it can not write.
    """
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case datetime():
            return _instant(value)
        case str():
            return f"'{value.translate(_ESCAPES)}'"
        case float() if not math.isfinite(value):
            raise ValueError("SOQL takes finite numbers only")
        case _:
            return repr(value)


def compare(field: str, operator: str, value: str | int | float | bool | datetime | None) -> str:
    return f"{field} {operator} {literal(value)}"


def one_of(field: str, values: Iterable[str]) -> str:
    """
    Raises:
        ValueError: without values; SOQL has no way to say "none of them".
    """
    listed = ", ".join(literal(value) for value in values)
    if not listed:
        raise ValueError(f"{field} IN () is no SOQL: ask only if there are values")
    return f"{field} IN ({listed})"


def within(field: str, start: datetime, end: datetime) -> str:
    """The half-open window ``start <= field < end``."""
    return f"{compare(field, '>=', start)} AND {compare(field, '<', end)}"


def select(fields: Sequence[str], sobject: str, *, where: str = "", order_by: str = "") -> str:
    query = f"SELECT {', '.join(fields)} FROM {sobject}"  # noqa: S608  (names come from declarations, never from input)
    if where:
        query += f" WHERE {where}"
    if order_by:
        query += f" ORDER BY {order_by}"
    return query


def _instant(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError("SOQL takes instants with a time zone only")
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
