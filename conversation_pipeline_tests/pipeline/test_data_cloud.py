"""The Data Cloud road from its tenant to the union: one query for a run of days, each entry on its own day."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conversation_pipeline.schemas.conversations import CONVERSATION_ENTRIES, ENTRIES_DATA_CLOUD
from conversation_pipeline_tests.conftest import Control, Project, failure, project_for

DAY = "2026-11-11"
ROAD = "entries_data_cloud"


@pytest.fixture
def project(simulator: str, tmp_path: Path) -> Iterator[Project]:
    project = project_for(simulator, tmp_path / "project", roads=("conversation_data", "data_cloud"))
    yield project
    project.instance.dispose()


@pytest.mark.parametrize("mode", ["v3", "query_sql", "v2"])
def test_a_day_is_told_whole_by_every_api(project: Project, control: Control, mode: str) -> None:
    """Whichever API is asked, the partition has the entries that the org has of the day."""
    project.environment["CONVERSATION_DATA_CLOUD_MODE"] = mode

    project.materialize_asset(ROAD, DAY)

    assert _keys(project, DAY) == set(control.true_entries(DAY))


def _keys(project: Project, day: str) -> set[tuple[str, str]]:
    rows = project.rows(ENTRIES_DATA_CLOUD, day).to_pylist()
    return {(row["conversation_identifier"], row["entry_identifier"]) for row in rows}
