"""Orgs that have one entry road alone: each gets transcripts, with what that road tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from conversation_pipeline.schemas.conversations import CONVERSATION_ENTRIES, TRANSCRIPT_ARCHIVES, TRANSCRIPTS
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.simulator.exports.drop import dropped
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, QUIET, SPINE, Control, Project, project_for

DAYS = [(FIRST_DAY + timedelta(days=offset)).isoformat() for offset in range(2)]
ALL_SETTLED = "2026-11-14T02:00:00+00:00"
FULLEST = "conversation_data"
ROADS = ("archive", "data_cloud", "connect")


@pytest.fixture(scope="module")
def roads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Project]]:
    """The same two days, landed by four projects with one road each."""
    folder = tmp_path_factory.mktemp("roads")
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=8, now=NOW).serve() as running:
        Control(running.url).post("clock", now=ALL_SETTLED)
        projects = {road: project_for(running.url, folder / road, roads=(road,)) for road in (FULLEST, *ROADS)}
        for road, project in projects.items():
            told = [f"entries_{road}"]
            if road == "archive":
                told = []
                land_an_export(project, running.url)
            project.materialize(DAYS[0], DAYS[-1], assets=[*UPSTREAM, *told, *DOWNSTREAM])
    yield projects
    for project in projects.values():
        project.instance.dispose()


UPSTREAM = (*SPINE[: SPINE.index("entries_conversation_data")], "conversation_participants")
DOWNSTREAM = ("conversation_entries", "messages", "transcripts")


def land_an_export(project: Project, url: str) -> None:
    """What the sensor does with an export that was dropped; its dynamic partition needs an instance on the disk."""
    archives = project.folder / "archives"
    project.environment["CONVERSATION_ARCHIVES"] = str(archives)
    [file] = dropped(url, archives)
    (project.folder / "dagster").mkdir()
    project.instance = dg.DagsterInstance.local_temp(str(project.folder / "dagster"))
    name = file.name.removesuffix("_1.zip")
    project.instance.add_dynamic_partitions(TRANSCRIPT_ARCHIVES.name, [name])
    job = project.definitions().get_implicit_global_asset_job_def()
    asset = dg.AssetKey(TRANSCRIPT_ARCHIVES.name)
    job.execute_in_process(instance=project.instance, asset_selection=[asset], partition_key=name, run_config=QUIET)


def turns(project: Project) -> dict[str, dict[str, Any]]:
    """What was said, by session or call and entry, in order."""
    rows = [row for day in DAYS for row in project.rows(TRANSCRIPTS, day).to_pylist()]
    return {row["interaction_id"]: {turn["entry_identifier"]: turn for turn in row["turns"]} for row in rows}


def texts(said: dict[str, dict[str, Any]]) -> dict[str, list[tuple[str, str]]]:
    return {interaction: [(entry, turn["text"]) for entry, turn in told.items()] for interaction, told in said.items()}


@pytest.mark.parametrize("road", ["archive", "data_cloud"])
def test_a_road_with_payloads_alone_gives_the_same_transcripts(roads: Mapping[str, Project], road: str) -> None:
    """The same words in the same order, titles of choices included, of every session and call."""
    expected = texts(turns(roads[FULLEST]))

    assert any(expected.values())
    assert texts(turns(roads[road])) == expected


def test_connect_alone_gives_transcripts_of_texts(roads: Mapping[str, Project]) -> None:
    """Every session and call has a row, with the messages that Connect tells, which are texts."""
    told = {
        row["entry_identifier"] for day in DAYS for row in roads["connect"].rows(CONVERSATION_ENTRIES, day).to_pylist()
    }
    full, found = turns(roads[FULLEST]), turns(roads["connect"])

    assert any(found.values())
    assert {key: list(said) for key, said in found.items()} == {
        key: [entry for entry in said if entry in told] for key, said in full.items()
    }
    assert all(
        full[key][entry]["text"].startswith(turn["text"]) for key, said in found.items() for entry, turn in said.items()
    )


@pytest.mark.parametrize("road", ROADS)
def test_customer_agent_and_bot_are_told_apart(roads: Mapping[str, Project], road: str) -> None:
    """By whichever road; Data Cloud tells names alone, so who is nameless there or no participant has no role."""
    full, found = turns(roads[FULLEST]), turns(roads[road])

    pairs = [(side(turn), side(full[key][entry])) for key, said in found.items() for entry, turn in said.items()]
    untold = [expected for told, expected in pairs if told is None]
    assert {"EndUser", "Agent", "bot"} <= {told for told, _ in pairs}
    assert not [pair for pair in pairs if pair[0] not in (None, pair[1])]
    assert len(untold) < len(pairs) * (0.1 if road == "data_cloud" else 0.001)


def side(turn: Mapping[str, Any]) -> str | None:
    """Chatbots and digital workers may share a subject, and so a name."""
    return "bot" if turn["sender_role"] in ("Chatbot", "DigitalWorker") else turn["sender_role"]
