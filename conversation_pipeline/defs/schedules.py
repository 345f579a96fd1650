"""What runs by itself. Schedules start stopped: a user switches on what the org allows."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.defs import drift, integrity
from conversation_pipeline.defs.assets.archives import BY_ARRIVAL
from conversation_pipeline.defs.assets.conversations import ROADS_AGREE
from conversation_pipeline.defs.assets.marts import METRICS_AGREE
from conversation_pipeline.defs.landing import DAYS_A_RUN, ENTRY_ROADS
from conversation_pipeline.defs.landing.redactions import days_with_retold
from conversation_pipeline.defs.sweep import LONG_AGO, asked_at, days_told_by_sessions, last_materialized
from conversation_pipeline.extract.changes import changed_days
from conversation_pipeline.extract.windows import unbroken
from conversation_pipeline.salesforce.errors import SalesforceError
from conversation_pipeline.schemas import Dataset, Group
from conversation_pipeline.schemas.conversations import (
    CONVERSATION_ENTRIES,
    CONVERSATION_PARTICIPANTS,
    CONVERSATIONS,
    ENTRY_CONFLICTS,
    MESSAGES,
    TRANSCRIPTS,
)
from conversation_pipeline.schemas.marts import AGENT_DAILY_KPIS, CHANNEL_DAILY_KPIS, QUEUE_DAILY_KPIS, SESSION_KPIS
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.schemas.voice import VOICE_CALLS
from conversation_pipeline.storage import Lake

LOOK_BACK_DAYS = 3
"""Days that the daily run reads again: sessions change for a day and more after they began."""

_FIGURES = (SESSION_KPIS, AGENT_DAILY_KPIS, CHANNEL_DAILY_KPIS, QUEUE_DAILY_KPIS)
_MADE_OF_SESSIONS = (TRANSCRIPTS, *_FIGURES)
_MADE_OF_ENTRIES = (CONVERSATION_ENTRIES, ENTRY_CONFLICTS, MESSAGES, TRANSCRIPTS)
_CHECKS = {SESSION_KPIS.name: [METRICS_AGREE], ENTRY_CONFLICTS.name: [ROADS_AGREE]}


def schedules(roads: Collection[str], daily: dg.DailyPartitionsDefinition) -> list[dg.ScheduleDefinition]:
    job = dg.define_asset_job(
        "conversations_daily",
        selection=(dg.AssetSelection.all() | dg.AssetSelection.all_asset_checks()) - dg.AssetSelection.tag(*BY_ARRIVAL),
        partitions_def=daily,
        description="All datasets of the last days, landed in the warehouse.",
    )

    @dg.schedule(
        job=job,
        cron_schedule="30 0 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        required_resource_keys={"lake", "salesforce"},
        description=f"Every night at 00:30 UTC: the last {LOOK_BACK_DAYS} days that have ended, those that are due to "
        "be read again (CONVERSATION_REREAD_DAYS), and of older days the sessions and calls that went on, with their "
        "transcripts and figures, the conversations whose sessions changed since, and those of which a poorer road has "
        "newer words.",
    )
    def conversations_nightly(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        today = context.scheduled_execution_time.date()
        first = max(today - timedelta(days=LOOK_BACK_DAYS), daily.start.date())
        last = today - timedelta(days=1)
        if last < first:
            return dg.SkipReason(f"no day since {first.isoformat()} has ended yet")
        ended = [(first + timedelta(days=offset)).isoformat() for offset in range((last - first).days + 1)]
        due_again = days_due_again(last, context.resources.salesforce.settings.reread_ages, daily.start.date())
        # A run of a range is one run, whatever the backfill policies of its assets say.
        nightly = unbroken([*due_again, *ended], longest=DAYS_A_RUN)
        asked = {day for run in nightly for day in run}
        return [
            *[_request(run, tonight=today) for run in nightly],
            *_older_ones(context, first, tonight=today),
            *_retold(context, roads, asked, tonight=today),
            *_sweep(context, asked, tonight=today),
        ]

    return [conversations_nightly]


def days_due_again(last: date, ages: Sequence[int], start: date) -> list[str]:
    """
    Days whose entries are read once more, for what was redacted upstream since.

    They settle within the day after them; so a day is as old as a setting says when that much more has passed.
    """
    days = (last - timedelta(days=age + 1) for age in ages)
    return [day.isoformat() for day in days if day >= start]


def days_of_changed_sessions(context: dg.ScheduleEvaluationContext, dataset: Dataset) -> set[str]:
    """
    Days of sessions (or calls) that were open lately and have changed since, wherever they are in the lake: one query.

    Until such a day is read again its session stays on the work list of every later day, and its transcript short. It
    is asked for until nothing of it has changed for some days, for by then the messages of its last day are told too.
    """
    lake: Lake = context.resources.lake
    created, ends = str(dataset.partition_by), str(dataset.ends_at)
    since = max((asked_at(it) for it in lake.receipts(dataset)), default=LONG_AGO) - timedelta(days=LOOK_BACK_DAYS)
    open_lately = pc.field(ends).is_null() | (pc.field(ends) >= pa.scalar(since))
    rows = lake.dataset(dataset).to_table(columns=[created], filter=open_lately)
    days = {instant.date().isoformat() for instant in rows[created].to_pylist()}
    if not days:
        return set()
    try:
        return days & changed_days(context.resources.salesforce.query, dataset, str(dataset.cursor_field), since).keys()
    except SalesforceError as error:  # the days of last night are read all the same
        context.log.warning(f"{dataset.name}: {error}. Older days are not looked for tonight.")
        return set()


def _older_ones(context: dg.ScheduleEvaluationContext, first: date, *, tonight: date) -> Iterator[dg.RunRequest]:
    """Sessions and calls of days before the first, and what is made of those without asking for anything else."""
    for dataset in (MESSAGING_SESSIONS, VOICE_CALLS):
        older = (day for day in days_of_changed_sessions(context, dataset) if day < first.isoformat())
        for run in unbroken(older, longest=DAYS_A_RUN):
            yield _request(run, dataset, *_MADE_OF_SESSIONS, tonight=tonight)


def _retold(
    context: dg.ScheduleEvaluationContext, roads: Collection[str], asked: set[str], *, tonight: date
) -> Iterator[dg.RunRequest]:
    """Days on which a poorer road, such as an archive, has newer words: the fuller road reads those conversations."""
    since = context.scheduled_execution_time - timedelta(days=LOOK_BACK_DAYS)
    for road in ENTRY_ROADS:
        if road.name in roads:
            days = days_with_retold(context.resources.lake, road.name, since)
            for run in unbroken((day for day in days if day not in asked), longest=DAYS_A_RUN):
                yield _request(run, road.dataset, *_MADE_OF_ENTRIES, tonight=tonight)


def _sweep(context: dg.ScheduleEvaluationContext, asked: set[str], *, tonight: date) -> Iterator[dg.RunRequest]:
    """Objects without a stamp, of older days: only the days of conversations whose sessions or calls have changed."""
    lake: Lake = context.resources.lake
    for dataset in (CONVERSATIONS, CONVERSATION_PARTICIPANTS):

        def last_readings(days: Iterable[str], dataset: Dataset = dataset) -> dict[str, datetime]:
            return last_materialized(context.instance, dataset, days)

        days = days_told_by_sessions(dataset, lake, context.scheduled_execution_time, last_readings)
        for run in unbroken((day for day in days if day not in asked), longest=DAYS_A_RUN):
            yield _request(run, dataset, tonight=tonight)


def _request(days: list[str], dataset: Dataset | None = None, *models: Dataset, tonight: date) -> dg.RunRequest:
    """A run for some days, of everything, or of one dataset and models made of it, landed in the warehouse."""
    name = f"{dataset.name} of " if dataset else ""
    landed = [dg.AssetKey("warehouse")] if models else []
    return dg.RunRequest(
        run_key=f"{tonight.isoformat()}: {name}{days[0]}..{days[-1]}",
        asset_selection=[*(dg.AssetKey(one.name) for one in (dataset, *models)), *landed] if dataset else None,
        asset_check_keys=[key for one in (dataset, *models) for key in _own_checks(one)] if dataset else None,
        tags={"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]},
    )


def _own_checks(dataset: Dataset) -> list[dg.AssetCheckKey]:
    """The checks that its asset evaluates itself, all of which a request has to name; not those that ask the org."""
    if dataset.group is Group.ON_PLATFORM:
        return integrity.keys(dataset, drift.CHECK)
    return integrity.keys(dataset, *_CHECKS.get(dataset.name, []))
