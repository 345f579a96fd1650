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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.defs.landing.pulls import open_pull
from conversation_pipeline.defs.reporting import Metadata, drift_metadata, receipt_metadata
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract import bulk, on_platform
from conversation_pipeline.extract.changes import OVERLAP
from conversation_pipeline.extract.windows import Window, unbroken
from conversation_pipeline.kill_points import KillPoint, at
from conversation_pipeline.salesforce.errors import BulkUnavailable, LocatorLost, ObjectUnavailable, WindowTooLarge
from conversation_pipeline.salesforce.query import StagedPage
from conversation_pipeline.salesforce.transport import Meter
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.storage import Lake, Pull, Receipt, Staged, Staging
from conversation_pipeline.storage.notes import Notes

_QUERY_RESTARTS = 3
_REQUESTS_OF_A_REFRESH = 2  # the changed rows and the count


@dataclass(frozen=True)
class Landing:
    """
    What the landing of one on-platform dataset works with.

    Attributes:
        full: Pull whole partitions even where a refresh would do.
    """

    dataset: Dataset
    org: Org
    lake: Lake
    staging: Staging
    run_id: str
    log: logging.Logger
    full: bool = False


@dataclass(frozen=True)
class Rows:
    """Rows of a day or a run of days, how many the org says there are, and how they were come by."""

    batches: Iterable[pa.RecordBatch]
    promised: int
    pages: int
    mode: str


class _BetterInBulk(Exception):
    """A REST query turned out to have so many rows that a bulk job costs fewer calls."""


def land_snapshot(landing: Landing) -> Metadata:
    """A dataset without partitions, as it is now."""
    with landing.org.meter.measured() as used:
        try:
            selection = _selected(landing)
        except ObjectUnavailable as error:
            return _land_nothing(landing, None, error)
        asked_at = landing.org.query.server_time()
        pull = open_pull(landing.staging, landing.dataset.name, asked_at.date().isoformat(), asked_at)
        rows = _by_rest(landing, selection, pull, None)
        receipt = landing.lake.replace(
            landing.dataset, None, rows.batches, promised=rows.promised, **_origin(landing, selection, asked_at, "soql")
        )
        _close(landing, pull)
    return _metadata(receipt, selection, rows, used)


def land_days(landing: Landing, days: Sequence[str]) -> Iterator[tuple[str, Metadata]]:
    """
    Days of an on-platform dataset, each with its metadata as soon as it is published: queried, staged, typed.

    A day that the lake holds is refreshed where that costs fewer calls; the others are pulled together, one query or
    one bulk job for each unbroken run of days. What a run of days cost stands in the metadata of its first day.
    """
    try:
        selection = _selected(landing)
    except ObjectUnavailable as error:
        for day in days:
            yield day, _land_nothing(landing, day, error)
        return
    left = []
    for day in days:
        refreshed = None if landing.full else _refresh(landing, selection, day)
        if refreshed is None:
            left.append(day)
        else:
            yield day, refreshed
    for run in unbroken(left):
        yield from _pull(landing, selection, run).items()


def _selected(landing: Landing) -> on_platform.Selection:
    selection = on_platform.select(landing.org.query, landing.dataset)
    name = landing.dataset.name
    if selection.missing:
        hidden = ", ".join(selection.missing)
        landing.log.warning(f"{name}: this org or user does not show {hidden}; nothing new is read of it")
    if selection.unfit:
        landing.log.warning(f"{name}: {', '.join(selection.unfit)} changed their type; nothing new is read of it")
    return selection


def _land_nothing(landing: Landing, day: str | None, error: ObjectUnavailable) -> Metadata:
    """An object that the org lacks is an empty dataset; but a lost permission never empties what is there already."""
    dataset, lake = landing.dataset, landing.lake
    there = lake.receipt(dataset, day)
    if there is not None and there.rows:
        raise error
    landing.log.warning(f"{dataset.name}: {error}. The partition is published without rows.")
    receipt = lake.replace(dataset, day, [], run_id=landing.run_id, road="soql", promised=0)
    return {**receipt_metadata(receipt), **drift_metadata({f"missing object {dataset.sobject}": 1})}


def _pull(landing: Landing, selection: on_platform.Selection, days: Sequence[str]) -> dict[str, Metadata]:
    """An unbroken run of days, as a whole: by REST query, or by bulk job where that costs fewer calls."""
    org, dataset = landing.org, landing.dataset
    window = Window.of_days(days)
    with org.meter.measured() as used:
        asked_at = org.query.server_time()
        pull = open_pull(landing.staging, dataset.name, days[0], asked_at)
        try:
            rows = _by_rest(landing, selection, pull, window, most=org.bulk_from_rows)
        except (_BetterInBulk, WindowTooLarge):
            receipts, rows = _in_bulk(landing, selection, pull, days)
        else:
            receipts = _replace_days(landing, selection, days, pull.started_at, "soql", rows)
        _close(landing, pull)
    spent = [used, *[Meter() for _ in days[1:]]]
    return {day: _metadata(receipts[day], selection, rows, cost) for day, cost in zip(days, spent, strict=True)}


def _in_bulk(
    landing: Landing, selection: on_platform.Selection, pull: Pull, days: Sequence[str]
) -> tuple[dict[str, Receipt], Rows]:
    """One job for the run of days; by REST, a day at a time, where the org's Bulk API does not take the object."""
    counted: list[Rows] = []
    # A killed run's job is gone on with, and tells what the org held when it was begun.
    asked_at = pull.started_at - bulk.RESUME_WITHIN

    def into(batches: Iterator[pa.RecordBatch], promised: int) -> dict[str, Receipt]:
        rows = Rows(batches, promised, 0, "bulk job")
        counted.append(rows)
        return _replace_days(landing, selection, days, asked_at, bulk.ROAD, rows)

    road = bulk.BulkRoad(landing.org.bulk, Notes(landing.org.settings.conversation_staging, "bulk-jobs"))
    try:
        return road.land(selection, days, into), counted[-1]
    except (BulkUnavailable, WindowTooLarge) as error:
        landing.log.info(f"{landing.dataset.name}: {error}; read by REST query instead")
    receipts: dict[str, Receipt] = {}
    for day in days:
        rows = _by_rest(landing, selection, pull, Window.of_day(day))
        receipts |= _replace_days(landing, selection, [day], pull.started_at, "soql", rows)
    return receipts, rows


def _replace_days(
    landing: Landing, selection: on_platform.Selection, days: Sequence[str], asked_at: datetime, road: str, rows: Rows
) -> dict[str, Receipt]:
    origin = _origin(landing, selection, asked_at, road)
    batches = _with_hidden_columns(landing, selection, days, rows.batches)
    return landing.lake.replace_days(landing.dataset, days, batches, promised=rows.promised, **origin)


def _with_hidden_columns(
    landing: Landing, selection: on_platform.Selection, days: Sequence[str], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Columns that can not be read now keep, row by row, the values that an earlier reading brought."""
    hidden = [
        field.name for field in landing.dataset.fields if field.api_name in (*selection.missing, *selection.unfit)
    ]
    known = landing.lake.dataset(landing.dataset, days).to_table(columns=["id", *hidden]) if hidden else None
    for batch in batches:
        if known is not None and known.num_rows:
            place = pc.index_in(batch["id"], value_set=known["id"].combine_chunks())
            for name in hidden:
                kept = known[name].take(place).combine_chunks()
                batch = batch.set_column(batch.schema.get_field_index(name), batch.schema.field(name), kept)
        yield batch


def _by_rest(
    landing: Landing, selection: on_platform.Selection, pull: Pull, window: Window | None, most: int | None = None
) -> Rows:
    """All rows of the window, from the org or from what a killed run had staged of them."""
    soql = selection.soql(window)
    staged = _staged_pages(pull, soql, landing.staging) or _query(landing, pull, soql, most)
    return Rows(_rows(landing, staged), _promised(staged), len(staged), "full pull")


def _refresh(landing: Landing, selection: on_platform.Selection, day: str) -> Metadata | None:
    """The day in the lake with the changes since it was read; ``None`` where a full pull is due or cheaper."""
    there = landing.lake.receipt(landing.dataset, day)
    if there is None or not _can_be_refreshed(there, selection, landing.org.query.rows_a_page):
        return None
    with landing.org.meter.measured() as used:
        asked_at = landing.org.query.server_time()
        pull = open_pull(landing.staging, landing.dataset.name, day, asked_at)
        rows = _refreshed(landing, selection, pull, there)
        if rows is None:
            landing.staging.close_pull(pull)
            return None
        receipts = _replace_days(landing, selection, [day], pull.started_at, "soql", rows)
        _close(landing, pull)
    return _metadata(receipts[day], selection, rows, used)


def _refreshed(landing: Landing, selection: on_platform.Selection, pull: Pull, there: Receipt) -> Rows | None:
    """The day's rows with their changes, if they add up to the org's count."""
    dataset, org, window = landing.dataset, landing.org, Window.of_day(pull.day)
    since = datetime.fromisoformat(there.provenance["asked_at"]) - OVERLAP
    try:
        staged = _query(landing, pull, selection.soql(window, changed_since=since), org.bulk_from_rows)
    except _BetterInBulk:
        return None
    changed = pa.Table.from_batches(list(_rows(landing, staged)), dataset.schema)
    known = landing.lake.dataset(dataset, [pull.day])
    kept = ~pc.field("id").isin(changed["id"].combine_chunks())
    promised = org.query.count(str(dataset.sobject), selection.condition(window), all_rows=True)
    total = int(known.count_rows(filter=kept)) + changed.num_rows
    if total > promised and there.rows <= org.bulk_from_rows:  # of more rows, even the ids are cheaper in bulk
        kept &= pc.field("id").isin(_ids(landing, selection, window))
        total = int(known.count_rows(filter=kept)) + changed.num_rows
    if total != promised:
        return None
    batches = _chained(known.to_batches(filter=kept), changed)
    return Rows(batches, promised, len(staged), f"refresh of {changed.num_rows:,} changed rows")


def _origin(landing: Landing, selection: on_platform.Selection, asked_at: datetime, road: str) -> dict[str, Any]:
    """What a receipt says of where its rows came from, and what the next refresh begins with."""
    provenance = {"asked_at": asked_at.isoformat(), "selection": _columns(selection)}
    return {"run_id": landing.run_id, "road": road, "provenance": provenance}


def _close(landing: Landing, pull: Pull) -> None:
    landing.staging.close_pull(pull)
    at(KillPoint.PULL_CLOSED)


def _metadata(receipt: Receipt, selection: on_platform.Selection, rows: Rows, used: Meter) -> Metadata:
    missing = {f"missing {name}": 1 for name in selection.missing}
    unfit = {f"unfit {name}": 1 for name in selection.unfit}
    return {
        **receipt_metadata(receipt, used),
        "mode": rows.mode,
        "pages": rows.pages,
        **drift_metadata(missing | unfit),
    }


def _can_be_refreshed(there: Receipt, selection: on_platform.Selection, rows_a_page: int) -> bool:
    """A day of few rows is cheaper to pull; one that was asked for other columns has to be (a column backfill)."""
    same_columns = there.provenance.get("selection") == _columns(selection)
    same_version = there.schema_version == selection.dataset.version
    return same_columns and same_version and there.rows > _REQUESTS_OF_A_REFRESH * rows_a_page


def _columns(selection: on_platform.Selection) -> str:
    """What was asked for and as which types: a day that was asked for otherwise is pulled as a whole."""
    return _digest(f"{selection.soql(None)}\n{selection.dataset.schema}")


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


def _query(landing: Landing, pull: Pull, soql: str, most: int | None = None) -> list[Staged]:
    """All pages, staged; a query whose locator is lost is asked again from the start, so that nothing is doubled."""
    for restart in range(_QUERY_RESTARTS + 1):
        try:
            return _stage_pages(pull, soql, landing.org.query.pages(soql, all_rows=True), landing.staging, most)
        except LocatorLost:
            if restart == _QUERY_RESTARTS:
                raise
    raise AssertionError("the last restart raises")


def _stage_pages(
    pull: Pull, soql: str, pages: Iterator[StagedPage], staging: Staging, most: int | None
) -> list[Staged]:
    attempt = uuid.uuid4().hex[:8]
    staged: list[Staged] = []
    for number, page in enumerate(pages):
        if most is not None and page.total_size > most:
            raise _BetterInBulk
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
