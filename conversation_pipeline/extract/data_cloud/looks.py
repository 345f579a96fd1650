"""One query that tells whether there is anything to read: counts and latest changes by day, and the newest entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from conversation_pipeline.extract.data_cloud.objects import Objects
from conversation_pipeline.extract.data_cloud.sql import looks_sql
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.salesforce.data_cloud import DataCloud

NEWEST_WITHIN = timedelta(days=2)
"""How far back the newest visible entry is looked for: further back, and the look would read more than it saves."""


@dataclass(frozen=True)
class Look:
    """
    What Data Cloud has of a day.

    Attributes:
        entries: Rows.
        ids: Different ids among them; fewer than rows where several sources (key qualifiers) tell the same.
        changed: Latest change of any of them, as text; empty where there is none.
    """

    entries: int
    ids: int
    changed: str


@dataclass(frozen=True)
class Looks:
    """
    Attributes:
        days: By day.
        newest: Creation of the newest entry that is visible; ``None`` where there is none of the last two days.
        rows_processed: What the look cost; ``None`` where untold.
    """

    days: dict[str, Look]
    newest: datetime | None
    rows_processed: int | None


def look(client: DataCloud[pa.Table], objects: Objects, days: Sequence[str], now: datetime) -> Looks:
    """Asks for counts of some days, in one query."""
    windows = [(day, Window.of_day(day)) for day in days]
    result = client.query(looks_sql(objects, windows, now - NEWEST_WITHIN))
    rows = {row["day"]: row for page in client.pages(result) for row in page.decoded.to_pylist()}
    newest = rows.pop("newest")["newest"]
    newest = None if newest is None else objects.utc(newest)
    return Looks({day: _look(row) for day, row in rows.items()}, newest, result.rows_processed)


def _look(row: dict[str, object]) -> Look:
    changed = row["changed"]
    told = changed.isoformat() if isinstance(changed, datetime) else str(changed or "")
    return Look(int(str(row["entries"])), int(str(row["ids"])), told)
