"""Rows as histories: a record is the list of its changes, and a query sees the state at one instant."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter

RECYCLE_BIN = 15 * 86_400
"""Seconds that a soft-deleted row is kept before it is deleted for good [doc; at once afterwards assumed]."""
Value = str | int | float | bool | None
Row = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Change:
    """
    One commit on a record.

    Attributes:
      at: UTC epoch seconds, the record's SystemModstamp from then on.
      values: the columns that changed; datetimes are UTC epoch seconds.
      by_user: False for automation, which moves SystemModstamp and leaves LastModifiedDate.
    """

    at: int
    values: Row
    by_user: bool = True


@dataclass(slots=True)
class Record:
    """
    One row of one object with everything that happened to it, oldest first.

    `drawn` makes the values of the first commit when somebody asks for them, of a row that need not be kept.
    """

    sobject: str
    id: str
    changes: list[Change]
    created_by: str
    gone_at: int | None = None
    drawn: Callable[[], Row] | None = field(default=None, repr=False)
    _seen: tuple[int, Row] | None = field(default=None, repr=False)

    def change(self, at: int, values: Row, *, by_user: bool = True) -> None:
        """Add a commit where it belongs in time; never before the record was created."""
        bisect.insort(self.changes, Change(max(at, self.changes[0].at), values, by_user), key=attrgetter("at"))
        self._seen = None

    def rewrite(self, place: int, change: Change) -> None:
        """Put another commit in the place of one."""
        self.changes[place] = change
        self._seen = None

    def redraw(self, alter: Callable[[Row], Row]) -> None:
        """Alter what is drawn, of a row that is."""
        drawn = self.drawn
        if drawn is not None:
            self.drawn = lambda: alter(drawn())
            self._seen = None

    def first(self, name: str) -> Value:
        """The value that a column had when the record was created."""
        values = self.changes[0].values
        return values.get(name) if name in values or not self.drawn else self.drawn().get(name)

    def as_of(self, now: int) -> Row | None:
        """The row that a query sees at `now` (UTC epoch seconds); None before its creation and after a purge,
        by hand or out of the recycle bin."""
        if now < self.changes[0].at or (self.gone_at is not None and now >= self.gone_at):
            return None
        count = len(self.changes) if now >= self.changes[-1].at else sum(c.at <= now for c in self.changes)
        if self._seen is None or self._seen[0] != count:
            self._seen = (count, self._folded(count))
        row = self._seen[1]
        return None if row["IsDeleted"] and now - (self._binned_at(now) or 0) >= RECYCLE_BIN else row

    def deleted_at(self, now: int) -> int | None:
        """When the row was deleted, softly or for good, if at `now` it is; None otherwise."""
        binned = self._binned_at(now)
        if binned is None and self.gone_at is not None and self.gone_at <= now:
            return self.gone_at
        return binned

    def _binned_at(self, now: int) -> int | None:
        moves = [c for c in self.changes if c.at <= now and "IsDeleted" in c.values]
        return moves[-1].at if moves and moves[-1].values["IsDeleted"] else None

    def _folded(self, count: int) -> Row:
        row: Row = {"Id": self.id, "IsDeleted": False, "CreatedById": self.created_by}
        row.update(self.drawn() if self.drawn else ())
        modified = self.changes[0].at
        for change in self.changes[:count]:
            row.update(change.values)
            if change.by_user:
                modified = change.at
        row.setdefault("CreatedDate", self.changes[0].at)
        row.setdefault("LastModifiedById", self.created_by)
        last = self.changes[count - 1]
        row["LastModifiedDate"] = last.values.get("LastModifiedDate", modified)
        row["SystemModstamp"] = last.values.get("SystemModstamp", last.at)
        return row
