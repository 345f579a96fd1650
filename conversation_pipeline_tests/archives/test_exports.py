"""What the simulated org exports is read back whole: each layout, each encoding, each corruption."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from conversation_pipeline import archives
from conversation_pipeline.simulator import Simulator

NOW = datetime(2026, 11, 19, 18, 0, tzinfo=UTC)


class Tool:
    """The export tool of a small org, and the folder in which its parts are dropped."""

    def __init__(self, http: httpx.Client, folder: Path) -> None:
        http.post("/simulator/reset")
        client = http.get("/simulator/credentials").json()["clients"][0]
        form = {"grant_type": "client_credentials"} | {key: client[key] for key in ("client_id", "client_secret")}
        token = http.post("/services/oauth2/token", data=form).json()["access_token"]
        self._http, self._headers, self._folder = http, {"authorization": f"Bearer {token}"}, folder

    def drop(self, **switches: Any) -> tuple[list[str], dict[str, dict[str, Any]]]:
        """Paths of the parts of a new export, and the entries that they have to hold."""
        self._http.post("/simulator/switches", json={"export_seconds": 0} | switches)
        export = self._http.post("/sim/transcript-exports", json={}, headers=self._headers).json()
        paths = []
        for part in export["files"]:
            file = self._folder / part["name"]
            file.write_bytes(self._http.get(part["url"], headers=self._headers).content)
            paths.append(str(file))
        told = self._http.get(f"/simulator/truth/exports/{export['id']}").json()["entries"]
        return paths, {row["entry_identifier"]: row for row in told}


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    simulator = Simulator(seed=3, first_day=date(2026, 11, 17), conversations_per_day=6, now=NOW)
    with simulator.serve() as running, httpx.Client(base_url=running.url, timeout=30) as http:
        yield http


@pytest.fixture
def tool(http: httpx.Client, tmp_path: Path) -> Tool:
    return Tool(http, tmp_path)


def read(paths: list[str], **how: Any) -> tuple[dict[str, dict[str, Any]], archives.Provenance]:
    """The rows by identifier, each of which comes once."""
    reading = archives.read(paths, options=archives.Options(**how))
    rows = pa.Table.from_batches(reading.batches(), archives.ENTRIES).to_pylist()
    found = {row["entry_identifier"]: row for row in rows}
    assert len(found) == len(rows)
    return found, reading.provenance


def same(rows: dict[str, dict[str, Any]], truth: dict[str, dict[str, Any]], *names: str) -> bool:
    return {key: [row[name] for name in names] for key, row in rows.items()} == {
        key: [row[name] for name in names] for key, row in truth.items()
    }


def milliseconds(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


def test_an_export_in_many_parts_is_read_whole(tool):
    """
    Every entry once, with conversation, type, role and time as they are in the org; complete by the manifests.
    """
    paths, truth = tool.drop(export_part_bytes=20_000)
    rows, provenance = read(paths)
    for row in rows.values():
        row["transcripted_timestamp"] = milliseconds(row["transcripted_timestamp"])

    assert same(rows, truth, "conversation_identifier", "entry_type", "sender_role", "transcripted_timestamp")
    assert (len(paths) > 1, provenance.complete, provenance.promised) == (True, True, len(truth))
    assert [found.paths for found in archives.sets(paths)] == [tuple(paths)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252", "shift_jis"])
@pytest.mark.parametrize("delimiter", ["SEMICOLON", "TAB", "PIPE"])
def test_encodings_and_delimiters_are_found(tool, encoding, delimiter):
    """
    Every entry is there, whichever way the text is written.
    """
    paths, truth = tool.drop(export_encoding=encoding, export_delimiter=delimiter)
    rows, provenance = read(paths, fallback_encoding=encoding)

    assert same(rows, truth, "conversation_identifier", "entry_type")
    assert provenance.complete is True


def test_json_lines_tell_the_text_and_not_the_payload(tool):
    """
    Spelling B: what it lacks is null, the client's time stands in for the server's.
    """
    paths, truth = tool.drop(export_layout="jsonl")
    rows, _ = read(paths)
    saying = {key: row for key, row in truth.items() if row["text"]}

    assert same({key: row for key, row in rows.items() if row["text"]}, saying, "conversation_identifier", "text")
    assert {row["payload"] for row in rows.values()} == {None}
    assert all(row["transcripted_timestamp"] == row["client_timestamp"] for row in rows.values())


def test_a_file_a_conversation_is_read_whole(tool):
    """
    Spelling C with payload: nothing is missing.
    """
    paths, truth = tool.drop(export_layout="json_per_conversation")
    rows, provenance = read(paths)

    assert same(rows, truth, "conversation_identifier", "entry_type", "sender_role")
    assert provenance.complete is True


@pytest.mark.parametrize("corruption", ["nested_zip", "gzip_members", "repeated_member"])
def test_odd_and_sound_exports_are_read_whole(tool, corruption):
    """
    Packed once more, or with a member twice.
    """
    paths, truth = tool.drop(export_corruption=corruption)

    assert set(read(paths)[0]) == set(truth)


@pytest.mark.parametrize("corruption", ["half_zip", "wrong_crc", "encrypted", "mixed_encodings"])
def test_a_spoilt_part_is_quarantined_and_the_others_are_read(tool, corruption):
    """
    Nothing of the first part, everything of the others; the set is not complete.
    """
    paths, truth = tool.drop(export_part_bytes=20_000, export_corruption=corruption)
    rows, provenance = read(paths)
    others, _ = read(paths[1:])

    assert set(rows) == set(others) < set(truth)
    assert len(provenance.quarantined) == 1
    assert not provenance.complete


@pytest.mark.parametrize(
    "corruption", ["bomb", "path_traversal", "other_member_of_the_name", "half_gzip", "broken_row"]
)
def test_what_is_wrong_beside_the_entries_takes_none_away(tool, corruption):
    """
    Every entry is read, and what was wrong is on record.
    """
    paths, truth = tool.drop(export_corruption=corruption)
    rows, provenance = read(paths)

    assert set(rows) == set(truth)
    assert len(provenance.quarantined) + provenance.quarantined_rows.total() == 1


def test_a_missing_part_is_noticed(tool):
    """
    The manifests promise one more.
    """
    paths, truth = tool.drop(export_part_bytes=20_000, export_corruption="missing_part")
    rows, provenance = read(paths)

    assert set(rows) < set(truth)
    assert provenance.complete is False
