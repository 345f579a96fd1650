"""
What a lease costs: one take and its answer on an allowance that is not full, in microseconds.

    python -m benchmarks.take_cost
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from conversation_pipeline.salesforce.limits import ACTIVE_CONVERSATIONS, CONVERSATION_DATA
from conversation_pipeline.salesforce.quotas import Claim, SqliteQuotaStore

ROUNDS = 40
TAKES = 60


def alternatives(round_number: int, *, users: int, name: str | None) -> list[list[Claim]]:
    """A set of claims a user; with a name the org's active conversations are claimed as well."""
    budget = [Claim(f"org-{round_number}/active", ACTIVE_CONVERSATIONS, name=name)] if name else []
    return [[Claim(f"org-{round_number}/user-{number}/reads", CONVERSATION_DATA), *budget] for number in range(users)]


def timed(store: SqliteQuotaStore, choices: Sequence[Sequence[Claim]]) -> float:
    """Seconds for one take and its answer."""
    began = time.perf_counter()
    store.take(choices).answered()
    return time.perf_counter() - began


def shown(case: str, seconds: list[float]) -> None:
    seconds.sort()
    median, late = statistics.median(seconds), seconds[int(len(seconds) * 0.99)]
    print(f"{case:45} {median * 1e6:8.0f} {late * 1e6:8.0f}", flush=True)


def main() -> None:
    print(f"{'case':45} {'median':>8} {'99 %':>8}   microseconds")
    with tempfile.TemporaryDirectory() as folder:
        for users, named in ((1, False), (1, True), (3, True)):
            store = SqliteQuotaStore(Path(folder) / f"{users}-{named}.db")
            seconds = [
                timed(store, alternatives(number, users=users, name=f"conversation {take}" if named else None))
                for number in range(ROUNDS)
                for take in range(TAKES)
            ]
            shown(f"{users} user(s)" + (" and the org's conversations" if named else ""), seconds)
            store.close()

        store = SqliteQuotaStore(Path(folder) / "full.db")
        budget = ACTIVE_CONVERSATIONS.with_count(11_000)
        choices = ([[Claim("org/active", budget, name=f"conversation {number}")]] for number in range(11_000))
        seconds = [timed(store, choice) for choice in choices]
        shown("conversations, the first 100", seconds[:100])
        shown("conversations, the last 100 of 11,000", seconds[-100:])
        store.close()


if __name__ == "__main__":
    main()
