"""Limits that the org enforces, and what it saw: buckets, windows, the set of active conversations."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many requests in a window of so many seconds, `fixed` on the clock or `sliding`."""

    requests: int
    seconds: float
    window: str


@dataclass(frozen=True, slots=True)
class Limits:
    """
    The org's limits.

    Attributes:
      entry_requests: GET /conversation-entries per execution user and window (90 [doc]).
      entry_window_seconds: that window's length (60 [doc]); scale it down and a test need not wait.
      entry_window: `fixed` or `sliding` [not stated; fixed assumed].
      connect_requests: calls of the Connect entries per app and user in a window (1,000 [doc]).
      connect_window_seconds: that window's length (3,600 [doc]).
      connect_window: `fixed` (the hour on the clock) or `sliding` [not stated; fixed assumed].
      delete_requests: calls of each DELETE operation per execution user in a window (10 [doc]).
      delete_window_seconds: that window's length (3,600 [doc]).
      active_conversations: the org's simultaneous limit (11,000 [doc]).
      active_minutes: how long a touched conversation counts as active (30 [doc]).
      live_conversations: how many live customers keep active all the time; they share the limit with the APIs.
      daily_api_requests: the org's 24-hour allocation, told by Sforce-Limit-Info and enforced with 403.
      bulk_query_jobs: Bulk API 2.0 query jobs in a rolling 24 hours (10,000 [doc]).
      concurrent_requests: requests that may run long at the same time; a further call gets 403 (25 [doc]).
      long_request_seconds: from when on an open request counts as one of those (20 [doc]).
      replication_ids: most ids of an answer of /deleted or /updated (600,000 [doc]).
      data_cloud_calls: calls of the Data Cloud tenant host at the same time; a further one gets 429 (15 [doc]).
    """

    entry_requests: int = 90
    entry_window_seconds: float = 60.0
    entry_window: str = "fixed"
    connect_requests: int = 1_000
    connect_window_seconds: float = 3_600.0
    connect_window: str = "fixed"
    delete_requests: int = 10
    delete_window_seconds: float = 3_600.0
    active_conversations: int = 11_000
    active_minutes: float = 30.0
    live_conversations: int = 0
    daily_api_requests: int = 100_000
    bulk_query_jobs: int = 10_000
    concurrent_requests: int = 25
    long_request_seconds: float = 20.0
    replication_ids: int = 600_000
    data_cloud_calls: int = 15

    @property
    def entries(self) -> Allowance:
        """What an execution user may ask of GET /conversation-entries."""
        return Allowance(self.entry_requests, self.entry_window_seconds, self.entry_window)

    @property
    def connect(self) -> Allowance:
        """What an app may ask of the Connect entries for one user."""
        return Allowance(self.connect_requests, self.connect_window_seconds, self.connect_window)

    @property
    def deletes(self) -> Allowance:
        """What an execution user may ask of one DELETE operation."""
        return Allowance(self.delete_requests, self.delete_window_seconds, "fixed")

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
            if name in ("entry_window", "connect_window"):
                if value not in ("fixed", "sliding"):
                    raise ValueError(f"{name} is fixed or sliding")
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
    """The allowance of one caller: only requests that were let in use it up."""

    def __init__(self) -> None:
        self._granted: deque[float] = deque()

    def take(self, at: float, allowance: Allowance) -> float | None:
        """Take a place now; if there is none, the seconds until there is one."""
        seconds, fixed = allowance.seconds, allowance.window == "fixed"
        start = at // seconds * seconds if fixed else at - seconds
        while self._granted and (self._granted[0] < start or (not fixed and self._granted[0] <= start)):
            self._granted.popleft()
        if len(self._granted) < allowance.requests:
            self._granted.append(at)
            return None
        if fixed or not self._granted:
            return start + seconds - at if fixed else seconds
        return self._granted[0] + seconds - at


class ActiveConversations:
    """
    Which conversations the APIs touched within the last 30 minutes, and what that did to live customers.

    APIs and customers share the org's limit: while it is passed, no customer can begin a conversation [doc].
    """

    def __init__(self) -> None:
        self.worst = 0
        self.seconds_over_limit = 0.0
        self._turned_away = 0.0
        self._looked = 0.0
        self._touched: dict[str, float] = {}

    @property
    def customers_turned_away(self) -> int:
        """How many customers wanted to begin a conversation while none could."""
        return round(self._turned_away)

    def touch(self, identifier: str, at: float, limits: Limits) -> None:
        """An API call on the conversation restarts its timer."""
        self.count(at, limits)
        self._touched.pop(identifier, None)
        self._touched[identifier] = at
        self.worst = max(self.worst, self.count(at, limits))

    def count(self, at: float, limits: Limits) -> int:
        """How many are active at that time by a call of an API."""
        self._look(at, limits)
        horizon = at - limits.active_minutes * 60
        # Touching moves a conversation to the end, so the oldest stand first.
        while self._touched:
            identifier, touched = next(iter(self._touched.items()))
            if touched > horizon:
                break
            del self._touched[identifier]
        return len(self._touched)

    def customers(self, names: Sequence[str], at: float, limits: Limits) -> int:
        """So many customers begin to write now; tells how many of them are let in, active from then on as well."""
        free = limits.active_conversations - limits.live_conversations - self.count(at, limits)
        welcome = names[: max(0, free)]
        for name in welcome:
            self.touch(name, at, limits)
        self._turned_away += len(names) - len(welcome)
        return len(welcome)

    def _look(self, at: float, limits: Limits) -> None:
        """Book the time since the last look during which the limit was passed: touches expire, oldest first."""
        life = limits.active_minutes * 60
        excess = len(self._touched) + limits.live_conversations - limits.active_conversations
        if excess > 0:
            place = min(excess, len(self._touched)) - 1
            until = next(islice(self._touched.values(), place, None)) + life if place >= 0 else at
            over = max(0.0, min(at, until) - self._looked)
            self.seconds_over_limit += over
            # In a steady state as many begin a conversation in half an hour as there are active ones.
            self._turned_away += over * limits.live_conversations / life if life else 0.0
        self._looked = at
