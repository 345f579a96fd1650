"""What is wrong is told in one sentence that says what to do; nothing half-written, and what was there stays."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from conversation_pipeline.definitions import build_defs
from conversation_pipeline.schemas.conversations import CONVERSATION_ACTIVITY, ENTRIES_CONVERSATION_DATA
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.schemas.voice import VOICE_CALLS
from conversation_pipeline.simulator import Simulator
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, Control, Project, failure, project_for

SETTLED_DAY = (FIRST_DAY + timedelta(days=1)).isoformat()
OPEN_DAY = (FIRST_DAY + timedelta(days=3)).isoformat()
WORK_LIST = [
    "messaging_sessions",
    "voice_calls",
    "conversations",
    "messaging_channels",
    "users",
    "conversation_activity",
]
ENTRIES = "entries_conversation_data"
SESSIONS = "messaging_sessions"
ENTRY_REQUESTS = "conversation_data.entries"
QUERIES = "rest.query*"


@pytest.fixture(scope="module")
def work_list(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake in which the work list of the open day is materialized; equal seeds give equal orgs."""
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=12, now=NOW).serve() as running:
        project = project_for(running.url, tmp_path_factory.mktemp("work_list"))
        project.materialize(OPEN_DAY, assets=WORK_LIST)
    return project.folder / "lake"


@pytest.fixture
def ready(project: Project, work_list: Path) -> Project:
    """A project that has its work list, and has read no entry yet."""
    shutil.copytree(work_list, project.folder / "lake")
    return project


def entries_of(project: Project) -> dg.ExecuteInProcessResult:
    return project.materialize(OPEN_DAY, assets=[ENTRIES], raise_on_error=False)


def sessions_of(project: Project) -> dg.ExecuteInProcessResult:
    return project.materialize(OPEN_DAY, assets=[SESSIONS], raise_on_error=False)


def contents(project: Project) -> list[tuple[str, str]]:
    receipts = [*project.lake.receipts(MESSAGING_SESSIONS), *project.lake.receipts(ENTRIES_CONVERSATION_DATA)]
    return [(receipt.uri, receipt.content_hash) for receipt in receipts]


def lake_files(project: Project) -> list[str]:
    return sorted(str(path) for path in (project.folder / "lake").rglob("*") if path.is_file())


def refuse(control: Control, status: int, **rule: Any) -> None:
    control.post("faults", route=ENTRY_REQUESTS, effect={"status": status, "body": {"code": status}}, **rule)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("SALESFORCE_INSTANCE_URL", "", "SALESFORCE_INSTANCE_URL is not set: put your My Domain URL"),
        ("SALESFORCE_INSTANCE_URL", "company.my.salesforce.com", "SALESFORCE_INSTANCE_URL is wrong: must begin"),
        ("SALESFORCE_CLIENT_SECRET", "wrong", "(invalid_client): check the client id and the client secret"),
        ("CONVERSATION_START_DATE", "soon", "CONVERSATION_START_DATE is wrong"),
        ("SALESFORCE_INSTANCE_URL", "http://127.0.0.1:9", "could not reach 127.0.0.1: check the URL"),
    ],
)
def test_a_wrong_setting_is_told_by_the_run(project: Project, name: str, value: str, sentence: str) -> None:
    """A run with a wrong or missing setting fails with the sentence that names it."""
    project.environment[name] = value

    told = failure(sessions_of(project))

    assert told.startswith(SESSIONS)
    assert sentence in told


@pytest.mark.parametrize(
    "asset", [SESSIONS, "messaging_channels", "conversation_activity", ENTRIES, "messages", "warehouse"]
)
def test_every_asset_asks_for_the_start_date(project: Project, asset: str) -> None:
    """Without CONVERSATION_START_DATE no asset runs, and each says what to set."""
    del project.environment["CONVERSATION_START_DATE"]

    told = failure(project.materialize(OPEN_DAY, assets=[asset], raise_on_error=False))

    assert "CONVERSATION_START_DATE is not set: put the first day to load" in told


@pytest.mark.parametrize("value", ["", "soon"])
def test_definitions_load_whatever_is_set(project: Project, value: str) -> None:
    """With a start date that is missing or wrong the code location still loads, so that the UI opens."""
    project.environment["CONVERSATION_START_DATE"] = value

    definitions = build_defs(project.settings)

    dg.Definitions.validate_loadable(definitions)


def test_execution_users_that_can_not_be_read(ready: Project) -> None:
    """A CONVERSATION_DATA_USERS that is no list of clients is told by the run, before a request is made."""
    ready.environment["CONVERSATION_DATA_USERS"] = "[{"

    assert "CONVERSATION_DATA_USERS is not read: give" in failure(entries_of(ready))


def test_days_before_the_first_partition(project: Project) -> None:
    """A run over days before the start date says which setting holds it back."""
    result = project.materialize("2026-11-01", OPEN_DAY, assets=[SESSIONS], raise_on_error=False)

    assert failure(result) == (
        "messaging_sessions: 2026-11-01 lies before CONVERSATION_START_DATE, 2026-11-10: "
        "choose later days, or set an earlier start"
    )


def test_entries_before_their_work_list(project: Project) -> None:
    """Entries of a day whose work list is not there say what to materialize first."""
    assert "conversation_activity of 2026-11-13 is not in the lake: materialize it first" in failure(
        entries_of(project)
    )


def test_an_object_that_the_org_lacks_is_an_empty_dataset(project: Project, control: Control) -> None:
    """An org without Voice gets voice_calls without rows, a warning, and the object's name among the drift."""
    control.post("hide", object="VoiceCall", absent=True)

    result = project.materialize(OPEN_DAY, assets=["voice_calls"])

    assert project.rows(VOICE_CALLS, OPEN_DAY).num_rows == 0
    assert "the org has no object VoiceCall, or this user may not see it" in project.warnings(result.run_id)
    assert project.metadata("voice_calls", OPEN_DAY)["drift_seen"] == {"missing object VoiceCall": 1}


def test_an_object_that_is_hidden_later_keeps_its_rows(project: Project, control: Control) -> None:
    """Where there were rows, an object that can not be seen any more is a failure, and the rows stay."""
    project.materialize(OPEN_DAY, assets=[SESSIONS])
    before = contents(project)
    control.post("hide", object="MessagingSession", absent=True)

    told = failure(sessions_of(project))

    assert "no object MessagingSession, or this user may not see it: enable its feature or grant the user" in told
    assert contents(project) == before


def test_a_field_that_is_hidden_is_null_and_named(project: Project, control: Control) -> None:
    """A column hidden by field-level security is null, warned of, and named in ``drift_seen``."""
    control.post("hide", object="MessagingSession", fields=["CaseId"])

    result = project.materialize(OPEN_DAY, assets=[SESSIONS])

    rows = project.rows(MESSAGING_SESSIONS, OPEN_DAY)
    assert rows["case_id"].null_count == rows.num_rows > 0
    assert "CaseId: not visible, nothing new is read" in project.warnings(result.run_id)
    assert project.metadata(SESSIONS, OPEN_DAY)["drift_seen"] == {"missing CaseId": 1}


def test_an_unknown_entry_type_is_kept_and_named(ready: Project, control: Control) -> None:
    """An entry of a type that nobody has published is a row like any other, and its type is named as drift."""
    work_list = ready.rows(CONVERSATION_ACTIVITY, OPEN_DAY).to_pylist()
    identifier = next(row["conversation_identifier"] for row in work_list if "Messaging" in row["modality"])
    entry = {"identifier": "unheard-of", "entryType": "PigeonLanded", "entryPayload": {"entryType": "PigeonLanded"}}
    control.post("entries", conversationIdentifier=identifier, entries=[entry])

    entries_of(ready)

    kept = ready.rows(ENTRIES_CONVERSATION_DATA, OPEN_DAY).to_pylist()
    assert [row["entry_type"] for row in kept if row["entry_identifier"] == "unheard-of"] == ["PigeonLanded"]
    assert ready.metadata(ENTRIES, OPEN_DAY)["drift_seen"]["entry_type PigeonLanded"] == 1


def test_execution_users_without_the_scope(ready: Project, control: Control) -> None:
    """Users whose tokens lack sfap_api are refused, and the sentence names the scope."""
    for user in control.get("credentials")["clients"]:
        control.post("clients", **{**user, "scopes": ["api"]})

    assert "check the app's scopes (api, and sfap_api for the Conversation Data API)" in failure(entries_of(ready))


def test_execution_users_without_the_permission(ready: Project, control: Control) -> None:
    """A 403 says which permissions to grant and what to switch on, and leaves no partition behind."""
    refuse(control, 403)
    before = lake_files(ready)

    told = failure(entries_of(ready))

    assert "grant the user API Enabled (API Only User) and Access Conversation Entries" in told
    assert "switch on Conversation Service API in Setup" in told
    assert lake_files(ready) == before


def test_a_permission_lost_keeps_what_was_there(ready: Project, control: Control) -> None:
    """A re-read that is refused leaves the partition as it was."""
    entries_of(ready)
    before = contents(ready)
    control.post("clock", now=(NOW + timedelta(days=1)).isoformat())
    refuse(control, 403)

    assert not entries_of(ready).success
    assert contents(ready) == before


def test_a_road_that_knows_no_conversation_is_a_failure(ready: Project, control: Control) -> None:
    """When every conversation is a 404, that is a wrong URL or a missing permission, and the run says so."""
    refuse(control, 404)

    told = failure(entries_of(ready))

    assert "knows none of the" in told
    assert "check CONVERSATION_DATA_URL, Conversation Service API in Setup" in told


def test_a_conversation_unknown_to_the_org_is_counted(ready: Project, control: Control) -> None:
    """One conversation that the API does not know is warned of and counted; the others are published."""
    refuse(control, 404, conversation_identifier=ready.rows(CONVERSATION_ACTIVITY, OPEN_DAY)[0][0].as_py())

    result = entries_of(ready)

    assert "the org does not know 1 conversations of its own records" in ready.warnings(result.run_id)
    metadata = ready.metadata(ENTRIES, OPEN_DAY)
    assert (metadata["conversations_not_found"], metadata["conversations_without_reading"]) == (1, 1)
    assert metadata["dagster/partition_row_count"] > 0


def test_a_conversation_that_is_unknown_later_keeps_its_entries(ready: Project, control: Control) -> None:
    """What a conversation told before stays when the API does not find it any more."""
    entries_of(ready)
    activity = ready.rows(CONVERSATION_ACTIVITY, OPEN_DAY).to_pylist()
    told = set(ready.rows(ENTRIES_CONVERSATION_DATA, OPEN_DAY)["conversation_identifier"].to_pylist())
    due = [row["conversation_identifier"] for row in activity if row["settled_at"] > NOW]
    unknown = next(conversation for conversation in due if conversation in told)
    before = entries_of_conversation(ready, unknown)
    control.post("clock", now=(NOW + timedelta(days=2)).isoformat())
    refuse(control, 404, conversation_identifier=unknown)

    assert entries_of(ready).success
    assert ready.metadata(ENTRIES, OPEN_DAY)["conversations_not_found"] == 1
    assert entries_of_conversation(ready, unknown) == before


def entries_of_conversation(project: Project, conversation: str) -> list[dict[str, Any]]:
    rows = project.rows(ENTRIES_CONVERSATION_DATA, OPEN_DAY).to_pylist()
    return [row for row in rows if row["conversation_identifier"] == conversation]


@pytest.mark.parametrize("length", ["kept", "matching", "absent"])
def test_a_page_cut_short_is_asked_for_again(ready: Project, control: Control, tmp_path: Path, length: str) -> None:
    """Pages that arrive cut, whatever length they claim, are read again; the rows are those of whole pages."""
    whole = project_for(control.url, tmp_path / "whole")
    whole.materialize(OPEN_DAY, assets=[*WORK_LIST, ENTRIES])
    effect = {"truncate": {"fraction": 0.5, "content_length": length}}
    control.post("faults", route=ENTRY_REQUESTS, times=2, effect=effect)

    entries_of(ready)

    both = [project.lake.receipt(ENTRIES_CONVERSATION_DATA, OPEN_DAY) for project in (ready, whole)]
    assert both[0] is not None
    assert both[1] is not None
    assert both[0].content_hash == both[1].content_hash


def test_a_page_that_is_always_cut_is_a_failure(ready: Project, control: Control) -> None:
    """A page that never arrives whole fails the run by its request, and nothing of the day is published."""
    effect = {"truncate": {"fraction": 0.5, "content_length": "matching"}}
    control.post("faults", route=ENTRY_REQUESTS, effect=effect)
    before = lake_files(ready)

    told = failure(entries_of(ready))

    assert told.startswith(f"{ENTRIES} of {OPEN_DAY}: GET /conversation-entries")
    assert lake_files(ready) == before


def test_a_query_that_does_not_add_up_is_not_published(project: Project, control: Control) -> None:
    """Fewer records than ``totalSize`` promises fail the run with both numbers; the old rows stay."""
    project.materialize(OPEN_DAY, assets=[SESSIONS])
    before = contents(project)
    promised = project.rows(MESSAGING_SESSIONS, OPEN_DAY).num_rows
    control.post("faults", route=QUERIES, effect={"drop_record": True})

    told = failure(sessions_of(project))

    assert f"promised {promised} records and sent {promised - 1}" in told
    assert contents(project) == before


def test_a_page_of_html_is_not_data(project: Project, control: Control) -> None:
    """A maintenance page with status 200 fails the run, and its words are not repeated."""
    control.post("faults", route=QUERIES, effect={"html": True})

    told = failure(sessions_of(project))

    assert "is not the JSON that was expected" in told
    assert "Maintenance" not in told


def test_a_raw_answer_torn_on_the_disk_is_named(project: Project) -> None:
    """A raw answer of a settled day that was changed on the disk is named, and the sentence says how to go on."""
    project.materialize(SETTLED_DAY, assets=[*WORK_LIST, ENTRIES])
    staged = next((project.folder / "staging" / ENTRIES).rglob("*.json.zst"))
    staged.write_bytes(b"torn")

    told = failure(project.materialize(SETTLED_DAY, assets=[ENTRIES], raise_on_error=False))

    assert staged.name in told
    assert "is torn or was changed; discard it, and the next run asks for it again" in told
