"""Rows as histories: a record is the list of its changes, and a query sees the state at one instant."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter

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

    def first(self, name: str) -> Value:
        """The value that a column had when the record was created."""
        values = self.changes[0].values
        return values.get(name) if name in values or not self.drawn else self.drawn().get(name)

    def as_of(self, now: int) -> Row | None:
        """The row that a query sees at `now` (UTC epoch seconds); None before its creation and after a purge."""
        if now < self.changes[0].at or (self.gone_at is not None and now >= self.gone_at):
            return None
        count = len(self.changes) if now >= self.changes[-1].at else sum(c.at <= now for c in self.changes)
        if self._seen is None or self._seen[0] != count:
            self._seen = (count, self._folded(count))
        return self._seen[1]

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
