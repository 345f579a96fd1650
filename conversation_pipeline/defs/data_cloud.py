"""Asks Data Cloud for days that have ended, again until their counts stand still. The sensor starts stopped."""

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta

import dagster as dg

from conversation_pipeline.defs.landing.data_cloud import (
    DataCloudLanding,
    asked_from,
    look_for_news,
    read_at,
)
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract.data_cloud import ROAD
from conversation_pipeline.extract.windows import unbroken
from conversation_pipeline.salesforce.errors import SalesforceError
from conversation_pipeline.salesforce.quotas import QuotaStoreError
from conversation_pipeline.schemas.conversations import ENTRIES_DATA_CLOUD
from conversation_pipeline.settings import SettingsError
from conversation_pipeline.storage import Lake, Receipt, StorageError

SENSOR = "data_cloud_days"

_EVERY = timedelta(minutes=15)
_ASK_AGAIN_AFTER = timedelta(hours=1)
"""So long after its request a day is looked at again that has not been read since."""

_SETTLED_EVERY = timedelta(days=1)
_LOOK_BACK_DAYS = 31
"""Days of the lake that are looked at once a day after they have settled: for redactions, and streams that stood."""

_NEW = timedelta(days=3)
"""Older days are read for the first time where one before them is in the lake; else they are history, which backfills
load."""


def sensors(roads: Iterable[str], daily: dg.DailyPartitionsDefinition) -> list[dg.SensorDefinition]:
    """None where the road is not in use."""
    return [data_cloud_days(daily)] if ROAD in roads else []


def data_cloud_days(daily: dg.DailyPartitionsDefinition) -> dg.SensorDefinition:
    """
    Requests days once they have ended and had time to be synced, and again while their counts move.

    The cursor is JSON: of each day, when it was looked at last (``at``) and whether it had ``news`` then.
    """

    @dg.sensor(
        name=SENSOR,
        target=[dg.AssetKey(ENTRIES_DATA_CLOUD.name)],
        minimum_interval_seconds=int(_EVERY.total_seconds()),
        default_status=dg.DefaultSensorStatus.STOPPED,
        required_resource_keys={"salesforce", "lake", "staging"},
        description="Every quarter of an hour: days that have ended and that Data Cloud has had time to sync "
        "(CONVERSATION_DATA_CLOUD_LAG_MINUTES), again until their counts stand still; and once a day the days of the "
        "last month, for late entries and redactions. One query of counts, only when a day is due.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        org: Org = context.resources.salesforce
        lake: Lake = context.resources.lake
        landing = DataCloudLanding(org, lake, context.resources.staging, "", context.log)
        looked: dict[str, dict[str, object]] = json.loads(context.cursor or "{}")
        try:
            now = org.query.server_time()
            days = _ended(daily.start.date(), landing.lag, now)
            receipts = {day: lake.receipt(ENTRIES_DATA_CLOUD, day) for day in days}
            begun = min(
                (day for day in days if receipts[day] or now - asked_from(day, landing.lag) <= _NEW), default=""
            )
            due = [
                day
                for day in days
                if day >= begun and _is_due(receipts[day], looked.get(day), max(landing.lag, _EVERY), now)
            ]
            if not due:
                return dg.SkipReason("every day that has ended was looked at, and is not due again yet")
            news = look_for_news(landing, due, now)
        except (SalesforceError, SettingsError, StorageError, QuotaStoreError) as error:
            return dg.SkipReason(f"{ENTRIES_DATA_CLOUD.name}: {error}")
        new = set(news.days)
        seen = {day: {"at": now.isoformat(), "news": day in new} for day in due}
        kept = {day: told for day, told in looked.items() if day in days}
        return dg.SensorResult(
            run_requests=[_request(run, now) for run in unbroken(new, longest=_LOOK_BACK_DAYS)],
            skip_reason=None if new else dg.SkipReason(f"{len(due)} days were looked at, and stand still"),
            cursor=json.dumps(kept | seen),
        )

    return sensor


def _ended(start: date, lag: timedelta, now: datetime) -> list[str]:
    """Days of the last month that can be asked for, oldest first."""
    days = (now.date() - timedelta(days=back) for back in range(_LOOK_BACK_DAYS, 0, -1))
    return [day.isoformat() for day in days if day >= start and asked_from(day.isoformat(), lag) <= now]


def _is_due(receipt: Receipt | None, looked: Mapping[str, object] | None, lag: timedelta, now: datetime) -> bool:
    """Whether a day is to be looked at: never was, may still move, is not read though it had news, or once a day."""
    if looked is None:
        return True
    at = datetime.fromisoformat(str(looked["at"]))
    since = None if receipt is None else read_at(receipt)
    if looked["news"] and (since is None or since < at):
        return now - at >= _ASK_AGAIN_AFTER
    settled = since is not None and at - since >= lag
    return now - at >= (_SETTLED_EVERY if settled else lag)


def _request(days: list[str], now: datetime) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{now.isoformat()}: {days[0]}..{days[-1]}",
        asset_selection=[dg.AssetKey(ENTRIES_DATA_CLOUD.name)],
        tags={"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]},
    )
