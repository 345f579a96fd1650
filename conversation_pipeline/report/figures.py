"""What the page shows, from rows of the marts; nothing here is computed a second time that a mart has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from conversation_pipeline.report import plots, words

Row = Mapping[str, Any]

DAYS = 14
"""How far back the small plots and the coverage reach, the day itself included."""

_WEEK = 7
_SERIES = 5
_OTHER = "Other"
_CHANNELS = {
    "EmbeddedMessaging": "Enhanced Chat",
    "WhatsApp": "WhatsApp",
    "Text": "SMS",
    "Voice": "Voice",
    "AppleBusinessChat": "Apple Messages",
    "Facebook": "Facebook Messenger",
    "Line": "LINE",
    "unknown": "Unknown channel",
}
"""Channel types as people call them, in the order in which they are stacked: a type has the same colour every day."""

_ROADS = {
    "conversation_data": "Conversation Data",
    "data_cloud": "Data Cloud",
    "archive": "Archive",
    "connect": "Connect",
}


@dataclass(frozen=True)
class Day:
    """
    A day's rows of the marts.

    Attributes:
        days: ``report_days``: the last ``DAYS`` days that have a mart, the day itself last.
        hours: ``report_hours``.
        metrics: ``report_metrics``.
        coverage: ``road_coverage`` of the last ``DAYS`` days.
    """

    day: date
    days: Sequence[Row]
    hours: Sequence[Row]
    metrics: Sequence[Row]
    channels: Sequence[Row]
    queues: Sequence[Row]
    agents: Sequence[Row]
    coverage: Sequence[Row]


@dataclass(frozen=True)
class Reading:
    """
    What it took to read the day, as the run that read it last recorded it.

    Attributes:
        dataset: What was read.
        read_at: When it was recorded, UTC.
        days: How many days the same run read; the numbers are of all of them.
        share_of_allowance: Requests sent over requests allowed meanwhile; ``None`` where the road has no rate.
        active: Conversations held active when it ended, and how many may be.
        drift: What the published schema does not know, and how often it was seen on the day.
    """

    dataset: str
    read_at: datetime
    days: int
    requests: int
    refused: int
    retries: int
    waited_seconds: float
    received_bytes: int
    share_of_allowance: float | None = None
    users: int | None = None
    active: tuple[int, int] | None = None
    drift: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SchemaFinding:
    """How the org's objects differ from what is declared, as the check ``org_schema`` last told."""

    dataset: str
    told: str


@dataclass(frozen=True)
class Tile:
    """One figure, with the days before it."""

    key: str
    label: str
    value: str
    note: str
    spark: plots.Spark


@dataclass(frozen=True)
class Figures:
    """Everything on the page, in its order."""

    day: date
    tiles: Sequence[Tile]
    interactions: plots.Columns
    responses: plots.Columns
    waits: plots.Columns
    channels: Sequence[Row]
    queues: Sequence[Row]
    agents: Sequence[Row]
    metrics: Sequence[Row]
    heat: plots.HeatMap
    roads: Sequence[Row]
    drift: Sequence[tuple[str, str, int]]
    findings: Sequence[SchemaFinding]
    readings: Sequence[Reading]

    @classmethod
    def of(cls, day: Day, readings: Sequence[Reading], findings: Sequence[SchemaFinding]) -> Figures:
        return cls(
            day=day.day,
            tiles=_tiles(day),
            interactions=_interactions(day.hours),
            responses=_by_hour(day.hours, "response_seconds", "responses", "mean response"),
            waits=_by_hour(
                [{**row, "wait_seconds": (row["wait_seconds"] or 0.0) * row["waited"]} for row in day.hours],
                "wait_seconds",
                "waited",
                "mean wait",
            ),
            channels=sorted(day.channels, key=lambda row: (-row["interaction_count"], row["channel_name"] or "")),
            queues=sorted(day.queues, key=lambda row: (-row["work_count"], row["queue_name"] or "")),
            agents=sorted(day.agents, key=lambda row: (-row["work_count"], row["agent_name"] or "")),
            metrics=[row for row in day.metrics if row["compared"]],
            heat=heat_of(day.day, day.coverage),
            roads=sorted(
                (_road(row) for row in day.coverage if row["coverage_date"].date() == day.day),
                key=lambda row: list(_ROADS).index(row["road"]),
            ),
            drift=sorted(
                (reading.dataset, name, count) for reading in readings for name, count in reading.drift.items()
            ),
            findings=findings,
            readings=_together(readings),
        )

    @property
    def has_calls(self) -> bool:
        return any(row["channel_type"] == "Voice" for row in self.channels)

    @property
    def summary(self) -> tuple[str, str]:
        """How the day stands, as a state and a sentence."""
        lacking = sum(row["conversations_missing"] for row in self.roads)
        entries = sum(row["entries_missing"] for row in self.roads)
        if not self.roads:
            return "unread", "Coverage of this day was not counted yet"
        if lacking or entries:
            missing = f"{words.counted(lacking, 'conversation', 'conversations')} and "
            return "lacking", f"{missing}{words.counted(entries, 'entry', 'entries')} missing: see Coverage"
        if not all(row["is_closed"] for row in self.roads):
            return "open", "Nothing is missing so far; the day is not closed on every road"
        return "whole", "Every road in use has told the whole day"


def _together(readings: Sequence[Reading]) -> list[Reading]:
    """The entry roads each by itself; the objects on the platform, of a request or two each, as one."""
    objects = [reading for reading in readings if not reading.dataset.startswith("entries_")]
    roads = [reading for reading in readings if reading.dataset.startswith("entries_")]
    if not objects:
        return roads
    return [
        *roads,
        Reading(
            words.counted(len(objects), "dataset on the platform", "datasets on the platform"),
            max(reading.read_at for reading in objects),
            max(reading.days for reading in objects),
            requests=sum(reading.requests for reading in objects),
            refused=sum(reading.refused for reading in objects),
            retries=sum(reading.retries for reading in objects),
            waited_seconds=sum(reading.waited_seconds for reading in objects),
            received_bytes=sum(reading.received_bytes for reading in objects),
        ),
    ]


def _tiles(day: Day) -> list[Tile]:
    def of(key: str, label: str, told: Any) -> Tile:
        values = {row["day"]: row[key] for row in day.days}
        series = [values.get(one) for one in last_days(day.day)]
        return Tile(key, label, told(series[-1]), _compared(series, told), plots.spark(series))

    return [
        of("sessions", "Messaging sessions", words.number),
        of("calls", "Voice calls", words.number),
        of("messages", "Messages", words.number),
        of("agent_response_seconds", "Agent response, mean", words.duration),
        of("wait_seconds", "Wait, mean", words.duration),
        of("handle_seconds", "Handle time, mean", words.duration),
        of("abandonment", "Abandoned", words.share),
        of("containment", "Contained by bots", words.share),
    ]


def _compared(series: Sequence[float | None], told: Any) -> str:
    before = [value for value in series[-_WEEK - 1 : -1] if value is not None]
    if not before:
        return "no earlier days to compare with"
    return f"{words.counted(len(before), 'day', 'days')} before: {told(sum(before) / len(before))} on average"


def last_days(day: date) -> list[date]:
    return [day - timedelta(days=back) for back in reversed(range(DAYS))]


def channel(name: str) -> str:
    """A channel type as people call it."""
    return _CHANNELS.get(name, name)


def road(name: str) -> str:
    """A road as people call it."""
    return _ROADS.get(name, name)


def _interactions(hours: Sequence[Row]) -> plots.Columns:
    """Stacked by channel type; where they are many, the rare ones together."""
    totals = Counter[str]()
    for row in hours:
        totals[row["channel_type"]] += row["interactions"]
    busiest = [name for name, _ in sorted(totals.items(), key=lambda one: (-one[1], one[0]))]
    named = sorted(busiest if len(busiest) <= _SERIES + 1 else busiest[:_SERIES], key=_stacked)
    series: dict[str, dict[int, float]] = {channel(name): {} for name in named}
    for row in hours:
        values = series.setdefault(channel(row["channel_type"]) if row["channel_type"] in named else _OTHER, {})
        values[row["hour"]] = values.get(row["hour"], 0.0) + row["interactions"]
    told = {
        (name, hour): f"{hour:02}:00 UTC, {name}: {count:,.0f}"
        for name, values in series.items()
        for hour, count in values.items()
    }
    return plots.columns(series, told, plots.COUNTS)


def _stacked(channel_type: str) -> tuple[int, str]:
    known = list(_CHANNELS)
    return (known.index(channel_type) if channel_type in known else len(known)), channel_type


def _by_hour(hours: Sequence[Row], total: str, count: str, meaning: str) -> plots.Columns:
    """Means over all channels, in seconds."""
    sums, counts = Counter[int](), Counter[int]()
    for row in hours:
        if row[count]:
            sums[row["hour"]] += row[total]
            counts[row["hour"]] += row[count]
    means = {hour: sums[hour] / counts[hour] for hour in counts if sums[hour]}
    told = {
        (meaning, hour): f"{hour:02}:00 UTC, {meaning}: {words.duration(mean)} over {counts[hour]:,}"
        for hour, mean in means.items()
    }
    return plots.columns({meaning: means} if means else {}, told, plots.SECONDS)


def heat_of(day: date, coverage: Sequence[Row]) -> plots.HeatMap:
    """Days by roads, up to the day; roads that were in use on none of them have no line."""
    found = {(row["road"], row["coverage_date"].date()): row for row in coverage}
    days = last_days(day)
    roads = [name for name in _ROADS if any((name, one) in found for one in days)]
    return plots.HeatMap(
        days, {road(name): [_cell(name, one, found.get((name, one))) for one in days] for name in roads}
    )


def _cell(name: str, day: date, row: Row | None) -> plots.Cell:
    at = f"{day.isoformat()}, {road(name)}"
    if row is None:
        return plots.Cell("none", f"{at}: not counted")
    missing, entries = row["conversations_missing"], row["entries_missing"]
    told = f"{row['conversations_read']:,} of {row['conversations_expected']:,} conversations"
    if missing or entries:
        return plots.Cell("lacking", f"{at}: {told}, {entries:,} entries missing", missing)
    if not row["is_read"]:
        return plots.Cell("unread", f"{at}: not read yet")
    if not row["is_closed"]:
        return plots.Cell("open", f"{at}: {told}, not closed")
    return plots.Cell("whole", f"{at}: {told}, closed")


def _road(row: Row) -> Row:
    """A line of the coverage table, with its state and its sentence on what is beyond reach."""
    beyond = "; ".join(f"{one['entries']:,}: {one['reason']}" for one in row["beyond_reach"] or ())
    cell = _cell(row["road"], row["coverage_date"].date(), row)
    return {**row, "name": road(row["road"]), "state": cell.state, "beyond": beyond}
