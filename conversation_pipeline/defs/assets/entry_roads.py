"""Off-platform: one asset for each road that is asked conversation by conversation."""

from collections.abc import Collection

import dagster as dg

from conversation_pipeline.defs.assets.common import checked, options
from conversation_pipeline.defs.landing import (
    DAYS_A_RUN,
    ENTRY_ROADS,
    EntryLanding,
    EntryRoad,
    land_entries,
    pull_entries,
)
from conversation_pipeline.defs.reporting import days_of, materialize_days, told
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.schemas.conversations import CONVERSATION_ACTIVITY
from conversation_pipeline.storage import Lake, Staging


def assets(roads: Collection[str], daily: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """Of the roads in use."""
    return [entries(road, daily) for road in ENTRY_ROADS if road.name in roads]


def entries(road: EntryRoad, daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        **options(road.dataset, "salesforce"),
        partitions_def=daily,
        backfill_policy=dg.BackfillPolicy.multi_run(DAYS_A_RUN),
        deps=[CONVERSATION_ACTIVITY.name],
        pool=road.name,
    )
    def asset(
        context: dg.AssetExecutionContext,
        salesforce: dg.ResourceParam[Org],
        lake: dg.ResourceParam[Lake],
        staging: dg.ResourceParam[Staging],
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads the bare name
        days = days_of(context)
        landing = EntryLanding(road, salesforce, lake, staging, context.run.run_id, context.log)
        with told(road.dataset.name, " to ".join(dict.fromkeys((days[0], days[-1])))):
            pull = pull_entries(landing, days)
        materialize_days(context, lambda day: land_entries(landing, pull, day))
        return checked(context, lake, road.dataset)

    return asset
