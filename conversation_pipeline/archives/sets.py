"""Which files are the parts of one export (bulk-export 4.1, grouping)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

_PART = re.compile(r"(?:[_-]|\.?part[_-]?| ?\()(\d{1,4})\)?$", re.IGNORECASE)
_ENDINGS = re.compile(r"(?:\.(?:zip|gz|csv|json|jsonl|ndjson|txt))+$", re.IGNORECASE)


@dataclass(frozen=True)
class ArchiveSet:
    """
    The parts of one export.

    Attributes:
        name: What their names have in common.
        paths: In the order of their numbers.
    """

    name: str
    paths: tuple[str, ...]


def sets(paths: Iterable[str]) -> list[ArchiveSet]:
    """
    Group files by folder and stem: ``x_1.zip``, ``x-01.zip``, ``x.part1.zip`` and ``x (1).zip`` are parts of ``x``.

    A longer number, such as a time stamp, belongs to the stem.
    """
    found: dict[str, list[tuple[int, str]]] = {}
    for path in paths:
        pure = PurePosixPath(path)
        stem = _ENDINGS.sub("", pure.name)
        part = _PART.search(stem)
        name = stem[: part.start()] if part else stem
        found.setdefault(str(pure.parent / name), []).append((int(part[1]) if part else 0, path))
    return [ArchiveSet(name, tuple(path for _, path in sorted(parts))) for name, parts in sorted(found.items())]
