"""
The on-platform road's landing: pages are staged as they come; a day is their rows, or the day before plus its changes.

``days`` chooses the way for each day: ``refresh`` (what changed since it was read) or ``pull`` (all of it, by REST
query or bulk job). ``paging`` stages the pages of a REST query, ``publishing`` puts rows into the lake.
"""

from conversation_pipeline.defs.landing.on_platform.days import land_days, land_snapshot
from conversation_pipeline.defs.landing.on_platform.landing import Landing

__all__ = ["Landing", "land_days", "land_snapshot"]
