"""
What no stamp tells: ``Conversation`` and ``ConversationParticipant`` have no ``SystemModstamp``, and their
``LastModifiedDate`` stays where it is when automation changes a record (on-platform reference 4, trap 7).

So the last days are read as a whole once a night. Of older days, the records of a conversation are read again once a
session or call of that conversation has changed: the lake knows which, so finding out costs no call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.extract.changes import OVERLAP
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.conversations import CONVERSATION_PARTICIPANTS, CONVERSATIONS
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.schemas.voice import VOICE_CALLS
from conversation_pipeline.storage import Lake, Receipt

SWEPT = {CONVERSATIONS.name: "id", CONVERSATION_PARTICIPANTS.name: "conversation_id"}
"""Datasets whose changes a stamp may not tell, and their column that names the conversation."""

SWEPT_DAYS = timedelta(days=3)
"""So long after its end a day is read as a whole each night."""

_A_NIGHT = timedelta(hours=20)
"""Shorter than a day, so that a nightly run which starts earlier than the last one sweeps all the same."""

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def asked_at(receipt: Receipt) -> datetime:
    """When the org was asked for what a file holds; long ago where it does not say."""
    told = receipt.provenance.get("asked_at")
    return LONG_AGO if told is None else datetime.fromisoformat(told)


def is_due(dataset: Dataset, there: Receipt, now: datetime) -> bool:
    """Whether a day in the lake has to be read as a whole, whatever the stamps say."""
    swept_at = datetime.fromisoformat(there.provenance.get("swept_at", LONG_AGO.isoformat()))
    recent = now < Window.of_day(str(there.partition)).end + SWEPT_DAYS
    return dataset.name in SWEPT and recent and now - swept_at >= _A_NIGHT


def told_by_sessions(dataset: Dataset, day: str, since: datetime, lake: Lake) -> list[str]:
    """Conversations with records on this day, and with sessions or calls that changed since then."""
    if dataset.name not in SWEPT:
        return []
    column = SWEPT[dataset.name]
    known = set(lake.dataset(dataset, [day]).to_table(columns=[column])[column].to_pylist())
    return sorted(known & set(_changed(lake, since)))


LastReadings = Callable[[Iterable[str]], Mapping[str, datetime]]
"""Of days, when each was read last, as far as known; a file is as old as its content, and may have been read since."""


def days_told_by_sessions(dataset: Dataset, lake: Lake, now: datetime, last_readings: LastReadings) -> list[str]:
    """Days older than those of the sweep, read before a session or call of one of their conversations changed."""
    column, created = SWEPT[dataset.name], str(dataset.partition_by)
    asked = {
        str(receipt.partition): asked_at(receipt)
        for receipt in lake.receipts(dataset)
        if now >= Window.of_day(str(receipt.partition)).end + SWEPT_DAYS
    }
    if not asked:
        return []
    changed = _changed(lake, min(asked.values()) - OVERLAP)
    named = pc.field(column).isin(pa.array(list(changed), pa.string()))
    told: dict[str, datetime] = {}
    for row in lake.dataset(dataset, asked).to_table(columns=[created, column], filter=named).to_pylist():
        day, at = row[created].date().isoformat(), changed[row[column]]
        if at >= asked[day] - OVERLAP:
            told[day] = max(at, told.get(day, at))
    read_at = last_readings(told) if told else {}
    return sorted(day for day, at in told.items() if day not in read_at or at >= read_at[day] - OVERLAP)


def last_materialized(instance: dg.DagsterInstance, dataset: Dataset, days: Iterable[str]) -> dict[str, datetime]:
    """When days were read last, as their newest materializations say."""
    wanted = dg.AssetRecordsFilter(dg.AssetKey(dataset.name), asset_partitions=list(days))
    found: dict[str, datetime] = {}
    for record in instance.fetch_materializations(wanted, limit=1000).records:
        materialization = record.asset_materialization
        asked_at = materialization.metadata.get("asked_at") if materialization else None
        if asked_at is not None:
            found.setdefault(str(record.partition_key), datetime.fromisoformat(str(asked_at.value)))
    return found


def _changed(lake: Lake, since: datetime) -> dict[str, datetime]:
    """Conversations whose sessions or calls changed since then, and when."""
    changed: dict[str, datetime] = {}
    for dataset in (MESSAGING_SESSIONS, VOICE_CALLS):
        rows = lake.dataset(dataset).to_table(
            columns=["conversation_id", "system_modstamp"],
            filter=(pc.field("system_modstamp") >= pa.scalar(since)) & pc.field("conversation_id").is_valid(),
        )
        for identifier, at in zip(rows[0].to_pylist(), rows[1].to_pylist(), strict=True):
            changed[identifier] = max(at, changed.get(identifier, at))
    return changed
