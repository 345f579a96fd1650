"""The Data Cloud road from its tenant to the union: one query for a run of days, each entry on its own day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from conversation_pipeline.schemas.conversations import (
    CONVERSATION_ENTRIES,
    ENTRIES_CONVERSATION_DATA,
    ENTRIES_DATA_CLOUD,
)
from conversation_pipeline.schemas.erasures import ERASURES
from conversation_pipeline_tests.conftest import NOW, QUIET, Control, Project, failure, project_for

DAYS = ("2026-11-10", "2026-11-11", "2026-11-12")
DAY = DAYS[1]
TODAY = "2026-11-13"
ROAD = "entries_data_cloud"


@pytest.fixture
def project(simulator: str, tmp_path: Path) -> Iterator[Project]:
    project = project_for(simulator, tmp_path / "project", roads=("conversation_data", "data_cloud"))
    yield project
    project.instance.dispose()


@pytest.fixture
def cloud(simulator: str) -> Control:
    """The control plane; switches of Data Cloud are named without their prefix."""
    return _Cloud(simulator)


class _Cloud(Control):
    told = 0

    def switch(self, **values: object) -> None:
        self.post("switches", **{f"data_cloud_{name}": value for name, value in values.items()})

    def stand_at(self, now: datetime) -> None:
        self.post("clock", now=now.isoformat())

    def routes(self) -> Counter[str]:
        """Requests of Data Cloud since the last call, by their route's name."""
        routes = [request["route"] for request in self.get("requests")["requests"]]
        told, self.told = self.told, len(routes)
        return Counter(route.removeprefix("data_cloud.") for route in routes[told:] if route.startswith("data_cloud."))


def run(project: Project, first: str = DAY, last: str | None = None, **config: Any) -> dg.ExecuteInProcessResult:
    """The road's asset alone, for a run of days."""
    job = project.definitions().resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=project.instance,
        asset_selection=[dg.AssetKey(ROAD)],
        tags={"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last or first},
        run_config=QUIET | ({"ops": {ROAD: {"config": config}}} if config else {}),
        raise_on_error=False,
    )


def keys(project: Project, day: str = DAY) -> set[tuple[str, str]]:
    rows = project.rows(ENTRIES_DATA_CLOUD, day).to_pylist()
    return {(row["conversation_identifier"], row["entry_identifier"]) for row in rows}


def by_key(rows: list[dict[str, Any]], *columns: str) -> dict[tuple[str, str], tuple[Any, ...]]:
    return {
        (row["conversation_identifier"], row["entry_identifier"]): tuple(row[column] for column in columns)
        for row in rows
    }


# What is told


@pytest.mark.parametrize("mode", ["v3", "query_sql", "v2"])
def test_a_day_is_told_whole_by_every_api(project: Project, cloud: _Cloud, mode: str) -> None:
    """Whichever API is asked, the partition has the entries that the org has of the day."""
    project.environment["CONVERSATION_DATA_CLOUD_MODE"] = mode
    cloud.switch(chunk_rows=40, connect_page_bytes=20_000, v2_page_bytes=20_000)

    assert run(project).success

    assert keys(project) == set(cloud.true_entries(DAY))


def test_days_come_by_one_query_each_entry_on_its_own(project: Project, cloud: _Cloud) -> None:
    """Three days cost one look and one query of entries."""
    assert run(project, DAYS[0], DAYS[-1]).success

    assert all(keys(project, day) == set(cloud.true_entries(day)) for day in DAYS)
    assert cloud.routes()["v3_submit"] == 2


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"entry_types": "documented"},
        {"conversation_id": "session"},
        {"names": "std"},
        {"instants": "sql"},
    ],
    ids=["today", "types", "session", "std", "instants"],
)
def test_both_roads_say_the_same(project: Project, cloud: _Cloud, switches: dict[str, str]) -> None:
    """Types, messages, texts, choices and times are those of the Conversation Data API, however they are spelled."""
    cloud.switch(**switches)
    columns = (
        "entry_type", "message_type", "format_type", "text", "visibility", "modality", "client_timestamp",
        "transcripted_timestamp", "client_duration_ms", "in_reply_to_entry_identifier", "options", "selected_options",
        "attachments", "links", "payload",
    )  # fmt: skip

    project.materialize(*DAYS[:2])

    told = by_key(project.rows(ENTRIES_DATA_CLOUD, DAY).to_pylist(), *columns)
    assert told == by_key(project.rows(ENTRIES_CONVERSATION_DATA, DAY).to_pylist(), *columns)


def test_plain_text_in_place_of_payloads_is_the_message(project: Project, cloud: _Cloud) -> None:
    """Orgs whose PayloadText is text still get their messages' words."""
    cloud.switch(payload="text")

    run(project)

    truth = {key: entry["text"] for key, entry in cloud.true_entries(DAY).items() if entry["format_type"] == "Text"}
    told = by_key(project.rows(ENTRIES_DATA_CLOUD, DAY).to_pylist(), "text", "message_type")
    assert {key: told[key] for key in truth} == {key: (text, "StaticContentMessage") for key, text in truth.items()}


def test_participants_are_told_where_they_are_linked(project: Project, cloud: _Cloud) -> None:
    """Roles and names come by join; `End User` is `EndUser`."""
    cloud.switch(participant_links=True)

    run(project)

    rows = project.rows(ENTRIES_DATA_CLOUD, DAY).to_pylist()
    assert {"EndUser", "Agent", "Chatbot"} <= {row["sender_role"] for row in rows}


def test_names_can_be_given(project: Project, cloud: _Cloud) -> None:
    """An object that is named wrongly is not found, so the setting is what counts."""
    project.environment["CONVERSATION_DATA_CLOUD_NAMES"] = '{"ConversationEntry": "Other__dlm"}'

    assert "CONVERSATION_DATA_CLOUD_NAMES" in failure(run(project))


def test_the_union_takes_the_fuller_road(project: Project) -> None:
    """Entries of both roads are there once, as the Conversation Data API told them."""
    project.materialize(*DAYS[:2])

    rows = project.rows(CONVERSATION_ENTRIES, DAY).to_pylist()
    assert {(row["road"], *row["roads_seen"]) for row in rows} == {
        ("conversation_data", "conversation_data", "data_cloud")
    }


def test_the_union_has_what_one_road_alone_tells(simulator: str, tmp_path: Path) -> None:
    """A project with Data Cloud alone has its entries, messages and transcripts."""
    project = project_for(simulator, tmp_path / "alone", roads=("data_cloud",))

    project.materialize(*DAYS[:2])

    assert len(project.rows(CONVERSATION_ENTRIES, DAY)) == len(keys(project))
    project.instance.dispose()


def test_who_was_erased_does_not_come_back(project: Project, cloud: _Cloud) -> None:
    """Data Cloud may still tell of conversations that the org has deleted."""
    gone = next(iter(cloud.true_entries(DAY)))[0]
    erasure = {"id": "1", "requested_entity_id": gone, "conversation_identifiers": [gone], "record_ids": []}
    nothing: dict[str, Any] = {"rows_removed": [], "answers_removed": [], "replayed_at": NOW}
    row = {field.name: None for field in ERASURES.fields} | erasure | nothing
    rows = pa.RecordBatch.from_pylist([row], ERASURES.schema)
    project.lake.replace(ERASURES, None, [rows], run_id="test")

    run(project)

    assert keys(project) == {key for key in cloud.true_entries(DAY) if key[0] != gone}


# When it is told


def test_a_day_is_asked_for_an_hour_after_its_end(project: Project, cloud: _Cloud) -> None:
    """Before that nothing of Data Cloud is asked, and the run succeeds."""
    assert run(project, TODAY).success

    assert not cloud.routes()
    assert project.lake.partitions(ENTRIES_DATA_CLOUD) == []


def test_a_day_that_stands_still_costs_its_count(project: Project, cloud: _Cloud) -> None:
    """A second run asks for counts alone, leaves the file as it is, and after another hour calls the day closed."""
    run(project)
    cloud.routes()
    cloud.stand_at(NOW + timedelta(hours=1))

    run(project)

    assert cloud.routes()["v3_submit"] == 1
    metadata = project.metadata(ROAD, DAY)
    assert (metadata["changed"], metadata["closed"]) == (False, True)


def test_a_day_is_read_again_when_its_count_moves(project: Project, cloud: _Cloud) -> None:
    """Entries that reach Data Cloud late are there after the next run."""
    cloud.switch(lag_minutes=180)
    cloud.stand_at(datetime(2026, 11, 12, 1, 0, tzinfo=UTC))
    run(project)
    early = len(keys(project))
    cloud.stand_at(NOW)

    run(project)

    assert early < len(keys(project)) == len(cloud.true_entries(DAY))


def test_rows_processed_are_told(project: Project) -> None:
    """What credits are counted by stands in the metadata of the run's first day."""
    run(project)

    assert project.metadata(ROAD, DAY)["rows_processed"] > len(keys(project))


def test_freshness_is_checked(project: Project, cloud: _Cloud) -> None:
    """Where no entry of the last days is visible, it is told where to look."""
    cloud.switch(empty_objects="ConversationEntry")

    result = run(project)

    [evaluation] = result.get_asset_check_evaluations()
    assert not evaluation.passed
    assert "data streams" in str(evaluation.description)


def test_fresh_entries_pass_the_check(project: Project) -> None:
    """The newest entry is of today."""
    [evaluation] = run(project).get_asset_check_evaluations()

    assert evaluation.passed, evaluation.description


# What goes wrong


def test_a_stream_that_is_not_deployed_is_no_empty_day(project: Project, cloud: _Cloud) -> None:
    """No object is a failure that says what to deploy."""
    cloud.switch(absent_objects="ConversationEntry")

    assert "Digital Engagement bundle" in failure(run(project))


def test_a_policy_that_hides_rows_empties_nothing(project: Project, cloud: _Cloud) -> None:
    """A day that was full and is told as empty stays as it is."""
    run(project)
    before = keys(project)
    cloud.switch(empty_objects="ConversationEntry")

    assert "look for a policy" in failure(run(project))

    assert keys(project) == before


def test_a_hidden_column_stays_null_and_is_named(project: Project, cloud: _Cloud) -> None:
    """The rest of the day is there."""
    cloud.switch(hidden_columns="ssot__Modality__c")

    run(project)

    assert set(project.rows(ENTRIES_DATA_CLOUD, DAY)["modality"].to_pylist()) == {None}
    assert "ConversationEntry.Modality" in project.metadata(ROAD, DAY)["columns_not_there"]


def test_withheld_rows_leave_the_old_partition(project: Project, cloud: _Cloud) -> None:
    """What does not add up is not published."""
    run(project)
    before = keys(project)
    cloud.switch(withheld_rows=3)

    assert "nothing of it is used" in failure(run(project, full=True))

    assert keys(project) == before


def test_a_run_that_failed_goes_on_where_it_stopped(project: Project, cloud: _Cloud) -> None:
    """Chunks that are staged are not asked for again, nor is the query sent again."""
    cloud.switch(chunk_rows=40)
    cloud.post("faults", route="data_cloud.v3_chunk", nth=7, effect={"status": 400})
    assert not run(project).success
    cloud.delete("faults")
    chunks = -(-len(cloud.true_entries(DAY)) // 40)
    cloud.routes()

    assert run(project).success

    routes = cloud.routes()
    metadata = project.metadata(ROAD, DAY)
    assert metadata["pages_from_staging"] > 0
    assert metadata["pages_read"] == chunks - metadata["pages_from_staging"]
    assert routes["v3_submit"] == 1
    assert keys(project) == set(cloud.true_entries(DAY))


def test_nothing_of_a_published_query_stays_staged(project: Project) -> None:
    """Pages hold customers' words; once they have served they go."""
    run(project)

    staging = Path(project.environment["CONVERSATION_STAGING"])
    assert [path for path in staging.rglob("*") if path.is_file()] == []


def test_a_result_that_is_lost_is_asked_for_anew(project: Project, cloud: _Cloud) -> None:
    """A query that expires while it is read is sent again, once."""
    cloud.post("faults", route="data_cloud.v3_chunk", nth=2, effect={"status": 404})

    result = run(project)

    assert result.success
    assert "the query is sent again" in project.warnings(result.run_id)
    assert keys(project) == set(cloud.true_entries(DAY))
