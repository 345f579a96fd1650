"""Where reading and writing meet: what a road answers is staged as it comes, then typed and published."""

from conversation_pipeline.defs.landing.entries import land_entries, pull_entries
from conversation_pipeline.defs.landing.on_platform import land_on_platform

__all__ = ["land_entries", "land_on_platform", "pull_entries"]
