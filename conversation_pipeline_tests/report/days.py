"""Days made by hand, for pages that no simulated org would give: nothing at all, and everything at its worst."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from conversation_pipeline.report import Day, Figures, Reading, SchemaFinding

DAY = date(2026, 11, 12)
NAME = "Kundenservice für Auslandsüberweisungen & <b>Sonderfälle</b> " * 2
"""Long, and hostile to whoever does not escape."""

UNBROKEN = "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen"


def nothing() -> Figures:
    """A day of which no mart is in the lake and that no run has read."""
    return Figures.of(Day(DAY, [], [], [], [], [], [], []), [], [])


def everything() -> Figures:
    """Long names, large numbers, many channels, roads in every state, drift, refusals, a budget that is passed."""
    return Figures.of(
        Day(
            DAY,
            days=[day_row(back) for back in reversed(range(14)) if back != 4],
            hours=[hour_row(hour, channel) for hour in range(24) for channel in ("Voice", "Text", *map(str, range(7)))],
            metrics=[
                {"metric": name, "compared": 98_765, "agreeing": 12_345, "largest_difference": 123_456.789}
                for name in ("AgentMessageCount", "ServiceRepAcceptToFirstResponseTime")
            ],
            channels=[channel_row(NAME, "EmbeddedMessaging"), channel_row(UNBROKEN, "Voice"), channel_row(None, None)],
            queues=[work_row(queue_name=name) for name in (NAME, UNBROKEN, None, *map(str, range(9)))],
            agents=[work_row(agent_name=name, queue_name=NAME) for name in (NAME, UNBROKEN, None, *map(str, range(9)))],
            coverage=[coverage_row(road, back) for road in ROADS for back in range(12)],
        ),
        [
            reading("entries_conversation_data", drift={"entry_type " + "Survey" * 10: 1_234_567, NAME: 1}),
            reading("entries_connect"),
            reading("messaging_sessions", per_road=False),
        ],
        [SchemaFinding("messaging_delivery_errors", "lost columns: " + ", ".join([UNBROKEN] * 4))],
    )


ROADS = ("conversation_data", "data_cloud", "archive", "connect")


def day_row(back: int) -> dict[str, Any]:
    return {
        "day": DAY - timedelta(days=back),
        "sessions": 1_234_567 - back * 1_000,
        "calls": 987_654 + back,
        "messages": None if back == 2 else 12_345_678,
        "wait_seconds": 98_765.4,
        "handle_seconds": 3_599.6,
        "agent_response_seconds": None,
        "abandonment": 0.99999,
        "containment": back / 20,
    }


def hour_row(hour: int, channel: str) -> dict[str, Any]:
    return {
        "hour": hour,
        "channel_type": channel,
        "interactions": (hour + 1) * 1_000,
        "wait_seconds": 90_000.0 + hour,
        "waited": 10,
        "response_seconds": 5_000.0 * (hour % 5),
        "responses": hour % 5,
    }


def channel_row(name: str | None, kind: str | None) -> dict[str, Any]:
    return {
        "channel_name": name,
        "channel_type": kind,
        "interaction_count": 1_234_567,
        "accepted_count": 1_234_567,
        "abandonment_rate": 1.0,
        "average_wait_seconds": 359_999.0,
        "average_agent_response_time": 86_399.0,
        "average_handle_seconds": 359_999.0,
        "containment_rate": None,
    }


def work_row(**names: str | None) -> dict[str, Any]:
    return {
        "work_count": 1_234_567,
        "accepted_count": 1_234_567,
        "accepted_work_count": 1_234_567,
        "average_speed_to_answer_seconds": 359_999.0,
        "average_handle_seconds": 359_999.0,
        "average_agent_response_time": 86_399.0,
        "queue_name": None,
        "agent_name": None,
        **names,
    }


def coverage_row(road: str, back: int) -> dict[str, Any]:
    """The state changes from day to day and road to road."""
    state = (back + ROADS.index(road)) % 4
    lacking = 123_456 if back % 2 else 7
    return {
        "road": road,
        "coverage_date": datetime.combine(DAY - timedelta(days=back), datetime.min.time(), UTC),
        "is_read": state != 1,
        "is_closed": state == 2,
        "conversations_expected": 1_234_567,
        "conversations_read": 1_000_000,
        "conversations_missing": lacking if state == 0 else 0,
        "conversations_not_due": 1_234_567,
        "entries": 123_456_789,
        "entries_missing": 123_456_789 if state == 0 else 0,
        "entries_conflicting": 123_456,
        "entries_late": 123_456,
        "entries_beyond_reach": 123_456_789,
        "beyond_reach": [{"reason": "said after the newest archive was taken", "entries": 123_456_789}],
    }


def reading(dataset: str, *, per_road: bool = True, drift: dict[str, int] | None = None) -> Reading:
    return Reading(
        dataset,
        datetime(2026, 11, 13, 0, 41, tzinfo=UTC),
        31,
        requests=12_345_678,
        refused=1_234,
        retries=1_234,
        waited_seconds=359_999.0,
        received_bytes=98_765_432_109,
        share_of_allowance=0.987 if per_road else None,
        users=10 if per_road else None,
        active=(11_000, 2_700) if per_road else None,
        drift=drift or {},
    )
