"""
The on-platform road: SOQL by REST query.

Pages come back as bytes so that they can be staged before anything is made of them; ``to_batch`` is the pure step
from such bytes to Arrow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa

from conversation_pipeline.extract.windows import Window
from conversation_pipeline.salesforce import soql
from conversation_pipeline.salesforce.errors import IncompleteAnswer, ObjectUnavailable
from conversation_pipeline.salesforce.query import ObjectDescription, Query
from conversation_pipeline.schemas import INSTANT, Dataset, Field
from conversation_pipeline.schemas.identifiers import record_id_18

LONGEST_SESSION = timedelta(days=30)
"""How far before the first partition a session may have begun that still reaches into it."""


@dataclass(frozen=True)
class Selection:
    """
    The columns that this org and user give: wanted and visible by describe.

    Attributes:
        missing: API names that are wanted and not visible; their columns stay null and are reported.
        unfit: API names whose describe type is another than the column's; their columns stay null and are reported.
    """

    dataset: Dataset
    fields: tuple[Field, ...]
    missing: tuple[str, ...]
    unfit: tuple[str, ...] = ()

    @classmethod
    def of(cls, dataset: Dataset, description: ObjectDescription) -> Selection:
        wanted = [field for field in dataset.fields if field.api_name is not None]
        visible = [field for field in wanted if description.sees(str(field.api_name))]
        fit = [field for field in visible if _fits(field, description.types.get(str(field.api_name)))]
        missing = tuple(str(field.api_name) for field in wanted if field not in visible)
        unfit = tuple(str(field.api_name) for field in visible if field not in fit)
        return cls(dataset, tuple(fit), missing, unfit)

    def soql(
        self, window: Window | None, *, still_going_at: datetime | None = None, changed_since: datetime | None = None
    ) -> str:
        """
        One query for the whole selection: splitting columns over two reads would tear rows.

        Args:
            window: Of creation; ``None`` for all records.
            still_going_at: Only records that had not ended by then.
            changed_since: Only records that were inserted, changed or soft-deleted since then.
        """
        conditions = [self.condition(window)] if self.condition(window) else []
        if changed_since is not None and self.dataset.cursor_field is not None:
            conditions.append(soql.compare(self.dataset.cursor_field, ">=", changed_since))
        if still_going_at is not None and (end := self._visible(self.dataset.ends_at)):
            conditions.append(f"({soql.compare(end, '=', None)} OR {soql.compare(end, '>=', still_going_at)})")
        where = " AND ".join(conditions)
        return soql.select(
            [str(field.api_name) for field in self.fields], str(self.dataset.sobject), where=where, order_by="Id"
        )

    def _visible(self, column: str | None) -> str | None:
        """The API name behind a column, if this org and user give it."""
        return next((field.api_name for field in self.fields if field.name == column), None)

    def ids_soql(self, window: Window) -> str:
        """The same records, their ids alone."""
        return soql.select(["Id"], str(self.dataset.sobject), where=self.condition(window), order_by="Id")

    def condition(self, window: Window | None) -> str:
        """What tells the dataset's records, of one window of creation where it is partitioned."""
        conditions = [self.dataset.only] if self.dataset.only else []
        if window is not None and self.dataset.partition_by is not None:
            conditions.append(soql.within(self.dataset.api_name(self.dataset.partition_by), window.start, window.end))
        return " AND ".join(conditions)


def _fits(field: Field, describe_type: str | None) -> bool:
    """Whether values of a describe type are values of the column; text takes everything."""
    if describe_type is None or pa.types.is_string(field.type):
        return True
    return describe_type in _DESCRIBE_TYPES[field.type]


_DESCRIBE_TYPES: dict[pa.DataType, frozenset[str]] = {
    pa.int64(): frozenset({"int", "long"}),
    pa.float64(): frozenset({"double", "percent", "currency", "int", "long"}),
    pa.bool_(): frozenset({"boolean"}),
    pa.date32(): frozenset({"date"}),
    INSTANT: frozenset({"datetime"}),
}


def select(query: Query, dataset: Dataset) -> Selection:
    """
    Raises:
        ObjectUnavailable: the org has no such object, or hides it from this user.
    """
    return Selection.of(dataset, query.describe(str(dataset.sobject)))


def begun_before(query: Query, dataset: Dataset, start: datetime, going_at: datetime) -> pa.Table:
    """
    Records created before the first partition that had not ended by ``going_at``: they reach into the lake's first
    days, but have no partition of their own.
    """
    try:
        selection = select(query, dataset)
    except ObjectUnavailable:
        return dataset.schema.empty_table()
    soql_text = selection.soql(Window(start - LONGEST_SESSION, start), still_going_at=going_at)
    batches = [to_batch(page.body, dataset) for page in query.pages(soql_text, all_rows=True)]
    return pa.Table.from_batches(batches, dataset.schema)


class _Page(msgspec.Struct):
    records: list[dict[str, Any]]


_decode_page = msgspec.json.Decoder(_Page).decode


def to_batch(body: bytes, dataset: Dataset) -> pa.RecordBatch:
    """A page's bytes as rows of the dataset; columns that the page does not carry are null."""
    records = _decode_page(body).records
    columns = [pa.array([_value(record, field) for record in records], field.type) for field in dataset.fields]
    return pa.record_batch(columns, schema=dataset.schema)


def _value(record: dict[str, Any], field: Field) -> Any:
    value: Any = record
    for name in str(field.api_name).split("."):
        value = value.get(name) if value is not None else None
    try:
        return None if value is None else _converter(field)(value)
    except (ValueError, TypeError):
        # The converter's own message quotes the value, which may be a customer's words.
        raise IncompleteAnswer(
            f"{field.api_name} came with a value that is no {field.type}; ask again, or see what changed in the org"
        ) from None


def _converter(field: Field) -> Callable[[Any], Any]:
    if field.record_id:
        return record_id_18
    if pa.types.is_timestamp(field.type):
        return datetime.fromisoformat
    if pa.types.is_date(field.type):
        return date.fromisoformat
    if pa.types.is_floating(field.type):
        return float
    if pa.types.is_integer(field.type):
        return int  # the service may write 3 as 3.0
    if pa.types.is_string(field.type):
        return _text
    return lambda value: value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
