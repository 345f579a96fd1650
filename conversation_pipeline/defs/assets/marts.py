"""Marts: how well sessions and calls were handled, one by one and by day."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.defs.assets.common import CREATED_EARLIER, checked, land_model, options
from conversation_pipeline.defs.partitions import following_days
from conversation_pipeline.defs.refresh import SNAPSHOTS, refreshed_with_its_inputs
from conversation_pipeline.defs.reporting import Metadata, days_of, materialize_days, told
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.conversations import CONVERSATION_ENTRIES
from conversation_pipeline.schemas.fields import column_name
from conversation_pipeline.schemas.marts import (
    AGENT_DAILY_KPIS,
    CHANNEL_DAILY_KPIS,
    METRIC_TYPES,
    QUEUE_DAILY_KPIS,
    SESSION_KPIS,
    stored,
)
from conversation_pipeline.schemas.messaging import MESSAGING_CHANNELS, MESSAGING_SESSION_METRICS, MESSAGING_SESSIONS
from conversation_pipeline.schemas.people import AGENT_WORK, QUEUES, USERS
from conversation_pipeline.schemas.voice import VOICE_CALLS
from conversation_pipeline.storage import Lake

METRICS_AGREE = "metrics_agree_with_salesforce"
TOLERANCE_SECONDS = 1.0
"""Salesforce stores whole seconds and does not say how it comes to them; counts have to be the same."""

_METRICS_SPEC = dg.AssetCheckSpec(
    METRICS_AGREE,
    asset=SESSION_KPIS.name,
    description="Message counts are those that Salesforce stored, response times differ by no more than "
    f"{TOLERANCE_SECONDS:g} s, in sessions that were told whole.",
)

_DAYS_A_RUN = 31
_EXAMPLES = 10
_RECORDS_LATE = timedelta(days=1)
"""How long after a session's end its stored metrics may be created."""
_ROLL_UPS = {AGENT_DAILY_KPIS: (USERS.name, QUEUES.name), QUEUE_DAILY_KPIS: (QUEUES.name,), CHANNEL_DAILY_KPIS: ()}
"""What is summed by day, and whose names it takes from which snapshots."""


def assets(daily: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    return [session_kpis(daily), *(roll_up(dataset, daily) for dataset in _ROLL_UPS)]


def session_kpis(daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        **options(SESSION_KPIS, "duckdb", checks=[_METRICS_SPEC]),
        partitions_def=daily,
        backfill_policy=dg.BackfillPolicy.multi_run(_DAYS_A_RUN),
        automation_condition=refreshed_with_its_inputs(),
        deps=[
            MESSAGING_SESSIONS.name,
            VOICE_CALLS.name,
            dg.AssetDep(CONVERSATION_ENTRIES.name, partition_mapping=following_days()),
            dg.AssetDep(MESSAGING_SESSION_METRICS.name, partition_mapping=following_days()),
            dg.AssetDep(AGENT_WORK.name, partition_mapping=following_days()),
            *SNAPSHOTS,
        ],
    )
    def asset(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads the bare name
        def land(day: str) -> Metadata:
            inputs = partial(session_inputs, lake, day)
            return land_model(SESSION_KPIS, day, inputs, lake=lake, run_id=context.run.run_id)

        materialize_days(context, land)
        with told(SESSION_KPIS.name):
            agreement = metrics_agree(lake.dataset(SESSION_KPIS, days_of(context)))
        return checked(context, lake, SESSION_KPIS, agreement)

    return asset


def roll_up(dataset: Dataset, daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        **options(dataset, "duckdb"),
        partitions_def=daily,
        backfill_policy=dg.BackfillPolicy.multi_run(_DAYS_A_RUN),
        automation_condition=refreshed_with_its_inputs(),
        deps=[SESSION_KPIS.name, *_ROLL_UPS[dataset]],
    )
    def asset(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads the bare name
        def land(day: str) -> Metadata:
            def inputs() -> dict[str, Any]:
                return {
                    "session_kpis": lake.dataset(SESSION_KPIS, [day]),
                    "users": lake.dataset(USERS),
                    "queues": lake.dataset(QUEUES),
                }

            return land_model(dataset, day, inputs, lake=lake, run_id=context.run.run_id)

        materialize_days(context, land)
        return checked(context, lake, dataset)

    return asset


def session_inputs(lake: Lake, day: str) -> Mapping[str, Any]:
    """What the day's sessions and calls are measured by: no more days of the lake than they reach into."""
    ended = _last_end(lake, day)
    begun = datetime.combine(date.fromisoformat(day), time.min, UTC)
    told_on = _days(lake, CONVERSATION_ENTRIES, begun - CREATED_EARLIER, ended and ended + CREATED_EARLIER)

    def by_record(dataset: Dataset) -> Any:
        return lake.dataset(dataset, _days(lake, dataset, begun, ended and ended + _RECORDS_LATE))

    return {
        "messaging_sessions": lake.dataset(MESSAGING_SESSIONS, [day]),
        "voice_calls": lake.dataset(VOICE_CALLS, [day]),
        "conversation_entries": lake.dataset(CONVERSATION_ENTRIES, told_on),
        "days_with_entries": pa.table({"day": pa.array([date.fromisoformat(one) for one in told_on], pa.date32())}),
        "messaging_session_metrics": by_record(MESSAGING_SESSION_METRICS),
        "agent_work": by_record(AGENT_WORK),
        "messaging_channels": lake.dataset(MESSAGING_CHANNELS),
        "users": lake.dataset(USERS),
        "queues": lake.dataset(QUEUES),
    }


def _last_end(lake: Lake, day: str) -> datetime | None:
    """When the last of the day's sessions and calls ended; None while one is open."""
    ends = [
        end
        for dataset in (MESSAGING_SESSIONS, VOICE_CALLS)
        for end in lake.dataset(dataset, [day]).to_table(columns=[dataset.ends_at])[dataset.ends_at].to_pylist()
    ]
    return None if None in ends else max(ends, default=Window.of_day(day).end)


def _days(lake: Lake, dataset: Dataset, first: datetime, last: datetime | None) -> list[str]:
    """The dataset's days in the lake from one instant's to another's, or all that follow."""
    end = "9999-12-31" if last is None else last.date().isoformat()
    return [known for known in lake.partitions(dataset) if first.date().isoformat() <= known <= end]


def metrics_agree(kpis: Any) -> dg.AssetCheckResult:
    """
    Holds the computed metrics against those that Salesforce stored.

    Args:
        kpis: Arrow dataset of ``session_kpis``.
    """
    columns = ["interaction_id", *(name for metric in METRIC_TYPES for name in (column_name(metric), stored(metric)))]
    rows = kpis.to_table(columns=columns, filter=pc.field("is_told_whole"))
    compared: set[str] = set()
    differing: dict[str, set[str]] = {}
    furthest: dict[str, float] = {}
    for metric in METRIC_TYPES:
        # Without a response there is no response time; that nothing is stored as 0 is no difference.
        differences = pc.abs(
            pc.subtract(
                pc.fill_null(rows[column_name(metric)].cast(pa.float64()), 0.0), rows[stored(metric)].cast(pa.float64())
            )
        ).to_pylist()
        known = {
            session: difference
            for session, difference in zip(rows["interaction_id"].to_pylist(), differences, strict=True)
            if difference is not None
        }
        allowed = 0.0 if metric.endswith("Count") else TOLERANCE_SECONDS
        compared |= known.keys()
        if known:
            furthest[metric] = round(max(known.values()), 3)
        if differ := {session for session, difference in known.items() if difference > allowed}:
            differing[metric] = differ
    sessions = set().union(*differing.values())
    return dg.AssetCheckResult(
        check_name=METRICS_AGREE,
        passed=not sessions,
        severity=dg.AssetCheckSeverity.WARN,
        description=_agreement_told(len(compared), len(sessions), {name: furthest[name] for name in differing}),
        metadata={
            "sessions_compared": len(compared),
            "sessions_differing": len(sessions),
            "sessions_differing_by_metric": dg.MetadataValue.json({name: len(ids) for name, ids in differing.items()}),
            "largest_difference_by_metric": dg.MetadataValue.json(furthest),
            "examples": dg.MetadataValue.json(sorted(sessions)[:_EXAMPLES]),
        },
    )


def _agreement_told(compared: int, differing: int, furthest: Mapping[str, float]) -> str:
    if not compared:
        return "no session that was told whole has stored metrics"
    if not differing:
        return f"{compared:,} sessions agree"
    most = ", ".join(f"{name} by at most {difference:g}" for name, difference in furthest.items())
    return f"{differing:,} of {compared:,} sessions differ: {most}; `examples` names some: read their entries again"
