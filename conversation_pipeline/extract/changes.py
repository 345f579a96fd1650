"""
Which days of an object have to be read again: rows changed, rows deleted, counts that no longer agree.

One aggregate query answers for all days of an object, so that looking costs the same whether much changed or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from conversation_pipeline.extract.windows import Window
from conversation_pipeline.salesforce import soql
from conversation_pipeline.salesforce.query import Query
from conversation_pipeline.schemas import Dataset

OVERLAP = timedelta(minutes=10)
"""
How far a look reaches back behind the last one. ``SystemModstamp`` is set inside a transaction and seen after its
commit, minutes later at the worst (airbyte#27146): a look that began where the last one ended would never see the row.
"""

_DAYS_A_QUERY = 1000  # an aggregate query returns 2,000 groups at the most


def changed_days(query: Query, dataset: Dataset, cursor: str, since: datetime) -> dict[str, int]:
    """
    Rows by day of creation that were inserted, changed or soft-deleted since then, the overlap included.

    Args:
        cursor: API name of the field that orders changes in this org.
    """
    where = soql.compare(cursor, ">=", since - OVERLAP)
    return _by_day(query, dataset, where)


def count_by_day(query: Query, dataset: Dataset, window: Window) -> dict[str, int]:
    """Rows by day of creation as the org has them now, soft-deleted ones included; days without rows are missing."""
    created = dataset.api_name(str(dataset.partition_by))
    counts: dict[str, int] = {}
    start = window.start
    while start < window.end:
        end = min(start + timedelta(days=_DAYS_A_QUERY), window.end)
        counts |= _by_day(query, dataset, soql.within(created, start, end))
        start = end
    return counts


def days_that_differ(expected: Mapping[str, int], held: Mapping[str, int]) -> list[str]:
    """Days whose count in the lake is not the org's; days that the lake does not hold yet are no difference."""
    return sorted(day for day, rows in held.items() if expected.get(day, 0) != rows)


def _by_day(query: Query, dataset: Dataset, where: str) -> dict[str, int]:
    day = f"DAY_ONLY({dataset.api_name(str(dataset.partition_by))})"
    conditions = f"{dataset.only} AND {where}" if dataset.only else where
    text = soql.select([f"{day} day", "COUNT(Id) records"], str(dataset.sobject), where=conditions) + f" GROUP BY {day}"
    return {str(row["day"]): int(row["records"]) for row in query.aggregate(text, all_rows=True)}
