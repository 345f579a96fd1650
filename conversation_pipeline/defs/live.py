"""The current day, as it goes on: a refresh every few minutes at the price of what can have changed."""

from collections.abc import Collection
from datetime import date, datetime, timedelta

import dagster as dg

from conversation_pipeline.defs.landing import ENTRY_ROADS
from conversation_pipeline.schemas.conversations import (
    CONVERSATION_ACTIVITY,
    CONVERSATION_ENTRIES,
    CONVERSATIONS,
    MESSAGES,
    TRANSCRIPTS,
)
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.schemas.voice import VOICE_CALLS

JOB = "conversations_live"

GOES_ON_AFTER_MIDNIGHT = timedelta(hours=3)
"""How long a day is refreshed after it has ended: until what reached over midnight has settled. What is later still
is read by the nightly run."""

UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def conversations_live(roads: Collection[str], daily: dg.DailyPartitionsDefinition) -> dg.ScheduleDefinition:
    refreshed = (
        MESSAGING_SESSIONS.name,
        VOICE_CALLS.name,
        CONVERSATIONS.name,
        CONVERSATION_ACTIVITY.name,
        *(road.dataset.name for road in ENTRY_ROADS if road.name in roads),
        CONVERSATION_ENTRIES.name,
        MESSAGES.name,
        TRANSCRIPTS.name,
        "warehouse",
    )
    job = dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.assets(*refreshed),
        description="From sessions and calls to transcripts, for the day that goes on.",
    )

    @dg.schedule(
        name=JOB,
        job=job,
        cron_schedule="*/5 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Every five minutes: the current day, from sessions to transcripts. Only conversations that can "
        "have changed are asked for, from where they were last read; ended ones once after they have settled.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        going_on = dg.RunsFilter(job_name=JOB, statuses=UNDER_WAY)
        if context.instance.get_runs(going_on, limit=1):
            return dg.SkipReason("the refresh before this one is still under way")
        days = [day for day in days_that_go_on(context.scheduled_execution_time) if day >= daily.start.date()]
        if not days:
            return dg.SkipReason(f"CONVERSATION_START_DATE, {daily.start.date()}, lies ahead")
        first, last = (day.isoformat() for day in (days[0], days[-1]))
        return dg.RunRequest(
            tags={"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        )

    return schedule


def days_that_go_on(now: datetime) -> list[date]:
    """Today, and yesterday for some hours."""
    today = now.date()
    return sorted({(now - GOES_ON_AFTER_MIDNIGHT).date(), today})
