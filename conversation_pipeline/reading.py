"""
Reading the lake from Python: a dataset as a DuckDB relation, and from there as Arrow or pandas.

The lake is plain Parquet and needs nothing of this: ``read`` only saves the path, the days' folders and the schema of
files that are not there yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from os import PathLike
from pathlib import Path

import duckdb

from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.catalogue import DATASETS
from conversation_pipeline.schemas.custom import with_custom_fields
from conversation_pipeline.settings import load_settings
from conversation_pipeline.storage import Lake

Day = date | str
"""A UTC day: a date, or ``YYYY-MM-DD``. Of a ``datetime`` the day counts, of one with a zone the UTC day."""


def read(
    dataset: str,
    *,
    days: Day | tuple[Day, Day] | Iterable[Day] | None = None,
    lake: str | PathLike[str] | None = None,
    connection: duckdb.DuckDBPyConnection | None = None,
) -> duckdb.DuckDBPyRelation:
    """
    A dataset of the lake, to go on with in DuckDB, pandas or Arrow.

    ``read("messages", days="2026-11-20").df()`` is a pandas DataFrame, ``.to_arrow_table()`` an Arrow table,
    ``.to_arrow_reader()`` a stream of record batches; and ``duckdb.sql`` takes the relation by the name of its
    variable. Nothing is read before that, then only the columns and the days that are asked for.

    Args:
        dataset: Name of the dataset, such as ``conversation_entries`` (docs/datasets.md has them all).
        days: One UTC day; a pair ``(first, last)``, both included; or a list of days. All days by default. A day
            without a file has no rows.
        lake: Folder or URL of the lake, where it is not that of ``CONVERSATION_LAKE``.
        connection: DuckDB connection of the relation. By default DuckDB's own, the one behind ``duckdb.sql``, whose
            time zone is set to UTC.

    Returns:
        The rows in no order, with the declared columns, whatever files there are; and, for a dataset with partitions,
        the partition's ``day`` (date) as the last column. Instants are ``TIMESTAMP WITH TIME ZONE``.

    Raises:
        ValueError: no dataset, day or local lake is there by that name; the message names what is. Settings that are
            wrong are told the same way (``SettingsError``).
    """
    settings = load_settings()
    declared = _named(dataset, with_custom_fields(DATASETS, settings.custom_fields))
    stored = _lake(settings.conversation_lake if lake is None else str(lake))
    rows = stored.dataset(declared, _partitions(stored, declared, days), day=declared.partitioned)
    if connection is None:
        connection = duckdb.default_connection()
        connection.execute("SET TimeZone = 'UTC'")
    return connection.from_arrow(rows)


def _named(name: str, datasets: Iterable[Dataset]) -> Dataset:
    by_name = {dataset.name: dataset for dataset in datasets}
    if name not in by_name:
        raise ValueError(f"no dataset is called {name!r}; there are {', '.join(sorted(by_name))}")
    return by_name[name]


def _lake(url: str) -> Lake:
    lake = Lake(url)
    if lake.local and not Path(url.removeprefix("file://")).is_dir():
        raise ValueError(
            f"there is no lake at {url}: give its folder or URL as lake=..., or set CONVERSATION_LAKE "
            "(make demo makes one in data/demo/lake)"
        )
    return lake


def _partitions(lake: Lake, dataset: Dataset, days: Day | Iterable[Day] | None) -> list[str] | None:
    """The partitions that there are of the days asked for; None for all that there are."""
    if days is None:
        return None
    if not dataset.partitioned:
        raise ValueError(f"dataset {dataset.name} is a full snapshot without days; read it without days=...")
    wanted = _wanted(days)
    return [day for day in lake.partitions(dataset) if wanted(date.fromisoformat(day))]


def _wanted(days: Day | Iterable[Day]) -> Callable[[date], bool]:
    if isinstance(days, date | str):
        return {_day(days)}.__contains__
    if not isinstance(days, tuple):
        return {_day(day) for day in days}.__contains__
    if len(days) != 2 or _day(days[0]) > _day(days[1]):
        raise ValueError(
            "a tuple of days is a pair (first, last) that does not go backwards; give single days as a list"
        )
    first, last = _day(days[0]), _day(days[1])
    return lambda day: first <= day <= last


def _day(day: Day) -> date:
    if isinstance(day, datetime):
        return (day.astimezone(UTC) if day.tzinfo else day).date()
    if isinstance(day, date):
        return day
    try:
        return datetime.strptime(day, "%Y-%m-%d").date()
    except (TypeError, ValueError):
        raise ValueError(f"a day is a date or YYYY-MM-DD, not {str(day)[:40]!r}") from None
