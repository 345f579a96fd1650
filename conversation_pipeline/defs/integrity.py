"""
Checks that follow from a dataset's declaration: ``key``, ``not_null`` and ``relationships``.

Evaluated within the asset's own run, of the partitions that it has just made and no others.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import dagster as dg

from conversation_pipeline.defs.reporting import told
from conversation_pipeline.schemas import Dataset, Reference
from conversation_pipeline.schemas.catalogue import DATASETS
from conversation_pipeline.storage import Lake
from conversation_pipeline.storage.integrity import Referred, Rows, look_at_reference, look_at_rows

KEY = "key"
NOT_NULL = "not_null"
RELATIONSHIPS = "relationships"

_TARGETS = {dataset.name: dataset for dataset in DATASETS}
_MOST_TOLD = 5
_WARN = dg.AssetCheckSeverity.WARN
_WRITTEN_BY_ANOTHER = "something else than this asset wrote the file: materialize it again"
_MISSING = (
    "materialize what they refer to again, of this day and the days before it, then this; if they are still missing, "
    "the user who reads does not see those records: look at the check all_records_visible"
)


def names(dataset: Dataset) -> list[str]:
    return [KEY, NOT_NULL, *([RELATIONSHIPS] if dataset.references else [])]


def keys(dataset: Dataset, *others: str) -> list[dg.AssetCheckKey]:
    """For run requests that name checks: those of here, and others of the asset."""
    return [dg.AssetCheckKey(dg.AssetKey(dataset.name), name) for name in (*names(dataset), *others)]


def check_specs(dataset: Dataset, days: dg.PartitionsDefinition[str] | None = None) -> list[dg.AssetCheckSpec]:
    required = ", ".join(field.name for field in dataset.fields if field.required)
    descriptions = {
        KEY: f"No two rows of a partition have the same {', '.join(dataset.key)}.",
        NOT_NULL: f"Every row has {required}.",
        RELATIONSHIPS: "What rows refer to is in the lake: " + "; ".join(map(described, dataset.references)) + ". "
        "Records of before the first day in the lake may be missing.",
    }
    return [
        dg.AssetCheckSpec(name, asset=dataset.name, description=descriptions[name], partitions_def=days)
        for name in names(dataset)
    ]


def described(reference: Reference) -> str:
    return f"{reference.column} in {' or '.join(reference.to)}"


def check_results(lake: Lake, dataset: Dataset, days: Sequence[str]) -> list[dg.AssetCheckResult]:
    """
    Args:
        days: The partitions that the run has made; none of a dataset without partitions, which is one file.
    """
    partitions: Sequence[str | None] = days if dataset.partitioned else (None,)
    with told(dataset.name):
        rows = {partition: look_at_rows(lake, dataset, partition) for partition in partitions}
        return [
            _key_result(rows),
            _not_null_result(rows),
            *([_relationships_result(lake, dataset, partitions)] if dataset.references else []),
        ]


def checks_of(dataset: Dataset, daily: dg.DailyPartitionsDefinition) -> dg.AssetChecksDefinition:
    """The same as a step of its own, for a dataset that another asset lands: over the days of the run."""
    days = daily if dataset.partitioned else None

    @dg.multi_asset_check(
        name=f"{dataset.name}_as_declared",
        specs=check_specs(dataset, days),
    )
    def check(context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]) -> Iterator[dg.AssetCheckResult]:
        of_run = context.op_execution_context.partition_keys if dataset.partitioned else ()
        for result in check_results(lake, dataset, of_run):
            yield result._replace(asset_key=dg.AssetKey(dataset.name))

    return check


def _key_result(found: dict[str | None, Rows]) -> dg.AssetCheckResult:
    wrong = [
        f"{_of(partition)}{rows.repeated:,} rows repeat a key and {rows.misplaced:,} are out of its order"
        for partition, rows in found.items()
        if rows.repeated or rows.misplaced
    ]
    return _result(KEY, wrong, _WRITTEN_BY_ANOTHER, {"rows": sum(rows.rows for rows in found.values())})


def _not_null_result(found: dict[str | None, Rows]) -> dg.AssetCheckResult:
    wrong = [
        f"{_of(partition)}{count:,} rows without {name}"
        for partition, rows in found.items()
        for name, count in rows.nulls.items()
    ]
    return _result(NOT_NULL, wrong, _WRITTEN_BY_ANOTHER, {"rows": sum(rows.rows for rows in found.values())})


def _relationships_result(lake: Lake, dataset: Dataset, partitions: Iterable[str | None]) -> dg.AssetCheckResult:
    wrong: list[str] = []
    counts: dict[str, dict[str, int]] = {}
    for reference in dataset.references:
        count = counts.setdefault(described(reference), {"values": 0, "missing": 0, "partitions_not_judged": 0})
        for partition in partitions:
            found = look_at_reference(lake, dataset, partition, reference, _TARGETS)
            count["values"] += found.values
            count["missing"] += found.missing
            count["partitions_not_judged"] += not found.judged
            if _is_wrong(reference, found):
                wrong.append(
                    f"{_of(partition)}{found.missing:,} of {found.values:,} {reference.column} are in no "
                    f"{' or '.join(reference.to)} ({', '.join(found.examples)})"
                )
    return _result(RELATIONSHIPS, wrong, _MISSING, {"references": dg.MetadataValue.json(counts)}, _WARN)


def _is_wrong(reference: Reference, found: Referred) -> bool:
    """What is legitimately absent is said where references are declared (``Reference``)."""
    if not found.judged or not found.missing:
        return False
    if reference.created_within is None:
        return found.missing == found.values
    return found.complete


def _result(
    name: str,
    wrong: Sequence[str],
    todo: str,
    metadata: dict[str, Any],
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    left = f"; and {len(wrong) - _MOST_TOLD:,} more" if len(wrong) > _MOST_TOLD else ""
    return dg.AssetCheckResult(
        check_name=name,
        passed=not wrong,
        severity=severity,
        description=f"{'; '.join(wrong[:_MOST_TOLD])}{left}: {todo}" if wrong else "as declared",
        metadata=metadata,
    )


def _of(partition: str | None) -> str:
    return "" if partition is None else f"{partition}: "
