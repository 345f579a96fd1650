"""
What no stamp tells: ``Conversation`` and ``ConversationParticipant`` have no ``SystemModstamp``, and their
``LastModifiedDate`` stays where it is when automation changes a record (on-platform reference 4, trap 7).

So the last days are read as a whole once a night. Of older days, the records of a conversation are read again once a
session or call of that conversation has changed: the lake knows which, so finding out costs no call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

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

_LONG_AGO = "2000-01-01T00:00:00+00:00"


def is_due(dataset: Dataset, there: Receipt, now: datetime) -> bool:
    """Whether a day in the lake has to be read as a whole, whatever the stamps say."""
    swept_at = datetime.fromisoformat(there.provenance.get("swept_at", _LONG_AGO))
    recent = now < Window.of_day(str(there.partition)).end + SWEPT_DAYS
    return dataset.name in SWEPT and recent and now - swept_at >= _A_NIGHT


def told_by_sessions(dataset: Dataset, day: str, since: datetime, lake: Lake) -> list[str]:
    """Conversations with records on this day, and with sessions or calls that changed since then."""
    if dataset.name not in SWEPT:
        return []
    column = SWEPT[dataset.name]
    known = set(lake.dataset(dataset, [day]).to_table(columns=[column])[column].to_pylist())
    return sorted(known & set(_changed(lake, since)))


def days_told_by_sessions(dataset: Dataset, lake: Lake, asked_at: Mapping[str, datetime], now: datetime) -> list[str]:
    """
    Days older than those of the sweep that were read before a session or call of one of their conversations changed.

    Args:
        asked_at: When each day was read last.
    """
    column, created = SWEPT[dataset.name], str(dataset.partition_by)
    older = [day for day in asked_at if now >= Window.of_day(day).end + SWEPT_DAYS]
    if not older:
        return []
    changed = _changed(lake, min(asked_at[day] for day in older) - OVERLAP)
    named = pc.field(column).isin(pa.array(list(changed), pa.string()))
    rows = lake.dataset(dataset, older).to_table(columns=[created, column], filter=named).to_pylist()
    stale = ((row[created].date().isoformat(), changed[row[column]]) for row in rows)
    return sorted({day for day, changed_at in stale if changed_at >= asked_at[day] - OVERLAP})


def last_readings(instance: dg.DagsterInstance, dataset: Dataset, lake: Lake) -> dict[str, datetime]:
    """
    When each day in the lake was read last: what its newest materialization says, or else its file, which is as old as
    its content.
    """
    found = {
        str(receipt.partition): datetime.fromisoformat(receipt.provenance.get("asked_at", _LONG_AGO))
        for receipt in lake.receipts(dataset)
    }
    for day, asked_at in _materialized(instance, dataset, found):
        found[day] = max(found[day], asked_at)
    return found


def _materialized(
    instance: dg.DagsterInstance, dataset: Dataset, days: Iterable[str]
) -> Iterable[tuple[str, datetime]]:
    wanted = dg.AssetRecordsFilter(dg.AssetKey(dataset.name), asset_partitions=list(days))
    for record in instance.fetch_materializations(wanted, limit=1000).records:
        materialization = record.asset_materialization
        told = materialization.metadata.get("asked_at") if materialization else None
        if told is not None:
            yield str(record.partition_key), datetime.fromisoformat(str(told.value))


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
