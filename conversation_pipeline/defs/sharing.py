"""
Sharing hides records from a user without an error (on-platform reference 4, trap 29): an asset check for each
on-platform dataset holds what this user's queries see against what the org says that it has.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from conversation_pipeline.defs.reporting import told
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.salesforce.errors import ObjectUnavailable
from conversation_pipeline.schemas import Dataset

CHECK = "all_records_visible"

_APART = 0.05
"""The org's own count is a cached approximation: so far apart the two may be."""

_AT_LEAST = 20
"""Records; of a small object, a few that were made since the org last counted are no finding."""


def checks(datasets: Sequence[Dataset]) -> dg.AssetChecksDefinition:
    """One call for the org's counts of all objects, and one for each object that is checked."""

    @dg.multi_asset_check(
        name=CHECK,
        specs=[
            dg.AssetCheckSpec(
                CHECK, asset=dataset.name, description="This user sees all records of the object, not just shared ones."
            )
            for dataset in datasets
        ],
        can_subset=True,
    )
    def check(
        context: dg.AssetCheckExecutionContext, salesforce: dg.ResourceParam[Org]
    ) -> Iterator[dg.AssetCheckResult]:
        asked = {key.asset_key.to_user_string() for key in context.selected_asset_check_keys}
        chosen = [dataset for dataset in datasets if dataset.name in asked]
        with told(CHECK):
            counts = salesforce.query.record_counts([str(dataset.sobject) for dataset in chosen])
            for dataset in chosen:
                yield _result(dataset, salesforce, counts.get(str(dataset.sobject)))

    return check


def _result(dataset: Dataset, org: Org, there: int | None) -> dg.AssetCheckResult:
    seen = None
    if there is not None:
        try:
            seen = org.query.count(str(dataset.sobject), "", all_rows=False)
        except ObjectUnavailable:
            there = None
    if there is None or seen is None:
        return _told(dataset, True, f"the org counts no {dataset.sobject}; org_schema tells whether it has any")
    hidden = there - seen
    passed = hidden < max(_AT_LEAST, there * _APART)
    sentence = f"the org has {there:,} records of {dataset.sobject} and this user sees {seen:,}"
    return _told(dataset, passed, sentence if passed else f"{sentence}: grant the user View All on {dataset.sobject}")


def _told(dataset: Dataset, passed: bool, sentence: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=dataset.name,
        check_name=CHECK,
        passed=passed,
        severity=dg.AssetCheckSeverity.ERROR,
        description=sentence,
    )
