"""The archive road: from a file that is dropped into a folder to the days of its entries."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from conversation_pipeline.schemas.conversations import (
    CONVERSATION_ENTRIES,
    ENTRIES_ARCHIVE,
    ENTRIES_ARCHIVE_UNPLACED,
    TRANSCRIPT_ARCHIVES,
)
from conversation_pipeline.schemas.erasures import ERASURES
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.simulator.exports.drop import dropped
from conversation_pipeline.storage.store import Store
from conversation_pipeline_tests.archives.conftest import entry, table, uid, zipped
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, QUIET, SPINE, Control, Project, project_for

DAY = "2025-11-18"  # of the entries that the tests of archives make by hand
ASSET = TRANSCRIPT_ARCHIVES.name
Row = dict[str, Any]


@dataclass
class Drop:
    """A folder in which archives arrive, and a project that reads it; no org is needed for that."""

    folder: Path
    project: Project
    cursors: dict[str, str | None] = field(default_factory=dict)

    def archive(self, taken: str, rows: Sequence[Row], *, part: int = 1, parts: int = 1, **others: bytes) -> str:
        """Drops an export taken on that day; returns the name of its partition."""
        manifest = {"completedAt": f"{taken}T06:00:00Z", "part": part, "parts": parts, "entryCount": len(rows)}
        members = {"manifest.json": json.dumps(manifest).encode(), "entries.csv": table(list(rows))} | others
        (self.folder / f"export_{taken}_{part}.zip").write_bytes(zipped(*members.items()))
        return f"export_{taken}"

    def land(self, name: str, **config: Any) -> Row:
        """Lands an archive as the sensor would; returns the metadata."""
        instance = self.project.instance
        instance.add_dynamic_partitions(ASSET, [name])
        job = self.project.definitions().get_implicit_global_asset_job_def()
        job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(ASSET)],
            partition_key=name,
            run_config={"ops": {ASSET: {"config": config}}, **QUIET},
        )
        return self.project.metadata(ASSET, name)

    def rows(self, day: str = DAY) -> dict[str, Row]:
        return {row["entry_identifier"]: row for row in self.project.rows(ENTRIES_ARCHIVE, day).to_pylist()}

    def tick(self, name: str = "archives_arrived") -> Any:
        """One look of a sensor, as the daemon does it."""
        definitions, instance = self.project.definitions(), self.project.instance
        with dg.build_sensor_context(
            instance=instance,
            instance_ref=instance.get_ref(),
            cursor=self.cursors.get(name),
            resources={"archives": Store(str(self.folder))},
            definitions=definitions,
        ) as context:
            told = definitions.get_sensor_def(name).evaluate_tick(context)
        self.cursors[name] = told.cursor or self.cursors.get(name)
        for request in told.dynamic_partitions_requests or ():
            instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        return told

    def check(self, name: str, asset: str = ASSET) -> Any:
        """The newest evaluation of a check."""
        key = dg.AssetCheckKey(dg.AssetKey(asset), name)
        [record] = self.project.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        return record.evaluation


@pytest.fixture
def drop(tmp_path: Path) -> Iterator[Drop]:
    folder = tmp_path / "archives"
    folder.mkdir()
    environment = {
        "SALESFORCE_INSTANCE_URL": "http://127.0.0.1:9",
        "CONVERSATION_ROADS": "archive",
        "CONVERSATION_START_DATE": "2025-11-01",
        "CONVERSATION_ARCHIVES": str(folder),
        **{f"CONVERSATION_{name.upper()}": str(tmp_path / name) for name in ("lake", "staging", "warehouse", "quotas")},
    }
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        yield Drop(folder, Project(tmp_path, environment, instance=instance))


def requested(told: Any) -> list[str]:
    return [request.partition_key for request in told.run_requests or ()]


def test_an_archive_is_taken_once_it_stands_still(drop: Drop) -> None:
    """The first look only remembers its size; the second finds it unchanged and requests it; a third asks no more."""
    name = drop.archive("2026-01-10", [entry(1)])

    looks = [requested(drop.tick()) for _ in range(3)]

    assert looks == [[], [name], []]


def test_an_archive_that_grows_is_left_alone(drop: Drop) -> None:
    """What is still being copied has another size at every look."""
    drop.archive("2026-01-10", [entry(1)])
    drop.tick()
    name = drop.archive("2026-01-10", [entry(1), entry(2)])

    looks = [requested(drop.tick()) for _ in range(2)]

    assert looks == [[], [name]]


def test_parts_are_waited_for(drop: Drop) -> None:
    """As many as the manifest promises."""
    drop.archive("2026-01-10", [entry(1)], part=1, parts=2)
    drop.tick()
    waiting = drop.tick()
    name = drop.archive("2026-01-10", [entry(2)], part=2, parts=2)
    drop.tick()

    assert requested(waiting) == []
    assert "1 of 2 parts" in waiting.skip_message
    assert requested(drop.tick()) == [name]


def test_parts_are_not_waited_for_for_ever(drop: Drop) -> None:
    """After a quiet time what is there is taken, and known to be incomplete."""
    name = drop.archive("2026-01-10", [entry(1)], part=1, parts=2)
    long_ago = time.time() - timedelta(hours=7).total_seconds()
    os.utime(drop.folder / f"{name}_1.zip", (long_ago, long_ago))
    drop.tick()

    assert requested(drop.tick()) == [name]
    assert drop.land(name)["is_complete"] == "False"


def test_an_archive_of_other_content_under_the_same_name_is_taken_again(drop: Drop) -> None:
    """The name of a file is no identity."""
    name = drop.archive("2026-01-10", [entry(1)])
    first = [requested(drop.tick()) for _ in range(2)]
    drop.archive("2026-01-10", [entry(1), entry(2)])

    assert [*first, *(requested(drop.tick()) for _ in range(2))] == [[], [name], [], [name]]


def test_an_archive_s_content_is_on_record(drop: Drop) -> None:
    """Which files, how they were written, how many rows, and whether all parts are there."""
    name = drop.archive("2026-01-10", [entry(1), entry(2)])

    told = drop.land(name)

    [row] = drop.project.rows(TRANSCRIPT_ARCHIVES).to_pylist()
    [manifest, member] = row["members"]
    assert (row["archive"], row["archive_set"], row["rows"], row["is_complete"]) == (f"{name}_1.zip", name, 2, True)
    assert (member["name"], member["format"], member["encoding"], member["rows"]) == ("entries.csv", "csv", "utf-8", 2)
    assert manifest["outcome"] == "metadata"
    assert told["sha256"] == {f"{name}_1.zip": row["sha256"]}


def test_the_same_archive_costs_nothing_the_second_time(drop: Drop) -> None:
    """Whatever it is called; unless it is asked for on purpose."""
    name = drop.archive("2026-01-10", [entry(1)])
    drop.land(name)
    (drop.folder / "copy.zip").write_bytes((drop.folder / f"{name}_1.zip").read_bytes())

    told = drop.land("copy")

    assert (told["known"], told["days_changed"]) == (True, 0)
    assert drop.land(name, read_again=True)["known"] is False


def test_the_newest_archive_counts_whichever_comes_last(drop: Drop) -> None:
    """A redaction that a newer export tells is not undone by an older one."""
    old = drop.archive("2026-01-10", [entry(1, sender='{"role": "EndUser"}'), entry(2)])
    new = drop.archive("2026-01-17", [entry(1, sender='{"role": "Agent"}'), entry(2)])
    drop.land(new)

    drop.land(old)

    assert drop.rows()[uid(1)]["sender_role"] == "Agent"
    assert {row["archive"] for row in drop.rows().values()} == {f"{new}_1.zip"}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["older first", "newer first"])
def test_what_a_newer_complete_archive_lacks_is_flagged(drop: Drop, order: tuple[int, int]) -> None:
    """It stays, with the time since when it is missing; also on days of which the newer one tells nothing."""
    next_day = 24 * 3600 * 1000
    gone = [entry(2), entry(3, transcripted_timestamp=int(entry(3)["transcripted_timestamp"]) + next_day)]
    names = [drop.archive("2026-01-10", [entry(1), *gone]), drop.archive("2026-01-17", [entry(1)])]

    for place in order:
        drop.land(names[place])

    since = datetime(2026, 1, 17, 6, tzinfo=UTC)
    rows = drop.rows() | drop.rows("2025-11-19")
    assert {key: row["missing_since"] for key, row in rows.items()} == {uid(1): None, uid(2): since, uid(3): since}


def test_an_incomplete_archive_says_nothing_about_what_it_lacks(drop: Drop) -> None:
    """Of two parts one is there: the other may hold it."""
    drop.land(drop.archive("2026-01-10", [entry(1), entry(2)]))

    drop.land(drop.archive("2026-01-17", [entry(1)], part=1, parts=2))

    assert [row["missing_since"] for row in drop.rows().values()] == [None, None]


def test_what_is_told_again_is_missing_no_more(drop: Drop) -> None:
    """An entry that came back with a newer archive carries no flag."""
    for day, rows in (("10", [entry(1)]), ("17", [entry(2)]), ("24", [entry(1), entry(2)])):
        drop.land(drop.archive(f"2026-01-{day}", rows))

    assert [row["missing_since"] for row in drop.rows().values()] == [None, None]


def test_a_spoilt_member_is_told_and_the_others_are_landed(drop: Drop) -> None:
    """The check fails and says which file and why; the archive does not count as complete."""
    name = drop.archive("2026-01-10", [entry(1)], **{"more.csv": b""})

    told = drop.land(name)

    assert list(drop.rows()) == [uid(1)]
    assert told["members_quarantined"] == 1
    assert (told["is_complete"], drop.check("archive_read").passed) == ("False", False)
    assert "more.csv" in str(drop.check("archive_read").description)


def test_rows_without_a_place_are_kept_aside_and_counted(drop: Drop) -> None:
    """Without a time, or of a conversation of which only a record id is told that the lake does not know."""
    lost = [
        entry(2, transcripted_timestamp="", client_timestamp=""),
        entry(3, conversation_identifer="", conversationId="0dwAA0000000001AAA"),
    ]
    told = drop.land(drop.archive("2026-01-10", [entry(1), *lost]))

    rows = drop.project.rows(ENTRIES_ARCHIVE_UNPLACED).to_pylist()
    assert sorted(told["rows_unplaced"].values()) == [1, 1]
    assert {row["entry_identifier"]: row["reason"] for row in rows} == {
        uid(2): "no time",
        uid(3): "a conversation that is not in the lake",
    }
    assert list(drop.rows()) == [uid(1)]


def test_whom_the_org_has_erased_does_not_come_back(drop: Drop) -> None:
    """An old archive still tells of them; their rows are left out, and counted."""
    theirs = str(entry(1)["conversation_identifer"])
    nothing: dict[str, list[Row]] = {name: [] for name in ("record_ids", "rows_removed", "answers_removed")}
    erasure = {"id": "e", "conversation_identifiers": [theirs], **nothing}
    batch = pa.RecordBatch.from_pylist([erasure], schema=ERASURES.schema)
    drop.project.lake.replace(ERASURES, None, [batch], run_id="test")

    told = drop.land(drop.archive("2026-01-10", [entry(1), entry(20)]))

    assert (list(drop.rows()), told["rows_of_erased"]) == ([uid(20)], 1)


def test_an_entry_that_stands_twice_in_an_archive_is_landed_once(drop: Drop) -> None:
    """Exports overlap at their parts' edges."""
    told = drop.land(drop.archive("2026-01-10", [entry(1), entry(2), entry(1)]))

    assert (len(drop.rows()), told["dagster/partition_row_count"]) == (2, 3)


def test_days_before_the_start_are_told(drop: Drop) -> None:
    """They are in the lake, but no partition unites them."""
    drop.project.environment["CONVERSATION_START_DATE"] = "2025-11-19"

    told = drop.land(drop.archive("2026-01-10", [entry(1)]))

    assert (told["days"], told["days_before_start"], len(drop.rows())) == (1, 1, 1)
    assert drop.tick("archive_days_landed").run_requests in ([], None)


def test_changed_days_are_requested_once(drop: Drop) -> None:
    """What is made of entries is asked for from the days on which sessions that reach into them began."""
    drop.land(drop.archive("2026-01-10", [entry(1)]))

    first, second = drop.tick("archive_days_landed"), drop.tick("archive_days_landed")

    [request] = first.run_requests
    days = [request.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end")]
    assert days == ["2025-11-11", DAY]
    assert not second.run_requests


@pytest.mark.parametrize(("age", "passed"), [(29, True), (31, False)])
def test_an_old_archive_is_told(drop: Drop, age: int, passed: bool) -> None:
    """The check warns, and says how soon Salesforce allows the next export."""
    taken = (datetime.now(UTC) - timedelta(days=age)).date().isoformat()
    drop.land(drop.archive(taken, [entry(1)]))

    evaluate_age(drop)

    result = drop.check("archive_age", ENTRIES_ARCHIVE.name)
    assert (result.passed, result.severity) == (passed, dg.AssetCheckSeverity.WARN)
    assert passed or "7 days after the one before at the soonest" in str(result.description)


def evaluate_age(drop: Drop) -> None:
    key = dg.AssetCheckKey(dg.AssetKey(ENTRIES_ARCHIVE.name), "archive_age")
    job = dg.define_asset_job("age", selection=dg.AssetSelection.checks(key))
    definitions = dg.Definitions.merge(drop.project.definitions(), dg.Definitions(jobs=[job]))
    definitions.resolve_job_def("age").execute_in_process(instance=drop.project.instance)


@pytest.mark.parametrize("layout", ["csv", "json_per_conversation"])
def test_an_export_of_the_org_is_united_with_the_other_roads(tmp_path: Path, layout: str) -> None:
    """Whatever its layout, each of its entries is the entry that the other road told, and nothing is told twice."""
    day = FIRST_DAY.isoformat()
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=6, now=NOW).serve() as running:
        control = Control(running.url)
        project = project_for(running.url, tmp_path / "project", roads=("conversation_data", "archive"))
        project.environment["CONVERSATION_ARCHIVES"] = str(tmp_path / "archives")
        [file] = dropped(running.url, tmp_path / "archives", layout=layout)
        with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
            project.instance = instance
            Drop(tmp_path / "archives", project).land(file.name.removesuffix("_1.zip"))
            project.materialize(day, assets=SPINE)
        truth = control.true_entries(day)

    rows = project.rows(CONVERSATION_ENTRIES, day).to_pylist()
    assert sorted((row["conversation_identifier"], row["entry_identifier"]) for row in rows) == sorted(truth)
    assert {tuple(row["roads_seen"]) for row in rows} == {("archive", "conversation_data")}
    assert {row["road"] for row in rows} == {"conversation_data"}
