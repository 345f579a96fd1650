"""
The on-platform road's landing: pages are staged as they come; a day is their rows, or the day before plus its changes.

A refresh pulls the rows that changed since the day was read and merges them by id. It is held against the org's own
count of the day: a count that is too high means hard deletes (found by ids alone), any other difference means that
something escaped, and the day is pulled as a whole. So a refresh ends with the rows that a full pull would bring.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.defs.landing.pulls import open_pull
from conversation_pipeline.defs.reporting import Metadata, drift_metadata, receipt_metadata
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract import on_platform
from conversation_pipeline.extract.changes import OVERLAP
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.kill_points import KillPoint, at
from conversation_pipeline.salesforce.errors import LocatorLost, ObjectUnavailable
from conversation_pipeline.salesforce.query import StagedPage
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.storage import Lake, Pull, Receipt, Staged, Staging

_QUERY_RESTARTS = 3
_REQUESTS_OF_A_REFRESH = 2  # the changed rows and the count


@dataclass(frozen=True)
class Landing:
    """What the landing of one partition works with."""

    dataset: Dataset
    day: str | None
    org: Org
    lake: Lake
    staging: Staging
    run_id: str
    log: logging.Logger

    @property
    def window(self) -> Window | None:
        return None if self.day is None else Window.of_day(self.day)


@dataclass(frozen=True)
class Rows:
    """A partition's rows, how many the org says there are, and how they were come by."""

    batches: Iterable[pa.RecordBatch]
    promised: int
    pages: int
    mode: str


def land_on_platform(
    dataset: Dataset,
    day: str | None,
    *,
    org: Org,
    lake: Lake,
    staging: Staging,
    run_id: str,
    log: logging.Logger,
    full: bool = False,
) -> Metadata:
    """
    One partition (or the snapshot) of an on-platform dataset: queried, staged, typed, published.

    Args:
        full: Pull the whole partition even where a refresh would do.
    """
    landing = Landing(dataset, day, org, lake, staging, run_id, log)
    with org.meter.measured() as used:
        try:
            selection = on_platform.select(org.query, dataset)
        except ObjectUnavailable as error:
            return _land_nothing(landing, error)
        if selection.missing:
            log.warning(f"{dataset.name}: this org or user does not show {', '.join(selection.missing)}; left null")
        if selection.unfit:
            log.warning(f"{dataset.name}: {', '.join(selection.unfit)} changed their type; left null")
        asked_at = org.query.server_time()
        pull = open_pull(staging, dataset.name, day or asked_at.date().isoformat(), asked_at)
        rows = (None if full else _refreshed(landing, selection, pull)) or _pulled(landing, selection, pull)
        receipt = lake.replace(
            dataset,
            day,
            rows.batches,
            run_id=run_id,
            road="soql",
            promised=rows.promised,
            provenance={"asked_at": asked_at.isoformat(), "selection": _digest(selection.soql(None))},
        )
        staging.close_pull(pull)
        at(KillPoint.PULL_CLOSED)
    return {
        **receipt_metadata(receipt, used),
        "mode": rows.mode,
        "pages": rows.pages,
        **drift_metadata(
            {f"missing {name}": 1 for name in selection.missing} | {f"unfit {name}": 1 for name in selection.unfit}
        ),
    }


def _land_nothing(landing: Landing, error: ObjectUnavailable) -> Metadata:
    """An object that the org lacks is an empty dataset; but a lost permission never empties what is there already."""
    dataset, lake = landing.dataset, landing.lake
    there = lake.receipt(dataset, landing.day)
    if there is not None and there.rows:
        raise error
    landing.log.warning(f"{dataset.name}: {error}. The partition is published without rows.")
    receipt = lake.replace(dataset, landing.day, [], run_id=landing.run_id, road="soql", promised=0)
    return {**receipt_metadata(receipt), **drift_metadata({f"missing object {dataset.sobject}": 1})}


def _pulled(landing: Landing, selection: on_platform.Selection, pull: Pull) -> Rows:
    """All rows of the partition, from the org or from what a killed run had staged of them."""
    soql = selection.soql(landing.window)
    staged = _staged_pages(pull, soql, landing.staging) or _query(landing, pull, soql)
    return Rows(_rows(landing, staged), _promised(staged), len(staged), "full pull")


def _refreshed(landing: Landing, selection: on_platform.Selection, pull: Pull) -> Rows | None:
    """The partition in the lake with the changes since it was read; ``None`` where a full pull is due or cheaper."""
    dataset, lake, org, window = landing.dataset, landing.lake, landing.org, landing.window
    there = lake.receipt(dataset, landing.day)
    if there is None or window is None or not _can_be_refreshed(there, selection, org.query.rows_a_page):
        return None
    since = datetime.fromisoformat(there.provenance["asked_at"]) - OVERLAP
    staged = _query(landing, pull, selection.soql(window, changed_since=since))
    changed = pa.Table.from_batches(list(_rows(landing, staged)), dataset.schema)
    known = lake.dataset(dataset, [str(landing.day)])
    kept = ~pc.field("id").isin(changed["id"].combine_chunks())
    promised = org.query.count(str(dataset.sobject), selection.condition(window), all_rows=True)
    total = int(known.count_rows(filter=kept)) + changed.num_rows
    if total > promised:
        alive = _ids(landing, selection, window)
        kept &= pc.field("id").isin(alive)
        total = int(known.count_rows(filter=kept)) + changed.num_rows
    if total != promised:
        return None
    batches = _chained(known.to_batches(filter=kept), changed)
    return Rows(batches, promised, len(staged), f"refresh of {changed.num_rows:,} changed rows")


def _can_be_refreshed(there: Receipt, selection: on_platform.Selection, rows_a_page: int) -> bool:
    """A day of few rows is cheaper to pull; one that was asked for other columns has to be (a column backfill)."""
    same_columns = there.provenance.get("selection") == _digest(selection.soql(None))
    same_version = there.schema_version == selection.dataset.version
    return same_columns and same_version and there.rows > _REQUESTS_OF_A_REFRESH * rows_a_page


def _ids(landing: Landing, selection: on_platform.Selection, window: Window) -> pa.Array:
    """The ids that the org still has, read without any other column: what is not among them was deleted for good."""
    pages = landing.org.query.pages(selection.ids_soql(window), all_rows=True)
    ids = [record["Id"] for page in pages for record in msgspec.json.decode(page.body)["records"]]
    return pa.array(ids, pa.string())


def _chained(batches: Iterable[pa.RecordBatch], table: pa.Table) -> Iterator[pa.RecordBatch]:
    yield from batches
    yield from table.to_batches()


def _rows(landing: Landing, staged: list[Staged]) -> Iterator[pa.RecordBatch]:
    return (on_platform.to_batch(landing.staging.read(page), landing.dataset) for page in staged)


def _query(landing: Landing, pull: Pull, soql: str) -> list[Staged]:
    """All pages, staged; a query whose locator is lost is asked again from the start, so that nothing is doubled."""
    for restart in range(_QUERY_RESTARTS + 1):
        try:
            return _stage_pages(pull, soql, landing.org.query.pages(soql, all_rows=True), landing.staging)
        except LocatorLost:
            if restart == _QUERY_RESTARTS:
                raise
    raise AssertionError("the last restart raises")


def _stage_pages(pull: Pull, soql: str, pages: Iterator[StagedPage], staging: Staging) -> list[Staged]:
    attempt = uuid.uuid4().hex[:8]
    staged: list[Staged] = []
    for number, page in enumerate(pages):
        label = (_digest(soql), attempt, f"{number:05}", str(page.total_size))
        staged.append(staging.put(pull.dataset, pull.day, label, page.body, fetched_at=page.server_time))
        at(KillPoint.READING_STAGED)
    return staged


def _staged_pages(pull: Pull, soql: str, staging: Staging) -> list[Staged] | None:
    """The pages of an attempt that a killed run had staged to the end, if there is one."""
    if not pull.resumed:
        return None
    attempts: dict[str, list[Staged]] = {}
    for record in staging.records(pull.dataset, [pull.day]):
        if record.label[0] == _digest(soql) and record.fetched_at >= pull.started_at.replace(microsecond=0):
            attempts.setdefault(record.label[1], []).append(record)
    complete = (
        pages
        for pages in attempts.values()
        if sum(_records_in(staging.read(page)) for page in pages) == _promised(pages)
    )
    return next(complete, None)


def _promised(pages: list[Staged]) -> int:
    return int(pages[-1].label[3])


def _records_in(body: bytes) -> int:
    return len(msgspec.json.decode(body, type=_Records).records)


class _Records(msgspec.Struct):
    records: list[msgspec.Raw]


def _digest(soql: str) -> str:
    return hashlib.sha256(soql.encode()).hexdigest()[:12]
