"""
How many conversations the org's history has, by day: what can be told of days before anything of them is read.

One aggregate query an object answers for all days, so that asking costs the same for a week and for a year.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from conversation_pipeline.extract.windows import Window
from conversation_pipeline.salesforce import soql
from conversation_pipeline.salesforce.errors import FieldUnavailable, ObjectUnavailable
from conversation_pipeline.salesforce.query import Query

_DAYS_A_QUERY = 1000  # an aggregate query returns 2,000 groups at the most
_COUNTED = {
    "MessagingSession": "ConversationId != null",
    "VoiceCall": "ConversationId != null AND CallEndDateTime != null",  # of others no entries are stored yet
}


def conversations_by_day(query: Query, window: Window) -> dict[str, int]:
    """
    Distinct conversations that had a messaging session or an ended call, by the UTC day on which those were created.

    An estimate of what ``conversation_activity`` will list: a session that lasts for days counts for its first one. An
    object that the org lacks, or hides, counts for nothing. Days without conversations are missing.
    """
    counts: Counter[str] = Counter()
    for sobject, only in _COUNTED.items():
        start = window.start
        while start < window.end:
            end = min(start + timedelta(days=_DAYS_A_QUERY), window.end)
            counts.update(_by_day(query, sobject, f"{only} AND {soql.within('CreatedDate', start, end)}"))
            start = end
    return dict(counts)


def _by_day(query: Query, sobject: str, where: str) -> dict[str, int]:
    fields = ["DAY_ONLY(CreatedDate) day", "COUNT_DISTINCT(ConversationId) conversations"]
    text = soql.select(fields, sobject, where=where) + " GROUP BY DAY_ONLY(CreatedDate)"
    try:
        rows = query.aggregate(text, all_rows=True)
    except (ObjectUnavailable, FieldUnavailable):
        return {}
    return {str(row["day"]): int(row["conversations"]) for row in rows}
