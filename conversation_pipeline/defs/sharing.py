"""
Sharing hides records from a user without an error (on-platform reference 4, trap 29): an asset check for each
on-platform dataset holds what this user's queries see against what the org says that it has.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from conversation_pipeline.defs.reporting import told
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.salesforce.errors import ObjectUnavailable, PermissionDenied, RequestRefused, WindowTooLarge
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
            try:
                counts = salesforce.query.record_counts([str(dataset.sobject) for dataset in chosen])
            except (PermissionDenied, RequestRefused) as error:
                yield from (
                    _unknown(dataset, f"the org does not tell how many records it has: {error}") for dataset in chosen
                )
                return
            for dataset in chosen:
                yield _held_against(counts.get(str(dataset.sobject)), dataset, salesforce)

    return check


def _held_against(there: int | None, dataset: Dataset, org: Org) -> dg.AssetCheckResult:
    sobject = str(dataset.sobject)
    if there is None:
        return _told(dataset, True, f"the org has no {sobject} that this user may see; org_schema tells of that")
    try:
        seen = org.query.count(sobject, "", all_rows=False)
    except ObjectUnavailable:
        return _told(dataset, True, f"the org has no {sobject} that this user may see; org_schema tells of that")
    except WindowTooLarge as error:
        if error.code == "OPERATION_TOO_LARGE":  # what queries of users without View All end with
            return _told(dataset, False, f"the org can not work out what is shared: {_grant(sobject)}")
        return _unknown(dataset, f"the org took too long to count the {there:,} records of {sobject}")
    sentence = f"the org has {there:,} records of {sobject} and this user sees {seen:,}"
    if there - seen < max(_AT_LEAST, there * _APART):
        return _told(dataset, True, sentence)
    return _told(dataset, False, f"{sentence}: {_grant(sobject)}")


def _grant(sobject: str) -> str:
    return f"grant the user View All on {sobject}, then materialize with full: true"


def _unknown(dataset: Dataset, sentence: str) -> dg.AssetCheckResult:
    return _told(dataset, False, sentence, dg.AssetCheckSeverity.WARN)


def _told(
    dataset: Dataset, passed: bool, sentence: str, severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=dataset.name, check_name=CHECK, passed=passed, severity=severity, description=sentence
    )
