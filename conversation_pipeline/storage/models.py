"""SQL models: one ``.sql`` file each, run by DuckDB over partitions of the lake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from importlib import resources
from typing import Any

import duckdb
import pyarrow as pa

_ROWS_A_BATCH = 65_536

_GROUND = {"conversation_entries": "tellings", "entry_conflicts": "tellings"}
"""Models that begin with the statements of another file, which makes tables and views for several of them."""


@contextmanager
def run_model(
    name: str,
    inputs: Mapping[str, Any],
    parameters: Mapping[str, str | int | datetime],
    *,
    memory_limit: str = "1GB",
    threads: int = 2,
) -> Iterator[pa.RecordBatchReader]:
    """
    Run ``sql/{name}.sql`` and hand on its rows as a stream.

    Args:
        inputs: What the model's ``from`` clauses name: Arrow datasets or tables. Filters and columns are
            pushed down into datasets.
        parameters: Values of the model's ``$names``; those that it does not use are left out.
    """
    statement = _sql(name)
    with duckdb.connect(":memory:", config={"memory_limit": memory_limit, "threads": threads}) as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET TimeZone = 'UTC'")
        for view, relation in inputs.items():
            connection.register(view, relation)
        if name in _GROUND:
            connection.execute(_sql(_GROUND[name]))
        used = {key: value for key, value in parameters.items() if f"${key}" in statement}
        yield connection.sql(statement, params=used).to_arrow_reader(_ROWS_A_BATCH)


def _sql(name: str) -> str:
    return resources.files("conversation_pipeline").joinpath("sql", f"{name}.sql").read_text()
