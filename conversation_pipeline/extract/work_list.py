"""
What to ask an entry road for: the days' conversations, less what is staged, or landed, and still stands.

A conversation that was active on several days of a run is asked for once, over all of them. One whose day is still
going on is asked for what came since its last reading; once the day has settled it is read as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from conversation_pipeline.extract.windows import Window

Ref = TypeVar("Ref")

OVERLAP = timedelta(minutes=10)
"""How far a reading of a day that goes on reaches back behind the one before it: entries may be stored out of order."""

LONGEST_CHAIN = 12
"""Readings that add up to a day, at most; then it is read as a whole, so that typing it stays cheap."""

CALL_READ_AGAIN_AFTER = timedelta(days=1)
"""A call's entries may be tied to another call, or be uploaded, after it has settled."""

_SECOND = timedelta(seconds=1)  # both clocks tell whole seconds: which came first can not be known


@dataclass(frozen=True)
class Need:
    """
    One conversation on one day, as ``conversation_activity`` lists it.

    Attributes:
        day: The partition key.
        settled_at: From when on its entries of that day no longer move.
        changed_at: Latest change to any of its records; ``None`` if they tell none.
        has_call: Whether a call is among its interactions.
        readable: False while only calls that have not settled are known: their entries are not stored yet.
        live: Whether entries may come without any of its records changing: a session is open, and not idle.
        retold_at: When a poorer road was read that has other words under the same identifier and time; ``None`` if none
            has. Whether they were taken back, only a reading of the whole day since then tells.
    """

    conversation_identifier: str
    day: str
    settled_at: datetime
    changed_at: datetime | None
    has_call: bool = False
    readable: bool = True
    live: bool = True
    retold_at: datetime | None = None

    @property
    def window(self) -> Window:
        return Window.of_day(self.day)

    def due(self, now: datetime, read_again_after: Sequence[timedelta] = ()) -> datetime:
        """
        A reading stands if it was fetched at this instant or later.

        Args:
            read_again_after: Ages, counted from when the day settled, at which it is read once more: text that was
                redacted upstream shows by nothing else.
        """
        if self.live and now < self.settled_at:
            return min(now, self.window.end + OVERLAP)
        ages = [timedelta(0), *read_again_after, *([CALL_READ_AGAIN_AFTER] if self.has_call else [])]
        passed = [self.settled_at + age for age in ages if self.settled_at + age <= now]
        changes = [at + _SECOND for at in (self.changed_at, self.retold_at) if at is not None]
        return max([*passed, *changes], default=self.window.start)


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
        held: Readings that serve a need as they are, by conversation and day, oldest first: one of the whole day, and
            those that went on from it.
        landed: Needs, by conversation and day, that the lake's own rows serve: their readings are not kept any more.
        postponed: Conversations whose entries Salesforce has not stored yet.
    """

    requests: tuple[Request, ...]
    held: Mapping[tuple[str, str], tuple[Held[Ref], ...]]
    postponed: int
    landed: frozenset[tuple[str, str]] = frozenset()


def plan(
    needs: Iterable[Need],
    held: Sequence[Held[Ref]],
    *,
    now: datetime,
    read_again_after: Sequence[timedelta] = (),
    resumed_from: Mapping[str, datetime] | None = None,
    landed_at: Mapping[tuple[str, str], datetime] | None = None,
) -> Plan[Ref]:
    """
    Args:
        held: All readings staged for the days and their neighbours.
        now: The org's clock.
        read_again_after: See ``Need.due``.
        resumed_from: When an unfinished pull of a day began whose readings are still fresh, for the days that have one.
        landed_at: By conversation and day, when what the lake holds of it was read, as far as that is known.
    """
    staged: dict[str, list[Held[Ref]]] = {}
    for reading in sorted(held, key=lambda reading: reading.fetched_at):
        staged.setdefault(reading.conversation_identifier, []).append(reading)
    serving: dict[tuple[str, str], tuple[Held[Ref], ...]] = {}
    windows: dict[str, Window] = {}
    postponed = 0
    landed: set[tuple[str, str]] = set()
    known = landed_at or {}
    for need in needs:
        chain = _chain(staged.get(need.conversation_identifier, ()), need.window)
        due = need.due(now, read_again_after)
        resumed = (resumed_from or {}).get(need.day)
        stands_from = due if resumed is None else min(due, resumed)
        place = need.conversation_identifier, need.day
        if chain and chain[-1].fetched_at >= stands_from:
            serving[place] = chain
        elif place in known and known[place] >= stands_from:
            landed.add(place)
        elif need.readable:
            window = _window(need, chain, now)
            other = windows.get(need.conversation_identifier, window)
            windows[need.conversation_identifier] = other.spanning(window)
        else:
            postponed += 1
    requests = sorted(
        (Request(identifier, window) for identifier, window in windows.items()),
        key=lambda request: (request.window, request.conversation_identifier),
    )
    return Plan(tuple(requests), serving, postponed, frozenset(landed))


def _chain(readings: Sequence[Held[Ref]], day: Window) -> tuple[Held[Ref], ...]:
    """The newest reading of the whole day, and those since that each reach back behind the one before."""
    whole = next((place for place in reversed(range(len(readings))) if readings[place].window.covers(day)), None)
    if whole is None:
        return ()
    chain = [readings[whole]]
    for reading in readings[whole + 1 :]:
        if reading.window.end >= day.end and reading.window.start <= chain[-1].fetched_at:
            chain.append(reading)
    return tuple(chain)


def _window(need: Need, chain: Sequence[Held[Ref]], now: datetime) -> Window:
    """What to ask for: the whole day, or while it goes on what came since it was last read."""
    day = need.window
    if not chain or now >= need.settled_at or need.retold_at is not None or len(chain) >= LONGEST_CHAIN:
        return day
    since = max(day.start, chain[-1].fetched_at - OVERLAP)
    return Window(since, day.end) if since < day.end else day
