"""A simulated org over real HTTP on loopback, and a project of its own that reads it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import hypothesis
import pyarrow as pa
import pytest

from conversation_pipeline.definitions import build_defs
from conversation_pipeline.salesforce.connection import Retry
from conversation_pipeline.salesforce.limits import CONVERSATION_DATA, Limit
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.settings import Settings, load_settings
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.storage import Lake
from conversation_pipeline_tests.traps import traps_of

# A property is no stopwatch: on a busy machine any example may take long. Seeds are fixed: a red run stays red.
hypothesis.settings.register_profile("here", deadline=None, derandomize=True)
hypothesis.settings.load_profile("here")

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that stand in the register of traps carry its mark."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            file, name = item.path.relative_to(_HERE).as_posix(), item.name.partition("[")[0]
            for trap in traps_of(file, name):
                item.add_marker(pytest.mark.trap(trap))


FIRST_DAY = date(2026, 11, 10)
NOW = datetime(2026, 11, 13, 15, 0, tzinfo=UTC)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
SPINE = (
    "messaging_sessions",
    "voice_calls",
    "conversations",
    "messaging_channels",
    "users",
    "conversation_activity",
    "entries_conversation_data",
    "conversation_entries",
    "messages",
    "transcripts",
    "warehouse",
)
"""From an org to a transcript: what most tests need; the other on-platform datasets are made the same way."""

IMPATIENT = Retry(attempts=3, timeout=5.0, wait_initial=0.01, wait_max=0.05)

_CLIENT = httpx.Client(verify=False, timeout=30.0)  # loopback only: reading certificates for each call would take long


@dataclass
class Control:
    """The simulator's control plane: what the org really holds, what it was asked, and what it should do next."""

    url: str

    def get(self, path: str, **params: Any) -> Any:
        return self._checked(_CLIENT.get(f"{self.url}/simulator/{path}", params=params))

    def post(self, path: str, **body: Any) -> Any:
        return self._checked(_CLIENT.post(f"{self.url}/simulator/{path}", json=body))

    def delete(self, path: str) -> Any:
        return self._checked(_CLIENT.delete(f"{self.url}/simulator/{path}"))

    def true_entries(self, day: str) -> dict[tuple[str, str], dict[str, Any]]:
        """Every entry of a day that is visible now, by conversation and entry identifier."""
        entries = self.get("truth/entries", day=day)["entries"]
        return {(entry["conversation_identifier"], entry["entry_identifier"]): entry for entry in entries}

    def entry_requests(self) -> list[str]:
        """Conversations asked for, in order."""
        requests = self.get("requests")["requests"]
        return [request["conversation_identifier"] for request in requests if request.get("conversation_identifier")]

    @staticmethod
    def _checked(response: httpx.Response) -> Any:
        response.raise_for_status()
        return response.json() if response.content else None


@dataclass
class Project:
    """A project that reads a simulated org: its settings, its lake, and Dagster in this process."""

    folder: Path
    environment: dict[str, str]
    retry: Retry = IMPATIENT
    rate: Limit = CONVERSATION_DATA
    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)
    _built: dict[tuple[object, ...], dg.Definitions] = field(default_factory=dict, init=False, repr=False)

    def settings(self) -> Settings:
        return load_settings(_env_file=None, **{name.lower(): value for name, value in self.environment.items()})

    @property
    def lake(self) -> Lake:
        return Lake(self.environment["CONVERSATION_LAKE"])

    def definitions(self) -> dg.Definitions:
        """Built once for the same settings: that, and resolving jobs, takes as long as some runs."""
        given = (self.retry, self.rate, *sorted(self.environment.items()))
        if given not in self._built:
            self._built[given] = build_defs(self.settings, retry=self.retry, rate=self.rate)
        return self._built[given]

    def materialize(
        self,
        first: str,
        last: str | None = None,
        *,
        assets: Sequence[str] = (),
        job: str = "conversations_daily",
        raise_on_error: bool = True,
    ) -> dg.ExecuteInProcessResult:
        """Runs every dataset, or the assets named, for a range of days in one run, as the schedule does."""
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last or first}
        return (
            self.definitions()
            .resolve_job_def(job)
            .execute_in_process(
                instance=self.instance,
                tags=tags,
                run_config=QUIET,
                asset_selection=[dg.AssetKey(name) for name in assets] or None,
                raise_on_error=raise_on_error,
            )
        )

    def materialize_asset(self, name: str, day: str | None = None, *, raise_on_error: bool = True) -> Any:
        """Runs one asset alone."""
        job = self.definitions().get_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(name)],
            partition_key=day,
            run_config=QUIET,
            raise_on_error=raise_on_error,
        )

    def warnings(self, run_id: str) -> str:
        """What a run warned of."""
        entries = self.instance.all_logs(run_id)
        return "\n".join(entry.user_message for entry in entries if entry.level == logging.WARNING)

    def rows(self, dataset: Dataset, day: str | None = None) -> pa.Table:
        return self.lake.read(dataset, day)

    def metadata(self, asset: str, day: str | None = None) -> dict[str, Any]:
        """The values of the newest materialization's metadata."""
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[day] if day else None), limit=1
        ).records
        materialization = records[0].asset_materialization
        assert materialization is not None
        return {name: value.value for name, value in materialization.metadata.items()}


def failure(result: dg.ExecuteInProcessResult) -> str:
    """The description of a run's only failure: what its reader is told to do."""
    [event] = [event for event in result.all_events if event.is_step_failure]
    told = event.step_failure_data.user_failure_data
    assert told is not None, event.step_failure_data.error
    return str(told.description)


def project_for(url: str, folder: Path, roads: Sequence[str] = ("conversation_data",)) -> Project:
    given = _CLIENT.get(f"{url}/simulator/credentials").json()
    integration, *users = given["clients"]
    folder.mkdir(parents=True, exist_ok=True)
    return Project(
        folder,
        {
            "SALESFORCE_INSTANCE_URL": given["instance_url"],
            "SALESFORCE_CLIENT_ID": integration["client_id"],
            "SALESFORCE_CLIENT_SECRET": integration["client_secret"],
            "CONVERSATION_DATA_URL": given["conversation_data_url"],
            "CONVERSATION_DATA_USERS": json.dumps(
                [{"client_id": user["client_id"], "client_secret": user["client_secret"]} for user in users]
            ),
            "CONVERSATION_ROADS": ",".join(roads),
            "CONVERSATION_START_DATE": FIRST_DAY.isoformat(),
            "CONVERSATION_LAKE": str(folder / "lake"),
            "CONVERSATION_STAGING": str(folder / "staging"),
            "CONVERSATION_WAREHOUSE": str(folder / "warehouse.duckdb"),
            "CONVERSATION_QUOTAS": str(folder / "quotas.sqlite"),
        },
    )


@pytest.fixture
def simulator() -> Iterator[str]:
    """A small org whose clock stands at 15:00 UTC of its fourth day; yields its URL."""
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=12, now=NOW).serve() as running:
        yield running.url


@pytest.fixture
def control(simulator: str) -> Control:
    return Control(simulator)


@pytest.fixture
def project(simulator: str, tmp_path: Path) -> Iterator[Project]:
    project = project_for(simulator, tmp_path / "project")
    yield project
    project.instance.dispose()
