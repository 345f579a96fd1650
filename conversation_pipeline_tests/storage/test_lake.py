"""The lake: what is published, what is refused, and what readers see meanwhile."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversation_pipeline.kill_points import KillPoint
from conversation_pipeline.schemas import Field
from conversation_pipeline.storage import Lake, PublishError, StorageError
from conversation_pipeline_tests.storage.things import (
    DAY,
    ENTRIES,
    FIELDS,
    MIDNIGHT,
    QUEUES,
    Row,
    batches,
    replace_large,
    replace_often,
    replace_on_full_disk,
    replace_small,
    row,
    rows,
    run,
    start,
)

WIDER = replace(ENTRIES, fields=(*FIELDS, Field("mood", pa.string(), "How it felt.")), version=2)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
records = st.lists(
    st.fixed_dictionaries(
        {
            "conversation": texts,
            "entry": st.integers(-(2**63), 2**63 - 1),
            "said_at": st.none() | st.integers(-(10**12), 4 * 10**12).map(lambda ms: MIDNIGHT + timedelta(0, 0, 0, ms)),
            "text": st.none() | texts | st.sampled_from(["😀👩‍👩‍👧", "שלום", "=cmd()", "a\r\nb", '"', ""]),
            "score": st.none() | st.floats(allow_nan=False),
            "by_bot": st.none() | st.booleans(),
            "due": st.none() | st.dates(),
            "related": st.none() | st.lists(st.none() | texts, max_size=3),
            "options": st.none()
            | st.lists(
                st.none()
                | st.fixed_dictionaries({"label": st.none() | texts, "position": st.none() | st.integers(0, 9)}),
                max_size=3,
            ),
        }
    ),
    max_size=30,
    unique_by=lambda record: (record["conversation"], record["entry"]),
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def published(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "lake").rglob("*.parquet"))


def in_order(unsorted: list[Row]) -> list[Row]:
    return sorted(unsorted, key=lambda record: (record["conversation"].encode(), record["entry"]))


@settings(max_examples=40, deadline=None)
@given(records, st.integers(1, 10))
def test_rows_of_any_content_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, some: list[Row], size: int
) -> None:
    """
    What goes in comes out, sorted by key, with the declared schema: emoji, nulls, empty lists and batches
    included.
    """
    lake = Lake(str(tmp_path_factory.mktemp("round")))
    empty = pa.RecordBatch.from_pylist([], schema=ENTRIES.schema)

    lake.replace(ENTRIES, DAY, [empty, *batches(some, size), empty], run_id="r")

    table = lake.read(ENTRIES, DAY)
    assert table.schema.equals(ENTRIES.schema)
    assert table.to_pylist() == in_order(some)


@settings(max_examples=30, deadline=None)
@given(records, st.randoms(), st.integers(1, 10), st.sampled_from([1, 2**20]))
def test_the_same_rows_leave_the_file_alone(
    tmp_path_factory: pytest.TempPathFactory, some: list[Row], chance: random.Random, size: int, memory: int
) -> None:
    """
    Another run, another order, other batches, sorted on disk or in memory: the same content, and no new file.
    """
    folder = str(tmp_path_factory.mktemp("same"))
    first = Lake(folder).replace(ENTRIES, DAY, batches(some), run_id="first")
    before = Path(first.uri).stat()
    chance.shuffle(some)

    second = Lake(folder, memory=memory).replace(ENTRIES, DAY, batches(some, size), run_id="second")

    assert (second.changed, second.content_hash, second.run_id) == (False, first.content_hash, "first")
    after = Path(first.uri).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    "change",
    [
        {"text": "hello 0!"},
        {"text": None},
        {"score": 0.1},
        {"by_bot": None},
        {"related": [""]},
        {"related": None},
        {"options": [None]},
        {"options": [{"label": None, "position": None}]},
    ],
    ids=str,
)
def test_any_other_value_is_other_content(lake: Lake, change: Row) -> None:
    """
    One value changed, a null for an empty list, a null within one: the partition is another.
    """
    lake.replace(ENTRIES, DAY, batches([row(0), row(1)]), run_id="r")

    assert lake.replace(ENTRIES, DAY, batches([row(0) | change, row(1)]), run_id="r").changed


def test_text_that_moves_between_rows_is_other_content(lake: Lake) -> None:
    """
    The same letters, cut elsewhere between two rows, are not the same rows.
    """
    one = lake.replace(ENTRIES, DAY, batches([row(0) | {"text": "ab"}, row(1) | {"text": "c"}]), run_id="r")
    two = lake.replace(ENTRIES, DAY, batches([row(0) | {"text": "a"}, row(1) | {"text": "bc"}]), run_id="r")

    assert one.content_hash != two.content_hash


def test_a_null_that_moves_between_rows_is_other_content(lake: Lake) -> None:
    """
    Which row has a value counts, not only which values there are.
    """
    one = lake.replace(ENTRIES, DAY, batches([row(0) | {"text": None}, row(1) | {"text": "a"}]), run_id="r")
    two = lake.replace(ENTRIES, DAY, batches([row(0) | {"text": "a"}, row(1) | {"text": None}]), run_id="r")

    assert one.content_hash != two.content_hash


def test_columns_are_found_by_name_and_cast(lake: Lake) -> None:
    """
    Another order of columns and wider types fit; a column that is missing is null.
    """
    batch = pa.record_batch(
        {
            "entry": pa.array([1], pa.int32()),
            "text": pa.array(["x"], pa.large_string()),
            "conversation": ["c"],
        }
    )

    lake.replace(ENTRIES, DAY, [batch], run_id="r")

    told = lake.read(ENTRIES, DAY).to_pylist()[0]
    assert (told["conversation"], told["entry"], told["text"], told["score"]) == ("c", 1, "x", None)


def refused() -> Iterator[object]:
    good = {"conversation": ["secret words"], "entry": [1]}
    yield pytest.param(good | {"surprise": ["secret words"]}, "surprise", id="unknown column")
    yield pytest.param(good | {"conversation": pa.nulls(1, pa.string())}, "conversation", id="null in a key")
    yield pytest.param({"entry": [1]}, "conversation", id="key column missing")
    yield pytest.param({"conversation": ["secret words"] * 2, "entry": [1, 1]}, "conversation", id="key twice")
    yield pytest.param(good | {"score": ["secret words"]}, "score", id="value that does not fit")


@pytest.mark.parametrize("key", ["swept_at", "selection", "looks"])
def test_what_the_next_run_decides_by_is_kept_up_to_date(lake: Lake, key: str) -> None:
    """
    The same rows of a later sweep, selection or count: the receipt says so, and no other content is told of.
    """
    lake.replace(ENTRIES, DAY, batches(rows(3)), run_id="first", provenance={key: "then"})

    told = lake.replace(ENTRIES, DAY, batches(rows(3)), run_id="second", provenance={key: "now"})

    assert lake.receipt(ENTRIES, DAY) == told
    assert (told.provenance, told.run_id, told.changed) == ({key: "now"}, "second", False)


def test_when_the_same_rows_were_asked_for_is_no_reason_for_a_new_file(lake: Lake) -> None:
    """
    The file, and all that it says of itself, stays.
    """
    first = lake.replace(ENTRIES, DAY, batches(rows(3)), run_id="first", provenance={"asked_at": "then"})

    second = lake.replace(ENTRIES, DAY, batches(rows(3)), run_id="second", provenance={"asked_at": "now"})

    assert second == replace(first, changed=False)


@pytest.mark.parametrize(("columns", "named"), list(refused()))
def test_rows_that_do_not_fit_are_refused(lake: Lake, columns: dict[str, list[object]], named: str) -> None:
    """
    The refusal names dataset, partition and column, never a value; the old partition stays.
    """
    before = lake.replace(ENTRIES, DAY, batches(rows(3)), run_id="r")

    with pytest.raises(PublishError) as refusal:
        lake.replace(ENTRIES, DAY, [pa.record_batch(columns)], run_id="r")

    assert all(word in str(refusal.value) for word in ("entries", DAY, named))
    assert "secret" not in str(refusal.value)
    assert lake.receipt(ENTRIES, DAY) == replace(before, changed=False)


@pytest.mark.parametrize("memory", [1, 2**20])
def test_a_key_that_comes_twice_is_found_across_batches(tmp_path: Path, memory: int) -> None:
    """
    However far apart two rows of one key come in, nothing is published.
    """
    with pytest.raises(PublishError, match="comes twice"):
        Lake(str(tmp_path), memory=memory).replace(ENTRIES, DAY, batches([*rows(30), row(4)], 7), run_id="r")


def test_other_counts_than_promised_are_not_published(lake: Lake) -> None:
    """
    The service promised four rows and three came: the run is told so, and the old partition stays.
    """
    before = lake.replace(ENTRIES, DAY, batches(rows(2)), run_id="r", promised=2)

    with pytest.raises(PublishError, match="3 rows were read, the service promised 4"):
        lake.replace(ENTRIES, DAY, batches(rows(3)), run_id="r", promised=4)

    assert lake.receipt(ENTRIES, DAY) == replace(before, changed=False)


def test_an_extract_that_fails_leaves_the_old_partition(lake: Lake, tmp_path: Path) -> None:
    """
    An error in the midst of the batches goes through as it is; the file stays, and nothing lies beside it.
    """

    def failing() -> Iterator[pa.RecordBatch]:
        yield from batches(rows(5))
        raise RuntimeError("the road is closed")

    before = lake.replace(ENTRIES, DAY, batches(rows(2)), run_id="r")

    with pytest.raises(RuntimeError, match="the road is closed"):
        lake.replace(ENTRIES, DAY, failing(), run_id="r")

    assert lake.receipt(ENTRIES, DAY) == replace(before, changed=False)
    assert os.listdir(Path(before.uri).parent) == ["data.parquet"]  # noqa: PTH208  (hidden files count)


def test_a_day_without_rows_is_a_file_without_rows(lake: Lake) -> None:
    """
    Nothing happened that day is not the same as nobody looked.
    """
    receipt = lake.replace(ENTRIES, DAY, [], run_id="r", promised=0)

    assert (receipt.rows, receipt.first_key, receipt.last_key) == (0, None, None)
    assert lake.partitions(ENTRIES) == [DAY]
    assert lake.read(ENTRIES, DAY).schema.equals(ENTRIES.schema)


def test_a_receipt_is_in_the_footer(lake: Lake) -> None:
    """
    Who wrote what, how much, from where, is read back from the file alone.
    """
    started = datetime.now(UTC)

    receipt = lake.replace(ENTRIES, DAY, batches(rows(25)), run_id="run-7", road="connect", promised=25)

    assert lake.receipt(ENTRIES, DAY) == replace(receipt, changed=False)
    assert (receipt.rows, receipt.promised, receipt.road, receipt.run_id) == (25, 25, "connect", "run-7")
    assert (receipt.first_key, receipt.last_key) == (("c000000", "0"), ("c000002", "24"))
    assert receipt.bytes == Path(receipt.uri).stat().st_size
    assert started <= receipt.written_at <= datetime.now(UTC)
    assert receipt.schema_version == ENTRIES.version


def test_nothing_there_has_no_receipt(lake: Lake) -> None:
    """
    Before the first run there are no partitions, no receipts and no rows, and none of that is an error.
    """
    assert lake.receipt(ENTRIES, DAY) is None
    assert lake.partitions(ENTRIES) == []
    assert lake.read(ENTRIES, DAY).num_rows == 0


def test_a_snapshot_has_no_partition(lake: Lake) -> None:
    """
    A dataset without partitions is one file, right below its name.
    """
    receipt = lake.replace(QUEUES, None, [pa.record_batch({"id": ["q"], "label": ["Sales"]})], run_id="r")

    assert receipt.uri.endswith("/queues/data.parquet")
    assert lake.receipts(QUEUES) == [replace(receipt, changed=False)]
    assert lake.read(QUEUES, None).to_pylist() == [{"id": "q", "label": "Sales"}]


@pytest.mark.parametrize("partition", ["2026-1-1", "20261101", "2026-02-30", "../2026-11-01", "day'; --", "", None])
def test_a_partition_is_a_day(lake: Lake, partition: str | None) -> None:
    """
    What is no UTC day, written YYYY-MM-DD, never becomes a folder.
    """
    with pytest.raises(StorageError):
        lake.replace(ENTRIES, partition, batches(rows(1)), run_id="r")

    assert lake.partitions(ENTRIES) == []


def test_files_older_than_a_column_read_as_null(lake: Lake) -> None:
    """
    A dataset may grow in mid-backfill: one scan reads old files and new ones.
    """
    lake.replace(ENTRIES, "2026-11-01", batches(rows(1)), run_id="r")
    newer = batches([row(2) | {"mood": "good"}], dataset=WIDER)
    lake.replace(WIDER, "2026-11-02", newer, run_id="r")

    table = lake.dataset(WIDER).to_table(columns=["entry", "mood"])

    assert table.to_pylist() == [{"entry": 0, "mood": None}, {"entry": 2, "mood": "good"}]


def test_only_the_partitions_asked_for_are_scanned(lake: Lake) -> None:
    """
    Days are named, days without a file passed over.
    """
    for number, day in enumerate(["2026-11-01", "2026-11-02", "2026-11-03"]):
        lake.replace(ENTRIES, day, batches([row(number)]), run_id="r")

    scanned = lake.dataset(ENTRIES, ["2026-11-02", "2026-12-24"]).to_table()

    assert lake.partitions(ENTRIES) == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert scanned.column("entry").to_pylist() == [1]


def test_duckdb_reads_the_lake_by_its_folders(lake: Lake, tmp_path: Path) -> None:
    """
    As dbt and notebooks do it: hive folders, files united by name, the day as a date, times in UTC, structs
    whole.
    """
    lake.replace(ENTRIES, "2026-11-01", batches(rows(2)), run_id="r")
    lake.replace(WIDER, "2026-11-02", batches([row(3) | {"mood": "good"}], dataset=WIDER), run_id="r")

    told = duckdb.execute(
        "SELECT entry, mood, day, epoch_ms(said_at), options[1].label "
        "FROM read_parquet(?, hive_partitioning = true, union_by_name = true) ORDER BY entry",
        [f"{tmp_path}/lake/entries/**/*.parquet"],
    ).fetchall()

    start = int(MIDNIGHT.timestamp()) * 1000
    assert told == [
        (0, None, date(2026, 11, 1), start, None),
        (1, None, date(2026, 11, 1), start + 1000, "yes"),
        (3, "good", date(2026, 11, 2), start + 3000, "yes"),
    ]


def test_a_torn_file_says_so_and_is_replaced(lake: Lake) -> None:
    """
    A file cut short has no receipt; the error names it and what to do, and doing it mends it.
    """
    receipt = lake.replace(ENTRIES, DAY, batches(rows(9)), run_id="r")
    Path(receipt.uri).write_bytes(Path(receipt.uri).read_bytes()[:-40])

    with pytest.raises(StorageError, match=r"data.parquet is torn .* materialize entries, partition 2026-11-01"):
        lake.receipt(ENTRIES, DAY)

    assert lake.replace(ENTRIES, DAY, batches(rows(9)), run_id="r").content_hash == receipt.content_hash


def test_a_file_that_somebody_else_wrote_says_so(lake: Lake) -> None:
    """
    A Parquet file without a receipt in its footer is not taken for ours.
    """
    there = Path(lake.uri(ENTRIES, DAY))
    there.parent.mkdir(parents=True)
    pq.write_table(pa.table({"x": [1]}), there)

    with pytest.raises(StorageError, match="holds no receipt"):
        lake.receipt(ENTRIES, DAY)


def test_a_file_moved_to_another_day_says_so(lake: Lake) -> None:
    """
    A partition copied into another day's folder is not that day.
    """
    receipt = lake.replace(ENTRIES, "2026-11-01", batches(rows(9)), run_id="r")
    there = Path(lake.uri(ENTRIES, "2026-11-02"))
    there.parent.mkdir(parents=True)
    there.write_bytes(Path(receipt.uri).read_bytes())

    with pytest.raises(StorageError, match="holds no receipt of entries, partition 2026-11-02"):
        lake.receipt(ENTRIES, "2026-11-02")


def test_readers_see_the_old_or_the_new(lake: Lake) -> None:
    """
    While a partition is replaced fifty times, every read is one whole version.
    """
    lake.replace(ENTRIES, DAY, batches(rows(100, "version0")), run_id="0")
    seen: list[tuple[int, set[str]]] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            texts = lake.read(ENTRIES, DAY).column("text").to_pylist()
            seen.append((len(texts), {text.split()[0] for text in texts}))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for version in range(1, 51):
        lake.replace(ENTRIES, DAY, batches(rows(100 + version, f"version{version}")), run_id=str(version))
    done.set()
    for reader in readers:
        reader.join()

    assert len(seen) > 10
    assert all(versions == {f"version{count - 100}"} for count, versions in seen)


def test_a_file_that_is_open_is_never_written(lake: Lake) -> None:
    """
    Who has the old file open reads the old file to its end: the new one comes beside it, then takes its name.
    """
    there = Path(lake.replace(ENTRIES, DAY, batches(rows(5)), run_id="r").uri)
    old = there.read_bytes()
    with there.open("rb") as held:
        lake.replace(ENTRIES, DAY, batches(rows(6)), run_id="r")

        assert held.read() == old
    assert there.read_bytes() != old


@pytest.mark.parametrize(
    "point", [KillPoint.PARTITION_WRITTEN, KillPoint.PARTITION_SYNCED, KillPoint.PARTITION_RENAMED]
)
def test_a_killed_run_leaves_the_old_or_the_new_and_the_next_repairs(
    lake: Lake, tmp_path: Path, point: KillPoint
) -> None:
    """
    Killed at any step: one whole file is visible, and running again gives what an undisturbed run gives.
    """
    old = lake.replace(ENTRIES, DAY, batches(rows(20)), run_id="first")
    new = Lake(str(tmp_path / "undisturbed")).replace(ENTRIES, DAY, batches(rows(50, "new")), run_id="u")

    assert run(replace_small, tmp_path, point)[0] == -9

    assert published(tmp_path) == [Path(old.uri)]
    there = lake.receipt(ENTRIES, DAY)
    assert there is not None
    assert there.content_hash == (new if point == KillPoint.PARTITION_RENAMED else old).content_hash
    replace_small(tmp_path)
    assert lake.receipts(ENTRIES)[0].content_hash == new.content_hash
    assert lake.read(ENTRIES, DAY).num_rows == 50


def test_what_a_killed_run_left_is_swept_by_a_later_one(lake: Lake, tmp_path: Path) -> None:
    """
    A draft of yesterday goes at the next replace; one that may still be written stays.
    """
    assert run(replace_small, tmp_path, KillPoint.PARTITION_WRITTEN)[0] == -9
    (old,) = (tmp_path / "lake").rglob(".*.tmp")
    young = old.with_name(".young.tmp")
    young.touch()
    yesterday = (datetime.now(UTC) - timedelta(days=1, minutes=1)).timestamp()
    os.utime(old, (yesterday, yesterday))

    lake.replace(ENTRIES, DAY, batches(rows(1)), run_id="r")

    assert not old.exists()
    assert young.exists()


def test_of_two_runs_at_once_the_last_whole_file_wins(lake: Lake, tmp_path: Path) -> None:
    """
    Two processes replace one partition all the time: neither fails, and what is there is all of one of them.
    """
    both = [start(replace_often, tmp_path) for _ in range(2)]

    assert [(process.wait(timeout=60), process.communicate()[1]) for process in both] == [(0, ""), (0, "")]
    told = {text.split()[0] for text in lake.read(ENTRIES, DAY).column("text").to_pylist()}
    assert told in [{f"{process.pid}-24"} for process in both]
    assert os.listdir(tmp_path / "lake" / "entries" / f"day={DAY}") == ["data.parquet"]  # noqa: PTH208


def test_a_full_disk_is_told_and_leaves_the_old_partition(lake: Lake, tmp_path: Path) -> None:
    """
    No room: one clear sentence, the old file whole, nothing beside it, and with room again it works.
    """
    before = lake.replace(ENTRIES, DAY, batches(rows(3)), run_id="r")

    code, _, error = run(replace_on_full_disk, tmp_path)

    assert code == 1
    assert "PublishError: entries, partition 2026-11-01 was not published, what was there stays" in error
    assert "free space" in error
    assert lake.receipt(ENTRIES, DAY) == replace(before, changed=False)
    assert os.listdir(Path(before.uri).parent) == ["data.parquet"]  # noqa: PTH208
    replace_small(tmp_path)
    assert lake.read(ENTRIES, DAY).num_rows == 50


def test_rows_beyond_memory_are_sorted_on_disk(tmp_path: Path) -> None:
    """
    More rows than may be gathered, in any order, become the same file as in memory; no scratch file stays.
    """
    whole = Lake(str(tmp_path / "memory")).replace(ENTRIES, DAY, batches(rows(5000)), run_id="r")
    shuffled = rows(5000)
    random.Random(7).shuffle(shuffled)

    spilled = Lake(str(tmp_path / "lake"), memory=50_000).replace(ENTRIES, DAY, batches(shuffled, 300), run_id="r")

    assert spilled.content_hash == whole.content_hash
    assert os.listdir(Path(spilled.uri).parent) == ["data.parquet"]  # noqa: PTH208


def test_memory_has_a_bound(tmp_path: Path) -> None:
    """
    240 MB of rows out of order pass through a lake of 32 MiB while Arrow holds little more than a row group.
    """
    code, held, error = run(replace_large, tmp_path)

    assert (code, error) == (0, "")
    assert int(held) < 150 * 2**20


def test_the_file_is_laid_out_for_parallel_and_selective_reads(lake: Lake) -> None:
    """
    Row groups of DuckDB's size, sorted by key, zstd, dictionaries where values repeat, packed integers and
    times.
    """
    many = 130_000
    batch = pa.record_batch(
        {
            "conversation": pa.array([f"c{number:08}" for number in range(many)]),
            "entry": pa.array(range(many), pa.int64()),
            "said_at": pa.array([number * 1000 for number in range(many)], pa.timestamp("ms", "UTC")),
            "text": pa.array(["same"] * many),
        }
    )

    file = pq.ParquetFile(lake.replace(ENTRIES, DAY, [batch], run_id="r").uri)

    group = file.metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [122_880, 7_120]
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert "RLE_DICTIONARY" in columns["text"].encodings
    assert "RLE_DICTIONARY" not in columns["conversation"].encodings
    assert "DELTA_BINARY_PACKED" in columns["entry"].encodings
    assert "DELTA_BINARY_PACKED" in columns["said_at"].encodings
    assert [(it.column_index, it.descending) for it in group.sorting_columns] == [(0, False), (1, False)]


def test_rows_are_not_published_over_another_file_than_they_were_made_of(tmp_path: Path) -> None:
    """Between machines no lock helps: who finds another file there than it read leaves it."""
    lake = Lake(str(tmp_path))
    before = lake.replace(ENTRIES, DAY, batches([row(1)]), run_id="a")
    lake.replace(ENTRIES, DAY, batches([row(2)]), run_id="b")

    with pytest.raises(PublishError, match="another run has replaced the file"):
        lake.replace(ENTRIES, DAY, batches([row(1), row(3)]), run_id="a", over=before)

    assert lake.read(ENTRIES, DAY)["entry"].to_pylist() == [2]
