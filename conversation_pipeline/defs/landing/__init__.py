"""Where reading and writing meet: what a road answers is staged as it comes, then typed and published."""

from conversation_pipeline.defs.landing.entries import EntryLanding, land_entries, pull_entries
from conversation_pipeline.defs.landing.on_platform import Landing, land_days, land_snapshot
from conversation_pipeline.defs.landing.roads import ENTRY_ROADS, EntryRoad

__all__ = [
    "ENTRY_ROADS",
    "EntryLanding",
    "EntryRoad",
    "Landing",
    "land_days",
    "land_entries",
    "land_snapshot",
    "pull_entries",
]
