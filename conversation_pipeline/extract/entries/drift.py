"""What a reply holds that the published schema does not know."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Drift:
    """
    What a reply held that the published schema does not know, and how often: ``entry_type SurveyStarted: 2``.

    Names of types only: never a value. What stands where a type should and is no name is counted as such, for it may
    be somebody's words.
    """

    seen: Counter[str] = field(default_factory=Counter)


Notes = list[str]
"""What drifted in one entry; counted once the entry is known to be kept."""

_TYPE_NAME = re.compile(r"\w{1,64}", re.ASCII)


def unknown(kind: str, name: str | None) -> str:
    """The note of a type that no published schema has."""
    if name is None:
        return f"{kind} (none)"
    return f"{kind} {name if _TYPE_NAME.fullmatch(name) else '(no name)'}"
