"""What a partition promises by its declaration, looked at in the file that lies there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conversation_pipeline.schemas import INSTANT, Dataset, Field, Group, Reference
from conversation_pipeline.schemas.fields import record_id
from conversation_pipeline.storage import Lake
from conversation_pipeline.storage.integrity import Referred, Rows, look_at_reference, look_at_rows

DAY, LONG_AGO = "2026-11-18", "2026-10-01"
MADE = Field("made_at", INSTANT, "When.", required=True)
CARS = Dataset("cars", "One row per car.", Group.ON_PLATFORM, ("id",), (record_id(), MADE), "made_at")
COLORS = Dataset("colors", "One row per color.", Group.ON_PLATFORM, ("id",), (record_id(),))
RIDE = (Field("car", pa.string(), "Car."), Field("color", pa.string(), "Color."))
NUMBER = Field("number", pa.int64(), "Which.", required=True)
RIDES = Dataset(
    "rides", "One row per ride.", Group.MARTS, ("id", "number"), (record_id(), NUMBER, *RIDE, MADE), "made_at"
)
CAR = Reference("car", ("cars",), created_within=2)
TARGETS = {one.name: one for one in (CARS, COLORS)}
Row = dict[str, Any]


def noon(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T12:00:00+00:00")


def days(last: str, count: int) -> list[str]:
    return [(noon(last) - timedelta(days=back)).date().isoformat() for back in range(count)]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path))


def put(
    lake: Lake, dataset: Dataset, rows: Sequence[Row], day: str | None = DAY, asked_at: datetime | None = None
) -> None:
    made = {"made_at": noon(day)} if day else {}
    table = pa.Table.from_pylist([made | row for row in rows], dataset.schema)
    told = {"asked_at": asked_at.isoformat()} if asked_at else {}
    lake.replace(dataset, day, table.to_batches(), run_id="here", provenance=told)


def ride(lake: Lake, **values: Any) -> None:
    put(lake, RIDES, [{"id": "1", "number": 1} | values])


def written_by_another(lake: Lake, rows: Sequence[Row]) -> None:
    """A file that no landing would publish."""
    put(lake, RIDES, [])
    loose = pa.schema([field.with_nullable(True) for field in RIDES.schema])
    table = pa.Table.from_pylist([{"made_at": noon(DAY)} | row for row in rows], loose)
    pq.write_table(table, lake.uri(RIDES, DAY), row_group_size=2)


def test_rows_as_declared_are_found_so(lake: Lake) -> None:
    """In the order of their key, each once, each with what is required; of any number of columns in the key."""
    put(lake, RIDES, [{"id": id, "number": number} for id in "abc" for number in (1, 2, 3)])

    assert look_at_rows(lake, RIDES, DAY) == Rows(rows=9)


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        pytest.param([("a", 1), ("a", 1), ("b", 1)], (1, 0), id="twice in a row group"),
        pytest.param([("a", 1), ("b", 1), ("b", 1)], (1, 0), id="twice over two"),
        pytest.param([("b", 1), ("a", 1)], (0, 1), id="out of order"),
        pytest.param([("a", 2), ("a", 1)], (0, 1), id="out of order by its second column"),
    ],
)
def test_keys_that_repeat_or_stand_wrong_are_counted(
    lake: Lake, keys: list[tuple[str, int]], found: tuple[int, int]
) -> None:
    """What the lake would refuse is found where something else wrote the file."""
    written_by_another(lake, [{"id": id, "number": number} for id, number in keys])

    rows = look_at_rows(lake, RIDES, DAY)

    assert (rows.repeated, rows.misplaced) == found


def test_nulls_in_required_columns_are_counted(lake: Lake) -> None:
    """By column; others may be null."""
    written_by_another(lake, [{"id": "a", "number": 1}, {"id": "b"}, {"id": "c", "made_at": None}])

    assert look_at_rows(lake, RIDES, DAY).nulls == {"number": 2, "made_at": 1}


@pytest.mark.parametrize("created", [*days(DAY, 3), "2026-11-19", LONG_AGO])
def test_what_is_in_the_lake_is_found(lake: Lake, created: str) -> None:
    """On the days on which it is expected, and on any other."""
    put(lake, CARS, [])
    put(lake, CARS, [{"id": "beetle"}], created)
    ride(lake, car="beetle")

    found = look_at_reference(lake, RIDES, DAY, CAR, TARGETS)

    assert (found.values, found.missing) == (1, 0)


@pytest.mark.parametrize(("read", "complete"), [(3, True), (2, False), (1, False)])
def test_what_may_have_been_before_the_lake_is_told_from_what_is_lost(lake: Lake, read: int, complete: bool) -> None:
    """Missing in each case; a finding only if all days on which it may have been created are there."""
    for day in days(DAY, read):
        put(lake, CARS, [{"id": "other"}], day)
    ride(lake, car="beetle")

    found = look_at_reference(lake, RIDES, DAY, CAR, TARGETS)

    assert found == Referred(values=1, missing=1, complete=complete, examples=["beetle"])


def test_a_day_that_was_read_before_its_end_is_not_complete(lake: Lake) -> None:
    """What was created in its last hours is not in the lake yet."""
    for day in days(DAY, 3):
        put(lake, CARS, [{"id": "other"}], day, asked_at=noon(day))
    put(lake, RIDES, [{"id": "1", "number": 1, "car": "beetle", "made_at": noon(DAY) - timedelta(hours=1)}])

    assert not look_at_reference(lake, RIDES, DAY, CAR, TARGETS).complete


def test_rows_younger_than_what_they_refer_to_are_not_judged(lake: Lake) -> None:
    """When cars were last read, there was no such car."""
    put(lake, CARS, [{"id": "other"}], asked_at=noon(DAY) - timedelta(hours=1))
    ride(lake, car="beetle")

    assert look_at_reference(lake, RIDES, DAY, CAR, TARGETS).values == 0


def test_without_the_referred_day_nothing_is_judged(lake: Lake) -> None:
    """A dataset that is not loaded is not one whose rows are missing."""
    ride(lake, car="beetle")

    assert look_at_reference(lake, RIDES, DAY, CAR, TARGETS) == Referred(judged=False)


def test_records_of_any_age_are_judged_by_days_that_have_some(lake: Lake) -> None:
    """Where none was created on the day, all that the day tells of may be older."""
    put(lake, CARS, [])
    ride(lake, car="beetle")

    assert not look_at_reference(lake, RIDES, DAY, Reference("car", ("cars",)), TARGETS).judged


def test_of_records_of_any_age_one_that_is_there_is_enough(lake: Lake) -> None:
    """The others may be older than the lake: all of its days are not read for them with each run."""
    put(lake, CARS, [{"id": "beetle"}])
    put(lake, CARS, [], LONG_AGO)
    Path(lake.uri(CARS, LONG_AGO)).write_bytes(b"not to be read")
    put(lake, RIDES, [{"id": car, "number": 1, "car": car} for car in ("beetle", "older")])

    found = look_at_reference(lake, RIDES, DAY, Reference("car", ("cars",)), TARGETS)

    assert (found.values, found.missing) == (2, 0)


def test_records_of_any_age_are_looked_for_everywhere_where_none_is_near(lake: Lake) -> None:
    """Else a day whose records are all old would be a finding."""
    put(lake, CARS, [{"id": "new"}])
    put(lake, CARS, [{"id": "beetle"}], LONG_AGO)
    ride(lake, car="beetle")

    found = look_at_reference(lake, RIDES, DAY, Reference("car", ("cars",)), TARGETS)

    assert (found.values, found.missing) == (1, 0)


def test_a_snapshot_is_complete(lake: Lake) -> None:
    """It has all there are, whatever their age."""
    put(lake, COLORS, [{"id": "red"}], None)
    ride(lake, color="mauve")

    found = look_at_reference(lake, RIDES, DAY, Reference("color", ("colors",), created_within=0), TARGETS)

    assert (found.missing, found.complete) == (1, True)


def test_a_value_may_be_in_one_of_several(lake: Lake) -> None:
    """Each needs to be in one of them."""
    put(lake, CARS, [{"id": "beetle"}])
    put(lake, COLORS, [{"id": "red"}], None)
    put(lake, RIDES, [{"id": value, "number": 1, "car": value} for value in ("beetle", "red", "mauve")])

    found = look_at_reference(lake, RIDES, DAY, Reference("car", ("cars", "colors"), created_within=0), TARGETS)

    assert (found.values, found.missing, found.examples) == (3, 1, ["mauve"])


def test_nulls_refer_to_nothing(lake: Lake) -> None:
    """What is not told can not be missing."""
    put(lake, CARS, [{"id": "beetle"}])
    ride(lake, car=None)

    assert look_at_reference(lake, RIDES, DAY, CAR, TARGETS).values == 0
