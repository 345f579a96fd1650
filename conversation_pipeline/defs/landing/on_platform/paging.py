"""Pages of a REST query, staged as they come: a killed run's pages are used, a lost locator doubles nothing."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator

import msgspec
import pyarrow as pa

from conversation_pipeline.defs.landing.on_platform.landing import Landing
from conversation_pipeline.extract import on_platform
from conversation_pipeline.kill_points import KillPoint, at
from conversation_pipeline.salesforce.errors import LocatorLost
from conversation_pipeline.salesforce.query import StagedPage
from conversation_pipeline.storage import Pull, Staged, Staging

_QUERY_RESTARTS = 3


class BetterInBulk(Exception):
    """A REST query turned out to have so many rows that a bulk job costs fewer calls."""


def query(landing: Landing, pull: Pull, soql: str, most: int | None = None) -> list[Staged]:
    """
    All pages, staged; a query whose locator is lost is asked again from the start, so that nothing is doubled.

    Raises:
        BetterInBulk: the first page tells of more than ``most`` rows.
    """
    for restart in range(_QUERY_RESTARTS + 1):
        try:
            return _stage(pull, soql, landing.org.query.pages(soql, all_rows=True), landing.staging, most)
        except LocatorLost:
            if restart == _QUERY_RESTARTS:
                raise
    raise AssertionError("the last restart raises")


def staged_before(pull: Pull, soql: str, staging: Staging) -> list[Staged] | None:
    """The pages of an attempt that a killed run had staged to the end, if there is one."""
    if not pull.resumed:
        return None
    attempts: dict[str, list[Staged]] = {}
    for record in staging.records(pull.dataset, [pull.day]):
        if record.label[0] == digest(soql) and record.fetched_at >= pull.started_at.replace(microsecond=0):
            attempts.setdefault(record.label[1], []).append(record)
    complete = (
        pages
        for pages in attempts.values()
        if sum(_records_in(staging.read(page)) for page in pages) == promised(pages)
    )
    return next(complete, None)


def rows(landing: Landing, staged: list[Staged]) -> Iterator[pa.RecordBatch]:
    return (on_platform.to_batch(landing.staging.read(page), landing.dataset) for page in staged)


def promised(pages: list[Staged]) -> int:
    """How many rows the org said that the query has."""
    return int(pages[-1].label[3])


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _stage(pull: Pull, soql: str, pages: Iterator[StagedPage], staging: Staging, most: int | None) -> list[Staged]:
    attempt = uuid.uuid4().hex[:8]
    staged: list[Staged] = []
    for number, page in enumerate(pages):
        if most is not None and page.total_size > most:
            raise BetterInBulk
        label = (digest(soql), attempt, f"{number:05}", str(page.total_size))
        staged.append(staging.put(pull.dataset, pull.day, label, page.body, fetched_at=page.server_time))
        at(KillPoint.READING_STAGED)
    return staged


def _records_in(body: bytes) -> int:
    return len(msgspec.json.decode(body, type=_Records).records)


class _Records(msgspec.Struct):
    records: list[msgspec.Raw]
