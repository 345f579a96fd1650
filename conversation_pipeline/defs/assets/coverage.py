"""Coverage: whether each entry road has told what it should, day by day."""

import base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.defs.assets.common import checked, options
from conversation_pipeline.defs.landing.data_cloud import ASKED_AT
from conversation_pipeline.defs.landing.entries import CLOSED, NOT_DUE, NOT_READ
from conversation_pipeline.defs.refresh import refreshed_with_its_days
from conversation_pipeline.defs.reporting import Metadata, materialize_days, receipt_metadata
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract.archive import ARCHIVE
from conversation_pipeline.extract.data_cloud import ROAD as DATA_CLOUD
from conversation_pipeline.extract.entry_roads import CONNECT, CONVERSATION_DATA
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.report import STRIP_LEGEND, heat_strip
from conversation_pipeline.report.figures import heat_of, last_days
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.conversations import (
    CONVERSATION_ACTIVITY,
    CONVERSATION_ENTRIES,
    ENTRIES_ARCHIVE,
    ENTRIES_CONNECT,
    ENTRIES_CONVERSATION_DATA,
    ENTRIES_DATA_CLOUD,
    ENTRY_CONFLICTS,
    TRANSCRIPT_ARCHIVES,
)
from conversation_pipeline.schemas.coverage import ROAD_COVERAGE
from conversation_pipeline.schemas.fields import INSTANT
from conversation_pipeline.storage import Lake
from conversation_pipeline.storage.models import run_model

ALL_READ = "all_conversations_read"
NONE_MISSING = "no_entry_missing"
STAY_CLOSED = "closed_days_stay_closed"

_DATASETS: Mapping[str, Dataset] = {
    CONVERSATION_DATA: ENTRIES_CONVERSATION_DATA,
    DATA_CLOUD: ENTRIES_DATA_CLOUD,
    ARCHIVE: ENTRIES_ARCHIVE,
    CONNECT: ENTRIES_CONNECT,
}
_DAYS_A_RUN = 31
_EXAMPLES = 10
_ROADS = pa.schema(
    [
        ("road", pa.string()),
        ("is_asked", pa.bool_()),
        ("is_read", pa.bool_()),
        ("is_closed", pa.bool_()),
        ("visible_until", INSTANT),
        ("due_until", INSTANT),
        ("entries_read", pa.int64()),
    ]
)
_UNREAD = pa.schema([("road", pa.string()), ("conversation_identifier", pa.string()), ("is_due", pa.bool_())])

_ASK = {
    CONVERSATION_DATA: "materialize entries_conversation_data of those days again; what is refused or not found each "
    "time is named in that run's log",
    CONNECT: "materialize entries_connect of those days again; what is refused or not found each time is named in that "
    "run's log",
    DATA_CLOUD: "materialize entries_data_cloud of those days again with full: true; if they stay away, look at the "
    "data stream's last refresh and for policies that hide rows from this user",
    ARCHIVE: "look at the check archive_read of transcript_archives; a newer archive may have them",
}


_CHECKS = (
    dg.AssetCheckSpec(
        ALL_READ,
        asset=ROAD_COVERAGE.name,
        description="Every conversation on the work list that was due was told of by each road in use.",
    ),
    dg.AssetCheckSpec(
        NONE_MISSING,
        asset=ROAD_COVERAGE.name,
        description="No road lacks an entry that another one told and that it could have told as well.",
    ),
    dg.AssetCheckSpec(
        STAY_CLOSED,
        asset=ROAD_COVERAGE.name,
        description="No road told entries of a day that had been closed.",
    ),
)


def assets(roads: Collection[str], daily: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    return [road_coverage([road for road in _DATASETS if road in roads], daily)]


def road_coverage(roads: Sequence[str], daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        **options(ROAD_COVERAGE, "duckdb", checks=_CHECKS),
        partitions_def=daily,
        backfill_policy=dg.BackfillPolicy.multi_run(_DAYS_A_RUN),
        automation_condition=refreshed_with_its_days(),
        deps=[
            CONVERSATION_ACTIVITY.name,
            CONVERSATION_ENTRIES.name,
            ENTRY_CONFLICTS.name,
            *(_DATASETS[road].name for road in roads),
        ],
    )
    def asset(
        context: dg.AssetExecutionContext, salesforce: dg.ResourceParam[Org], lake: dg.ResourceParam[Lake]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads the bare name
        found: list[dict[str, Any]] = []

        def land(day: str) -> Metadata:
            lag = timedelta(minutes=salesforce.settings.conversation_data_cloud_lag_minutes)
            rows = covered(lake, day, roads, lag)
            found.extend(rows.to_pylist())
            counts = rows.drop_columns(["missing_conversations"])
            receipt = lake.replace(ROAD_COVERAGE, day, counts.to_batches(), run_id=context.run.run_id)
            return receipt_metadata(receipt) | _counts(rows.to_pylist()) | {"coverage": picture(lake, day)}

        materialize_days(context, land)
        return checked(context, lake, ROAD_COVERAGE, all_read(found), none_missing(found), stay_closed(found))

    return asset


def covered(lake: Lake, day: str, roads: Sequence[str], data_cloud_lag: timedelta) -> pa.Table:
    """
    The day's rows, with the identifiers of ``missing_conversations`` as a further column.

    Args:
        data_cloud_lag: How long after their making entries may be missing from Data Cloud.
    """
    looks = [_look(lake, day, road, data_cloud_lag) for road in roads]
    inputs = {
        "roads_in_use": pa.Table.from_pylist([look.row for look in _overdue(looks, day, data_cloud_lag)], _ROADS),
        "conversations_unread": pa.Table.from_pylist([row for look in looks for row in look.unread_rows], _UNREAD),
        "conversation_activity": lake.dataset(CONVERSATION_ACTIVITY, [day]),
        "conversation_entries": lake.dataset(CONVERSATION_ENTRIES, [day]),
        "entry_conflicts": lake.dataset(ENTRY_CONFLICTS, [day]),
        "entries_conversation_data": lake.dataset(ENTRIES_CONVERSATION_DATA, [day]),
        "entries_connect": lake.dataset(ENTRIES_CONNECT, [day]),
        "coverage_before": lake.dataset(ROAD_COVERAGE, [day]),
    }
    window = Window.of_day(day)
    parameters = {"day_start": window.start, "day_end": window.end}
    with run_model(ROAD_COVERAGE.name, inputs, parameters) as rows:
        return rows.read_all()


def picture(lake: Lake, day: str) -> dg.MetadataValue[Any]:
    """The last days by roads, as the UI shows it: an SVG within the text."""
    until = date.fromisoformat(day)
    days = [one.isoformat() for one in last_days(until)]
    drawn = heat_strip(heat_of(until, lake.dataset(ROAD_COVERAGE, days).to_table().to_pylist()))
    encoded = base64.b64encode(drawn.encode()).decode()
    return dg.MetadataValue.md(f"![coverage](data:image/svg+xml;base64,{encoded})\n\n{STRIP_LEGEND}")


@dataclass(frozen=True)
class _Look:
    """
    What is known of a road's day besides its entries.

    Attributes:
        is_asked: Whether the road is asked conversation by conversation.
        visible_until: Up to when it can have told entries; ``None`` where it was not read.
        due_until: The same, for what it should have told.
        entries_read: Entries in its own file of the day: the union may be behind.
        unread: Conversations on the work list of which there is no reading, and whether one was due.
    """

    road: str
    is_asked: bool
    is_read: bool
    is_closed: bool
    visible_until: datetime | None
    due_until: datetime | None
    entries_read: int
    unread: Mapping[str, bool]

    @property
    def row(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _ROADS.names}

    @property
    def unread_rows(self) -> list[dict[str, Any]]:
        return [
            {"road": self.road, "conversation_identifier": conversation, "is_due": is_due}
            for conversation, is_due in self.unread.items()
        ]


def _look(lake: Lake, day: str, road: str, data_cloud_lag: timedelta) -> _Look:
    if road == ARCHIVE:
        return _look_at_archives(lake, day)
    if road == DATA_CLOUD:
        return _look_at_data_cloud(lake, day, data_cloud_lag)
    return _look_at_readings(lake, day, road)


def _look_at_readings(lake: Lake, day: str, road: str) -> _Look:
    receipt = lake.receipt(_DATASETS[road], day)
    if receipt is None:
        listed = lake.dataset(CONVERSATION_ACTIVITY, [day]).to_table(columns=["conversation_identifier"])
        unread = dict.fromkeys(listed["conversation_identifier"].to_pylist(), True)
        return _Look(road, True, False, False, None, None, 0, unread)
    told = receipt.provenance
    unread = {
        conversation: is_due
        for name, is_due in ((NOT_READ, True), (NOT_DUE, False))
        for conversation in msgspec.json.decode(told.get(name, "[]"), type=list[str])
    }
    times = lake.dataset(_DATASETS[road], [day]).to_table(columns=["fetched_at"])["fetched_at"]
    newest = pc.max(times).as_py()
    return _Look(road, True, True, told.get(CLOSED) == "true", newest, newest, receipt.rows, unread)


def _look_at_data_cloud(lake: Lake, day: str, lag: timedelta) -> _Look:
    receipt = lake.receipt(ENTRIES_DATA_CLOUD, day)
    if receipt is None:
        return _Look(DATA_CLOUD, False, False, False, None, None, 0, {})
    asked_at = receipt.provenance.get(ASKED_AT)
    until = (receipt.written_at if asked_at is None else datetime.fromisoformat(asked_at)) - lag
    return _Look(DATA_CLOUD, False, True, until >= Window.of_day(day).end, until, until, receipt.rows, {})


def _look_at_archives(lake: Lake, day: str) -> _Look:
    """A set is as old as its oldest part; one that lacks parts tells nothing of what it should have."""
    archives = lake.read(TRANSCRIPT_ARCHIVES, None)
    whole = archives.filter(pc.fill_null(archives["is_complete"], True))
    taken = whole.group_by("archive_set").aggregate([("snapshot_at", "min")])["snapshot_at_min"]
    until = pc.max(taken).as_py()
    window = Window.of_day(day)
    is_read = until is not None and until > window.start
    receipt = lake.receipt(ENTRIES_ARCHIVE, day)
    entries = 0 if receipt is None else receipt.rows
    return _Look(ARCHIVE, False, is_read, is_read and until >= window.end, until, until, entries, {})


def _overdue(looks: Sequence[_Look], day: str, data_cloud_lag: timedelta) -> list[_Look]:
    """Data Cloud leaves no file before the day has ended: whether one is due shows by when other roads were read."""
    read_at = max((look.visible_until for look in looks if look.is_asked and look.visible_until), default=None)
    if read_at is None or read_at - data_cloud_lag < Window.of_day(day).end:
        return list(looks)
    due_until = read_at - data_cloud_lag
    return [
        replace(look, due_until=due_until) if look.road == DATA_CLOUD and not look.is_read else look for look in looks
    ]


def _counts(rows: Iterable[Mapping[str, Any]]) -> Metadata:
    """Numbers to plot, all roads together, and which conversations are missing."""
    listed = list(rows)
    return {
        "conversations_missing": sum(row["conversations_missing"] for row in listed),
        "entries_missing": sum(row["entries_missing"] for row in listed),
        "entries_conflicting": sum(row["entries_conflicting"] for row in listed),
        "entries_late": sum(row["entries_late"] for row in listed),
        "missing_conversations": dg.MetadataValue.json(_examples(listed)),
    }


def _examples(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    return {row["road"]: row["missing_conversations"][:_EXAMPLES] for row in rows if row["missing_conversations"]}


def all_read(rows: Sequence[Mapping[str, Any]]) -> dg.AssetCheckResult:
    """Of the rows that a run landed."""
    expected = sum(row["conversations_expected"] for row in rows)
    waiting = sum(row["conversations_not_due"] for row in rows)
    good = f"all of {expected:,} conversations were told of"
    if waiting:
        good = f"{expected - waiting:,} of {expected:,} conversations were told of, {waiting:,} are not due yet"
    return _judged(ALL_READ, rows, "conversations_missing", "conversations", good)


def none_missing(rows: Sequence[Mapping[str, Any]]) -> dg.AssetCheckResult:
    told, beyond = sum(row["entries"] for row in rows), sum(row["entries_beyond_reach"] for row in rows)
    waiting = sum(row["entries_not_yet_visible"] for row in rows)
    good = f"{told:,} entries were told; {beyond:,} are beyond a road's reach, {waiting:,} are not visible on one yet"
    return _judged(NONE_MISSING, rows, "entries_missing", "entries", good)


def stay_closed(rows: Sequence[Mapping[str, Any]]) -> dg.AssetCheckResult:
    late = [row for row in rows if row["entries_late"]]
    days = ", ".join(sorted({_day(row) for row in late}))
    sentence = (
        f"{sum(row['entries_late'] for row in late):,} entries came after their day was closed ({days}): they are in "
        "conversation_entries; models_refresh makes what follows from them, or materialize messages, transcripts and "
        "the marts of those days again"
    )
    return dg.AssetCheckResult(
        check_name=STAY_CLOSED,
        passed=not late,
        severity=dg.AssetCheckSeverity.WARN,
        description=sentence if late else "no entry came after its day was closed",
        metadata={"entries_late": sum(row["entries_late"] for row in late)},
    )


def _judged(check: str, rows: Sequence[Mapping[str, Any]], column: str, things: str, good: str) -> dg.AssetCheckResult:
    lacking = [row for row in rows if row[column]]
    roads = list(dict.fromkeys(row["road"] for row in lacking))
    told = [_lack_told(road, [row for row in lacking if row["road"] == road], column, things) for road in roads]
    return dg.AssetCheckResult(
        check_name=check,
        passed=not lacking,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(told) or good,
        metadata={
            column: sum(row[column] for row in lacking),
            "by_day_and_road": dg.MetadataValue.json({f"{_day(row)} {row['road']}": row[column] for row in lacking}),
            "examples": dg.MetadataValue.json(_examples(lacking)),
        },
    )


def _lack_told(road: str, rows: Sequence[Mapping[str, Any]], column: str, things: str) -> str:
    days = sorted(_day(row) for row in rows)
    span = days[0] if len(days) == 1 else f"{len(days)} days from {days[0]} to {days[-1]}"
    return f"{road} lacks {sum(row[column] for row in rows):,} {things} of {span}: {_ASK[road]}"


def _day(row: Mapping[str, Any]) -> str:
    return str(row["coverage_date"].date().isoformat())
