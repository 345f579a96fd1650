"""Salesforce record ids: 15 case-sensitive characters, or 18 with a checksum that survives folding case."""

from __future__ import annotations

import re

_ID = re.compile(r"[A-Za-z0-9]{15}|[A-Za-z0-9]{18}")
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def is_record_id(value: str) -> bool:
    return _ID.fullmatch(value) is not None


def record_id_18(value: str) -> str:
    """The 18-character form of a record id; anything else (a UUID, an 18-character id) is given back as it is."""
    if len(value) != 15 or not is_record_id(value):
        return value
    suffix = (
        _CHECK[sum(1 << place for place, letter in enumerate(value[start : start + 5]) if letter.isupper())]
        for start in (0, 5, 10)
    )
    return value + "".join(suffix)
