"""On-platform datasets: one asset for each object, by SOQL."""

from collections.abc import Iterator, Sequence

import dagster as dg

from conversation_pipeline.defs import drift
from conversation_pipeline.defs.assets.common import options
from conversation_pipeline.defs.landing import Landing, land_days, land_snapshot
from conversation_pipeline.defs.reporting import Metadata, days_of, materialize_landed, told
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract.on_platform import select
from conversation_pipeline.salesforce.errors import ObjectUnavailable
from conversation_pipeline.schemas import Dataset, Group
from conversation_pipeline.storage import Lake, Staging

_DAYS_A_RUN = 31


class PullConfig(dg.Config):
    """How an on-platform dataset is read."""

    full: bool = False
    """Pull whole partitions even where reading the changes would do."""


def assets(datasets: Sequence[Dataset], daily: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    on_platform = [dataset for dataset in datasets if dataset.group is Group.ON_PLATFORM]
    return [by_day(dataset, daily) if dataset.partitioned else snapshot(dataset) for dataset in on_platform]


def by_day(dataset: Dataset, daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        **options(dataset, "salesforce"),
        partitions_def=daily,
        backfill_policy=dg.BackfillPolicy.multi_run(_DAYS_A_RUN),
        check_specs=[drift.check_spec(dataset)],
    )
    def asset(
        context: dg.AssetExecutionContext,
        config: PullConfig,
        salesforce: dg.ResourceParam[Org],
        lake: dg.ResourceParam[Lake],
        staging: dg.ResourceParam[Staging],
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads the bare name
        schema = _Schema(context, dataset, salesforce)
        landing = Landing(dataset, salesforce, lake, staging, context.run.run_id, context.log, config.full)
        days = days_of(context)

        def landed() -> Iterator[tuple[str, Metadata]]:
            with told(dataset.name, " to ".join(dict.fromkeys((days[0], days[-1])))):
                for day, metadata in land_days(landing, days):
                    yield day, metadata | schema.remembered()

        materialize_landed(context, landed())
        return dg.MaterializeResult(check_results=[schema.check_result()])

    return asset


def snapshot(dataset: Dataset) -> dg.AssetsDefinition:
    @dg.asset(**options(dataset, "salesforce"), check_specs=[drift.check_spec(dataset)])
    def asset(
        context: dg.AssetExecutionContext,
        salesforce: dg.ResourceParam[Org],
        lake: dg.ResourceParam[Lake],
        staging: dg.ResourceParam[Staging],
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads the bare name
        schema = _Schema(context, dataset, salesforce)
        with told(dataset.name):
            landing = Landing(dataset, salesforce, lake, staging, context.run.run_id, context.log)
            metadata = land_snapshot(landing)
        return dg.MaterializeResult(metadata=metadata | schema.remembered(), check_results=[schema.check_result()])

    return asset


class _Schema:
    """The object as the org describes it to this run, held against what the run before it saw."""

    def __init__(self, context: dg.AssetExecutionContext, dataset: Dataset, org: Org) -> None:
        self._dataset = dataset
        self._org = org
        self._before = drift.last_look(context)

    def remembered(self) -> Metadata:
        try:
            return dict(drift.remembered(self._org.query.describe(str(self._dataset.sobject))))
        except ObjectUnavailable:
            return {}

    def check_result(self) -> dg.AssetCheckResult:
        try:
            selection = select(self._org.query, self._dataset)
        except ObjectUnavailable:
            return drift.object_missing(self._dataset)
        return drift.check_result(selection, self._org.query.describe(str(self._dataset.sobject)), self._before)
