"""Every asset, by group; asset key = dataset name = lake folder = DuckDB table."""

from __future__ import annotations

import dagster as dg

from conversation_pipeline.defs.assets import conversations, off_platform, on_platform, warehouse


def assets(daily: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    return [
        *on_platform.assets(daily),
        *off_platform.assets(daily),
        *conversations.assets(daily),
        *warehouse.assets(),
    ]
