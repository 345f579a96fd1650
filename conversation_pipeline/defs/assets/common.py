"""What all assets of datasets share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypedDict

import dagster as dg

from conversation_pipeline.defs import integrity
from conversation_pipeline.defs.reporting import Metadata, column_schema, days_of, receipt_metadata
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.storage import Lake
from conversation_pipeline.storage.models import files_of, run_model

OWNERS = ["team:conversation-data"]

CREATED_EARLIER = timedelta(minutes=10)
"""How far a record's own times and an entry's may lie apart at a day's edge."""

_MAKINGS = 5  # of a model's day, while runs beside this one land more of what it is made of


class AssetOptions(TypedDict):
    """The arguments of ``dg.asset`` that follow from a dataset."""

    name: str
    description: str
    group_name: str
    owners: list[str]
    kinds: set[str]
    metadata: Mapping[str, Any]
    code_version: str
    check_specs: Sequence[dg.AssetCheckSpec]


def options(dataset: Dataset, *kinds: str, checks: Sequence[dg.AssetCheckSpec] = ()) -> AssetOptions:
    """
    Args:
        checks: Of this asset alone, besides those that follow from the declaration. ``checked`` evaluates those.
    """
    return AssetOptions(
        name=dataset.name,
        description=dataset.grain,
        group_name=dataset.group.value,
        owners=OWNERS,
        kinds={*kinds, "parquet"},
        metadata={"dagster/column_schema": column_schema(dataset), "dagster/table_name": dataset.name},
        code_version=str(dataset.version),
        check_specs=[*integrity.check_specs(dataset), *checks],
    )


def checked(
    context: dg.AssetExecutionContext,
    lake: Lake,
    dataset: Dataset,
    *results: dg.AssetCheckResult,
    metadata: Metadata | None = None,
) -> dg.MaterializeResult[None]:
    """
    What an asset ends with: the checks that follow from the dataset's declaration, over what the run has made.

    Args:
        results: Of the asset's own checks.
    """
    days = days_of(context) if dataset.partitioned else ()
    return dg.MaterializeResult(
        metadata=metadata, check_results=[*integrity.check_results(lake, dataset, days), *results]
    )


def land_model(
    dataset: Dataset,
    day: str,
    inputs: Callable[[], Mapping[str, Any]],
    *,
    lake: Lake,
    run_id: str,
    parameters: Mapping[str, str | int | datetime] | None = None,
) -> Metadata:
    """
    Runs the dataset's SQL model for one day and publishes its rows; again, where its inputs were landed anew meanwhile.

    Else a run that began earlier and ended later would undo a newer one, and what was landed while a model was made
    would pass for what it was made of.

    Args:
        inputs: What the model reads, as it is in the lake at the time of the call.
    """
    window = Window.of_day(day)
    given = {"day_start": window.start, "day_end": window.end, **(parameters or {})}
    changed = False
    for _ in range(_MAKINGS):
        read = inputs()
        files = files_of(read)
        with run_model(dataset.name, read, given) as rows:
            receipt = lake.replace(dataset, day, rows, run_id=run_id)
        changed = changed or receipt.changed
        if files_of(inputs()) == files:
            break
    return receipt_metadata(replace(receipt, changed=changed))


def up_to(lake: Lake, dataset: Dataset, day: str) -> Any:
    """All of a dataset's days up to and including the one after: sessions reach into days long after their creation."""
    following = Window.of_day(day).end.date().isoformat()
    return lake.dataset(dataset, [known for known in lake.partitions(dataset) if known <= following])
