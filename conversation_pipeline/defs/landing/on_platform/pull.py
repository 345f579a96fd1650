"""A full pull: all rows of a run of days, by REST query, or by bulk job where that costs fewer calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from conversation_pipeline.defs.landing.on_platform import paging
from conversation_pipeline.defs.landing.on_platform.landing import Landing, Rows
from conversation_pipeline.defs.landing.on_platform.publishing import close, metadata, replace_days
from conversation_pipeline.defs.landing.pulls import open_pull
from conversation_pipeline.defs.reporting import Metadata
from conversation_pipeline.extract import bulk
from conversation_pipeline.extract.on_platform import Selection
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.salesforce.errors import BulkUnavailable, WindowTooLarge
from conversation_pipeline.salesforce.transport import Meter
from conversation_pipeline.storage import Pull, Receipt
from conversation_pipeline.storage.notes import Notes


def pull_days(landing: Landing, selection: Selection, days: Sequence[str]) -> dict[str, Metadata]:
    """An unbroken run of days, as a whole; what it cost stands in the metadata of the first."""
    org, dataset = landing.org, landing.dataset
    window = Window.of_days(days)
    with org.meter.measured() as used:
        asked_at = org.query.server_time()
        pull = open_pull(landing.staging, dataset.name, days[0], asked_at)
        try:
            rows = by_rest(landing, selection, pull, window, most=org.bulk_from_rows)
        except (paging.BetterInBulk, WindowTooLarge):
            receipts, rows = _in_bulk(landing, selection, pull, days)
        else:
            receipts = replace_days(landing, selection, days, pull.started_at, "soql", rows)
        close(landing, pull)
    spent = [used, *[Meter() for _ in days[1:]]]
    return {day: metadata(receipts[day], selection, rows, cost) for day, cost in zip(days, spent, strict=True)}


def by_rest(landing: Landing, selection: Selection, pull: Pull, window: Window | None, most: int | None = None) -> Rows:
    """All rows of the window, from the org or from what a killed run had staged of them."""
    soql = selection.soql(window)
    staged = paging.staged_before(pull, soql, landing.staging) or paging.query(landing, pull, soql, most)
    return Rows(paging.rows(landing, staged), paging.promised(staged), len(staged), "full pull")


def _in_bulk(
    landing: Landing, selection: Selection, pull: Pull, days: Sequence[str]
) -> tuple[dict[str, Receipt], Rows]:
    """One job for the run of days; by REST, a day at a time, where the org's Bulk API does not take the object."""
    counted: list[Rows] = []
    # A killed run's job is gone on with, and tells what the org held when it was begun.
    asked_at = pull.started_at - bulk.RESUME_WITHIN

    def into(batches: Iterator[pa.RecordBatch], promised: int) -> dict[str, Receipt]:
        rows = Rows(batches, promised, 0, "bulk job")
        counted.append(rows)
        return replace_days(landing, selection, days, asked_at, bulk.ROAD, rows)

    road = bulk.BulkRoad(landing.org.bulk, Notes(landing.org.settings.conversation_staging, "bulk-jobs"))
    try:
        return road.land(selection, days, into), counted[-1]
    except (BulkUnavailable, WindowTooLarge) as error:
        landing.log.info(f"{landing.dataset.name}: {error}; read by REST query instead")
    receipts: dict[str, Receipt] = {}
    for day in days:
        rows = by_rest(landing, selection, pull, Window.of_day(day))
        receipts |= replace_days(landing, selection, [day], pull.started_at, "soql", rows)
    return receipts, rows
