"""What reads lake and warehouse without this package: DuckDB and pandas, while runs go on."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from datetime import date, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from conversation_pipeline.schemas.conversations import MESSAGES, TRANSCRIPTS
from conversation_pipeline.simulator import Simulator
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, Project, project_for
from conversation_pipeline_tests.pipeline.processes import ended, started

DAYS = [FIRST_DAY + timedelta(days=offset) for offset in range(3)]
COUNT = "SELECT count(*) FROM messages"
WORDS = "SELECT count(*), bit_xor(hash(messages)) FROM messages"


@pytest.fixture(scope="module")
def org() -> Iterator[str]:
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=8, now=NOW).serve() as running:
        yield running.url


@pytest.fixture(scope="module")
def read(org: str, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose first two days are materialized; it is only read."""
    project = project_for(org, tmp_path_factory.mktemp("read"))
    project.materialize(DAYS[0].isoformat(), DAYS[1].isoformat())
    return project


@pytest.fixture
def written(org: str, tmp_path: Path) -> Project:
    """A project whose first day is materialized, for tests that go on."""
    project = project_for(org, tmp_path / "project")
    project.materialize(DAYS[0].isoformat())
    return project


def messages_by_day(project: Project) -> dict[date, int]:
    return {day: project.rows(MESSAGES, day.isoformat()).num_rows for day in DAYS[:2]}


def messages_in(path: str) -> int:
    with duckdb.connect(path, read_only=True) as connection:
        row = connection.execute(COUNT).fetchone()
    assert row is not None
    return int(row[0])


def test_duckdb_reads_the_lake(read: Project) -> None:
    """``read_parquet`` with hive partitioning finds each day's rows, under a column ``day`` that is a date."""
    files = f"{read.folder}/lake/messages/*/data.parquet"

    found = duckdb.execute(
        "SELECT day, count(*) FROM read_parquet(?, hive_partitioning = true) GROUP BY day", [files]
    ).fetchall()

    assert dict(found) == messages_by_day(read)


def test_pandas_reads_the_lake(read: Project) -> None:
    """``pandas.read_parquet`` of a dataset's folder gives all its rows, with the day that the folders name."""
    frame = pd.read_parquet(read.folder / "lake" / "messages")

    counts = frame.groupby("day", observed=True).size()
    assert {date.fromisoformat(str(day)): count for day, count in counts.items()} == messages_by_day(read)


def test_instants_are_utc_wherever_they_are_read(read: Project) -> None:
    """A timestamp is the same instant in pandas, and in DuckDB from lake and warehouse."""
    [file] = (read.folder / "lake" / "messages").glob(f"day={DAYS[0]}/data.parquet")
    first = "SELECT min(epoch_ms(sent_at)) FROM "

    with duckdb.connect(read.environment["CONVERSATION_WAREHOUSE"], read_only=True) as connection:
        landed = connection.execute(f"{first} messages").fetchone()
        stored = connection.execute(f"{first} read_parquet(?)", [str(file)]).fetchone()

    frame = pd.read_parquet(file)
    assert str(frame["sent_at"].dt.tz) == "UTC"
    assert landed == stored == (int(frame["sent_at"].min().timestamp() * 1000),)


def test_nested_columns_are_read(read: Project) -> None:
    """A transcript's turns are a list of structs that SQL unnests."""
    files = f"{read.folder}/lake/transcripts/*/data.parquet"

    row = duckdb.execute(
        "SELECT count(*) FROM (SELECT unnest(turns) FROM read_parquet(?, hive_partitioning = true))", [files]
    ).fetchone()

    turns = [turn for day in DAYS[:2] for turns in read.rows(TRANSCRIPTS, day.isoformat())["turns"] for turn in turns]
    assert row == (len(turns),)


def test_the_warehouse_has_what_the_lake_has(read: Project) -> None:
    """A table of the warehouse holds the rows of all its partitions, with their day."""
    with duckdb.connect(read.environment["CONVERSATION_WAREHOUSE"], read_only=True) as connection:
        found = connection.execute("SELECT day, count(*) FROM messages GROUP BY day").fetchall()

    assert dict(found) == messages_by_day(read)


def hold_open(project: Project, test: Connection) -> None:
    """A notebook: opens the warehouse, counts, and reads all words when the test says so."""
    with duckdb.connect(project.environment["CONVERSATION_WAREHOUSE"], read_only=True) as connection:
        test.send(connection.execute(COUNT).fetchone())
        test.recv()
        test.send(connection.execute(WORDS).fetchone())


def open_often(project: Project, test: Connection) -> None:
    """A dashboard: opens the warehouse again and again until the test says so; tells what it saw."""
    seen = set()
    while not test.poll():
        seen.add(messages_in(project.environment["CONVERSATION_WAREHOUSE"]))
        if len(seen) == 1:
            test.send(None)
    test.send(seen)


def test_an_open_reader_keeps_what_it_sees(written: Project) -> None:
    """A process that holds the warehouse open blocks no landing, and reads the rows of when it opened it."""
    path = written.environment["CONVERSATION_WAREHOUSE"]
    with duckdb.connect(path, read_only=True) as connection:
        before = connection.execute(WORDS).fetchone()
    test, notebook = multiprocessing.Pipe()
    process = started(hold_open, written, notebook)
    assert test.recv() == (messages_in(path),)

    assert written.materialize(DAYS[1].isoformat()).success
    test.send("go on")

    assert test.recv() == before
    assert ended(process) == 0


def test_the_file_that_is_open_is_never_written(written: Project) -> None:
    """Whoever has the warehouse open finds every byte of it as it was, however much has landed since."""
    path = Path(written.environment["CONVERSATION_WAREHOUSE"])
    with path.open("rb") as held:
        before = held.read()

        written.materialize(DAYS[1].isoformat())

        held.seek(0)
        assert held.read() == before != path.read_bytes()


def test_readers_are_never_refused(written: Project) -> None:
    """A process that opens the warehouse again and again sees the old rows or the new, and no error."""
    old = messages_in(written.environment["CONVERSATION_WAREHOUSE"])
    test, dashboard = multiprocessing.Pipe()
    process = started(open_often, written, dashboard)
    assert test.poll(30)

    written.materialize(DAYS[1].isoformat())
    test.send("enough")

    assert ended(process) == 0
    while (seen := test.recv()) is None:
        continue
    assert seen <= {old, messages_in(written.environment["CONVERSATION_WAREHOUSE"])}
