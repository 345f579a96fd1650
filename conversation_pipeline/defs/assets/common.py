"""What all assets of datasets share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict

from conversation_pipeline.defs.reporting import Metadata, column_schema, receipt_metadata
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.storage import Lake
from conversation_pipeline.storage.models import run_model

OWNERS = ["team:conversation-data"]

CREATED_EARLIER = timedelta(minutes=10)
"""How far a record's own times and an entry's may lie apart at a day's edge."""


class AssetOptions(TypedDict):
    """The arguments of ``dg.asset`` that follow from a dataset."""

    name: str
    description: str
    group_name: str
    owners: list[str]
    kinds: set[str]
    metadata: Mapping[str, Any]
    code_version: str


def options(dataset: Dataset, *kinds: str) -> AssetOptions:
    return AssetOptions(
        name=dataset.name,
        description=dataset.grain,
        group_name=dataset.group.value,
        owners=OWNERS,
        kinds={*kinds, "parquet"},
        metadata={"dagster/column_schema": column_schema(dataset), "dagster/table_name": dataset.name},
        code_version=str(dataset.version),
    )


def land_model(
    dataset: Dataset,
    day: str,
    inputs: Mapping[str, Any],
    *,
    lake: Lake,
    run_id: str,
    parameters: Mapping[str, str | int | datetime] | None = None,
) -> Metadata:
    """Runs the dataset's SQL model for one day and publishes its rows."""
    window = Window.of_day(day)
    given = {"day_start": window.start, "day_end": window.end, **(parameters or {})}
    with run_model(dataset.name, inputs, given) as rows:
        return receipt_metadata(lake.replace(dataset, day, rows, run_id=run_id))


def up_to(lake: Lake, dataset: Dataset, day: str) -> Any:
    """All of a dataset's days up to and including the one after: sessions reach into days long after their creation."""
    following = Window.of_day(day).end.date().isoformat()
    return lake.dataset(dataset, [known for known in lake.partitions(dataset) if known <= following])
