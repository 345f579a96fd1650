"""Conversations: the union of the roads, and what a person reads."""

from collections import Counter
from collections.abc import Collection
from datetime import date, timedelta
from functools import partial
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.dataset as pads

from conversation_pipeline.defs.assets.common import checked, land_model, options, up_to
from conversation_pipeline.defs.landing import ENTRY_ROADS
from conversation_pipeline.defs.partitions import following_days, trailing_days, with_the_day_before
from conversation_pipeline.defs.refresh import refreshed_with_its_inputs
from conversation_pipeline.defs.reporting import Metadata, days_of, materialize_days, told
from conversation_pipeline.extract.archive import ARCHIVE
from conversation_pipeline.extract.data_cloud import ROAD as DATA_CLOUD
from conversation_pipeline.schemas.conversations import (
    CONVERSATION_ENTRIES,
    CONVERSATION_PARTICIPANTS,
    CONVERSATIONS,
    ENTRIES_ARCHIVE,
    ENTRIES_CONNECT,
    ENTRIES_CONVERSATION_DATA,
    ENTRIES_DATA_CLOUD,
    ENTRY_CONFLICTS,
    MESSAGES,
    TRANSCRIPTS,
)
from conversation_pipeline.schemas.messaging import MESSAGING_CHANNELS, MESSAGING_SESSIONS
from conversation_pipeline.schemas.people import USERS
from conversation_pipeline.schemas.voice import VOICE_CALLS
from conversation_pipeline.storage import Lake

ROADS_AGREE = "roads_agree"

_ROADS_AGREE_SPEC = dg.AssetCheckSpec(
    ROADS_AGREE,
    asset=ENTRY_CONFLICTS.name,
    description="Roads that told the same entry told the same of it, as far as they tell it.",
)

_DAYS_A_RUN = 31
_COUNTED = ["column_name", "road"]


def assets(roads: Collection[str], daily: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    return [conversation_entries(roads, daily), entry_conflicts(roads, daily), messages(daily), transcripts(daily)]


def conversation_entries(roads: Collection[str], daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        **options(CONVERSATION_ENTRIES, "duckdb"),
        partitions_def=daily,
        automation_condition=refreshed_with_its_inputs(),
        backfill_policy=dg.BackfillPolicy.multi_run(_DAYS_A_RUN),
        deps=[
            *_deps_of_tellings(roads, offered_on=with_the_day_before()),
            dg.AssetDep(CONVERSATION_PARTICIPANTS.name, partition_mapping=trailing_days()),
            USERS.name,
        ],
    )
    def asset(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads the bare name
        def land(day: str) -> Metadata:
            inputs = partial(union_inputs, lake, day)
            return land_model(CONVERSATION_ENTRIES, day, inputs, lake=lake, run_id=context.run.run_id)

        materialize_days(context, land)
        return checked(context, lake, CONVERSATION_ENTRIES)

    return asset


def entry_conflicts(roads: Collection[str], daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        **options(ENTRY_CONFLICTS, "duckdb", checks=[_ROADS_AGREE_SPEC]),
        partitions_def=daily,
        automation_condition=refreshed_with_its_inputs(),
        backfill_policy=dg.BackfillPolicy.multi_run(_DAYS_A_RUN),
        deps=_deps_of_tellings(roads),
    )
    def asset(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads the bare name
        def land(day: str) -> Metadata:
            inputs = partial(_tellings, lake, day)
            return land_model(ENTRY_CONFLICTS, day, inputs, lake=lake, run_id=context.run.run_id)

        materialize_days(context, land)
        with told(ENTRY_CONFLICTS.name):
            agreement = roads_agree(lake.dataset(ENTRY_CONFLICTS, days_of(context)))
        return checked(context, lake, ENTRY_CONFLICTS, agreement)

    return asset


def roads_agree(conflicts: Any) -> dg.AssetCheckResult:
    """
    Counts what the roads told differently. What they told is in the dataset, and nowhere else.

    Args:
        conflicts: Arrow dataset of ``entry_conflicts``.
    """
    found = Counter(zip(*(conflicts.to_table(columns=_COUNTED)[name].to_pylist() for name in _COUNTED), strict=True))
    by_column, by_road = Counter[str](), Counter[str]()
    for (column, road), count in found.items():
        by_column[column] += count
        by_road[road] += count
    each = ", ".join(f"{count:,} in {column}" for column, count in sorted(by_column.items()))
    return dg.AssetCheckResult(
        check_name=ROADS_AGREE,
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{found.total():,} differences: {each}" if found else "no differences",
        metadata={
            "conflicts": found.total(),
            "conflicts_by_column": dg.MetadataValue.json(dict(sorted(by_column.items()))),
            "conflicts_by_road": dg.MetadataValue.json(dict(sorted(by_road.items()))),
        },
    )


def _deps_of_tellings(roads: Collection[str], offered_on: dg.PartitionMapping | None = None) -> list[dg.AssetDep]:
    """
    Args:
        offered_on: The days of which a day's choices are, where their titles are wanted.
    """
    tellings = [
        *(road.dataset.name for road in ENTRY_ROADS if road.name in roads),
        *([ENTRIES_DATA_CLOUD.name] if DATA_CLOUD in roads else []),
        *([ENTRIES_ARCHIVE.name] if ARCHIVE in roads else []),
    ]
    return [
        *(dg.AssetDep(name, partition_mapping=offered_on) for name in tellings),
        dg.AssetDep(MESSAGING_SESSIONS.name, partition_mapping=trailing_days()),
        dg.AssetDep(VOICE_CALLS.name, partition_mapping=trailing_days()),
        dg.AssetDep(CONVERSATIONS.name, partition_mapping=trailing_days()),
    ]


def union_inputs(lake: Lake, day: str) -> dict[str, Any]:
    """What ``conversation_entries`` of a day is made of."""
    return {
        **_tellings(lake, day),
        "entries_of_two_days": _told_with_options(lake, [_day_before(day), day]),
        "conversation_participants": up_to(lake, CONVERSATION_PARTICIPANTS, day),
        "users": lake.dataset(USERS),
    }


def _tellings(lake: Lake, day: str) -> dict[str, Any]:
    """What the roads told of a day, those out of use included, and what their entries belong to."""
    return {
        "entries_conversation_data": lake.dataset(ENTRIES_CONVERSATION_DATA, [day]),
        "entries_data_cloud": lake.dataset(ENTRIES_DATA_CLOUD, [day]),
        "entries_archive": lake.dataset(ENTRIES_ARCHIVE, [day]),
        "entries_connect": lake.dataset(ENTRIES_CONNECT, [day]),
        "messaging_sessions": up_to(lake, MESSAGING_SESSIONS, day),
        "voice_calls": up_to(lake, VOICE_CALLS, day),
        "conversations": up_to(lake, CONVERSATIONS, day),
    }


def messages(daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        **options(MESSAGES, "duckdb"),
        partitions_def=daily,
        automation_condition=refreshed_with_its_inputs(),
        backfill_policy=dg.BackfillPolicy.multi_run(_DAYS_A_RUN),
        deps=[CONVERSATION_ENTRIES.name],
    )
    def asset(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads the bare name
        def land(day: str) -> Metadata:
            def inputs() -> dict[str, Any]:
                return {"conversation_entries": lake.dataset(CONVERSATION_ENTRIES, [day])}

            return land_model(MESSAGES, day, inputs, lake=lake, run_id=context.run.run_id)

        materialize_days(context, land)
        return checked(context, lake, MESSAGES)

    return asset


def transcripts(daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        **options(TRANSCRIPTS, "duckdb"),
        partitions_def=daily,
        automation_condition=refreshed_with_its_inputs(),
        backfill_policy=dg.BackfillPolicy.multi_run(_DAYS_A_RUN),
        deps=[
            MESSAGING_SESSIONS.name,
            VOICE_CALLS.name,
            dg.AssetDep(MESSAGES.name, partition_mapping=following_days()),
            MESSAGING_CHANNELS.name,
            USERS.name,
        ],
    )
    def asset(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads the bare name
        def land(day: str) -> Metadata:
            def inputs() -> dict[str, Any]:
                return {
                    "messaging_sessions": lake.dataset(MESSAGING_SESSIONS, [day]),
                    "voice_calls": lake.dataset(VOICE_CALLS, [day]),
                    "messages": _from_day_on(lake, day),
                    "messaging_channels": lake.dataset(MESSAGING_CHANNELS),
                    "users": lake.dataset(USERS),
                }

            return land_model(TRANSCRIPTS, day, inputs, lake=lake, run_id=context.run.run_id)

        materialize_days(context, land)
        return checked(context, lake, TRANSCRIPTS)

    return asset


def _told_with_options(lake: Lake, days: Collection[str]) -> pads.Dataset:
    """What was offered on some days, by whichever road: Connect alone tells texts without options."""
    roads = (ENTRIES_CONVERSATION_DATA, ENTRIES_DATA_CLOUD, ENTRIES_ARCHIVE)
    offer = pa.schema([CONVERSATION_ENTRIES.field(name).arrow for name in (*CONVERSATION_ENTRIES.key, "options")])
    return pads.dataset([lake.dataset(road, days).replace_schema(offer) for road in roads])


def _day_before(day: str) -> str:
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()


def _from_day_on(lake: Lake, day: str) -> Any:
    """A session's messages lie on the day it was created and on the days it reached into."""
    return lake.dataset(MESSAGES, [known for known in lake.partitions(MESSAGES) if known >= day])
