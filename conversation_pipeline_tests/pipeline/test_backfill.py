"""Several days at once: in one run, and in several runs that share lake, staging, quotas and Dagster's history."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from conversation_pipeline.schemas.conversations import CONVERSATION_ACTIVITY, ENTRIES_CONVERSATION_DATA
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.simulator import Simulator
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, Control, Project, failure, project_for
from conversation_pipeline_tests.pipeline.processes import ended, launch, started

DAYS = [(FIRST_DAY + timedelta(days=offset)).isoformat() for offset in range(4)]
WORK_LIST = [
    "messaging_sessions",
    "voice_calls",
    "conversations",
    "messaging_channels",
    "users",
    "conversation_activity",
]
SESSIONS = "messaging_sessions"
ENTRIES = "entries_conversation_data"


@pytest.fixture
def org_of_a_small_allowance() -> Iterator[Control]:
    """An org that lets each execution user ask ten times a second."""
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=12, now=NOW).serve() as running:
        control = Control(running.url)
        control.post("limits", entry_requests=10, entry_window_seconds=1.0, entry_window="sliding")
        yield control


@pytest.fixture
def backfill(org_of_a_small_allowance: Control, tmp_path: Path) -> Project:
    """A project of one execution user whose days were read by two runs at once, each with processes of its own."""
    project = project_for(org_of_a_small_allowance.url, tmp_path / "backfill")
    users = json.loads(project.environment["CONVERSATION_DATA_USERS"])
    project.environment["CONVERSATION_DATA_USERS"] = json.dumps(users[:1])
    project.environment["CONVERSATION_EXECUTOR"] = "multiprocess"
    (project.folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(project.folder)) as project.instance:  # else the runs would race to make it
        project.materialize(DAYS[0], DAYS[-1], assets=WORK_LIST)
    runs = [started(launch, project, [ENTRIES], day) for day in DAYS[2:]]
    assert [ended(run) for run in runs] == [0, 0]
    return project


def contents(project: Project) -> list[tuple[str | None, str]]:
    return [(receipt.partition, receipt.content_hash) for receipt in project.lake.receipts(ENTRIES_CONVERSATION_DATA)]


def recorded(instance: dg.DagsterInstance, asset: str) -> set[str]:
    return instance.get_materialized_partitions(dg.AssetKey(asset))


def test_runs_side_by_side(backfill: Project, org_of_a_small_allowance: Control, project: Project) -> None:
    """Runs at the same time by the multiprocess executor land all days as one run does, within one shared allowance."""
    project.materialize(DAYS[0], DAYS[-1], assets=WORK_LIST)
    project.materialize(DAYS[2], DAYS[-1], assets=[ENTRIES])

    assert contents(backfill) == contents(project)
    with dg.DagsterInstance.from_config(str(backfill.folder)) as instance:
        assert recorded(instance, ENTRIES) == set(DAYS[2:])
    [user] = org_of_a_small_allowance.get("counters")["execution_users"].values()
    assert user["refused"] == 0
    assert user["worst_sliding_window"] <= 10
    assert user["served"] > 10, "the allowance was never in the way, so nothing was shown"


def test_a_range_is_recorded_day_by_day(project: Project) -> None:
    """One run over a range of days records each day with rows of its own."""
    project.materialize(DAYS[0], DAYS[-1], assets=[SESSIONS])

    assert recorded(project.instance, SESSIONS) == set(DAYS)
    assert [project.metadata(SESSIONS, day)["dagster/partition_row_count"] for day in DAYS] == [
        project.rows(MESSAGING_SESSIONS, day).num_rows for day in DAYS
    ]


def test_finished_days_stay_finished(project: Project) -> None:
    """When a later day of a range fails, the days before it are recorded, and the failure names the day."""
    project.materialize(DAYS[0], DAYS[2], assets=[*WORK_LIST, ENTRIES])
    next((project.folder / "staging" / ENTRIES / f"day={DAYS[1]}").glob("*.json.zst")).write_bytes(b"torn")
    project.instance = dg.DagsterInstance.ephemeral()

    told = failure(project.materialize(DAYS[0], DAYS[2], assets=[ENTRIES], raise_on_error=False))

    assert told.startswith(f"{ENTRIES} of {DAYS[1]}: ")
    assert recorded(project.instance, ENTRIES) == {DAYS[0]}


def test_a_range_that_fails_as_a_whole_publishes_nothing(project: Project, control: Control) -> None:
    """Days that are queried together are published together: a query that is refused leaves the lake without them."""
    refusal = {"status": 400, "body": [{"errorCode": "MALFORMED_QUERY", "message": "no"}]}
    control.post("faults", route="rest.query*", effect=refusal)

    result = project.materialize(DAYS[0], DAYS[-1], assets=[SESSIONS], raise_on_error=False)

    assert not result.success
    assert recorded(project.instance, SESSIONS) == set()
    assert project.lake.partitions(MESSAGING_SESSIONS) == []


def test_a_failed_range_goes_on_where_it_was(project: Project, control: Control) -> None:
    """After a range of entries failed at one conversation, the next run asks for those only that were not staged."""
    project.materialize(DAYS[0], DAYS[-1], assets=WORK_LIST)
    needed = {row for day in DAYS for row in readable(project, day)}
    refused = readable(project, DAYS[-1])[-1]
    refusal = {"status": 500, "body": {"code": 500}}
    control.post("faults", route="conversation_data.entries", conversation_identifier=refused, effect=refusal)
    assert not project.materialize(DAYS[0], DAYS[-1], assets=[ENTRIES], raise_on_error=False).success
    before = set(control.entry_requests())
    control.delete("faults")
    control.post("counters/reset")

    project.materialize(DAYS[0], DAYS[-1], assets=[ENTRIES])

    assert set(control.entry_requests()) == needed - (before - {refused})


def readable(project: Project, day: str) -> list[str]:
    """Conversations of a day's work list that can be read now."""
    return [
        row["conversation_identifier"]
        for row in project.rows(CONVERSATION_ACTIVITY, day).to_pylist()
        if "Messaging" in row["modality"] or row["settled_at"] <= NOW
    ]
