"""
The on-platform road: SOQL by REST query.

Pages come back as bytes so that they can be staged before anything is made of them; ``to_batch`` is the pure step
from such bytes to Arrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa

from conversation_pipeline.extract.windows import Window
from conversation_pipeline.salesforce import soql
from conversation_pipeline.salesforce.query import ObjectDescription, Query, StagedPage
from conversation_pipeline.schemas import Dataset, Field
from conversation_pipeline.schemas.identifiers import record_id_18


@dataclass(frozen=True)
class Selection:
    """
    The columns that this org and user give: wanted and visible by describe.

    Attributes:
        missing: API names that are wanted and not visible; their columns stay null and are reported.
    """

    dataset: Dataset
    fields: tuple[Field, ...]
    missing: tuple[str, ...]

    @classmethod
    def of(cls, dataset: Dataset, description: ObjectDescription) -> Selection:
        wanted = [field for field in dataset.fields if field.api_name is not None]
        visible = tuple(field for field in wanted if description.sees(str(field.api_name)))
        missing = tuple(str(field.api_name) for field in wanted if field not in visible)
        return cls(dataset, visible, missing)

    def soql(self, window: Window | None) -> str:
        """One query for the whole selection: splitting columns over two reads would tear rows."""
        where = ""
        if window is not None and self.dataset.partition_by is not None:
            where = soql.within(self.dataset.api_name(self.dataset.partition_by), window.start, window.end)
        return soql.select(
            [str(field.api_name) for field in self.fields], str(self.dataset.sobject), where=where, order_by="Id"
        )


def select(query: Query, dataset: Dataset) -> Selection:
    """
    Raises:
        ObjectUnavailable: the org has no such object, or hides it from this user.
    """
    return Selection.of(dataset, query.describe(str(dataset.sobject)))


def pages(query: Query, selection: Selection, window: Window | None) -> Iterator[StagedPage]:
    """All pages of the window, soft-deleted records included."""
    return query.pages(selection.soql(window), all_rows=True)


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
    return None if value is None else _converter(field)(value)


def _converter(field: Field) -> Callable[[Any], Any]:
    if field.record_id:
        return record_id_18
    if pa.types.is_timestamp(field.type):
        return datetime.fromisoformat
    if pa.types.is_integer(field.type):
        return int  # the service may write 3 as 3.0
    if pa.types.is_string(field.type):
        return _text
    return lambda value: value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
