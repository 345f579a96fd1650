"""What is on record of the export archives that were landed: the dataset ``transcript_archives``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import groupby
from typing import Any

import pyarrow as pa

from conversation_pipeline.schemas.conversations import ENTRIES_ARCHIVE_UNPLACED, TRANSCRIPT_ARCHIVES
from conversation_pipeline.storage import Lake

Row = dict[str, Any]

_INCOMPLETE = "parts are missing, or hold fewer entries than their manifests say"
_EMPTY = "not a single entry was read of it"


@dataclass(frozen=True)
class LandedSet:
    """
    An export as it was landed last.

    Attributes:
        name: What its parts have in common.
        files: The rows of the record, one for each part.
        unplaced: Rows of it that have no place in the days, by what they lack.
    """

    name: str
    files: Sequence[Row]
    unplaced: Counter[str]

    @property
    def landed_at(self) -> datetime:
        landed_at: datetime = max(row["landed_at"] for row in self.files)
        return landed_at

    @property
    def snapshot_at(self) -> datetime | None:
        """When the first of its parts was taken."""
        return min((row["snapshot_at"] for row in self.files if row["snapshot_at"] is not None), default=None)

    @property
    def is_complete(self) -> bool | None:
        return all(row["is_complete"] for row in self.files) if self.files[0]["is_complete"] is not None else None

    @property
    def rows(self) -> int:
        return sum(row["rows"] or 0 for row in self.files)

    @property
    def rows_of_erased(self) -> int:
        return sum(row["rows_of_erased"] or 0 for row in self.files)

    @cached_property
    def faults(self) -> list[str]:
        """What of it was not read or has no place: names, reasons and counts, never a word."""
        rows = sum((_rows_left_out(file) for file in self.files), Counter())
        told = [
            *(f"{file['archive']}: {file['reason']}" for file in self.files if file["reason"] is not None),
            *(
                f"{file['archive']}: {member['name']}: {member['reason']}"
                for file in self.files
                for member in file["members"] or ()
                if member["outcome"] == "quarantined"
            ),
            *(f"{self.name}: {count:,} rows: {reason}" for reason, count in sorted(rows.items())),
            *(f"{self.name}: {count:,} rows have {reason}" for reason, count in sorted(self.unplaced.items())),
        ]
        if not self.rows:
            return [f"{self.name}: {_EMPTY}", *told]
        if self.is_complete is False and not told:
            return [f"{self.name}: {_INCOMPLETE}"]
        return told


class ArchiveRecord:
    """
    The record, read once.

    Attributes:
        receipt: Of its file; ``None`` before the first archive.
    """

    def __init__(self, lake: Lake) -> None:
        self.receipt = lake.receipt(TRANSCRIPT_ARCHIVES, None)
        self._rows: list[Row] = lake.read(TRANSCRIPT_ARCHIVES, None).to_pylist()
        self._unplaced = _unplaced(lake)

    @cached_property
    def sets(self) -> list[LandedSet]:
        """Each export as it was landed last; what it was before is history."""
        ordered = sorted(self._rows, key=lambda row: str(row["archive_set"]))
        sets = []
        for name, rows in groupby(ordered, key=lambda row: str(row["archive_set"])):
            together = list(rows)
            last = max(row["landed_at"] for row in together)
            files = [row for row in together if row["landed_at"] == last]
            unplaced = sum((self._unplaced.get(row["archive"], Counter()) for row in files), Counter[str]())
            sets.append(LandedSet(name, files, unplaced))
        return sets

    def knows(self, hashes: Collection[str | None]) -> bool:
        """Whether all of this content was landed before, and was more than nothing."""
        rows = [row for row in self._rows if row["sha256"] in set(hashes)]
        return {row["sha256"] for row in rows} >= set(hashes) and any(row["rows"] for row in rows)

    @property
    def complete_snapshots(self) -> set[datetime]:
        """When complete exports were taken, those too that were landed again since."""
        taken: dict[tuple[str, datetime], list[datetime]] = {}
        for row in self._rows:
            if row["is_complete"] and row["snapshot_at"] is not None:
                taken.setdefault((row["archive_set"], row["landed_at"]), []).append(row["snapshot_at"])
        return {min(times) for times in taken.values()}

    @property
    def faults(self) -> list[str]:
        """
        What is wrong with exports that nothing has mended: neither was the export itself landed again without a fault,
        nor a newer one that is complete and has none, which tells all of history again.
        """
        sound = [one.snapshot_at for one in self.sets if one.is_complete and not one.faults and one.snapshot_at]
        newest = max(sound, default=None)
        return [
            fault
            for one in self.sets
            if newest is None or one.snapshot_at is None or one.snapshot_at >= newest
            for fault in one.faults
        ]

    def with_rows(self, rows: Iterable[Row]) -> pa.RecordBatch:
        """The record with these rows, each over what was said of the same content under the same name."""
        new = list(rows)
        same = {(row["archive"], row["sha256"]) for row in new}
        others = [row for row in self._rows if (row["archive"], row["sha256"]) not in same]
        return pa.RecordBatch.from_pylist([*others, *new], schema=TRANSCRIPT_ARCHIVES.schema)


def _unplaced(lake: Lake) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    rows = lake.dataset(ENTRIES_ARCHIVE_UNPLACED).to_table(columns=["archive", "reason"])
    for row in rows.group_by(["archive", "reason"]).aggregate([([], "count_all")]).to_pylist():
        found.setdefault(row["archive"], Counter())[row["reason"]] = row["count_all"]
    return found


def _rows_left_out(file: Row) -> Counter[str]:
    told: Counter[str] = Counter()
    for member in file["members"] or ():
        for one in member["quarantined_rows"] or ():
            told[one["reason"]] += one["rows"]
    return told
