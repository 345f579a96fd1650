"""What roads told of a few entries, and what the models make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.conversations import (
    CONVERSATION_ENTRIES,
    CONVERSATION_PARTICIPANTS,
    CONVERSATIONS,
    ENTRIES_ARCHIVE,
    ENTRIES_CONNECT,
    ENTRIES_CONVERSATION_DATA,
    ENTRIES_DATA_CLOUD,
    ENTRY_CONFLICTS,
)
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.schemas.people import USERS
from conversation_pipeline.schemas.voice import VOICE_CALLS
from conversation_pipeline.storage.models import run_model

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
ROADS = {
    "conversation_data": ENTRIES_CONVERSATION_DATA,
    "data_cloud": ENTRIES_DATA_CLOUD,
    "archive": ENTRIES_ARCHIVE,
    "connect": ENTRIES_CONNECT,
}
"""The fullest first."""

Row = dict[str, Any]


def uid(number: int) -> str:
    """An entry's identifier."""
    return f"0b6f2f0e-5f55-4a59-9f0e-{number:012x}"


def said(
    road: str, identifier: str = uid(1), text: str | None = "hello", *, second: float = 0, read: float = 1, **more: Any
) -> Row:
    """
    A message of the end user, told by a road.

    Args:
        second: Seconds after noon at which it was said.
        read: Hours after noon at which the road was read.
    """
    at = NOON + timedelta(seconds=second)
    usual = {
        "conversation_identifier": "c1",
        "entry_identifier": identifier,
        "entry_type": "Message",
        "message_type": "StaticContentMessage",
        "format_type": "Text",
        "text": text,
        "sender_role": "EndUser",
        "sender_app_type": "messaging",
        "sender_subject": "15550001111",
        "client_timestamp": at,
        "transcripted_timestamp": at,
        "road": road,
        "fetched_at": NOON + timedelta(hours=read),
    }
    return usual | more


def united(*told: Row, **inputs: Sequence[Row]) -> list[Row]:
    """The rows of ``conversation_entries``, in the order of their key."""
    return _model(CONVERSATION_ENTRIES, told, inputs)


def conflicts(*told: Row, **inputs: Sequence[Row]) -> list[Row]:
    """The rows of ``entry_conflicts``, in the order of their key."""
    return _model(ENTRY_CONFLICTS, told, inputs)


def _model(dataset: Dataset, told: Sequence[Row], given: dict[str, Sequence[Row]]) -> list[Row]:
    with run_model(dataset.name, model_inputs(told, given), {}) as batches:
        rows: list[Row] = batches.read_all().to_pylist()
    return sorted(rows, key=lambda row: [row[name] for name in dataset.key])


def model_inputs(told: Sequence[Row], given: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """Tables that the models read, by name: what the roads told, and rows of other datasets."""
    inputs = {it.name: table(it, *(row for row in told if row["road"] == road)) for road, it in ROADS.items()}
    inputs |= {
        it.name: table(it, *given.get(it.name, ()))
        for it in (MESSAGING_SESSIONS, VOICE_CALLS, CONVERSATIONS, CONVERSATION_PARTICIPANTS, USERS)
    }
    return inputs | {"entries_of_two_days": inputs[ENTRIES_CONVERSATION_DATA.name]}


def table(dataset: Dataset, *rows: Row) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], dataset.schema)
