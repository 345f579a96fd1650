"""An org that changes: reported once a materialization, by a check that warns until org and declaration agree."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from conversation_pipeline.schemas.people import USERS
from conversation_pipeline_tests.conftest import FIRST_DAY, QUIET, Control, Project

CHANNELS = "messaging_channels"
SESSIONS = "messaging_sessions"
DAY = FIRST_DAY.isoformat()


def look(project: Project, asset: str = CHANNELS, check: str = "org_schema", **config: Any) -> dg.AssetCheckEvaluation:
    """The check's evaluation by a run of the asset alone."""
    given = QUIET | ({"ops": {asset: {"config": config}}} if config else {})
    job = project.definitions().get_implicit_global_asset_job_def()
    run = job.execute_in_process(
        instance=project.instance,
        asset_selection=[dg.AssetKey(asset)],
        partition_key=DAY if asset == SESSIONS else None,
        run_config=given,
    )
    [found] = [one for one in run.get_asset_check_evaluations() if one.check_name == check]
    return found


def known(project: Project) -> None:
    """A first materialization, after which what the org shows is known."""
    look(project, accept_schema=True)


def test_a_new_column_is_told_until_it_is_accepted(project: Project, control: Control) -> None:
    """The next materialization does not turn the check green; accepting the schema does."""
    known(project)
    before = look(project).description
    control.post("schema", object="MessagingChannel", add={"name": "Region__c", "type": "string"})

    first, second = look(project), look(project)
    look(project, accept_schema=True)

    assert "Region__c" in str(first.description)
    assert second.description == first.description
    assert look(project).description == before


def test_a_column_that_came_to_be_declared_is_told_no_more(project: Project, control: Control) -> None:
    """Loading the new column by setting makes org and declaration agree."""
    known(project)
    control.post("schema", object="MessagingChannel", add={"name": "Region__c", "type": "string"})
    told = look(project)
    project.environment["CONVERSATION_CUSTOM_FIELDS"] = "MessagingChannel.Region__c"

    assert "Region__c" in str(told.description)
    assert "Region__c" not in str(look(project).description)


def test_lost_columns_changed_types_and_new_values_are_told(project: Project, control: Control) -> None:
    """Each by its name, never by a value of a record."""
    known(project)
    control.post(
        "schema",
        object="MessagingChannel",
        remove="LinkingPreference",
        change={"name": "Description", "type": "string"},
        picklist={"name": "MessageType", "values": ["Hologram"]},
    )

    told = str(look(project).description)

    assert "lost columns: LinkingPreference" in told
    assert "changed types: Description (textarea to string)" in told
    assert "new picklist values: MessageType = Hologram" in told


def test_a_hidden_column_of_a_snapshot_keeps_what_was_read(project: Project, control: Control) -> None:
    """As with days: what field-level security hides today does not empty what the lake holds."""
    project.materialize_asset("users")
    emails = {row["id"]: row["email"] for row in project.rows(USERS).to_pylist()}
    control.post("hide", object="User", fields=["Email"])

    project.materialize_asset("users")

    assert any(emails.values())
    assert {row["id"]: row["email"] for row in project.rows(USERS).to_pylist()} == emails


def test_records_that_are_not_shared_are_found_out(project: Project, control: Control) -> None:
    """Sharing hides records without an error: the check names the permission, at one call for the object more."""
    seen = look(project, SESSIONS, "all_records_visible")
    control.post("hide", object="MessagingSession", unshared=0.9)

    control.post("counters/reset")
    hidden = look(project, SESSIONS, "all_records_visible")
    routes = control.get("counters")["routes"]

    assert seen.passed
    assert not hidden.passed
    assert "grant the user View All on MessagingSession" in str(hidden.description)
    assert (routes["rest.record_count"]["served"], routes["rest.query"]["served"]) == (1, 1)


@pytest.mark.parametrize(
    ("route", "code", "severity", "told"),
    [
        ("rest.record_count", "INSUFFICIENT_ACCESS", "WARN", "the org does not tell how many records it has"),
        ("rest.query", "OPERATION_TOO_LARGE", "ERROR", "grant the user View All on MessagingSession"),
        ("rest.query", "QUERY_TIMEOUT", "WARN", "the org took too long to count"),
    ],
)
def test_an_org_that_can_not_count_fails_no_run(
    route: str, code: str, severity: str, told: str, project: Project, control: Control
) -> None:
    """What is not known is told as such; the dataset is landed all the same."""
    refused = {"status": 403 if "count" in route else 400, "body": [{"errorCode": code, "message": "no"}]}
    control.post("faults", route=route, effect=refused)

    found = look(project, SESSIONS, "all_records_visible")

    assert (found.passed, found.severity.value) == (False, severity)
    assert told in str(found.description)
