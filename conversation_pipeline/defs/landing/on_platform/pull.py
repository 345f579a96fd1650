"""A full pull: all rows of a run of days, or of a snapshot, by REST query, or by bulk job where that costs less."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa

from conversation_pipeline.defs.landing.on_platform import paging
from conversation_pipeline.defs.landing.on_platform.landing import Landing, Rows
from conversation_pipeline.defs.landing.on_platform.publishing import Receipts, ending, metadata, newest, publish
from conversation_pipeline.defs.landing.pulls import open_pull
from conversation_pipeline.defs.reporting import Metadata
from conversation_pipeline.extract import bulk
from conversation_pipeline.extract.on_platform import Selection
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.salesforce.errors import BulkUnavailable, QueryTooLong, WindowTooLarge
from conversation_pipeline.salesforce.transport import Meter
from conversation_pipeline.storage import Pull
from conversation_pipeline.storage.notes import Notes


def pull_days(landing: Landing, selection: Selection, days: Sequence[str]) -> dict[str, Metadata]:
    """An unbroken run of days, as a whole; what it cost stands in the metadata of the first."""
    receipts, rows, used = newest(landing, lambda: _pulled(landing, selection, days))
    spent = [used, *[Meter() for _ in days[1:]]]
    return {day: metadata(receipts[day], rows, cost) for day, cost in zip(days, spent, strict=True)}


def pull_snapshot(landing: Landing, selection: Selection) -> Metadata:
    """A dataset without partitions."""
    receipts, rows, used = _pulled(landing, selection, None)
    return metadata(receipts[None], rows, used)


def _pulled(landing: Landing, selection: Selection, days: Sequence[str] | None) -> tuple[Receipts, Rows, Meter]:
    org = landing.org
    with org.meter.measured() as used:
        before = {day: landing.lake.receipt(landing.dataset, day) for day in days or ()}
        now = org.query.server_time()
        pull = open_pull(landing.staging, landing.dataset.name, days[0] if days else now.date().isoformat(), now)
        with ending(landing, pull):
            try:
                rows = _by_rest(landing, selection, pull, days, most=org.bulk_from_rows)
            except (paging.BetterInBulk, QueryTooLong, WindowTooLarge):
                receipts, rows = _in_bulk(landing, selection, pull, days)
            else:
                receipts = publish(landing, selection, days, rows, before)
    return receipts, rows, used


def _by_rest(
    landing: Landing, selection: Selection, pull: Pull, days: Sequence[str] | None, most: int | None = None
) -> Rows:
    """All rows, from the org or from what a killed run had staged of them."""
    soql = selection.soql(Window.of_days(days) if days else None)
    staged = paging.staged_before(pull, soql, landing.staging) or paging.query(landing, pull, soql, most)
    batches = paging.rows(landing, staged)
    return Rows(batches, paging.promised(staged), len(staged), "full pull", pull.started_at, pull.started_at)


def _in_bulk(landing: Landing, selection: Selection, pull: Pull, days: Sequence[str] | None) -> tuple[Receipts, Rows]:
    """One job for the run of days; by REST, a day at a time, where the org's Bulk API does not take the object."""
    counted: list[Rows] = []
    # A killed run's job is gone on with, and tells what the org held when it was begun.
    asked_at = pull.started_at - bulk.RESUME_WITHIN

    def into(batches: Iterator[pa.RecordBatch], promised: int) -> Receipts:
        rows = Rows(batches, promised, 0, "bulk job", asked_at, pull.started_at, road=bulk.ROAD)
        counted.append(rows)
        return publish(landing, selection, days, rows)

    road = bulk.BulkRoad(landing.org.bulk, Notes(landing.org.settings.conversation_staging, "bulk-jobs"))
    try:
        receipts = road.land(selection, days, into)
        return receipts, replace(counted[-1], drift=road.drift)
    except (BulkUnavailable, WindowTooLarge) as error:
        landing.log.info(f"{landing.dataset.name}: {error}; read by REST query instead")
    receipts = {}
    for part in [[day] for day in days] if days else [None]:
        rows = _by_rest(landing, selection, pull, part)
        receipts |= publish(landing, selection, part, rows)
    return receipts, rows
