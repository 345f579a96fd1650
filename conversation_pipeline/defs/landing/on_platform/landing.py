"""What the rooms of this road's landing hand to one another."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from conversation_pipeline.defs.resources import Org
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.storage import Lake, Staging


@dataclass(frozen=True)
class Landing:
    """
    What the landing of one on-platform dataset works with.

    Attributes:
        full: Pull whole partitions even where a refresh would do.
    """

    dataset: Dataset
    org: Org
    lake: Lake
    staging: Staging
    run_id: str
    log: logging.Logger
    full: bool = False


@dataclass(frozen=True)
class Rows:
    """
    Rows of a day or a run of days, and how they were come by.

    Attributes:
        promised: How many the org says there are.
        asked_at: The rows tell what the org held then or later: the next refresh begins there.
        swept_at: When the org was last asked for all of them, changed or not.
        drift: What came and was not asked for, by how many pages.
    """

    batches: Iterable[pa.RecordBatch]
    promised: int
    pages: int
    mode: str
    asked_at: datetime
    swept_at: datetime
    road: str = "soql"
    drift: Mapping[str, int] = field(default_factory=dict)
