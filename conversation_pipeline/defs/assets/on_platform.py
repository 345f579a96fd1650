"""On-platform datasets: one asset for each object, by SOQL."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import dagster as dg

from conversation_pipeline.defs import drift, sharing
from conversation_pipeline.defs.assets.common import checked, options
from conversation_pipeline.defs.landing import Landing, land_days, land_snapshot
from conversation_pipeline.defs.reporting import Metadata, days_of, drift_metadata, materialize_landed, told
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract.on_platform import Selection
from conversation_pipeline.salesforce.errors import ObjectUnavailable
from conversation_pipeline.salesforce.query import ObjectDescription
from conversation_pipeline.schemas import Dataset, Group
from conversation_pipeline.storage import Lake, Staging

_DAYS_A_RUN = 31


class PullConfig(dg.Config):
    """How an on-platform dataset is read."""

    full: bool = False
    """Pull whole partitions even where reading the changes would do."""

    accept_schema: bool = False
    """Take the org's columns, types and picklist values as they are now; the check warns of later changes alone."""


def assets(datasets: Sequence[Dataset], daily: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    on_platform = [dataset for dataset in datasets if dataset.group is Group.ON_PLATFORM]
    landed = [by_day(dataset, daily) if dataset.partitioned else snapshot(dataset) for dataset in on_platform]
    return [*landed, sharing.checks(on_platform)]


def by_day(dataset: Dataset, daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        **options(dataset, "salesforce", checks=[drift.check_spec(dataset)]),
        partitions_def=daily,
        backfill_policy=dg.BackfillPolicy.multi_run(_DAYS_A_RUN),
    )
    def asset(
        context: dg.AssetExecutionContext,
        config: PullConfig,
        salesforce: dg.ResourceParam[Org],
        lake: dg.ResourceParam[Lake],
        staging: dg.ResourceParam[Staging],
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads the bare name
        schema = _Schema(context, dataset, salesforce, config)
        landing = Landing(dataset, salesforce, lake, staging, context.run.run_id, context.log, config.full)
        days = days_of(context)

        def landed() -> Iterator[tuple[str, Metadata]]:
            with told(dataset.name, " to ".join(dict.fromkeys((days[0], days[-1])))):
                for place, (day, metadata) in enumerate(land_days(landing, days)):
                    yield day, metadata | ({} if place else schema.metadata())

        materialize_landed(context, landed())
        return checked(context, lake, dataset, schema.check_result())

    return asset


def snapshot(dataset: Dataset) -> dg.AssetsDefinition:
    @dg.asset(**options(dataset, "salesforce", checks=[drift.check_spec(dataset)]))
    def asset(
        context: dg.AssetExecutionContext,
        config: PullConfig,
        salesforce: dg.ResourceParam[Org],
        lake: dg.ResourceParam[Lake],
        staging: dg.ResourceParam[Staging],
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads the bare name
        schema = _Schema(context, dataset, salesforce, config)
        with told(dataset.name):
            landing = Landing(dataset, salesforce, lake, staging, context.run.run_id, context.log)
            metadata = land_snapshot(landing)
        return checked(context, lake, dataset, schema.check_result(), metadata=metadata | schema.metadata())

    return asset


class _Schema:
    """The object as the org describes it to this run, held against the declaration and what was known before."""

    def __init__(self, context: dg.AssetExecutionContext, dataset: Dataset, org: Org, config: PullConfig) -> None:
        self._dataset = dataset
        self._org = org
        self._known = drift.last_known(context.instance, dataset)
        self._accepted = config.accept_schema

    def metadata(self) -> Metadata:
        """What is not read; it stands in the metadata of a run's first partition, once."""
        if self._description is None:
            return drift_metadata({f"missing object {self._dataset.sobject}": 1})
        found = Selection.of(self._dataset, self._description)
        kinds = {"missing": found.missing, "unfit": found.unfit, "calculated": found.calculated}
        return drift_metadata({f"{kind} {name}": 1 for kind, names in kinds.items() for name in names})

    def check_result(self) -> dg.AssetCheckResult:
        if self._description is None:
            return drift.object_missing(self._dataset, self._known)
        selection = Selection.of(self._dataset, self._description)
        return drift.check_result(selection, self._description, None if self._accepted else self._known)

    @cached_property
    def _description(self) -> ObjectDescription | None:
        try:
            return self._org.query.describe(str(self._dataset.sobject))
        except ObjectUnavailable:
            return None
