"""
The demo: a simulated org, the real pipeline, a folder of its own.

Everything lies in one folder that is a working directory like any project's: ``.env``, Dagster's history, the lake and
the warehouse. What the demo runs is what a user runs; only the org is simulated.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import dagster as dg
import duckdb
from rich.console import Console
from rich.panel import Panel
from rich.status import Status
from rich.table import Table
from rich.text import Text

from conversation_pipeline.definitions import build_defs
from conversation_pipeline.defs.assets.report import report_name
from conversation_pipeline.defs.landing.archive import arrived
from conversation_pipeline.defs.landing.data_cloud import asked_from
from conversation_pipeline.schemas.catalogue import DATASETS
from conversation_pipeline.schemas.conversations import CONVERSATION_ENTRIES, ENTRIES_DATA_CLOUD, TRANSCRIPT_ARCHIVES
from conversation_pipeline.settings import Settings, load_settings
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.simulator.exports.drop import dropped
from conversation_pipeline.storage import Lake
from conversation_pipeline.storage.store import Store

SEED = 7
DAYS = 4
_OLDEST = timedelta(days=7)
_PORT = 8765
_ROADS_CAPTION = (
    "Data Cloud is asked for a day once it has ended and its entries' lag has passed; Connect has texts alone; an "
    "archive ends with its export."
)
_QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


@dataclass(frozen=True)
class DemoProject:
    """
    The demo's folder.

    Attributes:
        start: First partition; kept in the folder, so that a second run goes on where the first one ended.
    """

    folder: Path
    start: date

    @classmethod
    def at(cls, folder: Path) -> DemoProject:
        """The project in this folder; begun anew when there is none, or when it is older than a week."""
        folder = folder.resolve()
        today = datetime.now(UTC).date()
        marker = folder / "start_date"
        if marker.is_file():
            start = date.fromisoformat(marker.read_text().strip())
            if today - start <= _OLDEST:
                return cls(folder, start)
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        start = today - timedelta(days=DAYS - 1)
        marker.write_text(start.isoformat())
        return cls(folder, start)

    def enter(self, instance_url: str) -> None:
        """Makes this folder the working directory, with settings that aim at the simulator."""
        with urlopen(f"{instance_url}/simulator/credentials") as reply:  # noqa: S310  (our own simulator on loopback)
            given = json.load(reply)
        integration, *users = given["clients"]
        values = {
            "SALESFORCE_INSTANCE_URL": given["instance_url"],
            "SALESFORCE_CLIENT_ID": integration["client_id"],
            "SALESFORCE_CLIENT_SECRET": integration["client_secret"],
            "CONVERSATION_DATA_URL": given["conversation_data_url"],
            "CONVERSATION_DATA_USERS": json.dumps(
                [{"client_id": user["client_id"], "client_secret": user["client_secret"]} for user in users]
            ),
            "CONVERSATION_ROADS": "conversation_data,data_cloud,connect,archive",
            "CONVERSATION_START_DATE": self.start.isoformat(),
            "CONVERSATION_ARCHIVES": "archives",
            "CONVERSATION_LAKE": "lake",
            "CONVERSATION_STAGING": "staging",
            "CONVERSATION_WAREHOUSE": "warehouse.duckdb",
            "CONVERSATION_QUOTAS": "quotas.sqlite",
        }
        for configuration in (Path("dagster.yaml"), Path("workspace.yaml")):
            if configuration.is_file():
                shutil.copy(configuration, self.folder)
        (self.folder / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in values.items()))
        os.environ.update(values, DAGSTER_HOME=str(self.folder))
        os.chdir(self.folder)

    def days(self) -> list[str]:
        count = (datetime.now(UTC).date() - self.start).days + 1
        return [(self.start + timedelta(days=offset)).isoformat() for offset in range(count)]


@contextmanager
def simulated_org(project: DemoProject) -> Iterator[str]:
    """The demo's org over HTTP: a small outdoor shop that never existed. Yields its URL."""
    simulator = Simulator(seed=SEED, first_day=project.start)
    try:
        running = simulator.serve(_PORT)
    except OSError:
        running = simulator.serve(0)
    with running:
        yield running.url


def show(folder: Path, console: Console) -> None:
    """``make demo``: materializes the last days through Dagster and shows what came of it."""
    root = Path.cwd()
    project = DemoProject.at(folder)
    began = time.monotonic()
    with simulated_org(project) as url:
        project.enter(url)
        days = project.days()
        console.print(f"A simulated Salesforce org answers at {url}; Dagster reads {days[0]} to {days[-1]} (UTC).")
        _land_archive(url, console)
        _materialize(days, console)
    console.print(f"Done in {time.monotonic() - began:.0f} s.\n")
    _report(project, root, console)


def open_ui(folder: Path, port: int, console: Console) -> int:
    """``make ui``: Dagster on the demo's folder, with the simulated org behind it, until interrupted."""
    project = DemoProject.at(folder)
    with simulated_org(project) as url:
        project.enter(url)
        dropped(url, Path("archives"))
        console.print(f"Dagster opens at http://127.0.0.1:{port} on the demo's data. Stop with Ctrl-C.")
        console.print(
            "An export archive has arrived in archives/: the sensor archives_arrived, switched on here, lands it "
            "within minutes (Runs); switch on models_refresh (Automation) to have its days united."
        )
        console.print("Data Cloud lags by up to an hour: the sensor data_cloud_days asks for days that have ended.")
        location = [] if Path("workspace.yaml").is_file() else ["-m", "conversation_pipeline.definitions"]
        dagster = [sys.executable, "-W", "ignore", "-m", "dagster"]
        # Beside the UI, which need not wait for it.
        switched_on = subprocess.Popen(  # noqa: S603  (our own command)
            [*dagster, "sensor", "start", "archives_arrived", *location],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        try:
            return until_stopped([*dagster, "dev", "-h", "127.0.0.1", "-p", str(port), *location])
        finally:
            switched_on.terminate()
            switched_on.wait()


def until_stopped(command: list[str]) -> int:
    """Runs a command until it ends, or until this process is told to stop: then the command is told, once."""
    # Set before it starts: what is caught here is as usual there, but what is ignored here (SIGINT, in a job that a
    # shell has put into the background) would be ignored there, and Dagster takes SIGTERM for SIGINT.
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, signal.default_int_handler)
    # In a group of its own, where Ctrl-C does not reach it: told twice, Dagster breaks off its shutdown.
    process = subprocess.Popen(command, process_group=0)  # noqa: S603  (our own command)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()


def _land_archive(url: str, console: Console) -> None:
    """What an administrator does in Setup, and what the sensor ``archives_arrived`` makes of it."""
    dropped(url, Path("archives"))
    definitions = build_defs()
    job = definitions.resolve_implicit_global_asset_job_def()
    asset = dg.AssetKey(TRANSCRIPT_ARCHIVES.name)
    name = max(arrived(Store(load_settings().conversation_archives)))
    with dg.DagsterInstance.get() as instance, console.status(f"landing the archive {name}"):
        instance.add_dynamic_partitions(TRANSCRIPT_ARCHIVES.name, [name])
        job.execute_in_process(instance=instance, asset_selection=[asset], partition_key=name, run_config=_QUIET)
    console.print(f"An export archive arrived and was landed: {name}")


def _materialize(days: list[str], console: Console) -> None:
    job = build_defs().resolve_job_def("conversations_daily")
    run_id = dg.DagsterRun(job_name=job.name).run_id
    tags = {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]}
    with dg.DagsterInstance.get() as instance, _step_shown(instance, run_id, console):
        result = job.execute_in_process(
            instance=instance, tags=tags, run_id=run_id, run_config=_QUIET, raise_on_error=False
        )
        failures = [event for event in result.all_events if event.is_step_failure]
    if failures:
        data = failures[0].step_failure_data
        cause = data.user_failure_data.description if data.user_failure_data else data.error
        raise SystemExit(f"{failures[0].step_key}: {cause}")


@contextmanager
def _step_shown(instance: dg.DagsterInstance, run_id: str, console: Console) -> Iterator[None]:
    """Names the step that runs, beside a spinner, and leaves a line for each that has ended."""
    over = threading.Event()

    def watch(status: Status) -> None:
        told: set[str] = set()
        while not over.wait(0.3):
            _tell_steps(instance, run_id, told, status, console)
        _tell_steps(instance, run_id, told, status, console)

    with console.status("starting the run") as status:
        watcher = threading.Thread(target=watch, args=(status,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


def _tell_steps(instance: dg.DagsterInstance, run_id: str, told: set[str], status: Status, console: Console) -> None:
    if not instance.has_run(run_id):
        return
    for step in instance.get_run_step_stats(run_id):
        if step.end_time is None or step.start_time is None:
            status.update(f"materializing {step.step_key}")
        elif step.step_key not in told:
            told.add(step.step_key)
            console.print(f"  {step.step_key:<28} {step.end_time - step.start_time:5.1f} s")


def _report(project: DemoProject, root: Path, console: Console) -> None:
    settings = load_settings()
    with duckdb.connect(str(settings.conversation_warehouse), read_only=True) as warehouse:
        console.print(_datasets(Lake(settings.conversation_lake)))
        console.print(_entries_by_road(Lake(settings.conversation_lake), settings, project.days()))
        console.print(_busiest_channels(warehouse))
        console.print(_transcript(warehouse))
    shown = project.folder.relative_to(root) if project.folder.is_relative_to(root) else project.folder
    console.print(f"Parquet    {shown}/lake/<dataset>/day=YYYY-MM-DD/data.parquet")
    console.print(f"DuckDB     {shown}/warehouse.duckdb")
    console.print(f"Report     {shown}/lake/{report_name(project.days()[-2])}")
    console.print("Next       [bold]make ui[/bold] opens Dagster on this demo")


def _datasets(lake: Lake) -> Table:
    table = Table("dataset", title="Datasets", title_justify="left")
    for heading in ("rows", "days", "size"):
        table.add_column(heading, justify="right")
    for dataset in DATASETS:
        receipts = lake.receipts(dataset)
        days = str(len(receipts)) if dataset.partitioned else "snapshot"
        size = sum(receipt.bytes for receipt in receipts)
        rows = sum(receipt.rows for receipt in receipts)
        table.add_row(dataset.name, f"{rows:,}", days, f"{size / 1024:,.0f} KiB")
    return table


def _entries_by_road(lake: Lake, settings: Settings, days: list[str]) -> Table:
    lag = timedelta(minutes=settings.conversation_data_cloud_lag_minutes)
    table = Table("day", title="Entries by road", title_justify="left", caption=_ROADS_CAPTION, caption_justify="left")
    names = [*(f"entries_{road}" for road in settings.roads), CONVERSATION_ENTRIES.name]
    rows = {
        dataset.name: {receipt.partition: receipt.rows for receipt in lake.receipts(dataset)}
        for dataset in DATASETS
        if dataset.name in names
    }
    for name in names:
        heading = "each once" if name == CONVERSATION_ENTRIES.name else name.removeprefix("entries_")
        table.add_column(heading.replace("_", " "), justify="right", no_wrap=name == ENTRIES_DATA_CLOUD.name)
    for day in days:
        told = {name: f"{rows[name][day]:,}" if day in rows[name] else "-" for name in names}
        if ENTRIES_DATA_CLOUD.name in told and day not in rows[ENTRIES_DATA_CLOUD.name]:
            told[ENTRIES_DATA_CLOUD.name] = f"due {asked_from(day, lag):%d %b %H:%M}"
        table.add_row(day, *told.values())
    return table


def _busiest_channels(warehouse: duckdb.DuckDBPyConnection) -> Table:
    (day,) = warehouse.execute("SELECT max(day) FROM transcripts WHERE day < current_date").fetchone() or (None,)
    table = Table("channel", title=f"Busiest channels on {day}", title_justify="left")
    for heading in ("conversations", "messages", "median length"):
        table.add_column(heading, justify="right")
    rows = warehouse.execute(
        """
        SELECT channel_name, count(*), sum(message_count), median(date_diff('second', started_at, ended_at))
        FROM transcripts WHERE day = ? GROUP BY channel_name ORDER BY 2 DESC LIMIT 6
        """,
        [day],
    ).fetchall()
    for channel, conversations, messages, seconds in rows:
        length = "open" if seconds is None else f"{seconds / 60:.0f} min"
        table.add_row(channel or "(no channel)", f"{conversations:,}", f"{messages or 0:,}", length)
    return table


def _transcript(warehouse: duckdb.DuckDBPyConnection) -> Panel:
    row = warehouse.execute(
        """
        SELECT channel_name, started_at, turns
        FROM transcripts
        WHERE ended_at IS NOT NULL AND message_count BETWEEN 8 AND 18
        ORDER BY
            len(list_distinct(list_transform(turns, lambda turn: turn.sender_role))) DESC,
            len(list_filter(turns, lambda turn: turn.is_internal)) DESC,
            started_at DESC
        LIMIT 1
        """
    ).fetchone()
    if row is None:
        return Panel("No conversation has ended yet.", title="A conversation")
    channel, started_at, turns = row
    body = Text()
    for turn in turns:
        style = {"EndUser": "cyan", "Chatbot": "magenta", "Agent": "green"}.get(turn["sender_role"], "yellow")
        private = " (internal)" if turn["is_internal"] else ""
        body.append(f"{turn['sent_at']:%H:%M:%S} ", "dim")
        body.append(f"{turn['sender_name']}{private}: ", f"bold {style}")
        body.append(turn["text"].replace("\n", "\n         ") + "\n")
    body.rstrip()
    return Panel(body, title=f"A conversation: {channel}, {started_at:%Y-%m-%d %H:%M} UTC", title_align="left")
