"""
What to ask the Conversation Data API for: the days' conversations, less what is staged and still stands.

A conversation that was active on several days of a run is asked for once, over all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from conversation_pipeline.extract.windows import Window

Ref = TypeVar("Ref")


@dataclass(frozen=True)
class Need:
    """
    One conversation on one day, as ``conversation_activity`` lists it.

    Attributes:
        day: The partition key.
        settled_at: From when on its entries of that day no longer move.
        changed_at: Latest change to any of its records; ``None`` if they tell none.
        readable: False while only calls that have not settled are known: their entries are not stored yet.
    """

    conversation_identifier: str
    day: str
    settled_at: datetime
    changed_at: datetime | None
    readable: bool = True

    @property
    def window(self) -> Window:
        return Window.of_day(self.day)


@dataclass(frozen=True)
class Held(Generic[Ref]):
    """A reading that is staged, and where."""

    conversation_identifier: str
    window: Window
    fetched_at: datetime
    ref: Ref


@dataclass(frozen=True)
class Request:
    """One reading to ask for."""

    conversation_identifier: str
    window: Window


@dataclass(frozen=True)
class Plan(Generic[Ref]):
    """
    Attributes:
        requests: Readings to ask for, in the order of their days.
        held: Readings that serve a need as they are, by conversation and day.
        postponed: Conversations whose entries Salesforce has not stored yet.
    """

    requests: tuple[Request, ...]
    held: Mapping[tuple[str, str], Held[Ref]]
    postponed: int


def plan(needs: Iterable[Need], held: Sequence[Held[Ref]], *, resumed_from: Mapping[str, datetime]) -> Plan[Ref]:
    """
    Args:
        held: All readings staged for the days and their neighbours.
        resumed_from: When an unfinished pull of a day began whose readings are still fresh, for the days that have one.
    """
    staged: dict[str, list[Held[Ref]]] = {}
    for reading in held:
        staged.setdefault(reading.conversation_identifier, []).append(reading)
    serving: dict[tuple[str, str], Held[Ref]] = {}
    windows: dict[str, Window] = {}
    postponed = 0
    for need in needs:
        found = [
            reading
            for reading in staged.get(need.conversation_identifier, ())
            if reading.window.covers(need.window) and _stands(reading, need, resumed_from.get(need.day))
        ]
        if found:
            serving[need.conversation_identifier, need.day] = max(found, key=lambda reading: reading.fetched_at)
        elif need.readable:
            known = windows.get(need.conversation_identifier, need.window)
            windows[need.conversation_identifier] = known.spanning(need.window)
        else:
            postponed += 1
    requests = sorted(
        (Request(identifier, window) for identifier, window in windows.items()),
        key=lambda request: (request.window, request.conversation_identifier),
    )
    return Plan(tuple(requests), serving, postponed)


def _stands(reading: Held[Ref], need: Need, resumed_from: datetime | None) -> bool:
    settled = reading.fetched_at >= need.settled_at
    unchanged = need.changed_at is None or reading.fetched_at > need.changed_at
    resumed = resumed_from is not None and reading.fetched_at >= resumed_from
    return (settled and unchanged) or resumed
