"""The archive road: from a file that is dropped into a folder to the days of its entries."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from conversation_pipeline.defs.landing.archive import ArchiveLanding, LandedArchive, arrived, land_archive
from conversation_pipeline.schemas.conversations import (
    CONVERSATION_API_LOG,
    CONVERSATION_ENTRIES,
    CONVERSATIONS,
    ENTRIES_ARCHIVE,
    ENTRIES_ARCHIVE_UNPLACED,
    TRANSCRIPT_ARCHIVES,
)
from conversation_pipeline.schemas.erasures import ERASURES
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.simulator.exports.drop import dropped
from conversation_pipeline.storage.store import Store
from conversation_pipeline_tests.archives.conftest import NOON, entry, table, uid, zipped
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, QUIET, SPINE, Control, Project, project_for
from conversation_pipeline_tests.pipeline.looks import Looks

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

    def fails(self, name: str) -> str:
        """Lands an archive that cannot be landed; returns what the run says."""
        with pytest.raises(dg.Failure) as failed:
            self.land(name)
        return str(failed.value.description)

    def later(self, minutes: int) -> None:
        """The sensor's last requests were made so long ago."""
        cursor = json.loads(self.cursors["archives_arrived"] or "")
        for told in cursor["requested"].values():
            told["at"] -= minutes * 60
        self.cursors["archives_arrived"] = json.dumps(cursor)

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


def test_files_about_an_export_are_no_archives(drop: Drop) -> None:
    """A manifest or a read-me beside the parts is taken for no export."""
    for name in ("manifest.json", "README.txt", "schema.csv"):
        (drop.folder / name).write_text("{}")
    name = drop.archive("2026-01-10", [entry(1)])

    assert list(arrived(Store(str(drop.folder)))) == [name]


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


def test_parts_without_a_manifest_are_waited_for_until_it_is_quiet(drop: Drop) -> None:
    """Nothing says how many there are: they are taken once none has come for six hours."""
    for part in (1, 2):
        (drop.folder / f"export_2026-01-10_{part}.zip").write_bytes(zipped(("e.csv", table([entry(part)]))))
    drop.tick()
    waiting = drop.tick()
    long_ago = time.time() - timedelta(hours=7).total_seconds()
    for part in (1, 2):
        os.utime(drop.folder / f"export_2026-01-10_{part}.zip", (long_ago, long_ago))
    drop.tick()

    assert requested(waiting) == []
    assert "no manifest says how many parts" in waiting.skip_message
    assert requested(drop.tick()) == ["export_2026-01-10"]


def test_parts_of_two_requests_under_one_name_are_two_archives(drop: Drop) -> None:
    """The browser numbers downloads on: the manifests tell the days of the requests."""
    for part, taken in ((1, "2026-01-10"), (2, "2026-01-17")):
        name = drop.archive(taken, [entry(part)])
        (drop.folder / f"{name}_1.zip").rename(drop.folder / f"download ({part}).zip")
    drop.tick()

    looks = [requested(drop.tick()), requested(drop.tick())]

    assert looks == [["download_2026-01-10"], ["download_2026-01-17"]]


def test_a_landing_that_failed_is_asked_for_again_and_not_for_ever(drop: Drop) -> None:
    """After five minutes, after an hour, and then the sensor says that a person is needed."""
    name = drop.archive("2026-01-10", [])
    looks = []
    drop.tick()
    for minutes in (0, 4, 2, 59, 2, 10_000):
        drop.later(minutes) if drop.cursors["archives_arrived"] else None
        told = drop.tick()
        looks.append(requested(told))
        if requested(told):
            drop.fails(name)

    assert looks == [[name], [], [name], [], [name], []]
    assert "failed 3 times" in told.skip_message


def test_a_landing_that_worked_is_not_asked_for_again(drop: Drop) -> None:
    """However long ago it was."""
    name = drop.archive("2026-01-10", [entry(1)])
    drop.tick()
    drop.tick()
    drop.land(name)
    drop.later(10_000)

    assert requested(drop.tick()) == []


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

    told = drop.land("copy_2026-01-10")  # with the day that the manifest tells, since the name tells none

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


@pytest.mark.parametrize("same", [False, True], ids=["two archives", "one archive twice"])
def test_archives_that_are_landed_side_by_side_lose_nothing(drop: Drop, same: bool) -> None:
    """They have days in common, and rows of their own there; the newer one counts for what both have."""
    old = drop.archive("2026-01-10", [*many(0, 3_000, role="EndUser"), *many(5_000, 6_000)])
    new = drop.archive("2026-01-17", [*many(0, 3_000, role="Agent"), *many(7_000, 8_000)])
    named = [new, new] if same else [old, new]
    start = threading.Barrier(2)

    def land(name: str) -> None:
        start.wait()
        landing = ArchiveLanding(Store(str(drop.folder)), drop.project.lake, name, logging.getLogger(name))
        land_archive(landing, arrived(landing.folder)[name], LandedArchive())

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(land, named))

    rows = {name: row for day in (DAY, "2025-11-19") for name, row in drop.rows(day).items()}
    assert len(rows) == (4_000 if same else 5_000)
    assert {rows[uid(number)]["sender_role"] for number in range(3_000)} == {"Agent"}
    assert {one["archive_set"] for one in drop.project.rows(TRANSCRIPT_ARCHIVES).to_pylist()} == set(named)
    since = datetime(2026, 1, 17, 6, tzinfo=UTC)
    assert same or {rows[uid(number)]["missing_since"] for number in range(5_000, 6_000)} == {since}


def many(first: int, last: int, role: str = "Agent") -> list[Row]:
    """Entries on two days."""
    day = 24 * 3600 * 1000
    return [
        entry(number, sender=json.dumps({"role": role}), transcripted_timestamp=NOON + number + number % 2 * day)
        for number in range(first, last)
    ]


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


def test_what_could_not_be_read_is_told_until_it_is_mended(drop: Drop) -> None:
    """Another archive, even a sound one, changes nothing about it; the same one without the fault does."""
    spoilt = drop.archive("2026-01-17", [entry(1)], **{"more.csv": b""})
    drop.land(spoilt)
    drop.land(drop.archive("2026-01-10", [entry(1)]))
    after_another = drop.check("archive_read")
    drop.archive("2026-01-17", [entry(1)])
    drop.land(spoilt)

    assert (after_another.passed, "more.csv" in str(after_another.description)) == (False, True)
    assert drop.check("archive_read").passed


def test_a_newer_complete_archive_mends_what_an_older_one_lacked(drop: Drop) -> None:
    """It tells all of history again; one of which a part is missing does not."""
    drop.land(drop.archive("2026-01-10", [entry(1)], **{"more.csv": b""}))
    drop.land(drop.archive("2026-01-17", [entry(1)], part=1, parts=2))
    after_half = drop.check("archive_read").passed
    drop.land(drop.archive("2026-01-24", [entry(1)]))

    assert (after_half, drop.check("archive_read").passed) == (False, True)


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"entries.csv": b""}, "empty"),
        ({"entries.csv": b'"Name","Phone"\r\n"a","b"\r\n'}, "entries.csv tells something else"),
        ({"entries.csv": table([entry(1)]).split(b"\n")[0] + b"\n"}, "ask for another export"),
    ],
    ids=["empty member", "other table", "no row"],
)
def test_an_archive_without_an_entry_fails(drop: Drop, members: dict[str, bytes], why: str) -> None:
    """Nothing is landed, nothing counts as missing, and the check keeps saying so."""
    drop.land(drop.archive("2026-01-10", [entry(1)]))
    name = drop.archive("2026-01-17", [], **members)

    said = drop.fails(name)

    assert "holds no entry" in said
    assert why in said
    assert [row["missing_since"] for row in drop.rows().values()] == [None]
    assert not drop.check("archive_read").passed


def test_a_landing_tells_how_far_it_is(drop: Drop, caplog: pytest.LogCaptureFixture) -> None:
    """How many entries, what share, how fast, and how long it still takes."""
    name = drop.archive("2026-01-10", [entry(number) for number in range(3_000)])
    log = logging.getLogger("archive")
    landing = ArchiveLanding(Store(str(drop.folder)), drop.project.lake, "run", log, seconds_between_lines=0.001)

    with caplog.at_level(logging.INFO, "archive"):
        land_archive(landing, arrived(landing.folder)[name], LandedArchive())

    told = "\n".join(caplog.messages)
    assert re.search(rf"{name}: [\d,]+ entries read, \d+% of it, [\d,]+ a second, [\d.]+ minutes left to read", told)
    assert re.search(rf"{name}: \d of 1 days written", told)


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


def files(drop: Drop) -> list[str]:
    return sorted(file.name for file in drop.folder.iterdir())


@pytest.mark.parametrize(("days", "left"), [("", 1), ("1", 1), ("0", 0)], ids=["for good", "a day", "not at all"])
def test_a_landed_archive_stays_for_as_long_as_the_setting_says(drop: Drop, days: str, left: int) -> None:
    """By default for good: it is the owner's, and no other can be had for seven days."""
    drop.project.environment["CONVERSATION_ARCHIVE_KEEP_DAYS"] = days or "1000"
    if not days:
        del drop.project.environment["CONVERSATION_ARCHIVE_KEEP_DAYS"]

    told = drop.land(drop.archive("2026-01-10", [entry(1)]))

    assert (len(files(drop)), told["archives_removed"]) == (left, 1 - left)
    assert list(drop.rows()) == [uid(1)]


def test_an_archive_s_age_is_looked_at_every_night(drop: Drop) -> None:
    """By the asset erasures, where raw answers end, too; copies under other names are told by their content."""
    name = drop.archive("2026-01-10", [entry(1)])
    drop.land(name)
    (drop.folder / "copy.zip").write_bytes((drop.folder / f"{name}_1.zip").read_bytes())
    other = drop.archive("2026-01-17", [entry(1), entry(2)])
    drop.project.environment["CONVERSATION_ARCHIVE_KEEP_DAYS"] = "0"

    drop.project.materialize_asset("erasures")

    assert files(drop) == [f"{other}_1.zip"]
    assert drop.project.metadata("erasures")["archives_removed"] == 2


@pytest.mark.parametrize("fault", ["a spoilt member", "a missing part", "a row without a place"])
def test_an_archive_that_was_not_landed_whole_is_not_removed_by_age(drop: Drop, fault: str) -> None:
    """What is left in it is nowhere else."""
    drop.project.environment["CONVERSATION_ARCHIVE_KEEP_DAYS"] = "0"
    rows = [entry(1), entry(2, transcripted_timestamp="", client_timestamp="")]
    more = {"more.csv": b""} if fault == "a spoilt member" else {}
    name = drop.archive("2026-01-10", rows if "row" in fault else rows[:1], parts=2 if "part" in fault else 1, **more)

    drop.land(name)

    assert files(drop) == [f"{name}_1.zip"]


def test_archives_that_hold_words_of_the_erased_are_removed(drop: Drop) -> None:
    """All that were taken before: each tells all of history. One that was taken later stays, without them."""
    names = [drop.archive(f"2026-01-{day}", [entry(1), entry(20)]) for day in ("10", "17")]
    for name in names:
        drop.land(name)
    later = drop.archive("2026-03-01", [entry(20)])
    drop.land(later)
    erase(drop, str(entry(1)["conversation_identifer"]), datetime(2026, 2, 1, tzinfo=UTC))

    drop.project.materialize_asset("erasures")

    assert files(drop) == [f"{later}_1.zip"]
    assert drop.project.metadata("erasures")["archives_removed_for_erasure"] == 2
    assert list(drop.rows()) == [uid(20)]


def test_an_old_archive_that_arrives_after_an_erasure_does_not_stay(drop: Drop) -> None:
    """Its landing finds the erased in it and leaves them out: the rest is landed, and the file goes."""
    erase(drop, str(entry(1)["conversation_identifer"]), datetime(2026, 2, 1, tzinfo=UTC))
    drop.project.materialize_asset("erasures")

    told = drop.land(drop.archive("2026-01-10", [entry(1), entry(20)]))

    assert (files(drop), list(drop.rows())) == ([], [uid(20)])
    assert (told["rows_of_erased"], told["archives_removed_for_erasure"]) == (1, 1)


def test_an_erasure_of_somebody_who_is_in_no_archive_removes_none(drop: Drop) -> None:
    """The owner's files go for a reason only."""
    name = drop.archive("2026-01-10", [entry(1)])
    drop.land(name)
    erase(drop, "c-of-somebody-else", datetime(2026, 2, 1, tzinfo=UTC))

    drop.project.materialize_asset("erasures")

    assert files(drop) == [f"{name}_1.zip"]


def erase(drop: Drop, conversation: str, completed: datetime) -> None:
    """The org's log says that it has deleted a conversation for good."""
    record, day = "0dwAA0000000001AAA", completed.date().isoformat()
    rows = {
        CONVERSATIONS: {"id": record, "conversation_identifier": conversation, "created_date": completed},
        CONVERSATION_API_LOG: {
            "id": "0aaAA0000000001AAA", "requested_entity_type": "Conversation", "requested_entity_identifier": record,
            "status": "Completed", "action": "Delete", "created_date": completed, "system_modstamp": completed,
        },
    }  # fmt: skip
    for dataset, row in rows.items():
        batch = pa.RecordBatch.from_pylist([row], schema=dataset.schema)
        drop.project.lake.replace(dataset, day, [batch], run_id="test")


def test_an_entry_that_stands_twice_in_an_archive_is_landed_once(drop: Drop) -> None:
    """Exports overlap at their parts' edges."""
    told = drop.land(drop.archive("2026-01-10", [entry(1), entry(2), entry(1)]))

    assert (len(drop.rows()), told["dagster/partition_row_count"]) == (2, 3)


def test_days_before_the_start_are_told(drop: Drop) -> None:
    """They are in the lake, but no partition unites them."""
    drop.project.environment["CONVERSATION_START_DATE"] = "2025-11-19"

    looks = Looks(drop.project.instance, drop.project.definitions())
    looks.requested()

    told = drop.land(drop.archive("2026-01-10", [entry(1)]))

    assert (told["days"], told["days_before_start"], len(drop.rows())) == (1, 1, 1)
    assert not looks.requested()


def test_changed_days_are_requested_once(drop: Drop) -> None:
    """The sensor on models unites them; the same archive once more changes nothing."""
    looks = Looks(drop.project.instance, drop.project.definitions())
    looks.requested()
    name = drop.archive("2026-01-10", [entry(1)])
    drop.land(name)

    first = looks.requested()
    drop.land(name)

    assert DAY in first["conversation_entries"]
    assert not looks.requested()


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
