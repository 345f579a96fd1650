"""
The warehouse: what a landing applies, what readers see meanwhile, and what happens when the file is no good.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from conversation_pipeline.kill_points import KillPoint
from conversation_pipeline.schemas import Dataset, Field
from conversation_pipeline.schemas.messaging import MESSAGING_DELIVERY_ERRORS
from conversation_pipeline.storage import Lake, Landed, StorageError, Warehouse, WarehouseError
from conversation_pipeline_tests.storage.things import (
    ENTRIES,
    FIELDS,
    MIDNIGHT,
    QUEUES,
    batches,
    land,
    row,
    rows,
    run,
    start,
)

FIRST, SECOND, THIRD = "2026-11-01", "2026-11-02", "2026-11-03"
BOTH = (ENTRIES, QUEUES)
WIDER = replace(ENTRIES, fields=(*FIELDS, Field("mood", pa.string(), "How it felt.")), version=2)

READER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "read")
count = "SELECT count(*) FROM entries"
print(connection.execute(count).fetchall()[0][0], flush=True)
sys.stdin.readline()
print(connection.execute(count).fetchall()[0][0], flush=True)
"""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Two days of entries, ten rows each, and one queue."""
    lake = Lake(str(tmp_path / "lake"))
    for day in (FIRST, SECOND):
        write(lake, day, 10)
    lake.replace(QUEUES, None, batches([{"id": "q", "label": "Sales"}], dataset=QUEUES), run_id="r")
    return lake


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "w.duckdb")


def write(lake: Lake, day: str, count: int, text: str = "hello") -> None:
    lake.replace(ENTRIES, day, batches(rows(count, text)), run_id="r")


def query(warehouse: Warehouse, statement: str) -> list[Any]:
    """
    What a new reader sees. By a name of its own, since DuckDB keeps files open by name within a process.
    """
    alias = warehouse.path.with_name("reader.duckdb")
    alias.unlink(missing_ok=True)
    alias.hardlink_to(warehouse.path)
    with duckdb.connect(str(alias), read_only=True) as connection:
        return list(connection.execute(statement).fetchall())


def counts(warehouse: Warehouse) -> dict[str, int]:
    return dict(query(warehouse, "SELECT day::VARCHAR, count(*) FROM entries GROUP BY 1"))


def landed_at(warehouse: Warehouse) -> dict[object, object]:
    entries = query(warehouse, 'SELECT dataset, "partition", epoch_us(landed_at) FROM _landed')
    return {f"{dataset} {partition}": instant for dataset, partition, instant in entries}


def test_every_dataset_becomes_a_table(lake: Lake, warehouse: Warehouse) -> None:
    """
    The first landing makes the file: all rows and columns, the folder's day as a date at the end.
    """
    landing = warehouse.land(lake, BOTH)

    assert landing.applied == {"entries": (FIRST, SECOND), "queues": (None,)}
    assert (landing.rows, landing.removed, landing.rebuilt) == (21, {}, False)
    assert landing.bytes == warehouse.path.stat().st_size
    assert counts(warehouse) == {FIRST: 10, SECOND: 10}
    assert query(warehouse, "SELECT * FROM queues") == [("q", "Sales")]
    described = query(warehouse, "SELECT column_name, replace(column_type, '\"', '') FROM (DESCRIBE entries)")
    assert described == [
        ("conversation", "VARCHAR"),
        ("entry", "BIGINT"),
        ("said_at", "TIMESTAMP WITH TIME ZONE"),
        ("text", "VARCHAR"),
        ("score", "DOUBLE"),
        ("by_bot", "BOOLEAN"),
        ("due", "DATE"),
        ("related", "VARCHAR[]"),
        ("options", "STRUCT(label VARCHAR, position BIGINT)[]"),
        ("day", "DATE"),
    ]


def test_values_are_the_lakes(lake: Lake, warehouse: Warehouse) -> None:
    """
    A row in the warehouse is the row in the lake: instants in UTC, lists and structs whole.
    """
    warehouse.land(lake, BOTH)

    told = query(
        warehouse,
        "SELECT text, score, by_bot, due, related, options, epoch_ms(said_at) "
        "FROM entries WHERE entry = 5 AND day = DATE '2026-11-01'",
    )

    it = row(5)
    instant = int((it["said_at"]).timestamp() * 1000)
    assert told == [(it["text"], it["score"], False, it["due"], it["related"], it["options"], instant)]


def test_what_has_landed_is_not_touched_again(lake: Lake, warehouse: Warehouse) -> None:
    """
    Nothing changed in the lake: the file is the same one, to the byte and the second.
    """
    warehouse.land(lake, BOTH)
    before = warehouse.path.stat()

    landing = warehouse.land(lake, BOTH)

    assert (landing.applied, landing.removed, landing.rows) == ({}, {}, 0)
    after = warehouse.path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_only_what_changed_is_applied(lake: Lake, warehouse: Warehouse) -> None:
    """
    One day replaced, one new: these two land, and the ledger shows that the others were left alone.
    """
    warehouse.land(lake, BOTH)
    before = landed_at(warehouse)
    write(lake, SECOND, 4, "new")
    write(lake, THIRD, 3)

    landing = warehouse.land(lake, BOTH)

    assert landing.applied == {"entries": (SECOND, THIRD)}
    assert landing.rows == 7
    assert counts(warehouse) == {FIRST: 10, SECOND: 4, THIRD: 3}
    after = landed_at(warehouse)
    assert {name for name in after if after[name] != before.get(name)} == {
        f"entries {SECOND}",
        f"entries {THIRD}",
    }


def test_a_snapshot_is_replaced_whole(lake: Lake, warehouse: Warehouse) -> None:
    """
    A dataset without partitions holds just its present rows.
    """
    warehouse.land(lake, BOTH)
    lake.replace(QUEUES, None, batches([{"id": "p", "label": "Help"}], dataset=QUEUES), run_id="r")

    warehouse.land(lake, BOTH)

    assert query(warehouse, "SELECT * FROM queues") == [("p", "Help")]


def test_partitions_gone_from_the_lake_are_removed(lake: Lake, warehouse: Warehouse) -> None:
    """
    What the lake no longer holds, the warehouse does not either.
    """
    warehouse.land(lake, BOTH)
    shutil.rmtree(Path(lake.uri(ENTRIES, FIRST)).parent)

    landing = warehouse.land(lake, BOTH)

    assert (landing.applied, landing.removed) == ({}, {"entries": (FIRST,)})
    assert counts(warehouse) == {SECOND: 10}


def test_a_day_without_rows_lands_once(lake: Lake, warehouse: Warehouse) -> None:
    """
    An empty day is on the ledger, so it is known and not landed again.
    """
    lake.replace(ENTRIES, THIRD, [], run_id="r")

    assert THIRD in warehouse.land(lake, BOTH).applied["entries"]
    assert warehouse.land(lake, BOTH).applied == {}
    assert warehouse.summary([ENTRIES]) == [Landed("entries", 20, 3, FIRST, THIRD)]


def test_a_dataset_without_files_is_an_empty_table(warehouse: Warehouse, tmp_path: Path) -> None:
    """
    Models that read it work from the first day on.
    """
    warehouse.land(Lake(str(tmp_path / "empty")), BOTH)

    assert counts(warehouse) == {}
    assert warehouse.summary(BOTH) == [Landed("entries"), Landed("queues")]


def test_a_new_column_is_added_before_the_day(lake: Lake, warehouse: Warehouse) -> None:
    """
    Rows that landed before keep their place and are null there; day stays the last column.
    """
    warehouse.land(lake, BOTH)
    before = landed_at(warehouse)
    lake.replace(WIDER, SECOND, batches([row(3) | {"mood": "good"}], dataset=WIDER), run_id="r")

    warehouse.land(lake, [WIDER, QUEUES])

    assert query(warehouse, "SELECT mood, count(*) FROM entries GROUP BY 1 ORDER BY 1") == [
        ("good", 1),
        (None, 10),
    ]
    columns = query(warehouse, "SELECT column_name FROM (DESCRIBE entries)")
    assert columns[-2:] == [("mood",), ("day",)]
    assert landed_at(warehouse)[f"entries {FIRST}"] == before[f"entries {FIRST}"]


def test_a_column_of_another_type_lands_its_dataset_anew(lake: Lake, warehouse: Warehouse) -> None:
    """
    A table cannot hold both types, so it is made again from the lake.
    """
    warehouse.land(lake, BOTH)
    renumbered = tuple(replace(field, type=pa.string()) if field.name == "entry" else field for field in FIELDS)
    texts = replace(ENTRIES, fields=renumbered, version=2)
    for day in (FIRST, SECOND):
        lake.replace(texts, day, batches([row(1) | {"entry": "one"}], dataset=texts), run_id="r")

    warehouse.land(lake, [texts, QUEUES])

    assert query(warehouse, "SELECT entry, count(*) FROM entries GROUP BY 1") == [("one", 2)]


def test_a_dataset_with_a_day_of_its_own_keeps_one(lake: Lake, warehouse: Warehouse) -> None:
    """
    Where the rows have a column ``day``, no second one is added.
    """
    daily = Dataset(
        name="daily",
        grain="one row a day",
        group=ENTRIES.group,
        key=("day",),
        fields=(Field("day", pa.date32(), "The day.", required=True), Field("n", pa.int64(), "How many.")),
        partition_by="day",
    )
    lake.replace(daily, FIRST, batches([{"day": date(2026, 11, 1), "n": 7}], dataset=daily), run_id="r")

    warehouse.land(lake, [daily])

    assert query(warehouse, "SELECT * FROM daily") == [(date(2026, 11, 1), 7)]


def test_tables_and_columns_carry_their_meaning(lake: Lake, warehouse: Warehouse) -> None:
    """
    Comments come from the declarations, apostrophes included.
    """
    warehouse.land(lake, BOTH)

    tables = query(warehouse, "SELECT comment FROM duckdb_tables() WHERE table_name = 'queues'")
    columns = query(warehouse, "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'entries'")

    assert tables == [(QUEUES.grain,)]
    assert {(field.name, field.meaning) for field in FIELDS} < set(columns)
    assert "said_at" in str(dict(columns)["day"])


@pytest.mark.parametrize(("chosen", "number"), [("v1.0.0", 64), ("v1.5.0", 68)])
def test_the_file_opens_in_the_duckdb_it_is_meant_for(lake: Lake, tmp_path: Path, chosen: str, number: int) -> None:
    """
    The storage version asked for is in the file's header (64 is DuckDB 1.0's), after a second landing too.
    """
    warehouse = Warehouse(tmp_path / "w.duckdb", storage_version=chosen)
    warehouse.land(lake, BOTH)
    write(lake, THIRD, 3)
    warehouse.land(lake, BOTH)

    header = warehouse.path.read_bytes()[:20]

    assert header[8:12] == b"DUCK"
    assert int.from_bytes(header[12:20], "little") == number


def test_an_older_storage_version_rebuilds_the_file(lake: Lake, tmp_path: Path) -> None:
    """
    A file cannot be made older in place; the lake holds all it takes to write it anew.
    """
    Warehouse(tmp_path / "w.duckdb", storage_version="v1.5.0").land(lake, BOTH)
    older = Warehouse(tmp_path / "w.duckdb", storage_version="v1.0.0")
    write(lake, THIRD, 3)

    assert older.land(lake, BOTH).rebuilt
    assert older.path.read_bytes()[12] == 64
    assert counts(older) == {FIRST: 10, SECOND: 10, THIRD: 3}


@pytest.mark.parametrize("how", ["read", "write"])
def test_an_open_reader_is_neither_blocked_nor_in_the_way(lake: Lake, warehouse: Warehouse, how: str) -> None:
    """
    A notebook has the file open, to read or as DuckDB does by default: landing goes through, the notebook
    keeps its rows, and whoever opens the file next sees the new ones.
    """
    warehouse.land(lake, BOTH)
    notebook = subprocess.Popen(
        [sys.executable, "-c", READER, str(warehouse.path), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert notebook.stdout is not None
    assert notebook.stdout.readline() == "20\n"
    write(lake, THIRD, 3)

    landing = warehouse.land(lake, BOTH)

    assert landing.applied == {"entries": (THIRD,)}
    assert not landing.rebuilt
    assert notebook.communicate("go on\n", timeout=60)[0] == "20\n"
    assert counts(warehouse) == {FIRST: 10, SECOND: 10, THIRD: 3}
    assert warehouse.land(lake, BOTH).applied == {}


def test_the_file_that_people_read_is_never_written(lake: Lake, warehouse: Warehouse) -> None:
    """
    Who has the old file open keeps it to the last byte: the new one is made beside it, then takes its name.
    """
    warehouse.land(lake, BOTH)
    old = warehouse.path.read_bytes()
    write(lake, THIRD, 3)
    with warehouse.path.open("rb") as held:
        warehouse.land(lake, BOTH)

        assert held.read() == old


def test_a_reader_in_the_same_process_does_not_hide_what_has_landed(lake: Lake, warehouse: Warehouse) -> None:
    """
    DuckDB hands out a file that is open in this process as it was opened; the ledger is read past that.
    """
    warehouse.land(lake, BOTH)
    with duckdb.connect(str(warehouse.path), read_only=True) as old:
        write(lake, THIRD, 3)
        warehouse.land(lake, BOTH)

        assert warehouse.land(lake, BOTH).applied == {}
        assert warehouse.summary([ENTRIES]) == [Landed("entries", 23, 3, FIRST, THIRD)]
        assert old.execute("SELECT count(*) FROM entries").fetchall() == [(20,)]


def test_what_others_wrote_into_the_file_does_not_spoil_the_next(
    lake: Lake, warehouse: Warehouse, tmp_path: Path
) -> None:
    """
    A notebook wrote and was killed: its unmerged changes lie beside the file and must not meet the new one.
    """
    warehouse.land(lake, BOTH)
    scribble = (
        "import os, sys, duckdb; c = duckdb.connect(sys.argv[1]); "
        "c.execute('INSERT INTO queues FROM queues'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", scribble, str(warehouse.path)], check=False)
    assert (tmp_path / "w.duckdb.wal").exists()
    write(lake, THIRD, 3)

    warehouse.land(lake, BOTH)

    with duckdb.connect(str(warehouse.path)) as fresh:
        assert fresh.execute("SELECT count(*) FROM queues").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "point", [KillPoint.WAREHOUSE_COPIED, KillPoint.WAREHOUSE_APPLIED, KillPoint.WAREHOUSE_RENAMED]
)
def test_a_killed_landing_leaves_the_old_or_the_new_and_the_next_repairs(
    lake: Lake, warehouse: Warehouse, tmp_path: Path, point: KillPoint
) -> None:
    """
    Killed at any step: the file opens with all of the old or all of the new, and the next landing cleans up.
    """
    warehouse.land(lake, BOTH)
    write(lake, SECOND, 4, "new")

    assert run(land, tmp_path, point)[0] == -9

    assert counts(warehouse) == {FIRST: 10, SECOND: 4 if point == KillPoint.WAREHOUSE_RENAMED else 10}
    land(tmp_path)
    assert counts(warehouse) == {FIRST: 10, SECOND: 4}
    assert not list(tmp_path.glob(".w.duckdb.*landing*"))


def test_landings_queue(lake: Lake, warehouse: Warehouse, tmp_path: Path) -> None:
    """
    Two landings at once: none fails, and the file holds everything once.
    """
    processes = [start(land, tmp_path) for _ in range(2)]

    ends = [(process.communicate(timeout=60)[1], process.returncode) for process in processes]
    assert ends == [("", 0), ("", 0)]
    assert counts(warehouse) == {FIRST: 10, SECOND: 10}


def test_partitions_replaced_during_a_landing_do_no_harm(lake: Lake, warehouse: Warehouse) -> None:
    """
    A backfill goes on while the warehouse is landed: each landing ends well, the last holds the lake's state.
    """
    done = threading.Event()

    def backfill() -> None:
        for turn in range(30):
            write(lake, SECOND, 10 + turn, f"turn{turn}")
        done.set()

    writer = threading.Thread(target=backfill)
    writer.start()
    kept = []
    while not done.is_set():
        warehouse.land(lake, BOTH)
        kept.append((warehouse.summary([ENTRIES])[0].rows, sum(counts(warehouse).values())))
    writer.join()
    warehouse.land(lake, BOTH)

    assert [entered for entered, _ in kept] == [there for _, there in kept]
    assert counts(warehouse) == {FIRST: 10, SECOND: 39}
    assert query(warehouse, "SELECT DISTINCT split_part(text, ' ', 1) FROM entries WHERE day = '2026-11-02'") == [
        ("turn29",)
    ]


def damaged() -> Iterator[object]:
    yield pytest.param(lambda file: file.write_bytes(b"not a database at all" * 99), id="not a database")
    yield pytest.param(lambda file: file.write_bytes(file.read_bytes()[:6000]), id="cut")
    yield pytest.param(lambda file: file.write_bytes(b""), id="empty")


@pytest.mark.parametrize("damage", list(damaged()))
def test_a_corrupt_file_is_rebuilt_from_the_lake(
    lake: Lake, warehouse: Warehouse, caplog: pytest.LogCaptureFixture, damage: object
) -> None:
    """
    The lake is the truth: whatever became of the file, the next landing brings it all back and says so.
    """
    warehouse.land(lake, BOTH)
    damage(warehouse.path)  # type: ignore[operator]

    with caplog.at_level(logging.WARNING):
        landing = warehouse.land(lake, BOTH)

    assert landing.rebuilt
    assert landing.rows == 21
    assert "it is rebuilt from the lake" in caplog.text
    assert counts(warehouse) == {FIRST: 10, SECOND: 10}


def test_what_is_forgotten_is_not_in_the_file_s_bytes(lake: Lake, warehouse: Warehouse) -> None:
    """
    Deleted rows stay in the free blocks of a DuckDB file; after rows were erased it is a new file.
    """
    write(lake, SECOND, 5000, "canary")
    warehouse.land(lake, BOTH, forgets=QUEUES)
    assert b"canary" in warehouse.path.read_bytes()
    write(lake, SECOND, 10)
    lake.replace(QUEUES, None, batches([{"id": "q", "label": "gone"}], dataset=QUEUES), run_id="r")

    landing = warehouse.land(lake, BOTH, forgets=QUEUES)

    assert landing.rebuilt
    assert b"canary" not in warehouse.path.read_bytes()
    assert not warehouse.land(lake, BOTH, forgets=QUEUES).applied


def test_a_file_is_written_anew_only_for_what_is_to_be_forgotten(lake: Lake, warehouse: Warehouse) -> None:
    """
    Other changes are applied to a copy.
    """
    warehouse.land(lake, BOTH, forgets=QUEUES)
    write(lake, SECOND, 11)

    landing = warehouse.land(lake, BOTH, forgets=QUEUES)

    assert (landing.rebuilt, dict(landing.applied)) == (False, {"entries": (SECOND,)})


def test_a_file_that_is_gone_is_rebuilt_from_the_lake(lake: Lake, warehouse: Warehouse) -> None:
    """
    Deleting the warehouse costs nothing but the time to land it again.
    """
    warehouse.land(lake, BOTH)
    warehouse.path.unlink()

    assert warehouse.land(lake, BOTH).rows == 21


def test_a_torn_file_in_the_lake_keeps_the_old_warehouse(lake: Lake, warehouse: Warehouse) -> None:
    """
    What cannot be read is told by name, and readers keep what they had.
    """
    warehouse.land(lake, BOTH)
    torn = Path(lake.uri(ENTRIES, SECOND))
    torn.write_bytes(torn.read_bytes()[:100])

    with pytest.raises(StorageError, match="is torn"):
        warehouse.land(lake, BOTH)

    assert counts(warehouse) == {FIRST: 10, SECOND: 10}


def test_a_summary_of_a_corrupt_file_says_what_to_do(warehouse: Warehouse) -> None:
    """
    A summary repairs nothing; it says that the asset does.
    """
    warehouse.path.write_bytes(b"not a database at all")

    with pytest.raises(WarehouseError, match="run the asset again"):
        warehouse.summary(BOTH)


def test_names_are_only_names(tmp_path: Path) -> None:
    """
    Quotes and keywords in declared names, folders and comments are quoted, not run.
    """
    odd = Dataset(
        name='select"; DROP TABLE x; --',
        grain="it's one row a {thing}",
        group=ENTRIES.group,
        key=('or"der',),
        fields=(
            Field('or"der', pa.string(), "it's {odd}", required=True),
            Field("at", pa.timestamp("ms", "UTC"), ""),
        ),
        partition_by="at",
    )
    folder = tmp_path / "o'brien"
    lake = Lake(str(folder / "lake=1"))
    lake.replace(odd, FIRST, batches([{'or"der': "a", "at": MIDNIGHT}], dataset=odd), run_id="r")
    warehouse = Warehouse(folder / "w's.duckdb")

    warehouse.land(lake, [odd])

    assert warehouse.summary([odd])[0].rows == 1
    assert query(warehouse, "SELECT comment FROM duckdb_tables() WHERE comment IS NOT NULL") == [(odd.grain,)]


def test_a_million_rows_land_in_one_go(tmp_path: Path) -> None:
    """A first landing of a large history adds up (DuckDB 2.0.0 grouped such a table into no groups at all)."""
    count, days = 1_000_000, ["2026-01-01", "2026-01-02"]
    instants = pa.array([1_767_225_600_000 + 172 * row for row in range(count)], pa.timestamp("ms", "UTC"))
    rows = pa.record_batch({"id": pa.array([f"0AA{row:015d}" for row in range(count)]), "created_date": instants})
    lake = Lake(str(tmp_path / "lake"))
    lake.replace_days(MESSAGING_DELIVERY_ERRORS, days, [rows], run_id="test", promised=count)

    landing = Warehouse(tmp_path / "warehouse.duckdb").land(lake, [MESSAGING_DELIVERY_ERRORS])

    assert landing.rows == count
