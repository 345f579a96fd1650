"""Every asset, by group; asset key = dataset name = lake folder = DuckDB table."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import dagster as dg

from conversation_pipeline.defs.assets import (
    archives,
    conversations,
    coverage,
    data_cloud,
    entry_roads,
    erasures,
    marts,
    off_platform,
    on_platform,
    report,
    warehouse,
)
from conversation_pipeline.schemas import Dataset


def assets(
    datasets: Sequence[Dataset], roads: Collection[str], daily: dg.DailyPartitionsDefinition
) -> list[dg.AssetsDefinition]:
    """
    Args:
        roads: Entry roads in use; the others have no asset, and what the lake holds of them stays in it.
    """
    made = [
        *on_platform.assets(datasets, daily),
        *off_platform.assets(daily),
        *entry_roads.assets(roads, daily),
        *data_cloud.assets(roads, daily),
        *archives.assets(roads, daily),
        *conversations.assets(roads, daily),
        *marts.assets(daily),
        *coverage.assets(roads, daily),
    ]
    made += erasures.assets(datasets, made)
    return [*made, *warehouse.assets(datasets, made), *report.assets(daily)]
