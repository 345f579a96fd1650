"""An export archive, from the folder where it arrived to the days of its entries."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from logging import Logger
from operator import or_
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline import archives
from conversation_pipeline.archives import Archive, ArchiveSet, Options, Provenance, Reading
from conversation_pipeline.defs.landing.archive_record import ArchiveRecord
from conversation_pipeline.defs.reporting import told_while
from conversation_pipeline.extract.archive import ARCHIVE, Identifiers, entries, requested_on, unplaced
from conversation_pipeline.extract.entries import Drift
from conversation_pipeline.schemas.conversations import (
    CONVERSATIONS,
    ENTRIES_ARCHIVE,
    ENTRIES_ARCHIVE_UNPLACED,
    TRANSCRIPT_ARCHIVES,
)
from conversation_pipeline.storage import Lake, PublishError, Receipt
from conversation_pipeline.storage.days import ByDay
from conversation_pipeline.storage.erasure import erased
from conversation_pipeline.storage.parquet import Dictionaries
from conversation_pipeline.storage.store import Store

_ENDINGS = (".zip", ".gz", ".csv", ".json", ".jsonl", ".ndjson", ".txt")
_OTHER = archives.Outcome.OTHER_TABLE
_MOST_TOLD = 5
_ROUTED_BYTES = 32 * 2**20
_SORTED_BYTES = 128 * 2**20
_WRITERS = 2


@dataclass(frozen=True)
class ArchiveLanding:
    """
    Attributes:
        folder: Where archives arrive.
        seconds_between_lines: How often the log is told how far it is.
    """

    folder: Store
    lake: Lake
    run_id: str
    log: Logger
    seconds_between_lines: float = 10.0


@dataclass
class LandedArchive:
    """
    What came of an archive.

    Attributes:
        known: Whether all of it had been landed before; then nothing else was done.
        provenance: What was found in it.
        is_complete: Whether every part is there and was read, as far as the manifests tell.
        days: The receipts of the days whose files hold its entries, or entries that it lacks.
        unplaced: The receipt of the file of rows without a place.
        rows_unplaced: Rows that have no place in the days, by reason.
        rows_of_erased: Rows of people whom the org has erased, left out, by the file that tells them.
        drift: What the payloads hold that the published schema does not know.
    """

    known: bool = False
    provenance: Provenance = field(default_factory=Provenance)
    is_complete: bool | None = None
    days: dict[str, Receipt] = field(default_factory=dict)
    unplaced: Receipt | None = None
    rows_unplaced: Counter[str] = field(default_factory=Counter)
    rows_of_erased: Counter[str] = field(default_factory=Counter)
    drift: Drift = field(default_factory=Drift)


def arrived(folder: Store) -> dict[str, ArchiveSet]:
    """The exports in the folder: their parts' names below it, by the name that they are known by as a partition."""
    names = [name for name in folder.names("") if name.lower().endswith(_ENDINGS) and not archives.is_metadata(name)]
    found = archives.sets(names, lambda name: requested_on(folder.path(name), folder.filesystem))
    # Dagster writes a range of partitions with three dots.
    return {one.name.replace("...", "_"): one for one in found}


def land_archive(
    landing: ArchiveLanding, parts: ArchiveSet, landed: LandedArchive, *, read_again: bool = False
) -> None:
    """
    The entries of an export in the files of their days, merged with what earlier archives told.

    Of each entry the newest archive that has it counts. Entries that a newer complete archive lacks are flagged, not
    removed. A run that was stopped is started again: what it had done comes out the same. Several may read at once;
    they write one after another.

    Args:
        landed: Is told what comes of it, days one by one: they stay landed when a later one fails.
        read_again: Also where all of it was landed before.

    Raises:
        StorageError: no entry was read, rows went astray, or a file of the lake can not be written.
    """
    paths = [landing.folder.path(name) for name in parts.paths]
    reading = archives.read(paths, filesystem=landing.folder.filesystem, options=Options())
    if not read_again and ArchiveRecord(landing.lake).knows([reading.sha256(path) for path in paths]):
        landed.known = True
        return
    landed.provenance = reading.provenance
    progress = _Progress(parts.name, reading)
    with (
        tempfile.TemporaryDirectory(prefix="conversation-pipeline-archive-") as scratch,
        told_while(landing.log, progress.line, landing.seconds_between_lines),
        closing(_SortedOut(landing, landed, Path(scratch))) as sorted_out,
    ):
        for batch in reading.batches():
            sorted_out.add(batch)
        sorted_out.finish()
        landed.is_complete = _is_complete(reading.provenance)
        progress.waits()
        with landing.lake.exclusive(ENTRIES_ARCHIVE):
            record = ArchiveRecord(landing.lake)
            if reading.provenance.rows:
                _land_days(landing, landed, sorted_out, _Snapshots(record, landed), progress)
                _land_unplaced(landing, landed, sorted_out)
            _put_on_record(landing, parts, landed, record)
    if not reading.provenance.rows:
        raise PublishError(f"{parts.name} holds no entry that can be read, so no day was touched: {_why(landed)}")


class _Progress:
    """
    How far a landing is, in a line.

    Attributes:
        written: Days that are in place.
    """

    def __init__(self, name: str, reading: Reading) -> None:
        self._name = name
        self._reading = reading
        self._began = time.monotonic()
        self._waits = False
        self._days: int | None = None
        self.written = 0

    def waits(self) -> None:
        """All of it was read; another landing may be writing."""
        self._waits = True

    def writes(self, days: int) -> None:
        self._began, self._days = time.monotonic(), days

    def line(self) -> str:
        passed = max(time.monotonic() - self._began, 0.001)
        if self._days is not None:
            rate = self.written / passed
            left = _minutes(self._days - self.written, rate)
            return f"{self._name}: {self.written:,} of {self._days:,} days written, {rate * 60:,.0f} a minute{left}"
        if self._waits:
            return f"{self._name}: read to its end; another archive is being written, this one is next"
        rows, share = self._reading.provenance.rows, self._reading.passed.share
        left = _minutes(1 - share, share / passed)
        return f"{self._name}: {rows:,} entries read, {share:.0%} of it, {rows / passed:,.0f} a second{left} to read"


def _minutes(left: float, rate: float) -> str:
    return f", {left / rate / 60:,.1f} minutes left" if rate else ""


class _SortedOut:
    """The rows of an archive by their day, on the disk where they are many; and those that have none."""

    def __init__(self, landing: ArchiveLanding, landed: LandedArchive, scratch: Path) -> None:
        self._landing = landing
        self._landed = landed
        self._identifiers = Identifiers(lambda: _conversations(landing.lake))
        self._erased = pa.array(sorted(erased(landing.lake)), pa.string())
        self.by_day = ByDay(ENTRIES_ARCHIVE, memory=_ROUTED_BYTES, scratch=scratch / "days")
        self._unplaced = scratch / "unplaced"
        self._sink = pa.OSFile(str(self._unplaced), "wb")
        self._writer = pa.ipc.new_stream(self._sink, ENTRIES_ARCHIVE_UNPLACED.schema)

    def add(self, batch: pa.RecordBatch) -> None:
        rows = entries(batch, self._identifiers, self._landed.drift)
        rows = _named(rows, self._landing.folder)
        rows = self._without_erased(rows)
        reason = unplaced(rows)
        if reason.null_count < len(reason):
            self._landed.rows_unplaced.update(reason.drop_null().to_pylist())
            self._set_aside(rows.append_column("reason", reason).filter(reason.is_valid()))
            rows = rows.filter(reason.is_null())
        self.by_day.add(_columns(rows, ENTRIES_ARCHIVE.schema))

    def finish(self) -> None:
        """
        Raises:
            PublishError: rows went astray on the way.
        """
        self.by_day.finish()
        self._writer.close()
        told = self.by_day.count + self._landed.rows_unplaced.total() + self._landed.rows_of_erased.total()
        if told != self._landed.provenance.rows:
            raise PublishError(
                f"{self._landed.provenance.rows:,} rows were read of which {told:,} are left; no day was touched: "
                "run the partition again"
            )

    def unplaced(self) -> Iterator[pa.RecordBatch]:
        with pa.OSFile(str(self._unplaced)) as file, pa.ipc.open_stream(file) as rows:
            yield from rows

    def close(self) -> None:
        self.by_day.close()
        self._sink.close()

    def _set_aside(self, rows: pa.RecordBatch) -> None:
        self._writer.write_batch(_columns(rows, ENTRIES_ARCHIVE_UNPLACED.schema))

    def _without_erased(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        if not len(self._erased):
            return rows
        theirs = _holding(rows, self._erased)
        self._landed.rows_of_erased.update(rows["archive"].filter(theirs).to_pylist())
        return rows.filter(pc.invert(theirs))


def _land_days(
    landing: ArchiveLanding,
    landed: LandedArchive,
    sorted_out: _SortedOut,
    snapshots: _Snapshots,
    progress: _Progress,
) -> None:
    lake, days = landing.lake, set(sorted_out.by_day.days)
    if landed.is_complete:
        days |= set(lake.partitions(ENTRIES_ARCHIVE))
    progress.writes(len(days))
    dictionaries = Dictionaries()

    def land(day: str) -> Receipt:
        there = lake.receipt(ENTRIES_ARCHIVE, day)
        return lake.replace(
            ENTRIES_ARCHIVE,
            day,
            _merged(lake, day, sorted_out.by_day.of(day), snapshots),
            run_id=landing.run_id,
            road=ARCHIVE,
            first_counts=True,
            memory=_SORTED_BYTES,
            over=there,
            dictionaries=dictionaries,
        )

    ordered = sorted(days)
    with ThreadPoolExecutor(_WRITERS) as threads:
        for day, receipt in zip(ordered, threads.map(land, ordered), strict=True):
            landed.days[day] = receipt
            progress.written += 1


def _merged(lake: Lake, day: str, told: Iterable[pa.RecordBatch], snapshots: _Snapshots) -> Iterator[pa.RecordBatch]:
    """The day's rows in the order in which they count: of newer archives, of this one, of older ones."""
    held = lake.dataset(ENTRIES_ARCHIVE, [day])
    newer = pc.field("fetched_at") > pa.scalar(snapshots.last, pa.timestamp("ms", tz="UTC"))
    for rows in (held.to_batches(filter=newer), told, held.to_batches(filter=~newer)):
        for batch in rows:
            yield snapshots.flagged(batch)


class _Snapshots:
    """
    When archives were taken.

    Attributes:
        first: When the first part of the archive at hand was.
        last: When its last part was.
    """

    def __init__(self, record: ArchiveRecord, landed: LandedArchive) -> None:
        taken = [one.snapshot_at for one in landed.provenance.archives if one.snapshot_at is not None]
        self.first = min(taken, default=datetime.now(UTC))
        self.last = max(taken, default=self.first)
        own = {self.first} if landed.is_complete else set()
        self._complete = pa.array(sorted(record.complete_snapshots | own), pa.timestamp("ms", tz="UTC"))

    def flagged(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The rows with the time of the first complete archive after the one that told them: it lacks them."""
        place = rows.schema.get_field_index("missing_since")
        complete = np.asarray(self._complete.cast(pa.int64()))
        taken = np.asarray(rows["fetched_at"].cast(pa.int64()).fill_null(0))
        after = np.searchsorted(complete, taken, side="right")
        missing = self._complete.take(pa.array(after, mask=after == len(complete)))
        return rows.set_column(place, rows.schema.field(place), missing)


def _land_unplaced(landing: ArchiveLanding, landed: LandedArchive, sorted_out: _SortedOut) -> None:
    """A complete archive tells all of history again: what older ones left unplaced is told by it, too."""
    names = pa.array([_below(landing.folder, one.name) for one in landed.provenance.archives], pa.string())

    def rows() -> Iterator[pa.RecordBatch]:
        yield from sorted_out.unplaced()
        if not landed.is_complete:
            held = landing.lake.dataset(ENTRIES_ARCHIVE_UNPLACED)
            yield from held.to_batches(filter=~pc.field("archive").isin(names))

    there = landing.lake.receipt(ENTRIES_ARCHIVE_UNPLACED, None)
    landed.unplaced = landing.lake.replace(
        ENTRIES_ARCHIVE_UNPLACED, None, rows(), run_id=landing.run_id, road=ARCHIVE, over=there
    )


def _put_on_record(landing: ArchiveLanding, parts: ArchiveSet, landed: LandedArchive, record: ArchiveRecord) -> None:
    """Last of all: what is on record is landed, or told that nothing of it can be."""
    now = datetime.now(UTC)
    rows = [_row(one, landing, parts, landed, now) for one in landed.provenance.archives]
    landing.lake.replace(
        TRANSCRIPT_ARCHIVES, None, [record.with_rows(rows)], run_id=landing.run_id, over=record.receipt
    )


def _row(
    archive: Archive, landing: ArchiveLanding, parts: ArchiveSet, landed: LandedArchive, now: datetime
) -> dict[str, object]:
    name = _below(landing.folder, archive.name)
    return {
        "archive": name,
        "sha256": archive.sha256,
        "archive_set": parts.name,
        "bytes": archive.size,
        "snapshot_at": archive.snapshot_at,
        "landed_at": now,
        "is_complete": landed.is_complete,
        "rows": sum(member.rows for member in archive.members),
        "rows_quarantined": sum(member.quarantined_rows.total() for member in archive.members),
        "members_quarantined": sum(member.outcome is archives.Outcome.QUARANTINED for member in archive.members),
        "members": [_member_row(member) for member in archive.members],
        "reason": archive.reason,
        "run_id": landing.run_id,
        "rows_of_erased": landed.rows_of_erased[name],
    }


def _member_row(member: archives.Member) -> dict[str, object]:
    return {
        "name": member.name,
        "outcome": member.outcome.value,
        "sha256": member.sha256,
        "bytes": member.size,
        "format": member.format,
        "encoding": member.encoding,
        "rows": member.rows,
        "quarantined_rows": [{"reason": why, "rows": rows} for why, rows in sorted(member.quarantined_rows.items())],
        "reason": member.reason,
    }


def _is_complete(found: Provenance) -> bool | None:
    if not found.rows:
        return False  # an export of nothing would flag everything as missing
    if found.promised is not None and found.promised != found.rows:
        return False
    return found.complete


def _why(landed: LandedArchive) -> str:
    told = [reason for _, reason in landed.provenance.quarantined]
    told += list(landed.provenance.quarantined_rows)
    told += [f"{one.name} tells something else" for one in landed.provenance.members if one.outcome is _OTHER]
    return "; ".join(dict.fromkeys(told[:_MOST_TOLD])) or "it is empty; ask for another export in Setup"


def _conversations(lake: Lake) -> pa.Table:
    known = pc.field("conversation_identifier").is_valid()
    return lake.dataset(CONVERSATIONS).to_table(columns=["id", "conversation_identifier"], filter=known)


def _named(rows: pa.RecordBatch, folder: Store) -> pa.RecordBatch:
    """The archive by its name in the folder, not by where that folder is."""
    place = rows.schema.get_field_index("archive")
    column = rows.column(place)
    names = pa.array([_below(folder, name) for name in column.dictionary.to_pylist()], pa.string())
    return rows.set_column(place, rows.schema.field(place), pa.DictionaryArray.from_arrays(column.indices, names))


def _below(folder: Store, path: str) -> str:
    return path.removeprefix(f"{folder.path('')}/")


def _holding(rows: pa.RecordBatch, wanted: pa.Array) -> pa.Array:
    """Which rows name one of the identifiers."""
    names = ("conversation_identifier", "conversation_id", "messaging_session_id", "voice_call_id")
    held = np.asarray(reduce(or_, (np.asarray(pc.is_in(rows[name], value_set=wanted)) for name in names)))
    related = rows["related_records"]
    inside = pc.is_in(pc.list_flatten(related), value_set=wanted)
    held[np.asarray(pc.list_parent_indices(related).filter(inside))] = True
    return pa.array(held)


def _columns(rows: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The rows' columns that the schema has, in its order and types; null where the rows have none."""
    columns = [
        rows[one.name].cast(one.type) if one.name in rows.schema.names else pa.nulls(rows.num_rows, one.type)
        for one in schema
    ]
    return pa.record_batch(columns, schema=schema)
