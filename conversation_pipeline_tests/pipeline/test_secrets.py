"""No secret and no customer's words outside the data: not in logs, events, metadata, errors or state."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from conversation_pipeline.schemas.conversations import MESSAGES
from conversation_pipeline.simulator import Simulator
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, Control, Project, project_for
from conversation_pipeline_tests.pipeline.processes import ended, started

DAY = (FIRST_DAY + timedelta(days=3)).isoformat()
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
MODELS = ["conversation_entries", "messages", "transcripts", "warehouse"]
ENTRY_REQUESTS = "conversation_data.entries"
WORDS = "canary-words-of-a-customer"
SECRET = "canary-secret-of-the-org"
CANARIES = re.compile(rb"canary|eyJ[\w-]{8,}", re.IGNORECASE)
"""What stands for secrets and words, and how access tokens in JWT form begin."""

DATA = {"lake", "staging", "warehouse.duckdb"}
"""Where customers' words belong; everything else in the folder is written for operators."""


@dataclass(frozen=True)
class Story:
    """A project whose runs met everything that could make them talk."""

    project: Project

    def told(self) -> dict[str, bytes]:
        """Every file but the data: Dagster's databases and compute logs, the processes' output, the quota store."""
        files = (path for path in self.project.folder.rglob("*") if path.is_file())
        kept = (path for path in files if path.relative_to(self.project.folder).parts[0] not in DATA)
        return {str(path.relative_to(self.project.folder)): path.read_bytes() for path in kept}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=4, now=NOW).serve() as running:
        control = Control(running.url)
        project = project_for(running.url, tmp_path_factory.mktemp("story"))
        (project.folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        keep_secret(control, project)
        say(control)
        assert ended(started(live_through_it, project, control)) == 0
        yield Story(project)


def live_through_it(project: Project, control: Control) -> None:
    """Runs that fail in ways that quote customers or secrets, and runs that go well, all logged in full."""
    with dg.DagsterInstance.from_config(str(project.folder)) as project.instance:
        assert run(project, WORK_LIST)
        error = [{"errorCode": "MALFORMED_QUERY", "message": f"near {WORDS}: {SECRET}"}]
        spoil(control, "rest.query*", {"status": 400, "body": error})
        assert not run(project, [SESSIONS])
        spoil(control, ENTRY_REQUESTS, {"status": 500, "body": {"message": WORDS}})
        assert not run(project, [ENTRIES])
        spoil(control, ENTRY_REQUESTS, {"truncate": {"fraction": 0.9}})
        assert not run(project, [ENTRIES])
        spoil(control, ENTRY_REQUESTS, {"status": 200, "body": {"conversationEntries": WORDS}})
        assert not run(project, [ENTRIES])
        spoil(control, "oauth.token", {"status": 400, "body": {"error": SECRET, "error_description": SECRET}})
        assert not run(project, [SESSIONS])
        control.delete("faults")
        assert not run(with_setting(project, "SALESFORCE_CLIENT_SECRET", f"{SECRET}-outdated"), [SESSIONS])
        assert not run(with_setting(project, "CONVERSATION_DATA_USERS", f"[{SECRET}"), [ENTRIES])
        assert run(project, [ENTRIES, *MODELS])


def run(project: Project, assets: list[str]) -> bool:
    """One run that logs all that Dagster has to say; whether it went well."""
    job = project.definitions().resolve_job_def("conversations_daily")
    return job.execute_in_process(
        instance=project.instance,
        partition_key=DAY,
        asset_selection=[dg.AssetKey(name) for name in assets],
        raise_on_error=False,
    ).success


def with_setting(project: Project, name: str, value: str) -> Project:
    return replace(project, environment={**project.environment, name: value})


def keep_secret(control: Control, project: Project) -> None:
    """Gives every client of the org the canary as its secret."""
    for client in control.get("credentials")["clients"]:
        control.post("clients", **{**client, "client_secret": SECRET})
    users = json.loads(project.environment["CONVERSATION_DATA_USERS"])
    project.environment["CONVERSATION_DATA_USERS"] = json.dumps([{**user, "client_secret": SECRET} for user in users])
    project.environment["SALESFORCE_CLIENT_SECRET"] = SECRET


def say(control: Control) -> None:
    """Puts the canary's words into each conversation of the day, as text, name and unknown member."""
    content = {"formatType": "Text", "text": WORDS}
    message = {"messageType": "StaticContentMessage", "id": "m", "staticContent": content}
    payload = {"entryType": "Message", "id": "e", "abstractMessage": message, "unheard_of": WORDS}
    for place, conversation in enumerate(sorted({key[0] for key in control.true_entries(DAY)})):
        entry = {"identifier": f"canary-{place}", "senderDisplayName": WORDS, "entryPayload": payload}
        control.post("entries", conversationIdentifier=conversation, entries=[entry])


def spoil(control: Control, route: str, effect: dict[str, Any]) -> None:
    control.delete("faults")
    control.post("faults", route=route, effect=effect)


def test_the_words_were_there_to_be_told(story: Story) -> None:
    """The canary's words went through the whole pipeline: else nothing would be shown by their absence elsewhere."""
    assert WORDS in story.project.rows(MESSAGES, DAY)["text"].to_pylist()


def test_the_runs_were_logged(story: Story) -> None:
    """Dagster's event log, the compute logs and the processes' output are among what is searched."""
    told = story.told()

    assert b"entries_conversation_data" in told["process.log"]
    assert any(name.startswith("storage/") and name.endswith(".err") for name in told)
    assert any(b"ASSET_MATERIALIZATION" in content for name, content in told.items() if name.endswith(".db"))


def test_no_secret_and_no_words_are_told(story: Story) -> None:
    """Nothing that is written for operators holds a secret, a token, or what a customer said."""
    found = {name: sorted(set(CANARIES.findall(content))) for name, content in story.told().items()}

    assert {name: hits for name, hits in found.items() if hits} == {}


def test_words_are_for_their_owner_only(story: Story) -> None:
    """Raw answers can be read by nobody but the user who runs the pipeline."""
    staging = Path(story.project.environment["CONVERSATION_STAGING"])

    assert {path.stat().st_mode & 0o077 for path in staging.rglob("*")} == {0}
