"""The current day, as it goes on: a refresh every few minutes at the price of what can have changed."""

from collections.abc import Collection, Iterator
from datetime import date, datetime, timedelta

import dagster as dg

from conversation_pipeline.defs.landing import ENTRY_ROADS
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract.changes import changed_days
from conversation_pipeline.extract.windows import unbroken
from conversation_pipeline.salesforce.errors import SalesforceError
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.conversations import (
    CONVERSATION_ACTIVITY,
    CONVERSATION_ENTRIES,
    CONVERSATIONS,
    ENTRY_CONFLICTS,
    MESSAGES,
    TRANSCRIPTS,
)
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.schemas.voice import VOICE_CALLS

JOB = "conversations_live"

_EVERY = timedelta(minutes=5)

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
        ENTRY_CONFLICTS.name,
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
        required_resource_keys={"salesforce", "lake"},
        description="Every five minutes: the current day, from sessions to transcripts, and older sessions and calls "
        "that changed. Only conversations that can have changed are asked for, from where they were last read; ended "
        "ones once after they have settled.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        going_on = dg.RunsFilter(job_name=JOB, statuses=UNDER_WAY)
        if context.instance.get_runs(going_on, limit=1):
            return dg.SkipReason("the refresh before this one is still under way")
        days = [day for day in days_that_go_on(context.scheduled_execution_time) if day >= daily.start.date()]
        if not days:
            return dg.SkipReason(f"CONVERSATION_START_DATE, {daily.start.date()}, lies ahead")
        first, last = (day.isoformat() for day in (days[0], days[-1]))
        return [_request(context, first, last), *_older_ones(context, first)]

    return schedule


def _older_ones(context: dg.ScheduleEvaluationContext, first: str) -> Iterator[dg.RunRequest]:
    """
    Sessions and calls of the days before, where one has changed since the last tick: somebody wrote into it again, or
    it has ended. One query an object; the next tick's work list knows them.
    """
    org: Org = context.resources.salesforce
    for dataset in (MESSAGING_SESSIONS, VOICE_CALLS):
        try:
            changed = changed_days(
                org.query, dataset, str(dataset.cursor_field), context.scheduled_execution_time - _EVERY
            )
        except SalesforceError as error:  # the nightly run and the sensor on changes look again
            context.log.warning(f"{dataset.name}: {error}")
            continue
        held = set(context.resources.lake.partitions(dataset))
        for days in unbroken(day for day in changed if day < first and day in held):
            yield _request(context, days[0], days[-1], dataset)


def _request(
    context: dg.ScheduleEvaluationContext, first: str, last: str, dataset: Dataset | None = None
) -> dg.RunRequest:
    """A run of everything, or of one dataset alone."""
    name = f"{dataset.name} of " if dataset else ""
    return dg.RunRequest(
        run_key=f"{context.scheduled_execution_time:%Y-%m-%dT%H:%M}: {name}{first}..{last}",
        asset_selection=[dg.AssetKey(dataset.name)] if dataset else None,
        tags={"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last},
    )


def days_that_go_on(now: datetime) -> list[date]:
    """Today, and yesterday for some hours."""
    today = now.date()
    return sorted({(now - GOES_ON_AFTER_MIDNIGHT).date(), today})
