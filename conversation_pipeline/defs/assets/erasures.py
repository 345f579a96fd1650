"""
Erasures: what the org has deleted for good is removed here too, and raw answers and archives whose retention has ended.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from conversation_pipeline.defs.assets.archives import removed_metadata, tell_removed
from conversation_pipeline.defs.assets.common import checked, options
from conversation_pipeline.defs.landing import ENTRY_ROADS
from conversation_pipeline.defs.landing.archive_files import remove_files
from conversation_pipeline.defs.landing.readings import superseded
from conversation_pipeline.defs.reporting import receipt_metadata, told
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.erasures import ERASURES
from conversation_pipeline.storage import Lake, Staging
from conversation_pipeline.storage.erasure import replay
from conversation_pipeline.storage.store import Store

_WANTED_NO_MORE_AFTER = timedelta(days=1)
"""A run that is under way may have planned with a reading that was superseded meanwhile."""


def assets(datasets: Sequence[Dataset], landed: Sequence[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """
    Args:
        datasets: All that the lake may hold; also those whose road is not in use any more are searched.
        landed: The assets that land them: nothing is removed while a run is still landing it.
    """
    others = [dataset for dataset in datasets if dataset.name != ERASURES.name]

    @dg.asset(
        **options(ERASURES, "python"),
        deps=sorted(key for asset in landed for key in asset.keys),
        pool="erasures",
    )
    def asset(
        context: dg.AssetExecutionContext,
        salesforce: dg.ResourceParam[Org],
        lake: dg.ResourceParam[Lake],
        staging: dg.ResourceParam[Staging],
        archives: dg.ResourceParam[Store],
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads the bare name
        with told(ERASURES.name):
            done = replay(lake, staging, others, run_id=context.run.run_id)
            swept = _swept(staging, timedelta(days=salesforce.settings.conversation_staging_days))
            removed = remove_files(archives, lake, salesforce.settings.archive_keep, datetime.now(UTC))
        rows, answers = sum(done.rows.values()), sum(done.answers.values())
        if done.new or rows or answers:
            context.log.info(
                f"{done.new:,} erasures of the org were replayed: {rows:,} rows in {done.files:,} files "
                f"and {answers:,} staged answers were removed"
            )
        if swept:
            context.log.info(f"{swept:,} raw answers were removed: read again since, or past CONVERSATION_STAGING_DAYS")
        tell_removed(context, removed)
        for kind, count in done.not_understood.items():
            context.log.warning(f"{count:,} completed deletions are of {kind}: nothing is removed for them")
        return checked(
            context,
            lake,
            ERASURES,
            metadata={
                **receipt_metadata(done.receipt),
                "erasures_replayed": done.new,
                "rows_removed": rows,
                "rows_removed_by_dataset": dg.MetadataValue.json(dict(done.rows)),
                "files_rewritten": done.files,
                "answers_removed": answers,
                "answers_removed_by_dataset": dg.MetadataValue.json(dict(done.answers)),
                "answers_swept": swept,
                **removed_metadata(removed),
                "not_understood": dg.MetadataValue.json(dict(done.not_understood)),
            },
        )

    return [asset]


def _swept(staging: Staging, keep: timedelta) -> int:
    """
    What is too old, and readings of conversations that were read again since.

    Age is told from the newest answer: answers carry the org's clock, and this asset asks the org nothing.
    """
    newest = staging.newest()
    if newest is None:
        return 0
    swept = staging.sweep(newest, keep)
    for road in ENTRY_ROADS:
        for reading in superseded(staging.records(road.dataset.name), before=newest - _WANTED_NO_MORE_AFTER):
            staging.discard(reading)
            swept += 1
    return swept
