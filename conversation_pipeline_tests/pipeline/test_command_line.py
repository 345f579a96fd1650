"""What a user types and sees: Dagster's command line, ours, and what the UI shows of the assets."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import httpx
import pytest
from click.testing import CliRunner, Result
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from conversation_pipeline.cli import main
from conversation_pipeline.definitions import build_defs
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.catalogue import DATASETS
from conversation_pipeline.schemas.conversations import MESSAGES
from conversation_pipeline.settings import ROADS, load_settings
from conversation_pipeline_tests.conftest import FIRST_DAY, Control, Project

DAY = FIRST_DAY.isoformat()
ROOT = Path(__file__).parents[2]
SECONDS = 90


def environment(project: Project) -> dict[str, str]:
    """Only what a shell would have, and the project's settings."""
    shell = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **shell,
        "PYTHONPATH": str(ROOT),
        "DAGSTER_HOME": str(project.folder),
        "COLUMNS": "300",
        **project.environment,
    }


def run(project: Project, *command: str) -> subprocess.CompletedProcess[str]:
    (project.folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return subprocess.run(
        [sys.executable, *command],
        cwd=project.folder,
        env=environment(project),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def conversation_pipeline(*arguments: str) -> list[str]:
    return ["-c", "from conversation_pipeline.cli import main; main()", *arguments]


def doctor(project: Project, monkeypatch: pytest.MonkeyPatch) -> Result:
    """The doctor's findings, in this process, with nothing but the project's settings."""
    monkeypatch.chdir(project.folder)
    return CliRunner().invoke(main, ["doctor"], env={**project.environment, "COLUMNS": "300"})


def materialize(project: Project, select: str) -> subprocess.CompletedProcess[str]:
    module = "conversation_pipeline.definitions"
    return run(project, "-m", "dagster", "asset", "materialize", "-m", module, "--select", select, "--partition", DAY)


def test_dagster_materializes_a_day_of_everything(project: Project) -> None:
    """``dagster asset materialize --select '*' --partition`` fills lake and warehouse, set by the environment."""
    done = materialize(project, "*")

    assert done.returncode == 0, done.stderr[-2000:]
    assert project.rows(MESSAGES, DAY).num_rows > 0
    assert Path(project.environment["CONVERSATION_WAREHOUSE"]).is_file()


def test_dagster_shows_the_sentence_and_no_secret(project: Project) -> None:
    """A run that fails by a wrong secret ends with an exit code, and prints the sentence, and never the secret."""
    project.environment["SALESFORCE_CLIENT_SECRET"] = "canary-secret"

    failed = materialize(project, "messaging_sessions")

    assert failed.returncode != 0
    assert "check the client id and the client secret" in failed.stderr
    assert "canary" not in failed.stdout + failed.stderr


def test_the_doctor_finds_nothing_wrong(project: Project) -> None:
    """``conversation-pipeline doctor`` against an org in order: a line for each thing, exit code 0."""
    done = run(project, *conversation_pipeline("doctor"))

    assert done.returncode == 0, done.stdout
    assert "VoiceCall" in done.stdout
    assert re.findall(r"entry (\d) of CONVERSATION_DATA_USERS  is let in", done.stdout) == ["1", "2", "3"]


def test_the_doctor_counts_what_is_wrong(project: Project, control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is the number of findings that need a hand; all are told, not only the first."""
    control.post("hide", object="VoiceCall", absent=True)
    control.post("faults", route="conversation_data.entries", effect={"status": 403, "body": {"code": 403}})

    found = doctor(project, monkeypatch)

    assert found.exit_code == 4
    assert "VoiceCall  the org has no object VoiceCall" in found.output
    for place in (1, 2, 3):
        assert f"Conversation Data API, entry {place} of CONVERSATION_DATA_USERS  GET /conversation-entries: 403" in (
            found.output
        )


def test_the_doctor_names_the_user_who_is_not_let_in(
    project: Project, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A locked execution user among others who are not is a finding of its own."""
    clients = control.get("credentials")["clients"]
    control.post("users", username=clients[2]["username"], state="locked")

    found = doctor(project, monkeypatch)

    assert found.exit_code == 1
    assert "entry 1 of CONVERSATION_DATA_USERS  is let in" in found.output
    assert re.search(r"Conversation Data API, entry 2 of CONVERSATION_DATA_USERS  .*inactive_user", found.output)


def test_the_doctor_names_columns_that_are_hidden(
    project: Project, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hidden column is no fault, for its dataset is loaded all the same; the doctor names it."""
    control.post("hide", object="MessagingSession", fields=["CaseId"])

    found = doctor(project, monkeypatch)

    assert found.exit_code == 0
    assert re.search(r"MessagingSession  \d+ columns; CaseId: not visible", found.output)


def test_the_doctor_names_the_setting_that_is_missing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a setting that is required there is one finding: which, and what to put there."""
    del project.environment["SALESFORCE_CLIENT_ID"]

    found = doctor(project, monkeypatch)

    assert found.exit_code == 1
    assert "SALESFORCE_CLIENT_ID is not set: put the consumer key of your External Client App" in found.output


def test_the_doctor_marks_no_conversation_active(
    project: Project, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking costs nothing of the org's limit of active conversations."""
    doctor(project, monkeypatch)

    assert control.get("counters")["active_conversations"]["worst"] == 0


def test_the_simulator_answers(tmp_path: Path) -> None:
    """``conversation-pipeline simulate`` says where it answers, answers there, and ends by an interrupt."""
    command = [sys.executable, *conversation_pipeline("simulate", "--port", "0", "--conversations-per-day", "2")]
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            [url] = re.findall(r"answers at (\S+);", line)
            assert httpx.get(f"{url}/simulator/credentials").json()["instance_url"] == url
        finally:
            process.send_signal(signal.SIGINT)
        process.wait(SECONDS)


@pytest.mark.parametrize(("told", "in_background"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_what_make_ui_starts_ends_with_it(told: signal.Signals, in_background: bool) -> None:
    """By a signal to the whole group, as Ctrl-C is, and in a shell's background job, where SIGINT begins ignored: the
    child hears of it once, and may take its time to end."""
    begin = "signal.signal(signal.SIGINT, signal.SIG_IGN); " if in_background else ""
    with subprocess.Popen(
        [sys.executable, "-c", f"import signal; {begin}from conversation_pipeline.demo import until_stopped; {PARENT}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, told)

        assert process.stdout.read() == "told\nended\n"
        assert process.wait(SECONDS) == 5


CHILD = """
import signal, time
signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))  # as Dagster does
print("ready", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("told", flush=True)
    time.sleep(1)
    print("ended", flush=True)
    raise SystemExit(5)
"""
PARENT = f"import sys; sys.exit(until_stopped([sys.executable, '-c', {CHILD!r}]))"


@pytest.fixture(scope="module")
def graph() -> AssetGraph:
    """The assets of all roads, as the UI sees them before anything else is set."""
    return build_defs(lambda: load_settings(_env_file=None, conversation_roads=",".join(ROADS))).resolve_asset_graph()


def test_the_code_location_is_valid(project: Project) -> None:
    """Dagster accepts the definitions as a whole: every asset, job, schedule and resource fits the others."""
    dg.Definitions.validate_loadable(project.definitions())


def test_assets_are_the_datasets_the_warehouse_and_the_report(graph: AssetGraph) -> None:
    """An asset's key is its dataset's name; besides there are the warehouse and the report, and nothing else."""
    keys = {key.to_user_string() for key in graph.get_all_asset_keys()}

    assert keys == {dataset.name for dataset in DATASETS} | {"warehouse", "report"}


@pytest.mark.parametrize("name", [*(dataset.name for dataset in DATASETS), "warehouse", "report"])
def test_every_asset_tells_what_it_is(graph: AssetGraph, name: str) -> None:
    """Each asset has a description, owners, kinds and a group."""
    asset = graph.get(dg.AssetKey(name))

    assert asset.description
    assert asset.owners
    assert asset.kinds
    assert asset.group_name not in (None, "default")


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_every_column_is_in_the_catalogue(graph: AssetGraph, dataset: Dataset) -> None:
    """The UI shows each dataset's columns with types and meanings, in the order in which they are stored."""
    metadata = graph.get(dg.AssetKey(dataset.name)).metadata

    columns = metadata["dagster/column_schema"].columns
    assert [column.name for column in columns] == dataset.schema.names
    assert all(column.description for column in columns)


def nightly(project: Project, start: date, at: datetime) -> list[tuple[str, str]] | dg.SkipReason:
    """The ranges of days that the nightly schedule asks for, in a project whose partitions begin at ``start``."""
    project.environment["CONVERSATION_START_DATE"] = start.isoformat()
    schedule = project.definitions().resolve_schedule_def("conversations_nightly")
    given = {"lake": project.lake, "salesforce": Org(project.settings())}
    with dg.build_schedule_context(instance=project.instance, scheduled_execution_time=at, resources=given) as context:
        asked = schedule.evaluate_tick(context)
    ranges = [
        (request.tags["dagster/asset_partition_range_start"], request.tags["dagster/asset_partition_range_end"])
        for request in asked.run_requests
    ]
    return ranges or dg.SkipReason(asked.skip_message)


@pytest.mark.parametrize(
    ("start", "first"), [(date(2026, 1, 1), "2026-11-20"), (date(2026, 11, 22), "2026-11-22")], ids=["usual", "clipped"]
)
def test_the_schedule_asks_for_the_days_that_have_ended(project: Project, start: date, first: str) -> None:
    """At 00:30 UTC the last three days that have ended are requested in one run, none before the first partition."""
    project.environment["CONVERSATION_REREAD_DAYS"] = ""
    asked = nightly(project, start, datetime(2026, 11, 23, 0, 30, tzinfo=UTC))

    assert asked == [(first, "2026-11-22")]


def test_the_schedule_asks_for_days_that_are_due_to_be_read_again(project: Project) -> None:
    """Those that settled as many days ago as the setting says, so that redactions are found."""
    project.environment["CONVERSATION_REREAD_DAYS"] = "7,30"

    asked = nightly(project, date(2026, 11, 1), datetime(2026, 11, 23, 0, 30, tzinfo=UTC))

    assert asked == [("2026-11-14", "2026-11-14"), ("2026-11-20", "2026-11-22")]


def test_the_schedule_asks_for_seven_days_a_run_at_most(project: Project) -> None:
    """Days that follow one another are cut into runs as long as a backfill's."""
    project.environment["CONVERSATION_REREAD_DAYS"] = "2,3,4,5,6,7"

    asked = nightly(project, date(2026, 11, 1), datetime(2026, 11, 23, 0, 30, tzinfo=UTC))

    assert asked == [("2026-11-14", "2026-11-20"), ("2026-11-21", "2026-11-22")]


def test_the_schedule_waits_for_a_day_to_end(project: Project) -> None:
    """On the first day nothing is requested, and the tick says why."""
    asked = nightly(project, date(2026, 11, 23), datetime(2026, 11, 23, 0, 30, tzinfo=UTC))

    assert asked == dg.SkipReason("no day since 2026-11-23 has ended yet")


def test_the_schedule_starts_stopped(project: Project) -> None:
    """Nothing runs against an org before somebody switches it on."""
    schedule = project.definitions().resolve_schedule_def("conversations_nightly")

    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
