"""On-platform datasets: one asset for each object, by SOQL."""

import dagster as dg

from conversation_pipeline.defs.assets.common import options
from conversation_pipeline.defs.landing import land_on_platform
from conversation_pipeline.defs.reporting import materialize_days, told
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.schemas import Dataset, Group
from conversation_pipeline.schemas.catalogue import DATASETS
from conversation_pipeline.storage import Lake, Staging

_DAYS_A_RUN = 31


def assets(daily: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    on_platform = [dataset for dataset in DATASETS if dataset.group is Group.ON_PLATFORM]
    return [by_day(dataset, daily) if dataset.partitioned else snapshot(dataset) for dataset in on_platform]


def by_day(dataset: Dataset, daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        **options(dataset, "salesforce"),
        partitions_def=daily,
        backfill_policy=dg.BackfillPolicy.multi_run(_DAYS_A_RUN),
    )
    def asset(
        context: dg.AssetExecutionContext,
        salesforce: dg.ResourceParam[Org],
        lake: dg.ResourceParam[Lake],
        staging: dg.ResourceParam[Staging],
    ) -> None:
        materialize_days(
            context,
            lambda day: land_on_platform(
                dataset, day, org=salesforce, lake=lake, staging=staging, run_id=context.run.run_id, log=context.log
            ),
        )

    return asset


def snapshot(dataset: Dataset) -> dg.AssetsDefinition:
    @dg.asset(**options(dataset, "salesforce"))
    def asset(
        context: dg.AssetExecutionContext,
        salesforce: dg.ResourceParam[Org],
        lake: dg.ResourceParam[Lake],
        staging: dg.ResourceParam[Staging],
    ) -> dg.MaterializeResult[None]:
        with told(dataset.name):
            metadata = land_on_platform(
                dataset, None, org=salesforce, lake=lake, staging=staging, run_id=context.run.run_id, log=context.log
            )
        return dg.MaterializeResult(metadata=metadata)

    return asset
