"""Which entries a request gets, and in what pages; no HTTP."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from conversation_pipeline.simulator.world.entries import Entry

MAX_RECORDS = 1000


@dataclass(frozen=True, slots=True)
class Selection:
    """Bounds in epoch milliseconds, both inclusive, on the transcripted timestamp; and how to page."""

    start: int
    end: int
    limit: int
    newest_first: bool
    after: int


def select(entries: Sequence[Entry], selection: Selection) -> tuple[list[Entry], str | None]:
    """One page in order, and the token of the next one if there is more."""
    wanted = [entry for entry in entries if selection.start <= entry.at <= selection.end]
    wanted.sort(key=lambda entry: (entry.at, entry.identifier), reverse=selection.newest_first)
    end = selection.after + selection.limit
    return wanted[selection.after : end], page_token(end) if end < len(wanted) else None


def page_token(place: int) -> str:
    """An opaque token for the page that begins at `place`."""
    return base64.urlsafe_b64encode(f"place:{place}".encode()).decode()


def place_of(token: str) -> int:
    """
    Where the page of a token begins.

    Raises:
      ValueError: not a token that was handed out.
    """
    try:
        name, _, place = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("not a page token") from error
    if name != "place":
        raise ValueError("not a page token")
    return int(place)
