"""A dataset, declared once: SOQL, Arrow schema, DuckDB table, docs page and checks are derived from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from conversation_pipeline.schemas.fields import Field

LONGEST_SESSION_DAYS = 7
"""How many days before what tells of it a messaging session or a voice call is looked for."""


class Group(StrEnum):
    """Asset group in the Dagster UI, one for each layer of the lake."""

    ON_PLATFORM = "on_platform"
    OFF_PLATFORM = "off_platform"
    CONVERSATIONS = "conversations"
    MARTS = "marts"


@dataclass(frozen=True)
class Reference:
    """
    A column whose values identify rows of another dataset.

    What is legitimately absent: a record that was created before the first day in the lake, or after the referred
    dataset was last read. So values that are missing are a finding only where all days on which the record may have
    been created were read; where it may be of any age, only when none of the day's values is there at all.

    Attributes:
        column: The column.
        to: Names of the datasets in one of which each value is found.
        to_column: The column there.
        created_within: How many days before the row's own the record may have been created; ``None`` where it may be of
            any age, or may be gone.
    """

    column: str
    to: tuple[str, ...]
    to_column: str = "id"
    created_within: int | None = None


@dataclass(frozen=True)
class Dataset:
    """
    A declared table.

    Attributes:
        name: Asset key = lake folder = DuckDB table.
        grain: What one row is, as a sentence for people.
        group: Layer of the lake.
        key: Columns that identify a row; the order in which files are sorted.
        fields: All columns, in order. New ones are added at the end and ``version`` is raised.
        partition_by: Instant column whose UTC day is the row's partition for ever; ``None`` for a full snapshot.
        sobject: Salesforce object behind the dataset, where there is one.
        only: SOQL condition that tells the dataset's records from others of the same object.
        cursor_field: API name of the field that orders changes (``SystemModstamp``; some objects only have
            ``LastModifiedDate``).
        ends_at: Instant column that is null while what the row is about goes on.
        version: Raised whenever ``fields`` change.
        references: Columns whose values identify rows of other datasets.
        source: Where its rows come from, where that is neither a Salesforce object nor the model ``sql/{name}.sql``.
    """

    name: str
    grain: str
    group: Group
    key: tuple[str, ...]
    fields: tuple[Field, ...]
    partition_by: str | None = None
    sobject: str | None = None
    only: str = ""
    cursor_field: str | None = None
    ends_at: str | None = None
    version: int = 1
    references: tuple[Reference, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        names = [field.name for field in self.fields]
        unknown = [
            name
            for name in (*self.key, self.partition_by, self.ends_at, *(one.column for one in self.references))
            if name is not None and name not in names
        ]
        if unknown or len(set(names)) != len(names):
            raise ValueError(f"dataset {self.name}: column names repeat, or {unknown} are not among its columns")

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([field.arrow for field in self.fields])

    @property
    def partitioned(self) -> bool:
        return self.partition_by is not None

    def field(self, name: str) -> Field:
        return next(field for field in self.fields if field.name == name)

    def api_name(self, column: str) -> str:
        """The Salesforce field behind a column."""
        api_name = self.field(column).api_name
        if api_name is None:
            raise KeyError(f"{self.name}.{column} does not come from a Salesforce field")
        return api_name
