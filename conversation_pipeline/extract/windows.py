"""Half-open windows of time, in UTC."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta


@dataclass(frozen=True, order=True)
class Window:
    """``start <= instant < end``, both with a time zone."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a window's ends need a time zone")
        if self.end < self.start:
            raise ValueError("a window can not end before it starts")

    @classmethod
    def of_day(cls, day: str) -> Window:
        """The UTC day of a partition key, ``YYYY-MM-DD``."""
        start = datetime.combine(date.fromisoformat(day), time.min, UTC)
        return cls(start, start + timedelta(days=1))

    @classmethod
    def of_days(cls, days: Sequence[str]) -> Window:
        """An unbroken run of days, in order, as one window."""
        return cls.of_day(days[0]).spanning(cls.of_day(days[-1]))

    def covers(self, other: Window) -> bool:
        return self.start <= other.start and other.end <= self.end

    def spanning(self, other: Window) -> Window:
        return Window(min(self.start, other.start), max(self.end, other.end))


def unbroken(days: Iterable[str], *, longest: int | None = None) -> list[list[str]]:
    """Days as runs in which each follows the one before, none of more days than ``longest``."""
    runs: list[list[str]] = []
    for day in sorted(set(days)):
        follows = bool(runs) and Window.of_day(runs[-1][-1]).end == Window.of_day(day).start
        if follows and (longest is None or len(runs[-1]) < longest):
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_milliseconds(instant: datetime) -> int:
    """Milliseconds since 1970, the way conversation APIs write instants."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def from_milliseconds(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)
