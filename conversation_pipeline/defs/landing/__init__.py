"""Where reading and writing meet: what a road answers is staged as it comes, then typed and published."""

from conversation_pipeline.defs.landing.entries import (
    EntryLanding,
    land_entries,
    plan_entries,
    pull_entries,
    staged_for,
)
from conversation_pipeline.defs.landing.on_platform import Landing, land_days, land_snapshot
from conversation_pipeline.defs.landing.roads import DAYS_A_RUN, ENTRY_ROADS, EntryRoad

__all__ = [
    "DAYS_A_RUN",
    "ENTRY_ROADS",
    "EntryLanding",
    "EntryRoad",
    "Landing",
    "land_days",
    "land_entries",
    "land_snapshot",
    "plan_entries",
    "pull_entries",
    "staged_for",
]
