"""
Words that may have been taken back: a poorer road, read later, has others under the same identifier and time.

Those are shown until the fuller road has been read again (design, section 6); here stands what it has to read again.
"""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.schemas.conversations import ENTRY_CONFLICTS, FULLEST_FIRST
from conversation_pipeline.storage import Lake


def retold_conversations(lake: Lake, road: str, day: str) -> dict[str, datetime]:
    """Conversations of the day of which a poorer road than this one has newer words, and when that was read."""
    poorer = pa.array(FULLEST_FIRST[FULLEST_FIRST.index(road) + 1 :], pa.string())
    other_words = (pc.field("column_name") == "text") & (pc.field("road") == road) & pc.field("shown_road").isin(poorer)
    columns = ["conversation_identifier", "shown_fetched_at"]
    found = lake.dataset(ENTRY_CONFLICTS, [day]).to_table(columns=columns, filter=other_words)
    latest = found.group_by("conversation_identifier").aggregate([("shown_fetched_at", "max")])
    return dict(zip(latest[columns[0]].to_pylist(), latest["shown_fetched_at_max"].to_pylist(), strict=True))


def days_with_retold(lake: Lake, road: str, since: datetime) -> list[str]:
    """Days on which such conversations were found since then: what could not be read again by now is given up."""
    found = (str(it.partition) for it in lake.receipts(ENTRY_CONFLICTS) if it.rows and it.written_at >= since)
    return [day for day in found if retold_conversations(lake, road, day)]
