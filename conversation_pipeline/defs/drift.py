"""
Schema drift: what the org's describe says now, held against the declaration and against what was known of the org.

Kept, reported, never fatal: the asset check ``org_schema`` of every on-platform dataset is evaluated from describe at
each materialization, and warns until the org and the declaration agree. What is known of the org is what it showed when
the dataset was first materialized, or when somebody last accepted it (``accept_schema`` in the run's configuration).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from conversation_pipeline.extract.on_platform import Selection
from conversation_pipeline.salesforce.query import ObjectDescription
from conversation_pipeline.schemas import Dataset

CHECK = "org_schema"
_FIELDS = "known_fields"
_PICKLISTS = "known_picklists"
_EVALUATED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}


@dataclass(frozen=True)
class Known:
    """
    What was known of an object.

    Attributes:
        types: Describe types by API name of field.
        picklists: Values by API name of picklist.
    """

    types: Mapping[str, str]
    picklists: Mapping[str, list[str]]

    @classmethod
    def of(cls, description: ObjectDescription) -> "Known":
        picklists = {name: sorted(values) for name, values in description.picklists.items()}
        return cls(dict(sorted(description.types.items())), picklists)

    def metadata(self) -> dict[str, dg.MetadataValue[Any]]:
        return {_FIELDS: dg.MetadataValue.json(self.types), _PICKLISTS: dg.MetadataValue.json(self.picklists)}


def check_spec(dataset: Dataset) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        CHECK,
        asset=dataset.name,
        description="The org's object still has the columns, types and picklist values that were known.",
    )


def last_known(instance: dg.DagsterInstance, dataset: Dataset) -> Known | None:
    """What the latest evaluation of the check carried on; nothing before the first."""
    records = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey(dataset.name), CHECK), limit=10, status=_EVALUATED
    )
    for record in records:
        told = record.evaluation.metadata if record.evaluation else {}
        if _FIELDS in told:
            return Known(dict(told[_FIELDS].value), dict(told[_PICKLISTS].value))  # type: ignore[arg-type]
    return None


def last_finding(instance: dg.DagsterInstance, dataset: Dataset) -> str | None:
    """What the latest evaluation of the check found; None where that was nothing, or there was none."""
    records = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey(dataset.name), CHECK), limit=1, status=_EVALUATED
    )
    evaluation = records[0].evaluation if records else None
    return evaluation.description if evaluation is not None and not evaluation.passed else None


def check_result(selection: Selection, description: ObjectDescription, known: Known | None) -> dg.AssetCheckResult:
    """
    Args:
        known: What the org is held against besides the declaration; ``None`` to take it as it is now.
    """
    told = {**selection.findings, **(_since(selection.dataset, description, known) if known else {})}
    return dg.AssetCheckResult(
        check_name=CHECK,
        passed=not told,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(f"{finding}: {', '.join(names)}" for finding, names in told.items()) or "as known",
        metadata={
            **{finding: dg.MetadataValue.json(list(names)) for finding, names in told.items()},
            **(known or Known.of(description)).metadata(),
        },
    )


def object_missing(dataset: Dataset, known: Known | None) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=CHECK,
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"the org has no {dataset.sobject}, or hides it from this user",
        metadata=known.metadata() if known else {},
    )


def _since(dataset: Dataset, description: ObjectDescription, known: Known) -> dict[str, list[str]]:
    """What is new, gone or changed, and not what the declaration has come to know."""
    declared = {str(field.api_name) for field in dataset.fields}
    types, picklists = known.types, known.picklists
    found = {
        "new columns (CONVERSATION_CUSTOM_FIELDS loads custom ones)": set(description.types) - set(types) - declared,
        "lost columns": set(types) - set(description.types) - declared,
        "changed types": {
            f"{name} ({types[name]} to {kind})"
            for name, kind in description.types.items()
            if types.get(name, kind) != kind
        },
        "new picklist values": {
            f"{name} = {value}"
            for name, values in description.picklists.items()
            for value in set(values) - set(picklists.get(name, values))
        },
    }
    return {finding: sorted(names) for finding, names in found.items() if names}
