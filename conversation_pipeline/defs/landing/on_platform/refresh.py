"""
A refresh: the day in the lake with the rows that changed since it was read, merged by id.

It is held against the org's own count of the day: a count that is too high means hard deletes (found by ids alone), any
other difference means that something escaped, and the day is pulled as a whole. So a refresh ends with the rows that a
full pull would bring.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.defs import sweep
from conversation_pipeline.defs.landing.on_platform import paging
from conversation_pipeline.defs.landing.on_platform.landing import Landing, Rows
from conversation_pipeline.defs.landing.on_platform.publishing import columns, ending, metadata, publish
from conversation_pipeline.defs.landing.pulls import open_pull
from conversation_pipeline.defs.reporting import Metadata
from conversation_pipeline.extract.changes import OVERLAP
from conversation_pipeline.extract.on_platform import Selection
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.salesforce.errors import QueryTooLong
from conversation_pipeline.salesforce.soql import one_of
from conversation_pipeline.storage import Pull, Receipt

_REQUESTS_OF_A_REFRESH = 2  # the changed rows and the count


def refresh_day(landing: Landing, selection: Selection, day: str) -> Metadata | None:
    """The day in the lake with the changes since it was read; ``None`` where a full pull is due or cheaper."""
    there = landing.lake.receipt(landing.dataset, day)
    if there is None or not _can_be_refreshed(there, selection, landing.org.query.rows_a_page):
        return None
    with landing.org.meter.measured() as used:
        asked_at = landing.org.query.server_time()
        if sweep.is_due(landing.dataset, there, asked_at):
            return None
        pull = open_pull(landing.staging, landing.dataset.name, day, asked_at)
        rows = _refreshed(landing, selection, pull, there)
        if rows is None:
            landing.staging.close_pull(pull)
            return None
        with ending(landing, pull):
            receipts = publish(landing, selection, [day], rows, {day: there})
    return metadata(receipts[day], rows, used)


def _can_be_refreshed(there: Receipt, selection: Selection, rows_a_page: int) -> bool:
    """
    A day of few rows is cheaper to pull; one that was asked for other columns has to be (a column backfill), and so has
    one of an object whose changes nothing tells.
    """
    same_columns = there.provenance.get("selection") == columns(selection)
    same_version = there.schema_version == selection.dataset.version
    told = selection.cursor is not None
    return told and same_columns and same_version and there.rows > _REQUESTS_OF_A_REFRESH * rows_a_page


def _refreshed(landing: Landing, selection: Selection, pull: Pull, there: Receipt) -> Rows | None:
    """The day's rows with their changes, if they add up to the org's count."""
    dataset, org, window = landing.dataset, landing.org, Window.of_day(pull.day)
    since = datetime.fromisoformat(there.provenance["asked_at"]) - OVERLAP
    soql = selection.soql(window, changed_since=since, or_where=_also(landing, pull.day, since))
    try:
        staged = paging.query(landing, pull, soql, org.bulk_from_rows)
    except (paging.BetterInBulk, QueryTooLong):
        return None
    changed = pa.Table.from_batches(list(paging.rows(landing, staged)), dataset.schema)
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
    swept_at = datetime.fromisoformat(there.provenance.get("swept_at", there.provenance["asked_at"]))
    mode = f"refresh of {changed.num_rows:,} changed rows"
    return Rows(batches, promised, len(staged), mode, pull.started_at, swept_at)


def _also(landing: Landing, day: str, since: datetime) -> str:
    """A condition on records that may have changed without a stamp."""
    conversations = sweep.told_by_sessions(landing.dataset, day, since, landing.lake)
    return one_of(landing.dataset.api_name(sweep.SWEPT[landing.dataset.name]), conversations) if conversations else ""


def _ids(landing: Landing, selection: Selection, window: Window) -> pa.Array:
    """The ids that the org still has, read without any other column: what is not among them was deleted for good."""
    pages = landing.org.query.pages(selection.ids_soql(window), all_rows=True)
    ids = [record["Id"] for page in pages for record in msgspec.json.decode(page.body)["records"]]
    return pa.array(ids, pa.string())


def _chained(batches: Iterable[pa.RecordBatch], table: pa.Table) -> Iterator[pa.RecordBatch]:
    yield from batches
    yield from table.to_batches()
