"""
The on-platform road in bulk: Bulk API 2.0 query jobs, CSV pages to Arrow record batches.

One job answers for a run of days, whatever their number: an org pays for calls and jobs, not for rows. What comes
out has the schema of the REST road. Salesforce keeps a job's result readable for days, so it is the job's id that is
kept in the staging area: a run that was killed goes on with the same job, and pays for nothing twice.
"""

from __future__ import annotations

import csv
import ctypes
import hashlib
import io
import logging
import queue
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from conversation_pipeline.extract.on_platform import Selection
from conversation_pipeline.extract.windows import Window, unbroken
from conversation_pipeline.kill_points import KillPoint, at
from conversation_pipeline.salesforce import soql
from conversation_pipeline.salesforce.bulk import Bulk, QueryJob, ResultPage
from conversation_pipeline.salesforce.errors import IncompleteAnswer, JobFailed, LocatorLost, WindowTooLarge
from conversation_pipeline.schemas import Dataset, Field
from conversation_pipeline.schemas.identifiers import record_id_18

ROAD = "bulk"

RESUME_WITHIN = timedelta(hours=1)
"""A job or a pull begun longer ago than this is not gone on with: it tells what the org held then."""

PAGES_WORTH_A_LIST = 10
"""
A result of more pages than this is read by the list of its pages, where the org has one.

The list is a call more (or one for every five pages, as documented), and each page then is asked for without waiting
for the headers of the one before. Of few pages a call more weighs more than that wait.
"""

RENEW_AFTER = 60.0
"""Seconds after which a run tells again that it is still at its jobs."""

SHORTEST_WINDOW = timedelta(hours=1)
"""A window this short that still takes the org too long is not split any further."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class Notes(Protocol):
    """Where job ids outlive a run: JSON objects by name."""

    def write(self, name: str, note: dict[str, Any]) -> None: ...
    def read(self, name: str) -> dict[str, Any] | None: ...
    def remove(self, name: str) -> None: ...
    def all(self) -> dict[str, dict[str, Any]]: ...


@dataclass
class BulkRoad:
    """
    Query jobs from the first call to the landed rows.

    Attributes:
        bulk: Query jobs of the org.
        notes: Where job ids are kept.
        scratch: Folder for large result pages on their way; the system's temporary folder by default.
        resume_within: A job begun longer ago is not gone on with, and one that its run was not seen at for as long
            is ended.
        renew_after: Seconds after which a run tells again that it is still at its jobs.
        drift: Columns that came and were not asked for, by how many pages; complete when ``land`` returns.
    """

    bulk: Bulk
    notes: Notes
    scratch: Path | None = None
    resume_within: timedelta = RESUME_WITHIN
    renew_after: float = RENEW_AFTER
    drift: Counter[str] = field(default_factory=Counter)
    _renewed: dict[str, float] = field(default_factory=dict, init=False, repr=False)

    def land(
        self, selection: Selection, days: Sequence[str] | None, into: Callable[[Iterator[pa.RecordBatch], int], T]
    ) -> T:
        """
        Read everything that was created on these days, and hand it to whoever lands it.

        Args:
            selection: The dataset, and the columns that this org and user give.
            days: UTC days, ``YYYY-MM-DD``, in any order; ``None`` for all records.
            into: Lands the rows: given batches of the dataset's schema, in any order, and how many rows the service
                promised. It is called again with fresh batches if the org lost a job's result meanwhile, so it has
                to land all or nothing.

        Returns:
            What ``into`` returned. The jobs are deleted by then.

        Raises:
            BulkUnavailable: ask by REST query.
            WindowTooLarge: even an hour of it takes the org too long; ask by REST query.
            IncompleteAnswer: pages and job do not add up, or a page is no CSV of what was asked for.
            SalesforceError: any other. Jobs stay, and a run within ``resume_within`` goes on with them.
        """
        self._renewed.clear()
        self._tidy()
        for restart in range(_RESTARTS + 1):
            jobs = [job for window in windows_of(days) for job in self._complete(selection, window)]
            try:
                with closing(_ahead(self._batches(jobs, selection))) as batches:
                    landed = into(batches, sum(job.job.number_records_processed for job in jobs))
            except LocatorLost:
                for job in jobs:
                    self.notes.remove(job.name)
                if restart == _RESTARTS:
                    raise
                continue
            for job in jobs:
                self.bulk.delete(job.job.id)
                self.notes.remove(job.name)
            return landed
        raise AssertionError("the last restart raises")

    def _complete(self, selection: Selection, window: Window | None) -> Iterator[_Kept]:
        """Complete jobs that together answer for the window: one, or as many as the org makes of it."""
        query = _soql(selection, window)
        name = _name(selection.dataset, query)
        note = self.notes.read(name) or {}
        if not note.get("split"):
            try:
                yield _Kept(name, self._resumed(name, note) or self._begun(name, query, selection.dataset))
                return
            except WindowTooLarge:
                if window is None or window.end - window.start <= SHORTEST_WINDOW:
                    self.notes.remove(name)
                    raise
                self._note(name, selection.dataset, split=True)
        assert window is not None  # noqa: S101  (only windows are split)
        for half in _halves(window):
            yield from self._complete(selection, half)
        self.notes.remove(name)

    def _resumed(self, name: str, note: dict[str, Any]) -> QueryJob | None:
        """The complete job that a killed run had begun, where there is one."""
        if not note.get("job_id"):
            return None
        if _since(note, "started_at") > self.resume_within:
            self._end(name, note)
            return None
        try:
            job = self.bulk.status(note["job_id"])
            self._renew(name)
            return self.bulk.wait(job, self._renew)
        except (LocatorLost, JobFailed):
            self.notes.remove(name)
            return None

    def _begun(self, name: str, query: str, dataset: Dataset) -> QueryJob:
        sobject = str(dataset.sobject)
        left = self.notes.read(name)
        if left is not None:  # a run died between asking for a job and noting its id
            self.bulk.end_orphans(sobject, all_rows=True, within=_since(left, "started_at"), held=self._held)
        self._note(name, dataset)
        job = self.bulk.create(query, sobject, all_rows=True, held=self._held)
        at(KillPoint.BULK_JOB_CREATED)
        self._note(name, dataset, job_id=job.id)
        self._renew(name)
        try:
            return self.bulk.wait(job, self._renew)
        except (WindowTooLarge, JobFailed):
            self.notes.remove(name)
            raise

    def _note(self, name: str, dataset: Dataset, **more: Any) -> None:
        note = {"started_at": datetime.now(UTC).isoformat(), "dataset": dataset.name, "sobject": dataset.sobject}
        self.notes.write(name, note | more)

    def _held(self) -> Collection[str]:
        return {note["job_id"] for note in self.notes.all().values() if note.get("job_id")}

    def _renew(self, *more: str) -> None:
        """Other runs take a job for left behind when nobody was seen at it for long, so tell that somebody is."""
        for name in more:
            self._renewed[name] = -self.renew_after
        now = time.monotonic()
        for name in [name for name, renewed in self._renewed.items() if now - renewed >= self.renew_after]:
            self._renewed[name] = now
            if note := self.notes.read(name):
                self.notes.write(name, note | {"seen_at": datetime.now(UTC).isoformat()})

    def _tidy(self) -> None:
        """End what runs left behind that nobody came back for. Costs no request where there is nothing."""
        for name, note in self.notes.all().items():
            if _since(note, "seen_at" if "seen_at" in note else "started_at") > self.resume_within:
                self._end(name, note)

    def _end(self, name: str, note: dict[str, Any]) -> None:
        if note.get("job_id"):
            with suppress(LocatorLost):
                self.bulk.discard(self.bulk.status(note["job_id"]))
        elif not note.get("split"):
            within = _since(note, "started_at")
            self.bulk.end_orphans(str(note["sobject"]), all_rows=True, within=within, held=self._held)
        self.notes.remove(name)

    def _batches(self, jobs: Sequence[_Kept], selection: Selection) -> Iterator[pa.RecordBatch]:
        with tempfile.TemporaryDirectory(prefix="conversation-pipeline-bulk-", dir=self.scratch) as folder:
            for job in jobs:
                parallel = job.job.number_records_processed > PAGES_WORTH_A_LIST * self.bulk.page_records
                read = self.bulk.pages(job.job, Path(folder), parallel=parallel)
                with closing(cast(Generator[ResultPage], read)) as pages:
                    for page in pages:
                        for batch in self._page(page, selection, Path(folder)):
                            self._renew()
                            yield batch
                        at(KillPoint.BULK_PAGE_READ)
        _give_back()

    def _page(self, page: ResultPage, selection: Selection, folder: Path) -> Iterator[pa.RecordBatch]:
        """A page's rows, asked for again where it turns out to be spoilt before anything of it was handed on."""
        for attempt in range(_READINGS):
            reading = CsvPage(page.file, page.records, selection, self.drift)
            try:
                yield from reading.batches()
                return
            except IncompleteAnswer:
                if reading.handed_on or attempt == _READINGS - 1:
                    raise
            finally:
                page.file.close()
            page = self.bulk.read_again(page, folder)


def _give_back() -> None:
    """Let the system have the memory that pages took, where the C library (glibc) keeps it for later."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


@dataclass(frozen=True)
class _Kept:
    name: str
    job: QueryJob


class CsvPage:
    """
    One page of CSV as record batches of the dataset's schema.

    Columns are found by name, whatever their order; empty is null, and no other text is. The rows of a page are
    handed on as one batch once all have been read and counted, a page of more than ``LOOK_AHEAD`` bytes as they come.

    Args:
        file: CSV, UTF-8, with a header line; an empty file has no rows.
        records: How many rows the service says there are.
        selection: What was asked for.
        drift: Gets the names of columns that came and were not asked for.
    """

    LOOK_AHEAD = 64 * 2**20

    def __init__(self, file: IO[bytes], records: int, selection: Selection, drift: Counter[str]) -> None:
        self._file = file
        self._records = records
        self._selection = selection
        self._dataset = selection.dataset
        self._drift = drift
        self.handed_on = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        """
        Raises:
            IncompleteAnswer: the rows are not as many as promised, a column is missing, or a value is not what its
                column is declared to be. Never with a value in its message.
        """
        rows = 0
        kept: list[pa.RecordBatch] = []
        size = 0
        for batch in self._read():
            rows += batch.num_rows
            size += batch.nbytes
            kept.append(batch)
            if size > self.LOOK_AHEAD and rows <= self._records:
                yield self._handed(kept)
                size = 0
        if rows != self._records:
            raise self._spoilt(f"has {rows:,} rows where the service says {self._records:,}")
        if kept:
            yield self._handed(kept)

    def _handed(self, kept: list[pa.RecordBatch]) -> pa.RecordBatch:
        """One batch, since all that is done with rows from here on costs less for many at once."""
        batch = pa.concat_batches(kept)
        kept.clear()
        self.handed_on += batch.num_rows
        return batch

    def _read(self) -> Iterator[pa.RecordBatch]:
        columns = self._columns()
        if columns is None:
            return
        rows = 0
        for block in _BLOCKS:
            try:
                for batch in _rows_from(self._parsed(columns, block), rows):
                    yield self._typed(batch, columns)
                    rows += batch.num_rows
                return
            except pa.ArrowInvalid as error:
                if "straddl" not in str(error) or block == _BLOCKS[-1]:
                    # Without the cause: Arrow quotes the row.
                    raise self._spoilt(_reason(str(error))) from None

    def _columns(self) -> dict[str, Field] | None:
        """The page's names for the fields that were asked for; Salesforce's names know no case."""
        self._file.seek(0)
        line = self._file.readline(_LONGEST_HEADER)
        if not line:
            return None
        line = line.replace(b"\0", b"").removeprefix(b"\xef\xbb\xbf")
        names = next(csv.reader(io.StringIO(line.decode(errors="replace").rstrip("\r\n"))), [])
        found = {name.lower(): name for name in names}
        wanted = {str(field.api_name).lower(): field for field in self._selection.fields}
        missing = [str(field.api_name) for name, field in wanted.items() if name not in found]
        if missing or len(found) != len(names):
            raise self._spoilt(
                f"does not begin with the names of the columns: {', '.join(missing) or 'one'} "
                f"{'is missing' if missing else 'is there twice'}"
            )
        self._drift.update(f"unexpected column {name[:80]}" for low, name in found.items() if low not in wanted)
        return {found[name]: field for name, field in wanted.items()}

    def _parsed(self, columns: dict[str, Field], block: int) -> Iterator[pa.RecordBatch]:
        types = {name: _read_as(field) for name, field in columns.items()}
        self._file.seek(0)
        with (
            pa.PythonFile(_WithoutNul(self._file), mode="r") as source,
            pacsv.open_csv(
                source,
                # Arrow's threads make it no faster, and other pages and days want the processors.
                read_options=pacsv.ReadOptions(block_size=block, use_threads=False),
                parse_options=pacsv.ParseOptions(newlines_in_values=True),
                convert_options=pacsv.ConvertOptions(
                    column_types=types,
                    include_columns=list(columns),
                    null_values=[""],
                    strings_can_be_null=True,
                    true_values=["true", "1"],
                    false_values=["false", "0"],
                    timestamp_parsers=[pacsv.ISO8601],
                ),
            ) as reader,
        ):
            yield from reader

    def _typed(self, batch: pa.RecordBatch, columns: dict[str, Field]) -> pa.RecordBatch:
        arrays = {field.name: _value(batch.column(name), field) for name, field in columns.items()}
        return pa.RecordBatch.from_arrays(
            [
                arrays[field.name] if field.name in arrays else pa.nulls(batch.num_rows, field.type)
                for field in self._dataset.fields
            ],
            schema=self._dataset.schema,
        )

    def _spoilt(self, what: str) -> IncompleteAnswer:
        return IncompleteAnswer(f"a result page of {self._dataset.sobject} {what}; nothing of it is used")


def windows_of(days: Sequence[str] | None) -> list[Window | None]:
    """Days as few windows as can be: days that follow one another are one."""
    if days is None:
        return [None]
    return [Window.of_days(run) for run in unbroken(days)]


def _halves(window: Window) -> tuple[Window, Window]:
    """Cut at a whole hour, as near to the middle as can be."""
    middle = window.start + (window.end - window.start) / 2
    hour = middle.replace(minute=0, second=0, microsecond=0)
    cut = hour if hour > window.start else middle
    return Window(window.start, cut), Window(cut, window.end)


def _soql(selection: Selection, window: Window | None) -> str:
    """Without ``ORDER BY``, which switches PK chunking off and makes wide windows time out [doc]."""
    names = [str(field.api_name) for field in selection.fields]
    return soql.select(names, str(selection.dataset.sobject), where=selection.condition(window))


def _name(dataset: Dataset, query: str) -> str:
    return f"{dataset.name}-{hashlib.sha256(query.encode()).hexdigest()[:16]}"


def _since(note: dict[str, Any], instant: str) -> timedelta:
    return max(datetime.now(UTC) - datetime.fromisoformat(note[instant]), timedelta(0))


def _read_as(field: Field) -> pa.DataType:
    """Whole numbers are read as text first: the service may write 3 as 3.0."""
    return pa.string() if pa.types.is_integer(field.type) else field.type


def _value(array: pa.Array, field: Field) -> pa.Array:
    if pa.types.is_integer(field.type):
        return _whole_numbers(array, field.type)
    return _record_ids_18(array) if field.record_id else array


def _whole_numbers(array: pa.Array, kind: pa.DataType) -> pa.Array:
    try:
        return array.cast(kind)
    except pa.ArrowInvalid:
        return pc.replace_substring_regex(array, r"\.0*$", "").cast(kind)


def _record_ids_18(array: pa.Array) -> pa.Array:
    """Ids of 15 characters are a rare guest, so they are looked for before any value is touched."""
    if _length(array) == 18 * (len(array) - array.null_count):
        return array
    encoded = array.dictionary_encode()
    ids = pa.array([record_id_18(value) for value in encoded.dictionary.to_pylist()], pa.string())
    return ids.take(encoded.indices)


def _length(array: pa.Array) -> int:
    """Bytes of all texts together."""
    offsets = memoryview(array.buffers()[1]).cast("i")
    length: int = offsets[array.offset + len(array)] - offsets[array.offset]
    return length


def _rows_from(batches: Iterator[pa.RecordBatch], row: int) -> Iterator[pa.RecordBatch]:
    """The same rows without the first so many."""
    for batch in batches:
        if row < batch.num_rows:
            yield batch.slice(row)
        row = max(row - batch.num_rows, 0)


class _WithoutNul(io.RawIOBase):
    """A file without its NUL bytes, which no CSV reader drops and no Salesforce text means (airbyte#8300)."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while chunk := self._file.read(size):
            if stripped := chunk.replace(b"\0", b"") if b"\0" in chunk else chunk:
                return stripped
        return b""


def _reason(arrow: str) -> str:
    """What Arrow's message says, without the values that it quotes."""
    if "UTF8" in arrow:
        return "holds text that is no UTF-8"
    if "Expected" in arrow or "CSV parse error" in arrow:
        return "has a row with too many or too few values, or ends within one"
    if "Failed to parse string" in arrow:
        return "has a value that is no whole number where one is declared"
    place = re.search(r"In CSV column #(\d+).*conversion error to ([\w\[\], =]+)", arrow)
    return f"has a value in column {place[1]} that is no {place[2]}" if place else "is no CSV"


class _ahead(Iterator[pa.RecordBatch]):  # noqa: N801  (reads like the function that it is)
    """Reads batches on a thread of its own, a few ahead of whoever takes them."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._queue: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(_BATCHES_AHEAD)
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(batches,), name="bulk-csv", daemon=True)
        self._thread.start()

    def __next__(self) -> pa.RecordBatch:
        given = self._queue.get()
        if given is None:
            self._queue.put(None)
            raise StopIteration
        if isinstance(given, BaseException):
            self._queue.put(None)
            raise given
        return given

    def close(self) -> None:
        self._gone.set()
        while self._thread.is_alive():
            with suppress(queue.Empty):
                self._queue.get(timeout=0.05)

    def _run(self, batches: Iterator[pa.RecordBatch]) -> None:
        end: BaseException | None = None
        try:
            for batch in batches:
                self._queue.put(batch)
                if self._gone.is_set():
                    break
        except BaseException as error:  # the one who takes them is told
            end = error
        finally:
            batches.close()  # type: ignore[attr-defined]
            if not self._gone.is_set():
                self._queue.put(end)


_RESTARTS = 2
_READINGS = 3
_BATCHES_AHEAD = 1
_LONGEST_HEADER = 64 * 2**10
_BLOCKS = (2**21, 2**24, 2**27, 2**30)
"""Bytes; a block has to be longer than the longest row, and small blocks take the least memory."""
