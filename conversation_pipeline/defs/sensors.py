"""What looks for changes by itself. Sensors start stopped: a user switches on what the org allows."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta

import dagster as dg
import pyarrow.compute as pc

from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract.changes import changed_days, count_by_day, days_that_differ
from conversation_pipeline.extract.windows import Window, unbroken
from conversation_pipeline.salesforce.errors import ObjectUnavailable, RequestRefused, SalesforceError
from conversation_pipeline.schemas import Dataset, Group
from conversation_pipeline.settings import SettingsError
from conversation_pipeline.storage import Lake

_EVERY = timedelta(minutes=15)
_DELETED_EVERY = timedelta(hours=6)
_LONGEST_LOG = timedelta(days=14)
"""Salesforce lists deleted records of the last 15 days: a sweep that pauses longer compares counts instead."""


def sensors(datasets: Sequence[Dataset], daily: dg.DailyPartitionsDefinition) -> list[dg.SensorDefinition]:
    watched = [dataset for dataset in datasets if dataset.group is Group.ON_PLATFORM and dataset.partitioned]
    return [on_platform_changes(watched, daily)]


def on_platform_changes(datasets: Sequence[Dataset], daily: dg.DailyPartitionsDefinition) -> dg.SensorDefinition:
    """
    Requests the days whose records changed or were deleted since the last look.

    The cursor is JSON, for each dataset: ``since`` (changes were looked for up to then) and ``deleted_since``.
    """

    @dg.sensor(
        name="on_platform_changes",
        target=[dg.AssetKey(dataset.name) for dataset in datasets],
        minimum_interval_seconds=int(_EVERY.total_seconds()),
        default_status=dg.DefaultSensorStatus.STOPPED,
        required_resource_keys={"salesforce", "lake"},
        description="Every 15 minutes: which days hold records that changed or were deleted; requests just those.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        org: Org = context.resources.salesforce
        lake: Lake = context.resources.lake
        cursor: dict[str, dict[str, str]] = json.loads(context.cursor or "{}")
        requests: list[dg.RunRequest] = []
        try:
            with closing(org):
                for dataset in datasets:
                    days, cursor[dataset.name] = look(dataset, cursor.get(dataset.name, {}), org=org, lake=lake)
                    requests += run_requests(dataset, days, daily)
        except (SalesforceError, SettingsError) as error:
            # The cursor stays: what this look would have found is found by the next.
            return dg.SkipReason(f"{dataset.name}: {error}")
        return dg.SensorResult(run_requests=requests, cursor=json.dumps(cursor))

    return sensor


def look(dataset: Dataset, seen: Mapping[str, str], *, org: Org, lake: Lake) -> tuple[set[str], dict[str, str]]:
    """
    The lake's days that have to be read again, and where the next look begins.

    Days that the lake does not hold yet are not asked for: history is loaded by backfills, not by changes.
    """
    try:
        description = org.query.describe(str(dataset.sobject))
    except ObjectUnavailable:
        return set(), dict(seen)
    now = org.query.server_time()
    held = {str(receipt.partition): receipt.rows for receipt in lake.receipts(dataset)}
    if "since" not in seen:
        return set(), {"since": now.isoformat(), "deleted_since": now.isoformat()}
    days = set(changed_days(org.query, dataset, datetime.fromisoformat(seen["since"])))
    deleted_since = datetime.fromisoformat(seen["deleted_since"])
    if now - deleted_since >= _DELETED_EVERY and held:
        gone, deleted_since = _days_of_deleted(dataset, deleted_since, now, description.replicateable, org, lake)
        days |= gone
    today = now.date().isoformat()
    return {day for day in days if day in held or day == today}, {
        "since": now.isoformat(),
        "deleted_since": deleted_since.isoformat(),
    }


def run_requests(dataset: Dataset, days: Iterable[str], daily: dg.DailyPartitionsDefinition) -> list[dg.RunRequest]:
    """One run for each unbroken range of days, none before the first partition."""
    first = daily.start.date().isoformat()
    return [
        dg.RunRequest(
            asset_selection=[dg.AssetKey(dataset.name)],
            tags={"dagster/asset_partition_range_start": run[0], "dagster/asset_partition_range_end": run[-1]},
        )
        for run in unbroken(day for day in days if day >= first)
    ]


def _days_of_deleted(
    dataset: Dataset, since: datetime, now: datetime, replicateable: bool, org: Org, lake: Lake
) -> tuple[set[str], datetime]:
    """
    Days of records that are gone for good, and until when that is known.

    By the org's list of deletions where the object has one that reaches back far enough; else by comparing how many
    records each day has.
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
    rows = lake.dataset(dataset).to_table(columns=[str(dataset.partition_by)], filter=pc.field("id").isin(list(ids)))
    return {instant.date().isoformat() for instant in rows[str(dataset.partition_by)].to_pylist()}
