"""The Data Cloud road: discovered objects, one query for a run of days, Arrow to the canonical entry columns."""

from __future__ import annotations

from conversation_pipeline.extract.data_cloud.clock import offset
from conversation_pipeline.extract.data_cloud.columns import Entries
from conversation_pipeline.extract.data_cloud.decoding import arrow_stream, json_page, v2_batch
from conversation_pipeline.extract.data_cloud.looks import Look, Looks, look
from conversation_pipeline.extract.data_cloud.objects import Objects, discover
from conversation_pipeline.extract.data_cloud.sql import entries_sql

ROAD = "data_cloud"

__all__ = [
    "ROAD",
    "Entries",
    "Look",
    "Looks",
    "Objects",
    "arrow_stream",
    "discover",
    "entries_sql",
    "json_page",
    "look",
    "offset",
    "v2_batch",
]
