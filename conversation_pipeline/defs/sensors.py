"""What looks for changes by itself. Sensors start stopped: a user switches on what the org allows."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.defs import drift, integrity
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.defs.sweep import asked_at
from conversation_pipeline.extract.changes import changed_days, count_by_day, days_that_differ
from conversation_pipeline.extract.on_platform import cursor_field
from conversation_pipeline.extract.windows import Window, unbroken
from conversation_pipeline.salesforce.errors import FieldUnavailable, ObjectUnavailable, RequestRefused, SalesforceError
from conversation_pipeline.salesforce.quotas import QuotaStoreError
from conversation_pipeline.schemas import Dataset, Group
from conversation_pipeline.settings import SettingsError
from conversation_pipeline.storage import Lake, StorageError

_EVERY = timedelta(minutes=15)
_DELETED_EVERY = timedelta(hours=6)
_ASK_AGAIN_AFTER = 3600.0
_LONGEST_LOG = timedelta(days=14)
"""Salesforce lists deleted records of the last 15 days: a sweep that pauses longer compares counts instead."""


def sensors(datasets: Sequence[Dataset], daily: dg.DailyPartitionsDefinition) -> list[dg.SensorDefinition]:
    watched = [dataset for dataset in datasets if dataset.group is Group.ON_PLATFORM and dataset.partitioned]
    return [on_platform_changes(watched, daily)]


def on_platform_changes(datasets: Sequence[Dataset], daily: dg.DailyPartitionsDefinition) -> dg.SensorDefinition:
    """
    Requests the days whose records changed or were deleted since the last look.

    The cursor is JSON, for each dataset: ``since`` (changes were looked for up to then), ``deleted_since``,
    ``described`` (what the looks need of describe, asked for again with each look for deleted records), and
    ``pending``: the days that were requested, and when, until they have been materialized since. A run that failed is
    so asked for again.
    """

    @dg.sensor(
        name="on_platform_changes",
        target=[dg.AssetKey(dataset.name) for dataset in datasets],
        minimum_interval_seconds=int(_EVERY.total_seconds()),
        default_status=dg.DefaultSensorStatus.STOPPED,
        required_resource_keys={"salesforce", "lake"},
        description="Every 15 minutes: which days hold records that changed or were deleted; requests just those.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        org: Org = context.resources.salesforce
        lake: Lake = context.resources.lake
        cursor: dict[str, Any] = json.loads(context.cursor or "{}")
        requests: list[dg.RunRequest] = []
        for dataset in datasets:
            try:
                days, cursor[dataset.name] = look(
                    dataset, cursor.get(dataset.name, {}), org=org, lake=lake, landed=partial(_landed, context, dataset)
                )
            except (SalesforceError, SettingsError, StorageError, QuotaStoreError) as error:
                # This dataset's part of the cursor stays: what this look would have found is found by the next.
                context.log.warning(f"{dataset.name}: {error}")
                continue
            requests += run_requests(dataset, days, daily)
        return dg.SensorResult(run_requests=requests, cursor=json.dumps(cursor))

    return sensor


Landed = Callable[[Mapping[str, float]], set[str]]
"""Of days with the time when they were requested (seconds since 1970), those that were materialized since."""


def look(
    dataset: Dataset, seen: Mapping[str, Any], *, org: Org, lake: Lake, landed: Landed
) -> tuple[set[str], dict[str, Any]]:
    """
    The lake's days that have to be read again now, and where the next look begins.

    Days that the lake does not hold yet are not asked for: history is loaded by backfills, not by changes. The first
    look reaches back to the oldest reading in the lake.
    """
    now = org.query.server_time()
    asked = {str(receipt.partition): asked_at(receipt) for receipt in lake.receipts(dataset)}
    if not asked:
        return set(), {}
    since = datetime.fromisoformat(seen["since"]) if "since" in seen else min(asked.values())
    deleted_since = datetime.fromisoformat(seen.get("deleted_since", since.isoformat()))
    deletes_are_due = now - deleted_since >= _DELETED_EVERY
    try:
        described = _described(dataset, org) if deletes_are_due or "described" not in seen else seen["described"]
        found = set(changed_days(org.query, dataset, described["cursor"], since)) if described["cursor"] else set()
    except ObjectUnavailable:
        return set(), dict(seen)
    except FieldUnavailable:  # the org has changed since it was described: the next look asks it
        return set(), {name: value for name, value in seen.items() if name != "described"}
    if deletes_are_due:
        told = described["replicateable"] and described["cursor"]
        gone, deleted_since = _days_of_deleted(dataset, deleted_since, now, bool(told), org, lake)
        found |= gone
    today = now.date().isoformat()
    pending: dict[str, float] = seen.get("pending", {})
    waiting = {day: at for day, at in pending.items() if day not in landed(pending)}
    overdue = {day for day, at in waiting.items() if time.time() - at >= _ASK_AGAIN_AFTER}
    days = {day for day in found if day in asked or day == today} | overdue
    return days, {
        "since": now.isoformat(),
        "deleted_since": deleted_since.isoformat(),
        "described": described,
        "pending": waiting | dict.fromkeys(days, time.time()),
    }


def _described(dataset: Dataset, org: Org) -> dict[str, Any]:
    """What a look needs of the object's describe; kept in the cursor, for an org changes less often than a look."""
    description = org.query.describe(str(dataset.sobject))
    return {"cursor": cursor_field(dataset, description), "replicateable": description.replicateable}


def _landed(context: dg.SensorEvaluationContext, dataset: Dataset, pending: Mapping[str, float]) -> set[str]:
    if not pending:
        return set()
    since = dg.AssetRecordsFilter(
        dg.AssetKey(dataset.name), asset_partitions=list(pending), after_timestamp=min(pending.values())
    )
    records = context.instance.fetch_materializations(since, limit=1000).records
    return {str(one.partition_key) for one in records if one.timestamp >= pending.get(str(one.partition_key), 0.0)}


def run_requests(dataset: Dataset, days: Iterable[str], daily: dg.DailyPartitionsDefinition) -> list[dg.RunRequest]:
    """One run for each unbroken range of days, none before the first partition."""
    first = daily.start.date().isoformat()
    return [
        dg.RunRequest(
            asset_selection=[dg.AssetKey(dataset.name)],
            asset_check_keys=integrity.keys(dataset, drift.CHECK),
            tags={"dagster/asset_partition_range_start": run[0], "dagster/asset_partition_range_end": run[-1]},
        )
        for run in unbroken(day for day in days if day >= first)
    ]


def _days_of_deleted(
    dataset: Dataset, since: datetime, now: datetime, replicateable: bool, org: Org, lake: Lake
) -> tuple[set[str], datetime]:
    """
    Days of records that are gone for good, and until when that is known.

    By the org's list of deletions where the object has one that reaches back far enough; else, and where no stamp tells
    of changes, by comparing how many records each day has.
    """
    if replicateable and now - since <= _LONGEST_LOG:
        try:
            deleted = org.query.deleted(str(dataset.sobject), since, now)
        except RequestRefused:
            return _days_that_differ(dataset, org, lake), now
        return _days_of(dataset, deleted.ids, lake), max(since, deleted.covered_until)
    return _days_that_differ(dataset, org, lake), now


def _days_that_differ(dataset: Dataset, org: Org, lake: Lake) -> set[str]:
    held = {str(receipt.partition): receipt.rows for receipt in lake.receipts(dataset)}
    window = Window.of_day(min(held)).spanning(Window.of_day(max(held)))
    return set(days_that_differ(count_by_day(org.query, dataset, window), held))


def _days_of(dataset: Dataset, ids: Sequence[str], lake: Lake) -> set[str]:
    rows = lake.dataset(dataset).to_table(
        columns=[str(dataset.partition_by)], filter=pc.field("id").isin(pa.array(ids, pa.string()))
    )
    return {instant.date().isoformat() for instant in rows[str(dataset.partition_by)].to_pylist()}
