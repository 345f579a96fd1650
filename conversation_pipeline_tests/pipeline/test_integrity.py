"""Checks that follow from the declarations: evaluated with each run, of what it made; failing ones say what to do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conversation_pipeline.defs import integrity
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.catalogue import DATASETS
from conversation_pipeline.schemas.conversations import ENTRIES_ARCHIVE, ENTRIES_ARCHIVE_UNPLACED, MESSAGES
from conversation_pipeline.schemas.marts import SESSION_KPIS
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.schemas.people import USERS
from conversation_pipeline.storage import Lake
from conversation_pipeline_tests.conftest import FIRST_DAY, QUIET, SPINE, Project

DAY = "2026-11-18"
NOON = datetime.fromisoformat(f"{DAY}T12:00:00+00:00")
SESSION = "0Mw000000000001AAA"
WEEK = [f"2026-11-{day}" for day in range(11, 19)]
Row = dict[str, Any]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path))


def put(lake: Lake, dataset: Dataset, day: str, *rows: Row) -> None:
    table = pa.Table.from_pylist(list(rows), dataset.schema)
    lake.replace(dataset, day, table.to_batches(), run_id="here")


def message(**values: Any) -> Row:
    return {"conversation_identifier": "c", "entry_identifier": "e", "sent_at": NOON} | values


def results(lake: Lake, dataset: Dataset, days: Sequence[str] = (DAY,)) -> dict[str, dg.AssetCheckResult]:
    return {str(one.check_name): one for one in integrity.check_results(lake, dataset, days)}


def test_every_dataset_has_its_checks() -> None:
    """A key and what is required always, relationships where some are declared."""
    for dataset in DATASETS:
        names = {spec.name for spec in integrity.check_specs(dataset)}
        assert names == {"key", "not_null", *(["relationships"] if dataset.references else [])}


def test_a_run_evaluates_the_checks_of_what_it_makes(project: Project) -> None:
    """Each asset of the run, in that run; and an org that is in order passes."""
    run = project.materialize(FIRST_DAY.isoformat(), assets=[name for name in SPINE if name != "warehouse"])

    evaluated = {
        (one.asset_key.to_user_string(), one.check_name): one.passed for one in run.get_asset_check_evaluations()
    }
    generated = {
        (dataset.name, name): True for dataset in DATASETS if dataset.name in SPINE for name in integrity.names(dataset)
    }
    assert {key: passed for key, passed in evaluated.items() if key in generated} == generated


def test_a_key_that_repeats_fails_and_says_what_to_do(lake: Lake) -> None:
    """It names the day, counts the rows and asks to materialize them again."""
    put(lake, MESSAGES, DAY)
    twice = pa.Table.from_pylist([message(), message()], MESSAGES.schema)
    pq.write_table(twice, lake.uri(MESSAGES, DAY))

    result = results(lake, MESSAGES)["key"]

    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert str(result.description).startswith(f"{DAY}: 1 rows repeat a key")
    assert "materialize it again" in str(result.description)


def test_a_snapshot_is_looked_at_as_one(lake: Lake) -> None:
    """A dataset without partitions has one file."""
    twice = pa.Table.from_pylist([{"id": "005"}, {"id": "005"}], USERS.schema)
    lake.replace(USERS, None, twice.slice(0, 1).to_batches(), run_id="here")
    pq.write_table(twice, lake.uri(USERS, None))

    assert not results(lake, USERS, ())["key"].passed


def test_what_another_asset_lands_is_looked_at_by_days(tmp_path: Path) -> None:
    """Entries of archives come by the archive: a run of days checks those days of them."""
    project = project_for_archives(tmp_path)
    row = {"conversation_identifier": "c", "entry_identifier": "e", "transcripted_timestamp": NOON}
    put(project.lake, ENTRIES_ARCHIVE, DAY, row)
    checks = {*integrity.keys(ENTRIES_ARCHIVE), *integrity.keys(ENTRIES_ARCHIVE_UNPLACED)}
    job = project.definitions().resolve_job_def("conversations_daily")

    run = job.get_subset(asset_selection=set(), asset_check_selection=checks).execute_in_process(
        instance=project.instance,
        run_config=QUIET,
        tags={"dagster/asset_partition_range_start": WEEK[0], "dagster/asset_partition_range_end": DAY},
    )

    found = {one.asset_check_key: one for one in run.get_asset_check_evaluations()}
    assert found.keys() == checks
    assert all(one.passed for one in found.values())
    assert found[checks_key(ENTRIES_ARCHIVE)].metadata["rows"].value == 1


def checks_key(dataset: Dataset) -> dg.AssetCheckKey:
    return integrity.keys(dataset)[0]


def project_for_archives(folder: Path) -> Project:
    """No org is needed for that."""
    names = ("lake", "staging", "warehouse", "quotas", "archives")
    return Project(
        folder,
        {
            "SALESFORCE_INSTANCE_URL": "http://127.0.0.1:9",
            "CONVERSATION_ROADS": "archive",
            "CONVERSATION_START_DATE": "2026-11-01",
            **{f"CONVERSATION_{name.upper()}": str(folder / name) for name in names},
        },
    )


def test_a_missing_required_value_fails(lake: Lake) -> None:
    """The column is named."""
    put(lake, MESSAGES, DAY)
    loose = pa.schema([field.with_nullable(True) for field in MESSAGES.schema])
    pq.write_table(pa.Table.from_pylist([message(sent_at=None)], loose), lake.uri(MESSAGES, DAY))

    result = results(lake, MESSAGES)["not_null"]

    assert (result.passed, f"{DAY}: 1 rows without sent_at" in str(result.description)) == (False, True)


@pytest.mark.parametrize(("days", "passed"), [(WEEK, False), (WEEK[1:], True)], ids=["lost", "of before the lake"])
def test_a_message_of_no_session_fails_where_the_session_has_to_be_there(
    lake: Lake, days: list[str], passed: bool
) -> None:
    """A week of sessions is in the lake and this one is not; with a day less, it may have begun before."""
    for day in days:
        put(lake, MESSAGING_SESSIONS, day)
    put(lake, MESSAGES, DAY, message(messaging_session_id=SESSION))

    result = results(lake, MESSAGES)["relationships"]

    assert (result.passed, result.severity) == (passed, dg.AssetCheckSeverity.WARN)
    assert passed or f"1 of 1 messaging_session_id are in no messaging_sessions ({SESSION})" in str(result.description)


def test_only_the_days_of_the_run_are_looked_at(lake: Lake) -> None:
    """Another day's fault is not this run's."""
    put(lake, SESSION_KPIS, WEEK[0])
    Path(lake.uri(SESSION_KPIS, WEEK[0])).write_bytes(b"PAR1 and no more")
    put(lake, SESSION_KPIS, DAY, {"interaction_id": SESSION, "created_date": NOON})

    assert all(result.passed for result in results(lake, SESSION_KPIS).values())
