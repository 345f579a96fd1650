"""Where reading and writing meet: what a road answers is staged as it comes, then typed and published."""

from conversation_pipeline.defs.landing.entries import land_entries, pull_entries
from conversation_pipeline.defs.landing.on_platform import Landing, land_days, land_snapshot

__all__ = ["Landing", "land_days", "land_entries", "land_snapshot", "pull_entries"]
