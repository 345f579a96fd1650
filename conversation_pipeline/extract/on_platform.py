"""
The on-platform road: SOQL by REST query.

Pages come back as bytes so that they can be staged before anything is made of them; ``to_batch`` is the pure step
from such bytes to Arrow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pyarrow as pa

from conversation_pipeline.extract.windows import Window
from conversation_pipeline.salesforce import soql
from conversation_pipeline.salesforce.errors import IncompleteAnswer, ObjectUnavailable
from conversation_pipeline.salesforce.query import ObjectDescription, Query
from conversation_pipeline.schemas import INSTANT, Dataset, Field
from conversation_pipeline.schemas.identifiers import record_id_18


@dataclass(frozen=True)
class Selection:
    """
    The columns that this org and user give: wanted and visible by describe.

    Attributes:
        missing: API names that are wanted and not visible.
        unfit: API names whose describe type is another than the column's, or one that no column holds (base64,
            compound address or location).
        calculated: API names of formula fields: what they give changes without a new stamp of the record, so a column
            of them would go stale unseen.
        cursor: API name of the field that orders changes here; ``None`` where the org has none that a condition may
            name, so that every reading is a full pull.

    Columns of what is missing, unfit or calculated stay null, or keep what was read before; they are reported.
    """

    dataset: Dataset
    fields: tuple[Field, ...]
    missing: tuple[str, ...]
    unfit: tuple[str, ...] = ()
    calculated: tuple[str, ...] = ()
    cursor: str | None = None

    @classmethod
    def of(cls, dataset: Dataset, description: ObjectDescription) -> Selection:
        wanted = {str(field.api_name): field for field in dataset.fields if field.api_name is not None}
        visible = {name: field for name, field in wanted.items() if description.sees(name)}
        calculated = tuple(name for name in visible if name in description.calculated)
        fit = {
            name: field
            for name, field in visible.items()
            if name not in calculated and _fits(field, description.types.get(name))
        }
        return cls(
            dataset,
            tuple(fit.values()),
            missing=tuple(name for name in wanted if name not in visible),
            unfit=tuple(name for name in visible if name not in fit and name not in calculated),
            calculated=calculated,
            cursor=cursor_field(dataset, description),
        )

    @property
    def left_out(self) -> frozenset[str]:
        """API names of wanted fields that are not read."""
        return frozenset((*self.missing, *self.unfit, *self.calculated))

    @property
    def findings(self) -> dict[str, tuple[str, ...]]:
        """What is not read, by the reason why, for people."""
        found = {
            "not visible, nothing new is read": self.missing,
            "of another type than declared, or of one that no column holds, nothing new is read": self.unfit,
            "calculated by a formula whose changes move no stamp, nothing is read; load what it is computed from": (
                self.calculated
            ),
        }
        return {reason: names for reason, names in found.items() if names}

    def soql(
        self,
        window: Window | None,
        *,
        still_going_at: datetime | None = None,
        changed_since: datetime | None = None,
        or_where: str = "",
    ) -> str:
        """
        One query for the whole selection: splitting columns over two reads would tear rows.

        Args:
            window: Of creation; ``None`` for all records.
            still_going_at: Only records that had not ended by then.
            changed_since: Only records that were inserted, changed or soft-deleted since then.
            or_where: A condition on further records, beside those that changed.
        """
        conditions = [self.condition(window)] if self.condition(window) else []
        if changed_since is not None and self.cursor is not None:
            changed = soql.compare(self.cursor, ">=", changed_since)
            conditions.append(f"({changed} OR {or_where})" if or_where else changed)
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


STAMP = "SystemModstamp"
"""Moved by whatever changes a record; what else there is, is moved by users alone."""

_CURSORS = (STAMP, "LastModifiedDate")


def cursor_field(dataset: Dataset, description: ObjectDescription) -> str | None:
    """
    The field that orders the object's changes: the surest that a condition may name in this org (on-platform reference
    4, trap 6); ``None`` where nothing tells a change.
    """
    if dataset.cursor_field is None:
        return None
    return next((name for name in _CURSORS if name in description.filterable), None)


def _fits(field: Field, describe_type: str | None) -> bool:
    """Whether values of a describe type are values of the column; text takes everything that is one value."""
    if describe_type in _NO_COLUMN:
        return False
    if describe_type is None or pa.types.is_string(field.type):
        return True
    return describe_type in _DESCRIBE_TYPES[field.type]


_NO_COLUMN = frozenset({"base64", "address", "location"})
"""Bulk takes none of them, and REST sends one record a page with base64; components of compound fields are columns."""


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
    Records created before the first partition that had not ended by ``going_at``, however old: they reach into the
    lake's days, but have no partition of their own. One query, without the org's custom fields.
    """
    try:
        selection = select(query, dataset)
    except ObjectUnavailable:
        return dataset.schema.empty_table()
    standard = tuple(field for field in selection.fields if not str(field.api_name).endswith("__c"))
    soql_text = replace(selection, fields=standard).soql(Window(_EVER, start), still_going_at=going_at)
    batches = [to_batch(page.body, dataset) for page in query.pages(soql_text, all_rows=True)]
    return pa.Table.from_batches(batches, dataset.schema)


_EVER = datetime(1999, 1, 1, tzinfo=UTC)
"""Salesforce has no older records."""


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
