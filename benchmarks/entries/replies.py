"""Replies on the disk, page by page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

DAY = "2026-11-18"


@dataclass(frozen=True)
class Page:
    """Where one reply's body is, and whose it is."""

    conversation_identifier: str
    start: int
    length: int


class Pages(Sequence[bytes]):
    """Bodies on the disk, read when they are asked for."""

    def __init__(self, file: BinaryIO, pages: Sequence[Page]) -> None:
        self._file = file
        self._pages = pages

    def __len__(self) -> int:
        return len(self._pages)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        wanted = self._pages[place]
        self._file.seek(wanted.start)
        return self._file.read(wanted.length)


@dataclass(frozen=True)
class Replies:
    """All replies of one case, conversation by conversation."""

    file: Path
    pages: Sequence[Page]
    entries: int

    @property
    def size(self) -> int:
        return sum(one.length for one in self.pages)

    def conversations(self) -> Iterator[tuple[str, Pages]]:
        with self.file.open("rb") as file:
            for identifier, pages in groupby(self.pages, key=lambda one: one.conversation_identifier):
                yield identifier, Pages(file, list(pages))


def kept(folder: Path, entries: int) -> Replies:
    """What ``made`` left in the folder."""
    pages = [Page(*one) for one in json.loads((folder / "pages.json").read_text())]
    return Replies(folder / "replies.json", pages, entries)
