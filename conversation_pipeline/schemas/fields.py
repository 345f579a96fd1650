"""The columns of a dataset: name, Arrow type, where the value comes from and what it means."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa

INSTANT = pa.timestamp("ms", tz="UTC")

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def column_name(api_name: str) -> str:
    """
    The column for a Salesforce API name: ``CallStartDateTime`` becomes ``call_start_date_time``.

    The way back is looked up in the ``Dataset``, never computed: ``__c`` and acronyms do not survive the trip.
    """
    return _WORD_START.sub("_", api_name).lower()


@dataclass(frozen=True)
class Field:
    """
    One column.

    Attributes:
        name: Column name in Parquet and DuckDB, ``snake_case``.
        type: Arrow type; the same whichever road carried the value.
        meaning: One sentence for the column schema in the UI and for the docs.
        api_name: The Salesforce field, or a path to a parent's field such as ``Conversation.ConversationIdentifier``;
            ``None`` for a column that no SOQL query selects.
        required: True for key columns; every other column may be null, whatever describe's ``nillable`` says, because
            that flag is about what a person may type in, not about what is stored.
        record_id: True for Salesforce record ids, which are stored in their 18-character form.
    """

    name: str
    type: pa.DataType
    meaning: str
    api_name: str | None = None
    required: bool = False
    record_id: bool = False

    @property
    def arrow(self) -> pa.Field:
        return pa.field(self.name, self.type, nullable=not self.required)


def from_salesforce(api_name: str, type: pa.DataType, meaning: str, *, name: str = "") -> Field:
    """A column that a SOQL query selects; its name follows the one rule unless given."""
    return Field(name or column_name(api_name), type, meaning, api_name)


def record_id(api_name: str = "Id", meaning: str = "Salesforce record id, 18 characters.", *, name: str = "") -> Field:
    return Field(name or column_name(api_name), pa.string(), meaning, api_name, api_name == "Id", record_id=True)


def text(api_name: str, meaning: str, *, name: str = "") -> Field:
    return from_salesforce(api_name, pa.string(), meaning, name=name)


def instant(api_name: str, meaning: str) -> Field:
    return from_salesforce(api_name, INSTANT, meaning)


def whole_number(api_name: str, meaning: str) -> Field:
    return from_salesforce(api_name, pa.int64(), meaning)


def number(api_name: str, meaning: str) -> Field:
    return from_salesforce(api_name, pa.float64(), meaning)


def flag(api_name: str, meaning: str) -> Field:
    return from_salesforce(api_name, pa.bool_(), meaning)
