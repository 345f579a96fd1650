"""Every asset, by group; asset key = dataset name = lake folder = DuckDB table."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from conversation_pipeline.defs.assets import conversations, off_platform, on_platform, warehouse
from conversation_pipeline.schemas import Dataset


def assets(datasets: Sequence[Dataset], daily: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    return [
        *on_platform.assets(datasets, daily),
        *off_platform.assets(daily),
        *conversations.assets(daily),
        *warehouse.assets(datasets),
    ]
