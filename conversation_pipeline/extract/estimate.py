"""
How long the entry roads take for a work list: requests over what the allowances let through.

Two limits bind. Each execution user may ask so often in a minute; and all of them together may hold only so many
distinct conversations active, each for half an hour after it was asked for. More users help only against the first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from conversation_pipeline.salesforce.limits import Limit


@dataclass(frozen=True)
class Allowance:
    """
    What a road may be asked.

    Attributes:
        users: Execution users.
        rate: Allowance of one of them.
        active: Budget of distinct conversations held active.
    """

    users: int
    rate: Limit
    active: Limit

    @property
    def requests_a_minute(self) -> float:
        """By all users, as long as the active budget lets them."""
        return self.users * self.rate.count / (self.rate.seconds / 60)

    @property
    def new_conversations_a_minute(self) -> float:
        """In the long run, however many users there are."""
        return self.active.count / (self.active.seconds / 60)

    @property
    def bound_by_active_budget(self) -> bool:
        return self.requests_a_minute > self.new_conversations_a_minute * 1.01

    def with_users(self, users: int) -> Allowance:
        return replace(self, users=users)

    def time_for(self, requests: int, conversations: int) -> timedelta:
        """
        Args:
            requests: All requests, pages included.
            conversations: Distinct conversations among them.
        """
        by_rate = requests / self.requests_a_minute
        full_budgets = max(0, (conversations - 1) // self.active.count)
        rest = conversations - full_budgets * self.active.count
        by_budget = full_budgets * self.active.seconds / 60 + rest / self.requests_a_minute
        return timedelta(minutes=max(by_rate, by_budget))

    def most_active(self, conversations: int) -> int:
        """Conversations that are held active at once, at the most."""
        in_a_window = self.requests_a_minute * self.active.seconds / 60
        return min(conversations, self.active.count, int(in_a_window))
