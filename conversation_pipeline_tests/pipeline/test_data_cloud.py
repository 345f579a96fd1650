"""The Data Cloud road from its tenant to the union: one query for a run of days, each entry on its own day."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from click.testing import CliRunner

from conversation_pipeline.cli import main
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract.windows import from_milliseconds
from conversation_pipeline.kill_points import KillPoint
from conversation_pipeline.schemas.conversations import (
    CONVERSATION_ENTRIES,
    CONVERSATIONS,
    ENTRIES_CONVERSATION_DATA,
    ENTRIES_DATA_CLOUD,
)
from conversation_pipeline.schemas.erasures import ERASURES
from conversation_pipeline.storage import Staging
from conversation_pipeline_tests.conftest import IMPATIENT, NOW, QUIET, Control, Project, failure, project_for
from conversation_pipeline_tests.pipeline.looks import Looks
from conversation_pipeline_tests.pipeline.processes import killed

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


def resolved(project: Project) -> set[tuple[str, str]]:
    """Keys of entries that do not go by a record id."""
    return {key for key in keys(project) if not key[0].startswith("0dw")}


def of_known(project: Project, entries: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Keys of those entries whose conversation was created on the day, and so is in the lake."""
    known = {row["conversation_identifier"] for row in project.rows(CONVERSATIONS, DAY).to_pylist()}
    return {key for key in entries if key[0] in known}


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


def test_entries_are_of_their_own_day_however_late_their_rows_were_made(project: Project, cloud: _Cloud) -> None:
    """Those of a call are created when it has ended and settled: of an evening's calls the day after."""
    cloud.post("switches", voice_settle_minutes=480)

    run(project)

    assert keys(project) == set(cloud.true_entries(DAY))


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


def test_entries_of_unsynced_conversations_go_by_what_the_lake_knows(project: Project, cloud: _Cloud) -> None:
    """Where the Conversation rows are not in Data Cloud, those of the platform name the conversations."""
    project.materialize(DAY, assets=["conversations"])
    cloud.switch(absent_objects="Conversation")

    run(project)

    assert resolved(project) == of_known(project, cloud.true_entries(DAY)) != set()
    metadata = project.metadata(ROAD, DAY)
    assert metadata["entries_resolved_by_the_lake"] + metadata["entries_unresolved"] == len(keys(project))


def test_conversations_that_become_known_get_their_identifiers(project: Project, cloud: _Cloud) -> None:
    """A day whose counts stand still is read again once the lake knows conversations that nobody knew."""
    cloud.switch(absent_objects="Conversation")
    run(project)
    assert not resolved(project)
    project.materialize(DAY, assets=["conversations"])

    run(project)

    assert resolved(project) == of_known(project, cloud.true_entries(DAY)) != set()


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


def test_a_redaction_is_found_by_the_change_it_leaves(project: Project, cloud: _Cloud) -> None:
    """The count stands still, the latest change does not."""
    run(project)
    key = next(key for key, entry in cloud.true_entries(DAY).items() if entry["text"])
    cloud.post("redactions", conversationIdentifier=key[0], identifiers=[key[1]])
    cloud.stand_at(NOW + timedelta(hours=2))

    run(project)

    texts = by_key(project.rows(ENTRIES_DATA_CLOUD, DAY).to_pylist(), "text")
    assert texts[key] == (cloud.true_entries(DAY)[key]["text"],)


def test_rows_processed_are_told(project: Project) -> None:
    """What credits are counted by stands in the metadata of the run's first day."""
    run(project)

    assert project.metadata(ROAD, DAY)["rows_processed"] > len(keys(project))


def freshness(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    [evaluation] = [one for one in result.get_asset_check_evaluations() if one.check_name == "freshness"]
    return evaluation


def test_freshness_is_checked(project: Project, cloud: _Cloud) -> None:
    """Where no entry of the last days is visible, it is told where to look."""
    cloud.switch(empty_objects="ConversationEntry")

    evaluation = freshness(run(project))

    assert not evaluation.passed
    assert "data streams" in str(evaluation.description)


def test_fresh_entries_pass_the_check(project: Project) -> None:
    """The newest entry is of today."""
    evaluation = freshness(run(project))

    assert evaluation.passed, evaluation.description


# Who asks for it


@dataclass
class Daemon:
    """The sensor, tick by tick, as the daemon evaluates it."""

    project: Project
    cursor: str | None = None

    def tick(self) -> list[tuple[str, str]]:
        """The ranges of days that are requested."""
        return [
            (it.tags["dagster/asset_partition_range_start"], it.tags["dagster/asset_partition_range_end"])
            for it in self.requests()
        ]

    def requests(self) -> list[dg.RunRequest]:
        definitions, settings = self.project.definitions(), self.project.settings()
        staging = Staging(settings.conversation_staging)
        with (
            closing(Org(settings, IMPATIENT)) as org,
            dg.build_sensor_context(
                instance=self.project.instance,
                cursor=self.cursor,
                resources={"salesforce": org, "lake": self.project.lake, "staging": staging},
                definitions=definitions,
            ) as context,
        ):
            told = definitions.get_sensor_def("data_cloud_days").evaluate_tick(context)
        self.cursor = told.cursor or self.cursor
        self.told = str(told.skip_message)
        return list(told.run_requests or ())


@pytest.fixture
def daemon(project: Project) -> Daemon:
    return Daemon(project)


def test_days_are_requested_once_they_have_ended_and_synced(daemon: Daemon, cloud: _Cloud) -> None:
    """The days of the last month, but not the one whose last entries may still be on their way."""
    cloud.stand_at(datetime(2026, 11, 13, 0, 30, tzinfo=UTC))

    assert daemon.tick() == [(DAYS[0], DAYS[1])]


def test_what_is_requested_can_be_run(daemon: Daemon, cloud: _Cloud) -> None:
    """As the daemon launches it: the sensor's own job, for the assets and checks that the request names."""
    [request] = daemon.requests()
    definitions = daemon.project.definitions()
    job = definitions.resolve_job_def(definitions.get_sensor_def("data_cloud_days").job_name)

    chosen = job.get_subset(
        asset_selection=set(request.asset_selection or ()),
        asset_check_selection=None if request.asset_check_keys is None else set(request.asset_check_keys),
    )
    result = chosen.execute_in_process(instance=daemon.project.instance, tags=request.tags, run_config=QUIET)

    assert "freshness" in {told.check_name for told in result.get_asset_check_evaluations()}
    assert keys(daemon.project) == set(cloud.true_entries(DAY))


def test_a_day_is_looked_at_again_until_it_stands_still(daemon: Daemon, cloud: _Cloud) -> None:
    """Entries later than the lag are requested by the next look, and found by the run."""
    cloud.switch(lag_minutes=180)
    cloud.stand_at(datetime(2026, 11, 12, 1, 0, tzinfo=UTC))
    [(first, last)] = daemon.tick()
    run(daemon.project, first, last)
    early = len(keys(daemon.project))
    cloud.stand_at(datetime(2026, 11, 12, 3, 30, tzinfo=UTC))

    assert daemon.tick() == [(DAY, DAY)]
    run(daemon.project)

    assert early < len(keys(daemon.project)) == len(cloud.true_entries(DAY))


def test_days_that_stand_still_are_looked_at_once_a_day(daemon: Daemon, cloud: _Cloud) -> None:
    """An hour after its reading a look finds nothing new; after that nothing is asked until the day after."""
    [(first, last)] = daemon.tick()
    run(daemon.project, first, last)
    cloud.stand_at(NOW + timedelta(hours=1))
    assert daemon.tick() == []
    cloud.routes()

    cloud.stand_at(NOW + timedelta(hours=3))
    assert daemon.tick() == []
    assert cloud.routes()["v3_submit"] == 0

    cloud.stand_at(NOW + timedelta(hours=9))  # 13 November has not ended and synced yet
    assert daemon.tick() == []
    assert cloud.routes()["v3_submit"] == 0


def test_a_request_that_was_not_served_is_made_again_after_an_hour(daemon: Daemon, cloud: _Cloud) -> None:
    """A run that failed, or was never started, leaves the day without a reading."""
    requested = daemon.tick()
    assert daemon.tick() == []
    cloud.stand_at(NOW + timedelta(hours=1))

    assert daemon.tick() == requested


def test_a_road_that_is_not_there_is_told_by_the_tick(daemon: Daemon, cloud: _Cloud) -> None:
    """No run is requested for what can not be read, and the tick says what to do."""
    cloud.switch(absent_objects="ConversationEntry")

    assert daemon.tick() == []

    assert "Digital Engagement bundle" in daemon.told


def test_what_is_made_of_entries_is_requested_for_days_that_changed(project: Project) -> None:
    """The sensor on models unites what came, once; a day that was not asked for yet asks for nothing."""
    looks = Looks(project.instance, project.definitions())
    looks.requested()
    run(project, DAYS[0], TODAY)

    requested = looks.requested()

    assert set(DAYS) <= requested["conversation_entries"]
    assert requested["entry_conflicts"] == set(DAYS)
    assert not looks.requested()


# Whether it is there


def doctor(project: Project, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the doctor says of the road."""
    monkeypatch.chdir(project.folder)
    told = CliRunner().invoke(main, ["doctor"], env={**project.environment, "COLUMNS": "300"}).output
    return next(line for line in told.splitlines() if line.startswith("Data Cloud"))


def test_the_doctor_tells_the_object_and_its_newest_entry(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one exchange and one small query."""
    assert "ssot__ConversationEntry__dlm; the newest entry: 0." in doctor(project, monkeypatch)


def test_the_doctor_says_what_to_deploy(project: Project, cloud: _Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the object is not there."""
    cloud.switch(absent_objects="ConversationEntry")

    assert "Digital Engagement bundle" in doctor(project, monkeypatch)


# What goes wrong


def test_wall_time_labelled_utc_is_refused(project: Project, cloud: _Cloud) -> None:
    """Days can not be told apart by such times, so nothing is published, and the setting is named."""
    project.materialize(*DAYS[:2], assets=["conversations"])
    cloud.switch(local_times=True)

    assert "CONVERSATION_DATA_CLOUD_TIME_ZONE" in failure(run(project))

    assert project.lake.partitions(ENTRIES_DATA_CLOUD) == []


def test_wall_time_is_read_by_its_zone(project: Project, cloud: _Cloud) -> None:
    """With the setting the day has the entries of its UTC day, at their times."""
    project.materialize(*DAYS[:2], assets=["conversations"])
    cloud.switch(local_times=True)
    project.environment["CONVERSATION_DATA_CLOUD_TIME_ZONE"] = "America/Denver"

    assert run(project).success

    told = by_key(project.rows(ENTRIES_DATA_CLOUD, DAY).to_pylist(), "transcripted_timestamp")
    truth = {
        key: (from_milliseconds(entry["transcripted_timestamp"]),) for key, entry in cloud.true_entries(DAY).items()
    }
    assert told == truth


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


@pytest.mark.parametrize(
    ("point", "passage"),
    [(KillPoint.STAGING_WRITTEN, 5), (KillPoint.PARTITION_WRITTEN, 1), (KillPoint.PARTITION_RENAMED, 1)],
)
def test_a_run_that_was_killed_is_gone_on_with(project: Project, cloud: _Cloud, point: KillPoint, passage: int) -> None:
    """Chunks that had been staged are not asked for again, and the day is whole."""
    cloud.switch(chunk_rows=40)
    chunks = -(-len(cloud.true_entries(DAY)) // 40)
    assert killed(project, [ROAD], [DAY], point, passage) == -signal.SIGKILL
    staged = len(Staging(project.environment["CONVERSATION_STAGING"]).records(ROAD, [DAY]))
    cloud.routes()

    assert run(project).success

    assert cloud.routes()["v3_chunk"] == chunks - staged + 1  # the look has a chunk as well
    assert staged
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
