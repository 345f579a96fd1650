"""
SOQL text, built in one place. Values are quoted here and nowhere else; names come from declarations and describe.

Contract: SOQL and SOSL reference, quoted string escapes and date formats.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

_ESCAPES = str.maketrans({"\\": r"\\", "'": r"\'", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\b": r"\b", "\f": r"\f"})


def literal(value: str | int | float | bool | datetime | None) -> str:
    """
    A value as SOQL writes it.

    Raises:
        ValueError: for a datetime without a time zone; SOQL would read it in nobody's zone.
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
        case _:
            return repr(value)


def compare(field: str, operator: str, value: str | int | float | bool | datetime | None) -> str:
    return f"{field} {operator} {literal(value)}"


def one_of(field: str, values: Iterable[str]) -> str:
    return f"{field} IN ({', '.join(literal(value) for value in values)})"


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
