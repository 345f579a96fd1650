"""The command line: ``conversation-pipeline demo | simulate | drop-archive | doctor | plan``."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console

from conversation_pipeline import demo as demonstration
from conversation_pipeline import doctor as examination
from conversation_pipeline import plan as planning
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.simulator.exports.drop import FORMATS, dropped

_DEMO_FOLDER = Path("data/demo")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="conversation-pipeline")
def main() -> None:
    """Every Salesforce conversation as Parquet datasets and DuckDB tables."""


@main.command()
@click.option(
    "--folder", type=click.Path(path_type=Path), default=_DEMO_FOLDER, show_default=True, help="Where it lives."
)
@click.option("--ui", is_flag=True, help="Open Dagster on the demo instead, with the simulated org behind it.")
@click.option("--port", default=3000, show_default=True, help="Port of the UI.")
def demo(folder: Path, ui: bool, port: int) -> None:
    """Run the pipeline on a simulated org and show what came of it."""
    console = Console()
    if ui:
        sys.exit(demonstration.open_ui(folder, port, console))
    demonstration.show(folder, console)


@main.command()
@click.option("--port", default=8765, show_default=True, help="Port on 127.0.0.1; 0 takes a free one.")
@click.option("--seed", default=7, show_default=True, help="What the world is drawn from.")
@click.option("--first-day", type=click.DateTime(["%Y-%m-%d"]), help="First complete UTC day.  [default: 14 days ago]")
@click.option("--conversations-per-day", default=50, show_default=True, help="On a usual working day.")
def simulate(port: int, seed: int, first_day: datetime | None, conversations_per_day: int) -> None:
    """Serve a simulated Salesforce org until interrupted."""
    simulator = Simulator(seed, first_day.date() if first_day else None, conversations_per_day)

    def ready(url: str) -> None:
        click.echo(f"A simulated Salesforce org answers at {url}; credentials: {url}/simulator/credentials")

    simulator.run(port, ready)


@main.command()
@click.option("--url", default="http://127.0.0.1:8765", show_default=True, help="Of the simulated org.")
@click.option("--layout", type=click.Choice(FORMATS), default="csv", show_default=True, help="Of the archive.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    envvar="CONVERSATION_ARCHIVES",
    default=Path("data/archives"),
    show_default=True,
    help="Where archives arrive.",
)
def drop_archive(url: str, layout: str, folder: Path) -> None:
    """Export the transcripts of a simulated org, as an administrator would, and drop the parts into a folder."""
    for file in dropped(url, folder, layout=layout):
        click.echo(file)


@main.command()
def doctor() -> None:
    """Look at the settings and the org, and say what is missing."""
    sys.exit(examination.examine(Console()))


_DAY = click.DateTime(["%Y-%m-%d"])


@main.command()
@click.option("--from", "first", type=_DAY, metavar="DAY", help="First day, UTC.  [default: CONVERSATION_START_DATE]")
@click.option("--to", "last", type=_DAY, metavar="DAY", help="Last day, UTC.  [default: today]")
@click.option("--road", "roads", type=click.Choice(planning.ROADS), multiple=True, help="[default: CONVERSATION_ROADS]")
def plan(first: datetime | None, last: datetime | None, roads: tuple[str, ...]) -> None:
    """Say what a backfill of days costs, how long it takes, and what would make it shorter."""
    sys.exit(planning.show(first and first.date(), last and last.date(), roads, Console()))
