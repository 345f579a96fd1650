"""Off-platform: all synced transcripts in bulk, from Data Cloud."""

from collections.abc import Collection, Iterator
from datetime import timedelta

import dagster as dg

from conversation_pipeline.defs.assets.common import checked, options
from conversation_pipeline.defs.landing.data_cloud import DataCloudLanding, DataCloudPull, land_data_cloud
from conversation_pipeline.defs.reporting import Metadata, days_of, materialize_landed, told
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract.data_cloud import ROAD
from conversation_pipeline.schemas.conversations import CONVERSATIONS, ENTRIES_DATA_CLOUD
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.storage import Lake, Staging

FRESHNESS = "freshness"

_DAYS_A_RUN = 31
_FRESH = timedelta(hours=24)
"""Older than that, and the newest visible entry says that the data stream stands still: nights are shorter."""


_FRESHNESS_SPEC = dg.AssetCheckSpec(
    FRESHNESS,
    asset=ENTRIES_DATA_CLOUD.name,
    description="The newest entry that Data Cloud shows is not older than a day.",
)


class DataCloudConfig(dg.Config):
    """How the road is read."""

    full: bool = False
    """Read the days anew even where Data Cloud's counts stand still."""


def assets(roads: Collection[str], daily: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    return [entries_data_cloud(daily)] if ROAD in roads else []


def entries_data_cloud(daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        **options(ENTRIES_DATA_CLOUD, "salesforce", checks=[_FRESHNESS_SPEC]),
        partitions_def=daily,
        deps=[dg.AssetDep(CONVERSATIONS.name), dg.AssetDep(MESSAGING_SESSIONS.name)],
        backfill_policy=dg.BackfillPolicy.multi_run(_DAYS_A_RUN),
        pool=ROAD,
    )
    def asset(
        context: dg.AssetExecutionContext,
        config: DataCloudConfig,
        salesforce: dg.ResourceParam[Org],
        lake: dg.ResourceParam[Lake],
        staging: dg.ResourceParam[Staging],
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads the bare name
        days = days_of(context)
        landing = DataCloudLanding(salesforce, lake, staging, context.run.run_id, context.log, config.full)
        pull = DataCloudPull()

        def landed() -> Iterator[tuple[str, Metadata]]:
            with told(ENTRIES_DATA_CLOUD.name, " to ".join(dict.fromkeys((days[0], days[-1])))):
                yield from land_data_cloud(landing, days, pull)

        materialize_landed(context, landed())
        return checked(context, lake, ENTRIES_DATA_CLOUD, _freshness(pull))

    return asset


def _freshness(pull: DataCloudPull) -> dg.AssetCheckResult:
    if not pull.looked:
        return _told(True, "no day of this run had ended for long enough, so Data Cloud was not asked")
    if pull.newest is None:
        return _told(
            False,
            "Data Cloud shows no entry of the last two days: if there were conversations, look at the data streams of "
            "the Digital Engagement bundle, and for policies that hide rows from this user",
        )
    age = pull.asked_at - pull.newest
    sentence = f"the newest entry that Data Cloud shows was made {pull.newest:%Y-%m-%d %H:%M} UTC, {_hours(age)} ago"
    if age <= _FRESH:
        return _told(True, sentence)
    return _told(False, f"{sentence}: if there were conversations since, look at its data stream's last refresh")


def _hours(age: timedelta) -> str:
    return f"{age / timedelta(hours=1):.1f} hours"


def _told(passed: bool, sentence: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=FRESHNESS, passed=passed, severity=dg.AssetCheckSeverity.WARN, description=sentence
    )
