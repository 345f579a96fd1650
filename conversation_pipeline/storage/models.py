"""SQL models: one ``.sql`` file each, run by DuckDB over partitions of the lake."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from importlib import resources
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from pyarrow import fs

from conversation_pipeline.storage.sql import sql

_ROWS_A_BATCH = 8_192
"""Larger batches take a fifth longer: their memory comes fresh from the system each time."""

_GROUND = {"conversation_entries": "tellings", "entry_conflicts": "tellings"}
"""
Models that begin with the statements of another file, which makes tables and views for several of them. They may be
made of a range of conversations at a time.
"""

_ROW_GROUPS_AT_ONCE = 3
"""Of the longest input that is in the order of conversations: some 370,000 rows, and as many of each other road. A day
of 3.3 million rows at once takes all of the memory that there is, or more."""

Range = tuple[str | None, str | None]
"""Conversation identifiers, the first and the one behind the last; ``None`` where there is no such bound."""


@contextmanager
def run_model(
    name: str,
    inputs: Mapping[str, Any],
    parameters: Mapping[str, str | int | datetime],
    *,
    memory_limit: str = "1500MB",
    threads: int = 2,
) -> Iterator[pa.RecordBatchReader]:
    """
    Run ``sql/{name}.sql`` and hand on its rows as a stream, in no particular order unless the model says one.

    Memory grows neither with the rows nor with the days: what is made of many rows of many conversations is made of
    ranges of them, one after the other.

    Args:
        inputs: What the model's ``from`` clauses name: Arrow datasets or tables. Filters and columns are
            pushed down into datasets.
        parameters: Values of the model's ``$names``; those that it does not use are left out.
        memory_limit: What does not fit goes through a temporary folder, which is removed.
    """
    run = partial(_run, name, inputs, parameters, memory_limit=memory_limit, threads=threads)
    first, *others = _ranges(inputs) if name in _GROUND else [_ALL]
    with ExitStack() as opened:
        rows = opened.enter_context(run(first))
        if not others:
            yield rows
            return

        def batches() -> Iterator[pa.RecordBatch]:
            yield from rows
            opened.close()
            for conversations in others:
                with run(conversations) as more:
                    yield from more

        yield pa.RecordBatchReader.from_batches(rows.schema, batches())


_ALL: Range = (None, None)


@contextmanager
def _run(
    name: str,
    inputs: Mapping[str, Any],
    parameters: Mapping[str, str | int | datetime],
    conversations: Range,
    *,
    memory_limit: str,
    threads: int,
) -> Iterator[pa.RecordBatchReader]:
    with (
        tempfile.TemporaryDirectory(prefix="conversation-pipeline-model-") as spill,
        duckdb.connect(
            ":memory:", config={"memory_limit": memory_limit, "threads": threads, "temp_directory": spill}
        ) as connection,
    ):
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET preserve_insertion_order = false")
        for view, relation in inputs.items():
            _register(connection, view, relation)
        if name in _GROUND:
            for variable, bound in zip(("first_conversation", "end_conversation"), conversations, strict=True):
                connection.execute(f"SET VARIABLE {variable} = $bound", {"bound": bound})
            connection.execute(_text(_GROUND[name]))
        *before, statement = connection.extract_statements(_text(name))
        for one in before:
            connection.execute(one)
        used = {key: value for key, value in parameters.items() if f"${key}" in statement.query}
        yield connection.sql(statement.query, params=used).to_arrow_reader(_ROWS_A_BATCH)


def _ranges(inputs: Mapping[str, Any]) -> list[Range]:
    """Ranges that together are all conversations: where the row groups of the longest entries' file begin."""
    starts = max((_starts_of_row_groups(relation) for relation in inputs.values()), key=len, default=[])
    bounds = sorted(set(starts[_ROW_GROUPS_AT_ONCE::_ROW_GROUPS_AT_ONCE]))
    return list(zip([None, *bounds], [*bounds, None], strict=True))


def _starts_of_row_groups(relation: Any) -> list[str]:
    """The first conversation of each row group, where a relation is one file in the order of conversations."""
    datasets = list(_file_datasets(relation))
    if len(datasets) != 1 or len(datasets[0].files) != 1:
        return []
    [file], filesystem = datasets[0].files, datasets[0].filesystem
    metadata = pq.read_metadata(file, filesystem=filesystem)
    if not metadata.num_row_groups or metadata.row_group(0).column(0).path_in_schema != "conversation_identifier":
        return []
    found = (metadata.row_group(place).column(0).statistics for place in range(metadata.num_row_groups))
    return [one.min for one in found if one is not None and one.has_min_max]


def files_of(inputs: Mapping[str, Any]) -> set[tuple[str, int, int]]:
    """The files of a model's inputs as they are now: path, last change (nanoseconds since 1970), bytes."""
    return {
        (info.path, info.mtime_ns, info.size)
        for relation in inputs.values()
        for dataset in _file_datasets(relation)
        for info in dataset.filesystem.get_file_info(dataset.files)
    }


def _text(name: str) -> str:
    return resources.files("conversation_pipeline").joinpath("sql", f"{name}.sql").read_text()


def _register(connection: duckdb.DuckDBPyConnection, name: str, relation: Any) -> None:
    """
    Files of this machine are read by DuckDB itself, in half the time that they take through Arrow; what they lack of
    the declared columns is null.
    """
    files = _local_files(relation)
    if not files:
        connection.register(name, relation)
        return
    connection.register(f"{name} declared", relation.schema.empty_table())
    connection.read_parquet(files, union_by_name=True, hive_partitioning=False).create_view(f"{name} told")
    connection.execute(
        sql(
            "CREATE VIEW {name} AS SELECT {columns} "
            "FROM (SELECT * FROM {declared} UNION ALL BY NAME SELECT * FROM {told})",
            name=name,
            columns=relation.schema.names,
            declared=f"{name} declared",
            told=f"{name} told",
        )
    )


def _local_files(relation: Any) -> list[str]:
    return [
        file
        for dataset in _file_datasets(relation)
        if isinstance(dataset.filesystem, fs.LocalFileSystem)
        for file in dataset.files
    ]


def _file_datasets(relation: Any) -> Iterator[pads.FileSystemDataset]:
    if isinstance(relation, pads.UnionDataset):
        for child in relation.children:
            yield from _file_datasets(child)
    elif isinstance(relation, pads.FileSystemDataset):
        yield relation
