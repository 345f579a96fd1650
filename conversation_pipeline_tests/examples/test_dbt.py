"""``examples/dbt``: its models and tests, run by dbt itself on the lake and on the warehouse."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.schemas.voice import VOICE_CALLS
from conversation_pipeline_tests.conftest import Project
from conversation_pipeline_tests.examples.conftest import EXAMPLES

pytestmark = pytest.mark.examples

DBT = Path(sys.executable).with_name("dbt")
ORPHANS = "relationships_stg_messages_interaction_id__interaction_id__ref_interactions_"
"""The one test that only warns: of a session from before the lake's first day there are messages, but no record."""

DEPRECATIONS_FAIL = '--warn-error-options={"error": ["Deprecations"]}'
MARTS = ("interactions", "channel_days", "repeat_contacts")


@dataclass(frozen=True)
class Build:
    """What one ``dbt build`` left: its log, its results and the database that it wrote."""

    log: str = field(repr=False)
    exit_code: int
    results: list[dict[str, Any]] = field(repr=False)
    database: Path

    def unfinished(self) -> list[str]:
        """Models and tests that did not end well."""
        named = {result["unique_id"].split(".")[2]: result["status"] for result in self.results}
        return [
            f"{name}: {status}"
            for name, status in named.items()
            if status not in ("success", "pass") and (name, status) != (ORPHANS, "warn")
        ]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute(query).fetchall()


def build(project: Project, folder: Path, *arguments: str, lake: Path | None = None) -> Build:
    """Runs ``dbt build`` in a process of its own, the way a reader of the README does."""
    database = folder / "dbt.duckdb"
    environment = os.environ | {
        "CONVERSATION_LAKE": str(lake or project.environment["CONVERSATION_LAKE"]),
        "CONVERSATION_WAREHOUSE": project.environment["CONVERSATION_WAREHOUSE"],
        "DBT_DATABASE": str(database),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    command = [str(DBT), "--no-use-colors", "--no-version-check", DEPRECATIONS_FAIL, "build", *arguments]
    ended = subprocess.run(
        command, cwd=EXAMPLES / "dbt", env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    report = folder / "target" / "run_results.json"
    assert report.is_file(), ended.stdout + ended.stderr
    return Build(ended.stdout, ended.returncode, json.loads(report.read_text())["results"], database)


@pytest.fixture(scope="module")
def on_lake(read: Project, tmp_path_factory: pytest.TempPathFactory) -> Build:
    return build(read, tmp_path_factory.mktemp("on_lake"))


@pytest.fixture(scope="module")
def on_warehouse(read: Project, tmp_path_factory: pytest.TempPathFactory) -> Build:
    return build(read, tmp_path_factory.mktemp("on_warehouse"), "--target", "warehouse")


def test_models_and_tests_pass_on_the_lake(on_lake: Build) -> None:
    """``dbt build`` on the lake ends well, with nothing that dbt means to drop."""
    assert (on_lake.exit_code, on_lake.unfinished()) == (0, [])


def test_models_and_tests_pass_on_the_warehouse(on_warehouse: Build) -> None:
    """``dbt build --target warehouse`` ends well, with nothing that dbt means to drop."""
    assert (on_warehouse.exit_code, on_warehouse.unfinished()) == (0, [])


@pytest.mark.parametrize("mart", MARTS)
def test_lake_and_warehouse_tell_the_same(on_lake: Build, on_warehouse: Build, mart: str) -> None:
    """A mart has the same rows, and some, whichever of the two it is made from."""
    query = f"SELECT {mart}::VARCHAR FROM {mart} ORDER BY 1"

    assert on_lake.rows(query) == on_warehouse.rows(query) != []


def test_interactions_are_all_sessions_and_calls(read: Project, on_lake: Build) -> None:
    """The mart has every messaging session and voice call of the lake, and which needed no agent, as the org says."""
    sessions = read.lake.dataset(MESSAGING_SESSIONS).to_table().to_pandas()
    calls = read.lake.dataset(VOICE_CALLS).to_table().to_pandas()
    bot_alone = sessions[(sessions["agent_type"] == "Bot") & sessions["end_time"].notna()]

    interactions = {name for (name,) in on_lake.rows("SELECT interaction_id FROM interactions")}
    needed_no_agent = on_lake.rows(
        "SELECT interaction_id, outcome FROM interactions WHERE outcome IN ('contained', 'deflected')"
    )

    ended_by_bot = dict(zip(bot_alone["id"], bot_alone["ended_by_type"] == "Bot", strict=True))
    assert interactions == {*sessions["id"], *calls["id"]}
    assert {name: outcome == "contained" for name, outcome in needed_no_agent} == ended_by_bot != {}


def test_a_broken_lake_is_found(read: Project, tmp_path: Path) -> None:
    """A partition that is there twice fails the project's own tests: they do look."""
    lake = tmp_path / "lake"
    shutil.copytree(read.environment["CONVERSATION_LAKE"], lake)
    [day, *_] = sorted((lake / "messaging_sessions").glob("day=*/data.parquet"))
    shutil.copy(day, day.with_name("again.parquet"))

    broken = build(read, tmp_path, lake=lake)

    assert broken.exit_code != 0
    assert any("unique_stg_messaging_sessions" in failure for failure in broken.unfinished())
