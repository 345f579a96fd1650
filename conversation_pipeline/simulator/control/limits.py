"""Limits that the org enforces, and what it saw: buckets, windows, the set of active conversations."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Limits:
    """
    The org's limits.

    Attributes:
      entry_requests: GET /conversation-entries per execution user and window (90 [doc]).
      entry_window_seconds: that window's length (60 [doc]); scale it down and a test need not wait.
      entry_window: `fixed` or `sliding` [not stated; fixed assumed].
      active_conversations: the org's simultaneous limit (11,000 [doc]).
      active_minutes: how long a touched conversation counts as active (30 [doc]).
      daily_api_requests: the org's 24-hour allocation, told by Sforce-Limit-Info and enforced with 403.
      bulk_query_jobs: Bulk API 2.0 query jobs in a rolling 24 hours (10,000 [doc]).
      concurrent_requests: requests that may run long at the same time; a further call gets 403 (25 [doc]).
      long_request_seconds: from when on an open request counts as one of those (20 [doc]).
      replication_ids: most ids of an answer of /deleted or /updated (600,000 [doc]).
    """

    entry_requests: int = 90
    entry_window_seconds: float = 60.0
    entry_window: str = "fixed"
    active_conversations: int = 11_000
    active_minutes: float = 30.0
    daily_api_requests: int = 100_000
    bulk_query_jobs: int = 10_000
    concurrent_requests: int = 25
    long_request_seconds: float = 20.0
    replication_ids: int = 600_000

    def changed(self, values: Mapping[str, Any]) -> Limits:
        """
        These limits with some others.

        Raises:
          ValueError: an unknown name or a value out of range.
        """
        known = asdict(self)
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"no limit {name!r}; there are {', '.join(known)}")
            if name == "entry_window":
                if value not in ("fixed", "sliding"):
                    raise ValueError("entry_window is fixed or sliding")
            elif isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ValueError(f"{name} is a number not below 0")
        return replace(self, **values)


class Windows:
    """Arrivals of one execution user: what any sliding window and any fixed window really saw at worst."""

    def __init__(self) -> None:
        self.worst_sliding = 0
        self.worst_fixed = 0
        self._arrivals: deque[float] = deque()
        self._fixed = (0, 0)

    def arrive(self, at: float, seconds: float) -> None:
        """Count a request that arrives at `at` against windows of that length."""
        self._arrivals.append(at)
        while self._arrivals[0] <= at - seconds:
            self._arrivals.popleft()
        window = int(at // seconds)
        self._fixed = (window, self._fixed[1] + 1 if self._fixed[0] == window else 1)
        self.worst_sliding = max(self.worst_sliding, len(self._arrivals))
        self.worst_fixed = max(self.worst_fixed, self._fixed[1])


class Bucket:
    """The allowance of one execution user: only requests that were let in use it up."""

    def __init__(self) -> None:
        self._granted: deque[float] = deque()

    def take(self, at: float, limits: Limits) -> float | None:
        """Take a place now; if there is none, the seconds until there is one."""
        seconds = limits.entry_window_seconds
        start = at // seconds * seconds if limits.entry_window == "fixed" else at - seconds
        while self._granted and (
            self._granted[0] < start or (limits.entry_window == "sliding" and self._granted[0] <= start)
        ):
            self._granted.popleft()
        if len(self._granted) < limits.entry_requests:
            self._granted.append(at)
            return None
        if limits.entry_window == "fixed" or not self._granted:
            return start + seconds - at if limits.entry_window == "fixed" else seconds
        return self._granted[0] + seconds - at


class ActiveConversations:
    """Which conversations were touched within the last 30 minutes, and how many at worst."""

    def __init__(self) -> None:
        self.worst = 0
        self._touched: dict[str, float] = {}

    def touch(self, identifier: str, at: float, limits: Limits) -> None:
        """An API call on the conversation restarts its timer."""
        self._touched.pop(identifier, None)
        self._touched[identifier] = at
        self.worst = max(self.worst, self.count(at, limits))

    def count(self, at: float, limits: Limits) -> int:
        """How many are active at that time."""
        horizon = at - limits.active_minutes * 60
        # Touching moves a conversation to the end, so the oldest stand first.
        while self._touched:
            identifier, touched = next(iter(self._touched.items()))
            if touched > horizon:
                break
            del self._touched[identifier]
        return len(self._touched)
