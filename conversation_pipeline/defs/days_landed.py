"""What is made of entries, for the days that a road of bulk reads changed. These sensors start stopped."""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

import dagster as dg

from conversation_pipeline.defs.refresh import has_changed
from conversation_pipeline.extract.windows import unbroken
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.conversations import CONVERSATION_ENTRIES, ENTRY_CONFLICTS, MESSAGES, TRANSCRIPTS
from conversation_pipeline.schemas.dataset import LONGEST_SESSION_DAYS

_MADE_OF_ENTRIES = (CONVERSATION_ENTRIES.name, ENTRY_CONFLICTS.name, MESSAGES.name, TRANSCRIPTS.name, "warehouse")
_EVERY_SECONDS = 60
_DAYS_A_RUN = 31
_MOST_AT_ONCE = 1_000


def days_landed(name: str, road: Dataset, by: str, daily: dg.DailyPartitionsDefinition) -> dg.SensorDefinition:
    """
    Requests what is made of entries, for the days that a road changed.

    The cursor is the id of the last event that was looked at.

    Args:
        road: The road's dataset.
        by: What changes it, for people.
    """
    target = [dg.AssetKey(name) for name in _MADE_OF_ENTRIES]

    @dg.sensor(
        name=name,
        target=target,
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=f"Every minute: days whose entries {by} changed; requests to unite them with the other roads.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        events = context.instance.fetch_materializations(
            dg.AssetRecordsFilter(dg.AssetKey(road.name), after_storage_id=int(context.cursor or 0)),
            limit=_MOST_AT_ONCE,
            ascending=True,
        ).records
        if not events:
            return dg.SkipReason(f"{by} has changed no day")
        changed = {str(one.partition_key) for one in events if has_changed(one)}
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(
                    run_key=f"{events[-1].storage_id}: {run[0]}..{run[-1]}",
                    asset_selection=target,
                    tags={"dagster/asset_partition_range_start": run[0], "dagster/asset_partition_range_end": run[-1]},
                )
                for run in _runs(changed, daily)
            ],
            cursor=str(events[-1].storage_id),
        )

    return sensor


def _runs(days: Iterable[str], daily: dg.DailyPartitionsDefinition) -> Iterator[list[str]]:
    """The days, and those before on which sessions that reach into them were created, so many a run."""
    reached = {
        (date.fromisoformat(day) - timedelta(days=back)).isoformat()
        for day in days
        for back in range(LONGEST_SESSION_DAYS + 1)
    }
    yield from unbroken((day for day in reached if day >= daily.start.date().isoformat()), longest=_DAYS_A_RUN)
