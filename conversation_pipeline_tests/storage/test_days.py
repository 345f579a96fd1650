"""Many days from one stream: each row in the partition of its day, all or nothing, in bounded memory."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversation_pipeline.kill_points import KillPoint
from conversation_pipeline.storage import Lake, PublishError, StorageError
from conversation_pipeline.storage.days import ByDay
from conversation_pipeline.storage.rows import KeyOrder
from conversation_pipeline_tests.storage.things import DAY, ENTRIES, MIDNIGHT, Row, batches, row

DAYS = [(MIDNIGHT + timedelta(days=day)).date().isoformat() for day in range(4)]
HOURS_24 = 86_400_000


def on_day(number: int, milliseconds: int) -> Row:
    return row(number) | {"said_at": MIDNIGHT + timedelta(milliseconds=milliseconds)}


def spread(count: int) -> list[Row]:
    """Rows in the order of their key, over all days but the last."""
    return [on_day(number, number * (3 * HOURS_24) // count) for number in range(count)]


def stored(lake: Lake) -> dict[str, list[Row]]:
    return {day: lake.read(ENTRIES, day).to_pylist() for day in lake.partitions(ENTRIES)}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 4 * HOURS_24 - 1), max_size=60),
    st.randoms(),
    st.integers(1, 9),
    st.sampled_from([4, 2**20]),
)
def test_the_same_files_as_day_by_day(
    tmp_path_factory: pytest.TempPathFactory, times: list[int], chance: random.Random, size: int, memory: int
) -> None:
    """In any order, in any batches, in memory or through the disk: what replacing each day by itself would give."""
    some = [on_day(number, time) for number, time in enumerate(times)]
    apart, together = Lake(str(tmp_path_factory.mktemp("a"))), Lake(str(tmp_path_factory.mktemp("b")), memory=memory)
    expected = {
        day: apart.replace(
            ENTRIES, day, batches([one for one in some if one["said_at"].date().isoformat() == day]), run_id="r"
        ).content_hash
        for day in DAYS
    }
    chance.shuffle(some)

    receipts = together.replace_days(ENTRIES, DAYS, batches(some, size), run_id="r", promised=len(some))

    assert {day: receipt.content_hash for day, receipt in receipts.items()} == expected
    assert stored(together) == stored(apart)


def test_both_ends_of_a_day(lake: Lake) -> None:
    """The first and the last millisecond of a UTC day are that day's."""
    some = [on_day(0, 0), on_day(1, HOURS_24 - 1), on_day(2, HOURS_24)]

    receipts = lake.replace_days(ENTRIES, DAYS[:2], batches(some), run_id="r")

    assert {day: receipt.rows for day, receipt in receipts.items()} == {DAYS[0]: 2, DAYS[1]: 1}


def test_a_day_without_rows_is_a_file_without_rows(lake: Lake) -> None:
    """Every day that was asked for gets a file with a receipt."""
    receipts = lake.replace_days(ENTRIES, DAYS, batches(spread(10)), run_id="r", road="bulk", promised=10)

    assert (receipts[DAYS[3]].rows, receipts[DAYS[3]].changed) == (0, True)
    assert lake.partitions(ENTRIES) == DAYS
    assert pq.read_metadata(lake.uri(ENTRIES, DAYS[3])).num_rows == 0


def test_what_is_there_already_is_left_alone(lake: Lake) -> None:
    """Only the day that differs gets a new file."""
    lake.replace_days(ENTRIES, DAYS, batches(spread(10)), run_id="first")

    receipts = lake.replace_days(ENTRIES, DAYS, batches([*spread(10), on_day(99, 3 * HOURS_24)]), run_id="second")

    assert [day for day, receipt in receipts.items() if receipt.changed] == [DAYS[3]]


@pytest.mark.parametrize("promised", [9, 11])
def test_nothing_is_published_before_the_total_adds_up(lake: Lake, promised: int) -> None:
    """A total that differs from what was promised leaves every day as it was."""
    lake.replace_days(ENTRIES, DAYS, batches(spread(5)), run_id="first")
    before = stored(lake)

    with pytest.raises(PublishError, match=rf"10 rows were read, the service promised {promised}"):
        lake.replace_days(ENTRIES, DAYS, batches(spread(10)), run_id="second", promised=promised)

    assert stored(lake) == before


def test_a_row_of_another_day_is_refused(lake: Lake) -> None:
    """A row that belongs to none of the days is named by its day, and nothing is published."""
    with pytest.raises(PublishError, match=rf"a row is of {DAYS[3]}"):
        lake.replace_days(ENTRIES, DAYS[:3], batches([on_day(0, 3 * HOURS_24)]), run_id="r")

    assert lake.partitions(ENTRIES) == []


def test_a_row_without_a_day_is_refused(lake: Lake) -> None:
    """A row needs its creation to have a home."""
    with pytest.raises(PublishError, match="no said_at"):
        lake.replace_days(ENTRIES, DAYS, batches([row(0) | {"said_at": None}]), run_id="r")


@pytest.mark.parametrize("memory", [4, 2**20])
def test_a_key_that_comes_twice_on_a_day_is_refused(tmp_path: Path, memory: int) -> None:
    """The day is named; no other day is published either."""
    lake = Lake(str(tmp_path), memory=memory)

    with pytest.raises(PublishError, match=rf"partition {DAYS[1]} .* comes twice"):
        lake.replace_days(ENTRIES, DAYS, batches([*spread(10), spread(10)[5]], 3), run_id="r")

    assert lake.partitions(ENTRIES) == []


def test_a_stream_that_breaks_leaves_nothing(lake: Lake, tmp_path: Path) -> None:
    """A road that fails halfway is told as it is; no draft and no scratch file stays."""

    def broken() -> Iterator[pa.RecordBatch]:
        yield from batches(spread(10))
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        lake.replace_days(ENTRIES, DAYS, broken(), run_id="r")

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_no_days_is_a_mistake(lake: Lake) -> None:
    """A call without days would publish nothing and look like success."""
    with pytest.raises(StorageError, match="name one or more"):
        lake.replace_days(ENTRIES, [], [], run_id="r")


def test_provenance_is_in_each_receipt(lake: Lake) -> None:
    """What the writer wants to know when it comes back is kept with every day."""
    receipts = lake.replace_days(ENTRIES, DAYS, [], run_id="r", road="bulk", provenance={"columns": "a"})

    assert {(receipt.road, receipt.provenance["columns"]) for receipt in receipts.values()} == {("bulk", "a")}


STREAM = """
import sys, pyarrow as pa
from pathlib import Path
from conversation_pipeline.storage import Lake
from conversation_pipeline_tests.storage.test_days import large, month
from conversation_pipeline_tests.storage.things import ENTRIES
count = int(sys.argv[2])
Lake(sys.argv[1], memory=32 * 2**20).replace_days(ENTRIES, month(count), large(count), run_id="large")
print(pa.default_memory_pool().max_memory())
"""


def month(count: int) -> list[str]:
    """So many days that each has about 10 MB."""
    return [(MIDNIGHT + timedelta(days=day)).date().isoformat() for day in range(count // 5)]


def large(count: int) -> Iterator[pa.RecordBatch]:
    """Batches of about 2 MB each, in no order, over all days."""
    end = len(month(count)) * HOURS_24
    for start in range(count, 0, -1):
        numbers = range(start * 25, start * 25 + 25)
        rows = [on_day(number, number * 7_919_113 % end) | {"text": "x" * 80_000} for number in numbers]
        yield pa.RecordBatch.from_pylist(rows, schema=ENTRIES.schema)


def test_memory_does_not_grow_with_the_days(tmp_path: Path) -> None:
    """Four times the days and rows (240 MB), the same memory."""
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-c", STREAM, str(tmp_path / str(count)), str(count)],
                capture_output=True,
                check=True,
                text=True,
            ).stdout
        )
        for count in (30, 120)
    ]

    assert peaks[1] < peaks[0] + 24 * 2**20 < 160 * 2**20


def test_a_day_that_is_mapped_in_parts_comes_back_whole(tmp_path: Path) -> None:
    """70 MB of one day, twice what is mapped at once: all rows, in the order in which they came."""
    some = [
        [on_day(number, number) | {"text": "x" * 80_000} for number in range(at, at + 25)] for at in range(0, 900, 25)
    ]
    by_day = ByDay(ENTRIES, [DAY], memory=2**20, scratch=tmp_path / "scratch")
    for rows in some:
        by_day.add(pa.RecordBatch.from_pylist(rows, schema=ENTRIES.schema))
    by_day.finish()

    told = [row for batch in by_day.of(DAY) for row in batch.to_pylist()]

    assert told == [row for rows in some for row in rows]


KILLED = """
import sys
from conversation_pipeline.storage import Lake
from conversation_pipeline_tests.storage.test_days import DAYS, spread
from conversation_pipeline_tests.storage.things import ENTRIES, batches
Lake(sys.argv[1]).replace_days(ENTRIES, DAYS, batches(spread(40)), run_id="killed")
"""


def test_killed_between_two_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Days that were in place stay whole, those that were not are as before; running again repairs."""
    monkeypatch.setenv("CONVERSATION_KILL_AT", f"{KillPoint.PARTITION_RENAMED}:2")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    monkeypatch.delenv("CONVERSATION_KILL_AT")
    lake = Lake(str(tmp_path))

    assert (killed.returncode, lake.partitions(ENTRIES)) == (-9, DAYS[:2])

    receipts = lake.replace_days(ENTRIES, DAYS, batches(spread(40)), run_id="again")
    assert [receipt.changed for receipt in receipts.values()] == [False, False, True, True]
    assert sum(len(rows) for rows in stored(lake).values()) == 40


def test_a_day_is_named_as_everywhere() -> None:
    """The days of these tests begin with the one of the others."""
    assert DAYS[0] == DAY


def test_the_order_of_keys_remembers_rows_and_not_batches() -> None:
    """Of a batch that was watched only the first and the last key are kept, not the memory that held the rest."""
    [batch] = batches([row(number) for number in range(1_000)], 1_000)
    order = KeyOrder(ENTRIES.key)

    order.watch(batch)

    assert order.first is not None
    assert order.last is not None
    assert order.first.get_total_buffer_size() + order.last.get_total_buffer_size() < batch.nbytes / 100


@pytest.mark.parametrize("memory", [4, 2**20], ids=["through the disk", "in memory"])
def test_days_are_found_where_none_are_named(tmp_path: Path, memory: int) -> None:
    """Each day that rows have gives them back; a day that none has gives nothing."""
    by_day = ByDay(ENTRIES, memory=memory, scratch=tmp_path / "scratch")

    for batch in batches(spread(30), 7):
        by_day.add(batch)
    by_day.finish()

    found = {day: sum(batch.num_rows for batch in by_day.of(day)) for day in by_day.days}
    assert found == dict.fromkeys(DAYS[:3], 10)
    assert list(by_day.of(DAYS[3])) == []


@pytest.mark.parametrize("memory", [1, 2**20], ids=["through the disk", "in memory"])
@pytest.mark.parametrize("size", [1, 7, 100])
def test_of_rows_with_one_key_the_first_counts(tmp_path: Path, memory: int, size: int) -> None:
    """Where that is asked for: newer tellings are given before older ones, in whichever batches."""
    lake = Lake(str(tmp_path / "lake"))
    tellings = [row(number, text) for text in ("newest", "newer", "old") for number in range(20)]

    lake.replace(ENTRIES, DAY, batches(tellings, size), run_id="r", first_counts=True, memory=memory)

    assert lake.read(ENTRIES, DAY).to_pylist() == [row(number, "newest") for number in range(20)]
