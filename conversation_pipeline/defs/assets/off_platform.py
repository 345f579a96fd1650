"""Off-platform: the entry roads' work list."""

from typing import Any

import dagster as dg
import pyarrow as pa

from conversation_pipeline.defs.assets.common import CREATED_EARLIER, checked, land_model, options, up_to
from conversation_pipeline.defs.forecast import DayForecast
from conversation_pipeline.defs.partitions import trailing_days
from conversation_pipeline.defs.reporting import Metadata, days_of, materialize_days, told
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract.on_platform import begun_before
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.schemas.conversations import (
    CONVERSATION_ACTIVITY,
    CONVERSATIONS,
)
from conversation_pipeline.schemas.messaging import MESSAGING_CHANNELS, MESSAGING_SESSIONS
from conversation_pipeline.schemas.people import USERS
from conversation_pipeline.schemas.voice import VOICE_CALLS
from conversation_pipeline.storage import Lake, Staging
from conversation_pipeline.storage.erasure import remember

_MODEL_DAYS_A_RUN = 31


def assets(daily: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    return [conversation_activity(daily)]


def conversation_activity(daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        **options(CONVERSATION_ACTIVITY, "duckdb", "salesforce"),
        partitions_def=daily,
        backfill_policy=dg.BackfillPolicy.multi_run(_MODEL_DAYS_A_RUN),
        deps=[
            dg.AssetDep(MESSAGING_SESSIONS.name, partition_mapping=trailing_days()),
            dg.AssetDep(VOICE_CALLS.name, partition_mapping=trailing_days()),
            dg.AssetDep(CONVERSATIONS.name, partition_mapping=trailing_days()),
            MESSAGING_CHANNELS.name,
            USERS.name,
        ],
    )
    def asset(
        context: dg.AssetExecutionContext,
        salesforce: dg.ResourceParam[Org],
        lake: dg.ResourceParam[Lake],
        staging: dg.ResourceParam[Staging],
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads the bare name
        with told(CONVERSATION_ACTIVITY.name):
            remember(lake, run_id=context.run.run_id)
            earlier = _begun_before_the_lake(salesforce, days_of(context)[0])
            left = DayForecast.of(salesforce, lake, staging, days_of(context))

        def land(day: str) -> Metadata:
            def inputs() -> dict[str, Any]:
                return {
                    "sessions_in_the_lake": up_to(lake, MESSAGING_SESSIONS, day),
                    "calls_in_the_lake": up_to(lake, VOICE_CALLS, day),
                    "earlier_sessions": earlier[MESSAGING_SESSIONS.name],
                    "earlier_calls": earlier[VOICE_CALLS.name],
                    "conversations": up_to(lake, CONVERSATIONS, day),
                    "messaging_channels": lake.dataset(MESSAGING_CHANNELS),
                    "users": lake.dataset(USERS),
                }

            parameters = {
                "margin_seconds": int(CREATED_EARLIER.total_seconds()),
                "settle_seconds": int(salesforce.settle.total_seconds()),
            }
            landed = land_model(
                CONVERSATION_ACTIVITY, day, inputs, lake=lake, run_id=context.run.run_id, parameters=parameters
            )
            return landed | {"conversations_listed": landed["dagster/partition_row_count"], **left.metadata(day)}

        materialize_days(context, land)
        return checked(context, lake, CONVERSATION_ACTIVITY)

    return asset


def _begun_before_the_lake(org: Org, first_day: str) -> dict[str, pa.Table]:
    """
    Sessions and calls created before the first partition, however old, that reach into the run's days: they are in no
    partition of their own, so one query a run and object asks for them.
    """
    start = Window.of_day(org.settings.require_start_date().isoformat()).start
    going_at = Window.of_day(first_day).start - CREATED_EARLIER
    datasets = (MESSAGING_SESSIONS, VOICE_CALLS)
    return {dataset.name: begun_before(org.query, dataset, start, going_at) for dataset in datasets}
