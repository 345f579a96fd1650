"""Which files are the parts of one export (bulk-export 4.1, grouping)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath

_PART = re.compile(r"(?:[_-]|\.?part[_-]?| ?\()(\d{1,4})\)?$", re.IGNORECASE)
_ENDINGS = re.compile(r"(?:\.(?:zip|gz|csv|json|jsonl|ndjson|txt))+$", re.IGNORECASE)
_DATED = re.compile(r"(?<!\d)20\d{2}[-_.]?[01]\d[-_.]?[0-3]\d")


@dataclass(frozen=True)
class ArchiveSet:
    """
    The parts of one export.

    Attributes:
        name: What their names have in common; with the date of the request, where only their manifests tell it.
        paths: In the order of their numbers.
    """

    name: str
    paths: tuple[str, ...]

    @property
    def numbered(self) -> bool:
        """Whether the names count parts, so that there may be more of them."""
        return any(_PART.search(_stem(path)) for path in self.paths)


def sets(paths: Iterable[str], requested_on: Callable[[str], date | None] = lambda _path: None) -> list[ArchiveSet]:
    """
    Group files by folder and stem: ``x_1.zip``, ``x-01.zip``, ``x.part1.zip`` and ``x (1).zip`` are parts of ``x``.

    A longer number, such as a time stamp, belongs to the stem. Where a stem tells no date, parts of different requests
    may share it: they are told apart by the days of those requests. A part that tells no day is of the last one.

    Args:
        requested_on: On which day the export of a file was asked for, as its manifest says; asked where the name does
            not tell.
    """
    stems: dict[str, list[tuple[int, str]]] = {}
    for path in paths:
        stem = _stem(path)
        part = _PART.search(stem)
        name = stem[: part.start()] if part else stem
        stems.setdefault(str(PurePosixPath(path).parent / name), []).append((int(part[1]) if part else 0, path))
    found: dict[str, list[tuple[int, str]]] = {}
    for name, parts in stems.items():
        days = {} if _DATED.search(PurePosixPath(name).name) else {path: requested_on(path) for _, path in parts}
        last = max((day for day in days.values() if day is not None), default=None)
        for number, path in parts:
            day = days.get(path) or last
            found.setdefault(name if day is None else f"{name}_{day.isoformat()}", []).append((number, path))
    return [ArchiveSet(name, tuple(path for _, path in sorted(parts))) for name, parts in sorted(found.items())]


def _stem(path: str) -> str:
    return _ENDINGS.sub("", PurePosixPath(path).name)
