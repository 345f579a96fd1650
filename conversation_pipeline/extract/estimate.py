"""
How long the entry roads take for a work list: requests over what the allowances let through.

Three limits may bind. Each execution user may ask so often in a window; all of them together may hold only so many
distinct conversations active, each for half an hour after it was asked for; and what counts against the org's 24-hour
allocation may use no more than is left of it. More users help only against the first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from conversation_pipeline.salesforce.limits import Limit, QuietHours

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_ALIKE = 1.01  # 90 requests in 60.1 seconds and 2,700 conversations in 30 minutes are the same speed


@dataclass(frozen=True)
class Allowance:
    """
    What a road may be asked.

    Attributes:
        users: Execution users.
        rate: Allowance of one of them.
        active: Budget of distinct conversations held active.
        quiet: Hours in which that budget is larger.
        a_day: Requests that the org's allocation leaves in 24 hours; ``None`` where they do not count against it.
    """

    users: int
    rate: Limit
    active: Limit
    quiet: QuietHours | None = None
    a_day: int | None = None

    @property
    def requests_a_window(self) -> int:
        """By all users, as long as the active budget lets them."""
        return self.users * self.rate.count

    @property
    def requests_a_minute(self) -> float:
        by_rate = self.requests_a_window / (self.rate.window / _MINUTE)
        return by_rate if self.a_day is None else min(by_rate, self.a_day / (_DAY / _MINUTE))

    @property
    def new_conversations_a_minute(self) -> float:
        """In the long run, however many users there are."""
        return self.active.count / (self.active.window / _MINUTE)

    @property
    def bound_by_active_budget(self) -> bool:
        return self.requests_a_minute > self.new_conversations_a_minute * _ALIKE

    @property
    def bound_by_allocation(self) -> bool:
        return self.a_day is not None and self.requests_a_minute < replace(self, a_day=None).requests_a_minute

    @property
    def most_budget(self) -> int:
        """The active budget, at whichever hour it is larger."""
        return self.active.count if self.quiet is None else max(self.active.count, self.quiet.budget)

    @property
    def budget_for_full_speed(self) -> int:
        """The active budget with which no user waits for it."""
        return self.users * self.rate.count * math.ceil(self.active.window / self.rate.window)

    def with_users(self, users: int) -> Allowance:
        return replace(self, users=users)

    def with_budget(self, conversations: int) -> Allowance:
        """With another active budget, at any hour."""
        return replace(self, active=self.active.with_count(conversations), quiet=None)

    def time_for(self, requests: float, conversations: int, begin: datetime | None = None) -> timedelta:
        """
        Args:
            requests: All requests, pages included.
            conversations: Distinct conversations among them.
            begin: When the first is sent, UTC; without it, quiet hours are left out of account.
        """
        if not conversations:
            return timedelta(0)
        a_minute = self.requests_a_minute * conversations / max(requests, conversations)
        # What the budget lets in may come at once; what it does not has to wait until the first marks have passed.
        slot, left, passed = self.active.window, conversations, timedelta(0)
        most_by_rate = math.ceil(a_minute * (slot / _MINUTE))
        while left > (most := min(most_by_rate, self._budget(begin, passed))):
            left -= most
            passed += slot if most < most_by_rate else _MINUTE * (most / a_minute)
        return passed + _MINUTE * (left / a_minute)

    def most_active(self, requests: float, conversations: int) -> int:
        """Conversations that are held active at once, at the most."""
        if not conversations:
            return 0
        in_a_slot = self.budget_for_full_speed * conversations / max(requests, conversations)
        return min(conversations, self.most_budget, math.ceil(in_a_slot))

    def _budget(self, begin: datetime | None, passed: timedelta) -> int:
        if self.quiet is None or begin is None:
            return self.active.count
        return self.quiet.limit_at(begin + passed, self.active).count


@dataclass(frozen=True)
class Usual:
    """
    What one conversation costs, in the mean.

    Attributes:
        requests: Pages included.
        received_bytes: Of their answers; ``None`` where none is known.
    """

    requests: float
    received_bytes: float | None = None


@dataclass(frozen=True)
class Work:
    """
    What there is to ask of a road.

    Attributes:
        conversations: Readings to ask for; a conversation counts once for each run of days that it is read in.
        usual: What one of them costs.
    """

    conversations: int
    usual: Usual

    @property
    def requests(self) -> int:
        return round(self.conversations * self.usual.requests)

    @property
    def received_bytes(self) -> int | None:
        each = self.usual.received_bytes
        return None if each is None else round(self.conversations * each)

    def time(self, allowance: Allowance, begin: datetime) -> timedelta:
        return allowance.time_for(self.requests, self.conversations, begin)
