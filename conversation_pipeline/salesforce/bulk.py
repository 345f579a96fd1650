"""
Bulk API 2.0 query jobs: create, wait, read the result page by page, delete.

Contract: Bulk API 2.0 developer guide, Query. A job goes ``UploadComplete -> InProgress -> JobComplete | Failed |
Aborted``; its result stays readable for 7 days, any page as often as it takes, whatever token asks. Every HTTP call
counts against the org's 24-hour allocation, so there is none without a purpose.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from conversation_pipeline.salesforce.connection import Answer, Connection, Retry
from conversation_pipeline.salesforce.errors import (
    BulkUnavailable,
    IncompleteAnswer,
    JobFailed,
    LimitReached,
    LocatorLost,
    PagingLoop,
    RecordUnavailable,
    RequestRefused,
    Throttled,
    TransientError,
    WindowTooLarge,
)
from conversation_pipeline.salesforce.limits import BULK_QUERY_JOBS, Limit
from conversation_pipeline.salesforce.quotas import RESTART_REST, Claim, QuotaTimeout

_T = TypeVar("_T")
_Body = IO[bytes]
_Held = Callable[[], Collection[str]]


class JobState(StrEnum):
    """States of a query job, by Salesforce's names."""

    UPLOAD_COMPLETE = "UploadComplete"
    IN_PROGRESS = "InProgress"
    JOB_COMPLETE = "JobComplete"
    FAILED = "Failed"
    ABORTED = "Aborted"

    @property
    def ended(self) -> bool:
        return self in (JobState.JOB_COMPLETE, JobState.FAILED, JobState.ABORTED)


class QueryJob(msgspec.Struct, rename="camel", frozen=True):
    """
    A job as the service tells it.

    Attributes:
        id: Record id, ``750...``.
        state: See ``JobState``; a job list may hold jobs of other kinds with states of their own.
        number_records_processed: Records of the result, known once the job is complete.
        error_message: Why it failed, in the service's words, which may quote the query: never to be shown.
        created_date: When it was created, by the service's clock.
    """

    id: str
    state: str
    operation: str = ""
    object: str = ""
    number_records_processed: int = 0
    error_message: str = ""
    created_date: str = ""

    @property
    def ended(self) -> bool:
        return self.state in (JobState.JOB_COMPLETE, JobState.FAILED, JobState.ABORTED)

    @property
    def created_at(self) -> datetime:
        """``created_date`` as an instant; the beginning of time where the service does not tell."""
        try:
            return datetime.fromisoformat(self.created_date).astimezone(UTC)
        except ValueError:
            return datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Polling:
    """
    Seconds between two looks at a job: ``first``, then longer by ``factor`` each time, ``longest`` at most.

    Attributes:
        patience: Seconds after which a job that has not ended is aborted and deleted.
    """

    first: float = 2.0
    factor: float = 1.5
    longest: float = 30.0
    patience: float = 3 * 3600.0

    def waits(self) -> Iterator[float]:
        wait = self.first
        while True:
            yield wait
            wait = min(wait * self.factor, self.longest)


@dataclass(frozen=True)
class ResultPage:
    """
    One page of a job's result, whole: CSV with a header line, in a file that its reader closes.

    Attributes:
        job_id: The job.
        number: Place of the page in the result, from 0.
        records: Records of the page, as the service says (``Sforce-NumberOfRecords``).
        bytes: Size of the file.
        source: Path and query that give the page again.
        file: In memory, or without a name on the disk where the page is larger than ``Bulk.page_memory``.
    """

    job_id: str
    number: int
    records: int
    bytes: int
    source: str
    file: _Body


@dataclass
class Bulk:
    """
    Query jobs of one org as one user.

    Attributes:
        connection: Line to the org's instance URL. A page's transfer is bounded by ``Timeouts.body``; Salesforce
            itself allows 20 minutes for one.
        api_version: Such as ``66.0``; a job's result is only given to the version that created the job.
        page_records: Records asked for in a page (``maxRecords``): a page is what is asked for again when its
            transfer breaks off, and each page is a call.
        ahead: Pages read before they are needed; there are so many at once at most.
        page_memory: Bytes of a page that are kept in memory; a larger one goes to the disk.
        jobs_limit: The org's allowance of jobs, shared by all processes of the connection's quota store.
        jobs_patience: Seconds to wait for a place in it, longer than a quota store rests after a restart.
    """

    connection: Connection
    api_version: str = "66.0"
    retry: Retry = field(default_factory=Retry)
    polling: Polling = field(default_factory=Polling)
    page_records: int = 100_000
    ahead: int = 3
    page_memory: int = 64 * 2**20
    jobs_limit: Limit = BULK_QUERY_JOBS
    jobs_patience: float = RESTART_REST + 30.0

    @property
    def _jobs(self) -> str:
        return f"/services/data/v{self.api_version}/jobs/query"

    def create(self, soql: str, sobject: str, *, all_rows: bool, held: _Held = tuple) -> QueryJob:
        """
        Begin a job. Where the answer is lost the job may be there: it is looked for, and ended, before another
        is begun.

        Args:
            soql: Without ``ORDER BY`` and ``LIMIT``, which switch PK chunking off.
            sobject: The object that it asks for.
            all_rows: queryAll, which also returns soft-deleted and archived records.
            held: Tells the ids of jobs that runs know as theirs by now, and which are not to be ended.

        Raises:
            BulkUnavailable: Bulk does not take this object or these columns; ask by REST query.
            LimitReached: the org's allowance of jobs or calls is used up.
        """
        operation = "queryAll" if all_rows else "query"
        for attempt in self.retry.attempts_for(self.connection.meter):
            with attempt:
                began = time.monotonic()
                try:
                    answer = self._send_leased({"operation": operation, "query": soql})
                    return answer.json(QueryJob)  # type: ignore[no-any-return]
                except Throttled:
                    raise  # refused, so there is no job
                except TransientError:
                    elapsed = timedelta(seconds=time.monotonic() - began)
                    self.end_orphans(sobject, all_rows=all_rows, within=elapsed, held=held)
                    raise
                except RequestRefused as error:
                    raise _creation_refused(error) from error
        raise AssertionError("the last attempt raises")

    def _send_leased(self, job: dict[str, str]) -> Answer:
        """One try to create a job, within the org's allowance of jobs."""
        claims = [Claim(f"{httpx.URL(self.connection.base_url).host}/{self.jobs_limit.name}", self.jobs_limit)]
        try:
            lease = self.connection.store.take([claims], patience=self.jobs_patience)
        except QuotaTimeout as error:
            raise LimitReached(
                f"{self.jobs_limit}: that many query jobs have been created; run it again in "
                f"{timedelta(seconds=round(error.retry_after))} h"
            ) from error
        with lease:
            return self.connection.send("POST", self._jobs, job, extensions={"lease": lease, "claims": claims})

    def end_orphans(self, sobject: str, *, all_rows: bool, within: timedelta, held: _Held = tuple) -> list[QueryJob]:
        """
        End the jobs that a request without an answer, or a run that died, may have left behind: of this object
        and operation, not ended yet, begun within that time before now by the service's clock, and nobody's.

        A run that begins one at this very moment knows its id a little later than the service does. So who holds
        which is asked after the jobs are listed, and, of those that are nobody's, ``Polling.longest`` later again.
        """
        operation = "queryAll" if all_rows else "query"
        found, now = self._listed()
        since = now - within - _CLOCK_STEP
        orphans = [
            job
            for job in found
            if (job.object, job.operation) == (sobject, operation) and not job.ended and job.created_at >= since
        ]
        for wait in (0.0, self.polling.longest):
            if orphans:
                time.sleep(wait)
                theirs = held()
                orphans = [job for job in orphans if job.id not in theirs]
        for job in orphans:
            self.discard(job)
        return orphans

    def status(self, job_id: str) -> QueryJob:
        """
        Raises:
            LocatorLost: the org does not know the job (any more).
        """
        try:
            _, job = self._get(f"{self._jobs}/{job_id}", QueryJob)
        except RecordUnavailable as error:
            raise LocatorLost(f"query job {job_id} is gone; begin another", code=error.code, status=404) from error
        return job

    def wait(self, job: QueryJob, looking: Callable[[], object] = lambda: None) -> QueryJob:
        """
        The job once it is complete.

        Args:
            job: As it was seen last.
            looking: Called before each look at it.

        Raises:
            WindowTooLarge: the query takes the org too long; ask for less at once. The job is deleted.
            JobFailed: it failed for another reason, was aborted by somebody, or did not end in time. The job is
                aborted where it has not ended, and deleted.
            LocatorLost: the org does not know the job any more.
        """
        deadline = time.monotonic() + self.polling.patience
        for wait in self.polling.waits():
            if job.ended:
                break
            if time.monotonic() + wait > deadline:
                self.discard(job)
                raise JobFailed(
                    f"query job {job.id} of {job.object} was {job.state} after {self.polling.patience:,.0f} s and has "
                    "been aborted: run it again when the org is less busy, or for fewer days"
                )
            time.sleep(wait)
            looking()
            job = self.status(job.id)
        if job.state == JobState.JOB_COMPLETE:
            return job
        self.discard(job)
        raise _failure(job)

    def pages(self, job: QueryJob, folder: Path, *, parallel: bool = False) -> Iterator[ResultPage]:
        """
        All pages of a complete job's result in their order, each whole before it is handed on.

        A page's headers name the next one, so that it is on its way while this one still comes in. With the list of
        pages none has to wait for the headers of another; the list costs a call, or one for every five pages.

        Args:
            folder: Where large pages are written; the caller closes each page's file when done with it.
            parallel: Ask for the list of pages first and follow that; where the org has none, go without.

        Raises:
            IncompleteAnswer: the pages' records do not add up to what the job has.
            LocatorLost: the result is gone; begin another job.
            PagingLoop: the pages do not come to an end.
        """
        sources = self._result_pages(job) if parallel else []
        read = self._listed_pages(job, folder, sources) if sources else _Pages(self, job, folder)
        records = 0
        with closing(read) as pages:
            for page in pages:
                records += page.records
                yield page
        if records != job.number_records_processed:
            raise IncompleteAnswer(
                f"query job {job.id} of {job.object} has {job.number_records_processed:,} records and its pages "
                f"{records:,}; nothing of it is used"
            )

    def _listed_pages(self, job: QueryJob, folder: Path, sources: Sequence[str]) -> Generator[ResultPage]:
        """``ahead`` at once; a page is begun when one that was begun before it has been used up."""
        gone = threading.Event()
        begun: deque[Future[ResultPage]] = deque()
        threads = ThreadPoolExecutor(self.ahead, thread_name_prefix="bulk-page")

        def begin(page: tuple[int, str]) -> None:
            begun.append(threads.submit(self._read, job.id, *page, folder, lambda _: None, gone))

        rest = enumerate(sources)
        try:
            for page in islice(rest, self.ahead):
                begin(page)
            while begun:
                yield begun.popleft().result()
                for page in islice(rest, 1):
                    begin(page)
        finally:
            gone.set()
            threads.shutdown(cancel_futures=True)
            _close_all(begun)

    def read_again(self, page: ResultPage, folder: Path) -> ResultPage:
        """The page once more, for a reader who found it spoilt."""
        return self._read(page.job_id, page.number, page.source, folder, lambda _: None, threading.Event())

    def abort(self, job_id: str) -> None:
        """Stop a job that has not ended."""
        self._change("PATCH", job_id, {"state": str(JobState.ABORTED)})

    def delete(self, job_id: str) -> None:
        """Remove a job that has ended, and its result; it may be gone already."""
        with suppress(RecordUnavailable):
            self._change("DELETE", job_id)

    def discard(self, job: QueryJob) -> None:
        """End a job that nobody waits for any more: abort it if it has not ended, then delete it."""
        try:
            if not job.ended:
                # It may have ended just now, or be gone.
                with suppress(RequestRefused):
                    self.abort(job.id)
            self.delete(job.id)
        except RequestRefused as error:
            if error.code != "API_ERROR":  # still on its way to Aborted: the service removes it after 7 days
                raise

    def jobs(self) -> list[QueryJob]:
        """All Bulk API 2.0 query jobs of the org, of every user, in no order."""
        return self._listed()[0]

    def _listed(self) -> tuple[list[QueryJob], datetime]:
        path = f"{self._jobs}?jobType=V2Query"
        seen: set[str] = set()
        found: list[QueryJob] = []
        while True:
            answer, listing = self._get(path, _JobList)
            found += listing.records
            if listing.done or not listing.next_records_url:
                return found, answer.server_time
            path = _path_of(listing.next_records_url)
            if path in seen:
                raise PagingLoop(f"GET {self._jobs} names the same next page twice")
            seen.add(path)

    def _result_pages(self, job: QueryJob) -> list[str]:
        """Where the pages are, or nothing where the org does not tell."""
        path = f"{self._jobs}/{job.id}/resultPages"
        sources: list[str] = []
        seen = {path}
        try:
            while True:
                _, listing = self._get(path, _ResultPages)
                sources += [self._absolute(link) for link in listing.links]
                if listing.done or not listing.next_url:
                    return sources
                path = self._absolute(listing.next_url)
                if path in seen:
                    raise PagingLoop(f"GET {self._jobs}/{job.id}/resultPages names the same next page twice")
                seen.add(path)
        except RequestRefused:
            return []  # since v58, and not on every org

    def _chained_sources(self, job: QueryJob) -> Callable[[int, str], str | None]:
        """Each page names the next one in its headers."""
        results = f"{self._jobs}/{job.id}/results"
        seen: set[str] = set()

        def next_source(number: int, locator: str) -> str | None:
            if number == 0:
                return f"{results}?maxRecords={self.page_records}"
            if locator == _END:
                return None
            if locator in seen:
                raise PagingLoop(f"GET {results} names the same next page twice; nothing of it is used")
            seen.add(locator)
            return f"{results}?{httpx.QueryParams(maxRecords=self.page_records, locator=locator)}"

        return next_source

    def _absolute(self, link: str) -> str:
        """Links are whole URLs, or paths of the org, or relative to the version's root (seen on a live org)."""
        path = _path_of(link)
        return path if path.startswith("/services/") else f"/services/data/v{self.api_version}{path}"

    def _read(
        self,
        job_id: str,
        number: int,
        source: str,
        folder: Path,
        begun: Callable[[str], None],
        gone: threading.Event,
    ) -> ResultPage:
        """
        One page into a file of its own, asked for again until it is whole.

        Args:
            begun: Told the next page's locator as soon as the headers are in.
            gone: Set when nobody waits for the page any more.
        """
        file = SpooledTemporaryFile(self.page_memory, dir=str(folder))  # noqa: SIM115  (its reader closes it)
        try:
            for attempt in self.retry.attempts_for(self.connection.meter):
                with attempt, self.connection.stream(source, headers=_CSV) as response:
                    locator, records = _page_headers(response, job_id)
                    begun(locator)
                    file.seek(0)
                    file.truncate()
                    size = self._write(response, file, gone)
                    return ResultPage(job_id, number, records, size, source, file)
        except RecordUnavailable as error:
            file.close()
            raise LocatorLost(
                f"the result of query job {job_id} is gone; begin another", code=error.code, status=error.status
            ) from error
        except BaseException:
            file.close()
            raise
        raise AssertionError("the last attempt raises")

    def _write(self, response: httpx.Response, file: IO[bytes], gone: threading.Event) -> int:
        size = 0
        for chunk in response.iter_bytes():
            if gone.is_set():
                raise CancelledError
            file.write(chunk)
            size += len(chunk)
        file.seek(0)
        self.connection.meter.add(received_bytes=size)
        return size

    def _change(self, method: str, job_id: str, json: Any = None) -> None:
        """Aborting and deleting twice does no harm, so both are tried again."""
        for attempt in self.retry.attempts_for(self.connection.meter):
            with attempt:
                self.connection.send(method, f"{self._jobs}/{job_id}", json)

    def _get(self, path: str, type: type[_T]) -> tuple[Answer, _T]:
        for attempt in self.retry.attempts_for(self.connection.meter):
            with attempt:
                answer = self.connection.get(path)
                return answer, answer.json(type)
        raise AssertionError("the last attempt raises")


class _Pages:
    """
    Pages in their order, read ahead by a few threads: each page that begins to come in starts the next one.

    So there is never more than one page that waits for a place, and it is the one that is wanted next.
    """

    def __init__(self, bulk: Bulk, job: QueryJob, folder: Path) -> None:
        self._bulk = bulk
        self._job = job
        self._folder = folder
        self._next_source = bulk._chained_sources(job)
        self._places = threading.Semaphore(bulk.ahead)
        self._gone = threading.Event()
        self._order = threading.Lock()
        self._started: queue.SimpleQueue[Future[ResultPage] | None] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(bulk.ahead, thread_name_prefix="bulk-page")

    def __iter__(self) -> Iterator[ResultPage]:
        self._start_next(-1, "")
        while (started := self._started.get()) is not None:
            yield started.result()
            self._places.release()

    def close(self) -> None:
        """Stop reading ahead, and remove what nobody took."""
        self._gone.set()
        self._places.release(self._bulk.ahead)
        self._threads.shutdown(cancel_futures=True)
        while not self._started.empty():
            started = self._started.get()
            _close_all([] if started is None else [started])

    def _start_next(self, number: int, locator: str) -> None:
        source = self._next_source(number + 1, locator)
        with self._order:  # a fast page tells of the next one before the thread that started it has noted it
            if source is None:
                self._started.put(None)
            elif not self._gone.is_set():
                self._started.put(self._threads.submit(self._read, number + 1, source))

    def _read(self, number: int, source: str) -> ResultPage:
        self._places.acquire()
        begun = _Once(lambda locator: self._start_next(number, locator))
        return self._bulk._read(self._job.id, number, source, self._folder, begun, self._gone)


class _Once:
    """Calls at the first call, and holds later ones against it: a page read again must lead to the same next one."""

    def __init__(self, call: Callable[[str], None]) -> None:
        self._call = call
        self._locator: str | None = None

    def __call__(self, locator: str) -> None:
        if self._locator is None:
            self._locator = locator
            self._call(locator)
        elif self._locator != locator:
            raise LocatorLost("a result page that was read again leads elsewhere than before; begin another job")


def _close_all(pages: Iterable[Future[ResultPage]]) -> None:
    """The files of pages that have ended, which nobody took."""
    for page in pages:
        if not page.cancelled() and page.exception() is None:
            page.result().file.close()


class _JobList(msgspec.Struct, rename="camel"):
    records: list[QueryJob]
    done: bool = True
    next_records_url: str | None = None


class _Link(msgspec.Struct, rename="camel"):
    result_url: str = ""
    result_link: str = ""


class _ResultPages(msgspec.Struct):
    """Documented as ``resultPages`` and ``resultUrl``, seen as ``resultChunks`` and ``resultLink``."""

    done: bool = True
    resultPages: list[_Link] = []  # noqa: N815  (the service's names)
    resultpages: list[_Link] = []
    resultChunks: list[_Link] = []  # noqa: N815
    nextRecordsUrl: str | None = None  # noqa: N815
    nextRecordUrl: str | None = None  # noqa: N815

    @property
    def links(self) -> list[str]:
        listed = self.resultPages or self.resultpages or self.resultChunks
        return [link.result_url or link.result_link for link in listed]

    @property
    def next_url(self) -> str | None:
        return self.nextRecordsUrl or self.nextRecordUrl


_END = "null"
"""The last page carries this text as its locator (Get Results for a Query Job)."""

_CSV = {"Accept": "text/csv"}
_CLOCK_STEP = timedelta(seconds=2)
"""``createdDate`` and ``Date`` are told to the second, each rounded its own way."""

_TOO_LARGE = re.compile(
    r"QUERY_TIMEOUT|TOO_LARGE|EXCEEDED_ID_LIMIT|InvalidBatch|timed? ?out|too (large|complicated|many)|narrow|retri",
    re.IGNORECASE,
)


def _page_headers(response: httpx.Response, job_id: str) -> tuple[str, int]:
    kind = response.headers.get("Content-Type", "text/csv").partition(";")[0].strip().lower()
    locator = response.headers.get("Sforce-Locator", _END)
    records = response.headers.get("Sforce-NumberOfRecords", "")
    if kind not in ("text/csv", "application/octet-stream", "") or not records.isdecimal():
        raise IncompleteAnswer(f"query job {job_id}: a page that is no CSV, or does not say how many records it has")
    return locator, int(records)


def _path_of(link: str) -> str:
    """Path and query of a link of the service's; the host is always ours, so no token goes elsewhere."""
    parts = urlsplit(link)
    path = f"/{parts.path.lstrip('/')}"
    return f"{path}?{parts.query}" if parts.query else path


def _creation_refused(error: RequestRefused) -> Exception:
    if error.code in ("LIMIT_EXCEEDED", "REQUEST_LIMIT_EXCEEDED"):
        return LimitReached(
            f"{error}. The org's allowance of query jobs (10,000 in 24 hours) is used up; come back later",
            code=error.code,
            status=error.status,
        )
    # API_ERROR: compound data, an object without Bulk support, View All missing: REST query tells which.
    if error.code in ("INVALIDENTITY", "API_ERROR", "FEATURENOTENABLED"):
        return BulkUnavailable(f"{error}. Bulk API 2.0 does not take it", code=error.code, status=error.status)
    return error


def _failure(job: QueryJob) -> Exception:
    """Of the service's own message only its code is taken over; the rest may quote the query."""
    code = next(iter(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", job.error_message)), "")
    what = f"query job {job.id} of {job.object} is {job.state}" + (f" ({code})" if code else "")
    if job.state == JobState.FAILED and _TOO_LARGE.search(job.error_message):
        return WindowTooLarge(f"{what}: the org needs too long for it", code=code)
    return JobFailed(f"{what}: run it again; if it fails again, look at Setup > Bulk Data Load Jobs", code=code)
