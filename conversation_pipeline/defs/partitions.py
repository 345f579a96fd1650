"""UTC days, one definition shared by every partitioned asset so that backfills of a chain stay in step."""

from __future__ import annotations

from datetime import date

import dagster as dg

from conversation_pipeline.schemas.dataset import LONGEST_SESSION_DAYS

PLACEHOLDER_START = date(2024, 1, 1)
"""Shown while CONVERSATION_START_DATE is not set: the UI opens, and every run says what to set."""


def daily(start: date | None) -> dg.DailyPartitionsDefinition:
    """Days from the start date to today, the open day included."""
    first = (start or PLACEHOLDER_START).isoformat()
    return dg.DailyPartitionsDefinition(start_date=first, timezone="UTC", end_offset=1)


def trailing_days() -> dg.TimeWindowPartitionMapping:
    """
    A day depends on itself and the days on which sessions that reach into it were created.

    That is lineage, for the longest of sessions; reading itself looks at every older partition.
    """
    return dg.TimeWindowPartitionMapping(start_offset=-LONGEST_SESSION_DAYS, end_offset=0)


def with_the_day_before() -> dg.TimeWindowPartitionMapping:
    """A day depends on itself and the day before, on which what it answers may have been asked."""
    return dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=0)


def following_days() -> dg.TimeWindowPartitionMapping:
    """A day depends on itself and the days into which its sessions reach."""
    return dg.TimeWindowPartitionMapping(
        start_offset=0, end_offset=LONGEST_SESSION_DAYS, allow_nonexistent_upstream_partitions=True
    )
