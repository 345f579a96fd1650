"""Record ids as Salesforce makes them: three characters of key prefix, a number in base 62, a case checksum."""

from __future__ import annotations

import string

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_CHECKSUM = string.ascii_uppercase + "012345"
_INSTANCE = "AA0"


def record_id(prefix: str, number: int) -> str:
    """
    The 18-character id of the record with this number.

    Arguments:
      prefix: the object's key prefix, three characters, as describe tells it.
      number: from 0 below 62**9.
    """
    digits = ""
    for _ in range(9):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return to_18(prefix + _INSTANCE + digits)


def to_18(identifier: str) -> str:
    """
    The case-safe form of an id; an 18-character id is returned as it is.

    Raises:
      ValueError: neither 15 nor 18 letters and digits.
    """
    if len(identifier) not in (15, 18) or not identifier.isascii() or not identifier.isalnum():
        raise ValueError("an id has 15 or 18 letters and digits")
    if len(identifier) == 18:
        return identifier
    capitals = int("".join("1" if char.isupper() else "0" for char in reversed(identifier)), 2)
    return identifier + "".join(_CHECKSUM[capitals >> start & 31] for start in (0, 5, 10))
