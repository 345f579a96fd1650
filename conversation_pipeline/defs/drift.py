"""
Schema drift: what the org's describe says now, held against the declaration and against what it said the last time.

Kept, reported, never fatal: an asset check ``org_schema`` on every on-platform dataset warns until the next look.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from conversation_pipeline.extract.on_platform import Selection
from conversation_pipeline.salesforce.query import ObjectDescription
from conversation_pipeline.schemas import Dataset

CHECK = "org_schema"
_FIELDS = "org_fields"
_PICKLISTS = "org_picklists"


def check_spec(dataset: Dataset) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        CHECK,
        asset=dataset.name,
        description="The org's object still has the columns, types and picklist values that were known.",
    )


def remembered(description: ObjectDescription) -> dict[str, dg.MetadataValue[Any]]:
    """What the next look is held against, as metadata of this materialization."""
    return {
        _FIELDS: dg.MetadataValue.json(dict(sorted(description.types.items()))),
        _PICKLISTS: dg.MetadataValue.json({name: sorted(values) for name, values in description.picklists.items()}),
    }


def last_look(context: dg.AssetExecutionContext) -> Mapping[str, Any]:
    """What the asset's latest materialization remembered; nothing before the first."""
    event = context.instance.get_latest_materialization_event(context.asset_key)
    materialization = event.asset_materialization if event is not None else None
    if materialization is None:
        return {}
    return {name: value.value for name, value in materialization.metadata.items() if name in (_FIELDS, _PICKLISTS)}


def check_result(
    selection: Selection, description: ObjectDescription, before: Mapping[str, Any]
) -> dg.AssetCheckResult:
    findings = {
        "not visible, nothing new is read": list(selection.missing),
        "of another type than declared, nothing new is read": list(selection.unfit),
        **_since(description, before),
    }
    told = {finding: names for finding, names in findings.items() if names}
    return dg.AssetCheckResult(
        check_name=CHECK,
        passed=not told,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(f"{finding}: {', '.join(names)}" for finding, names in told.items()) or "as known",
        metadata={finding: dg.MetadataValue.json(names) for finding, names in told.items()},
    )


def object_missing(dataset: Dataset) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=CHECK,
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"the org has no {dataset.sobject}, or hides it from this user",
    )


def _since(description: ObjectDescription, before: Mapping[str, Any]) -> dict[str, list[str]]:
    """What is new, gone or changed since the last look."""
    if _FIELDS not in before:
        return {}
    types: Mapping[str, str] = before[_FIELDS]
    picklists: Mapping[str, list[str]] = before.get(_PICKLISTS, {})
    return {
        "new columns": sorted(set(description.types) - set(types)),
        "lost columns": sorted(set(types) - set(description.types)),
        "changed types": sorted(
            f"{name} ({types[name]} to {kind})"
            for name, kind in description.types.items()
            if types.get(name, kind) != kind
        ),
        "new picklist values": sorted(
            f"{name} = {value}"
            for name, values in description.picklists.items()
            for value in set(values) - set(picklists.get(name, values))
        ),
    }
