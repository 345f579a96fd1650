"""What runs by itself. Schedules start stopped: a user switches on what the org allows."""

from datetime import timedelta

import dagster as dg

LOOK_BACK_DAYS = 3
"""Days that the daily run reads again: sessions change for a day and more after they began."""


def schedules(daily: dg.DailyPartitionsDefinition) -> list[dg.ScheduleDefinition]:
    job = dg.define_asset_job(
        "conversations_daily",
        selection=dg.AssetSelection.all(),
        partitions_def=daily,
        description="All datasets of the last days, landed in the warehouse.",
    )

    @dg.schedule(
        job=job,
        cron_schedule="30 0 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=f"Every night at 00:30 UTC: the last {LOOK_BACK_DAYS} days that have ended.",
    )
    def conversations_nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        today = context.scheduled_execution_time.date()
        first = max(today - timedelta(days=LOOK_BACK_DAYS), daily.start.date())
        last = today - timedelta(days=1)
        if last < first:
            return dg.SkipReason(f"no day since {first.isoformat()} has ended yet")
        return dg.RunRequest(
            run_key=f"{first.isoformat()}..{last.isoformat()}",
            tags={
                "dagster/asset_partition_range_start": first.isoformat(),
                "dagster/asset_partition_range_end": last.isoformat(),
            },
        )

    return [conversations_nightly]
