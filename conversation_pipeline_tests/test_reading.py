"""``conversation_pipeline.read``: a dataset of the lake for notebooks and scripts."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

import conversation_pipeline
from conversation_pipeline.schemas.conversations import MESSAGES
from conversation_pipeline.schemas.people import USERS
from conversation_pipeline.storage import Lake

DAYS = ("2026-11-10", "2026-11-11", "2026-11-13")
TORN = b"PAR1 and no more"


def message(day: str, number: int) -> dict[str, Any]:
    return {
        "conversation_identifier": f"conversation {number}",
        "entry_identifier": f"entry {number} of {day}",
        "sent_at": datetime.fromisoformat(f"{day}T23:30:00+00:00"),
        "text": "Guten Tag",
    }


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Three days of messages, one, two and three of them; and two users."""
    folder = tmp_path / "lake"
    writer = Lake(str(folder))
    for rows, day in enumerate(DAYS, 1):
        table = pa.Table.from_pylist([message(day, number) for number in range(rows)])
        writer.replace(MESSAGES, day, table.to_batches(), run_id="here")
    users = pa.Table.from_pylist([{"id": f"005{number:015}", "name": "Ada"} for number in range(2)])
    writer.replace(USERS, None, users.to_batches(), run_id="here")
    return folder


def days_of(rows: duckdb.DuckDBPyRelation) -> list[str]:
    return [str(day) for (day,) in rows.project("day").distinct().order("day").fetchall()]


def test_a_dataset_is_read_by_name(lake: Path) -> None:
    """All rows of all days, with the day of their partition."""
    rows = conversation_pipeline.read("messages", lake=lake)

    counts = rows.aggregate("day, count(*)", "day").order("day").fetchall()
    assert counts == [(date.fromisoformat(day), number) for number, day in enumerate(DAYS, 1)]


def test_the_lake_is_that_of_the_settings(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument, CONVERSATION_LAKE says where the lake is."""
    monkeypatch.setenv("CONVERSATION_LAKE", str(lake))

    assert len(conversation_pipeline.read("users")) == 2


def test_custom_fields_are_columns(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What CONVERSATION_CUSTOM_FIELDS adds to a dataset is read as well."""
    monkeypatch.setenv("CONVERSATION_CUSTOM_FIELDS", "User.Region__c")

    assert "region__c" in conversation_pipeline.read("users", lake=lake).columns


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ("2026-11-11", ["2026-11-11"]),
        (date(2026, 11, 11), ["2026-11-11"]),
        (datetime(2026, 11, 11, 23, 59), ["2026-11-11"]),
        (datetime(2026, 11, 10, 23, tzinfo=timezone(-timedelta(hours=5))), ["2026-11-11"]),
        (pd.Timestamp("2026-11-11"), ["2026-11-11"]),
        (("2026-11-10", "2026-11-12"), ["2026-11-10", "2026-11-11"]),
        ((date(2026, 11, 11), "2026-11-13"), ["2026-11-11", "2026-11-13"]),
        (["2026-11-10", date(2026, 11, 13)], ["2026-11-10", "2026-11-13"]),
        ([], []),
        (pd.date_range("2026-11-10", "2026-11-11", tz=UTC), ["2026-11-10", "2026-11-11"]),
        ("2026-11-12", []),
    ],
)
def test_days_are_one_or_a_pair_or_a_list(lake: Path, days: Any, expected: list[str]) -> None:
    """A day alone, the first and the last day, or any days; a day without a file has no rows."""
    assert days_of(conversation_pipeline.read("messages", days=days, lake=lake)) == expected


@pytest.mark.parametrize("asked", ["days", "where"])
def test_other_days_are_not_opened(lake: Path, asked: str) -> None:
    """Only files of days that are asked for are opened, by argument or by a condition on ``day``."""
    (lake / "messages" / "day=2026-11-10" / "data.parquet").write_bytes(TORN)

    if asked == "days":
        rows = conversation_pipeline.read("messages", days=("2026-11-11", "2026-11-30"), lake=lake)
    else:
        rows = conversation_pipeline.read("messages", lake=lake).filter("day > DATE '2026-11-10'")

    assert len(rows) == 5


def test_the_schema_is_declared_even_without_files(lake: Path) -> None:
    """A dataset of which nothing was materialized has its columns, and no rows."""
    there = conversation_pipeline.read("messages", lake=lake)
    rows = conversation_pipeline.read("messages", days=[], lake=lake)
    never = conversation_pipeline.read("transcripts", lake=lake)

    assert (rows.columns, rows.types) == (there.columns, there.types)
    assert rows.columns == [*MESSAGES.schema.names, "day"]
    assert (len(never), never.columns[-2:]) == (0, ["transcript", "day"])


def test_pandas_and_arrow_have_utc_instants(lake: Path) -> None:
    """A DataFrame and an Arrow table hold the same rows, their instants in UTC."""
    rows = conversation_pipeline.read("messages", days=DAYS[0], lake=lake)

    frame, table = rows.df(), rows.to_arrow_table()

    assert str(frame["sent_at"].dt.tz) == "UTC"
    assert frame["sent_at"].tolist() == table["sent_at"].to_pylist() == [message(DAYS[0], 0)["sent_at"]]
    assert table.schema.field("sent_at").type.tz == "UTC"


def test_relations_are_joined_by_sql(lake: Path) -> None:
    """``duckdb.sql`` takes what was read by the name of its variable, and several together."""
    earlier = conversation_pipeline.read("messages", days=DAYS[0], lake=lake)
    later = conversation_pipeline.read("messages", days=DAYS[2], lake=lake)

    joined = duckdb.sql("FROM later SEMI JOIN earlier USING (conversation_identifier)")

    assert (len(earlier), len(later), len(joined)) == (1, 3, 1)


def test_a_connection_of_ones_own(lake: Path) -> None:
    """A relation belongs to the connection that is given: what is made of it stays there."""
    with duckdb.connect() as connection:
        conversation_pipeline.read("messages", days=DAYS[0], lake=lake, connection=connection).create("kept")

        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1,)


def test_an_unknown_dataset_names_those_there_are(lake: Path) -> None:
    """A wrong name is answered with the right ones."""
    with pytest.raises(ValueError, match=r"no dataset is called 'mesages'; there are .*messages.*transcripts"):
        conversation_pipeline.read("mesages", lake=lake)


def test_a_missing_lake_is_told_from_an_empty_dataset(tmp_path: Path) -> None:
    """A folder that is not there is an error that says how to name another, not no rows."""
    with pytest.raises(ValueError, match=r"there is no lake at .*elsewhere.*CONVERSATION_LAKE"):
        conversation_pipeline.read("messages", lake=tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("dataset", "days", "told"),
    [
        ("messages", "yesterday", "a day is a date or YYYY-MM-DD, not 'yesterday'"),
        ("messages", ("2026-11-12", "2026-11-10"), "does not go backwards"),
        ("messages", DAYS, "give single days as a list"),
        ("users", "2026-11-10", "users is a full snapshot"),
    ],
)
def test_days_that_are_none_are_refused(lake: Path, dataset: str, days: Any, told: str) -> None:
    """Days that cannot be meant are an error that says how to give them."""
    with pytest.raises(ValueError, match=told):
        conversation_pipeline.read(dataset, days=days, lake=lake)


def test_the_package_alone_is_light() -> None:
    """``import conversation_pipeline`` loads neither DuckDB nor Arrow nor Dagster: ``read`` does when it is used."""
    heavy = "{'duckdb', 'pyarrow', 'dagster', 'pandas', 'pydantic'} & set(sys.modules)"

    told = subprocess.check_output(
        [sys.executable, "-c", f"import sys, conversation_pipeline; print({heavy} or 'none')"], text=True
    )

    assert told.strip() == "none"
