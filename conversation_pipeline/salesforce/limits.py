"""Salesforce's limits as values: how many, in which window, for whom, and where the number comes from."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta


@dataclass(frozen=True)
class Limit:
    """
    At most `count` requests (or distinct names) in any `window`, counted for one `scope`.

    `window` is a little longer than the service's own where the whole allowance is used, so that two clocks
    which tick apart do not matter. `source` says where the number was read and when. `in_flight` is the most
    requests that may be without an answer at once, None for any number.

    Raises ValueError for a limit that would never let anything pass.
    """

    name: str
    count: int
    window: timedelta
    scope: str
    source: str
    in_flight: int | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"{self.name}: a count of {self.count} lets nothing pass; give 1 or more")
        if self.window <= timedelta(0):
            raise ValueError(f"{self.name}: a window of {self.window} counts nothing; give one longer than zero")
        if self.in_flight is not None and self.in_flight < 1:
            raise ValueError(f"{self.name}: {self.in_flight} in flight lets nothing pass; give 1 or more, or None")

    @property
    def seconds(self) -> float:
        """The window in seconds."""
        return self.window.total_seconds()

    def scaled(self, factor: float) -> Limit:
        """The same limit with its window times `factor`: 60 s become 3 s with 1/20, for benchmarks."""
        return replace(self, window=self.window * factor)

    def with_count(self, count: int) -> Limit:
        """The same limit with another count, for an org whose allowance is not the published one."""
        return replace(self, count=count)

    def __str__(self) -> str:
        return f"{self.name}: {self.count:,} per {self.seconds:,g} s per {self.scope}"


_DAY = timedelta(days=1)
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True)
class QuietHours:
    """
    Hours of every day in which live customers need less, so that more conversations may be held active.

    Attributes:
        begin, end: UTC, half-open; an end before the begin is on the next day.
        budget: Distinct conversations in these hours; never fewer than outside of them.
    """

    begin: time
    end: time
    budget: int

    @classmethod
    def parse(cls, hours: str, budget: int) -> QuietHours:
        """
        ``22:00-06:00`` as quiet hours.

        Raises:
            ValueError: the text is of another form; says which.
        """
        found = _HOURS.fullmatch(hours.replace(" ", ""))
        if found is None:
            raise ValueError("give begin and end in UTC, such as 22:00-06:00")
        first, second, third, fourth = map(int, found.groups())
        return cls(time(first, second), time(third, fourth), budget)

    def length_for(self, ordinary: Limit) -> timedelta:
        """
        How long the larger budget holds; not positive where the hours are too short for it.

        A mark lasts one window, so the last ones under the larger budget are made a window before the hours end:
        when customers are back, no more is active than the ordinary budget.
        """
        return _since(self.begin, self.end) - ordinary.window

    def limit_at(self, now: datetime, ordinary: Limit) -> Limit:
        """The budget at that instant: the ordinary one outside of the quiet hours."""
        quiet = self._begun(now) < self.length_for(ordinary)
        return ordinary.with_count(max(self.budget, ordinary.count)) if quiet else ordinary

    def until_change(self, now: datetime, ordinary: Limit) -> timedelta:
        """How long ``limit_at`` stays what it is."""
        begun, length = self._begun(now), self.length_for(ordinary)
        return length - begun if begun < length else _DAY - begun

    def _begun(self, now: datetime) -> timedelta:
        return _since(self.begin, now.astimezone(UTC).time())


def _since(earlier: time, later: time) -> timedelta:
    """From one time of day to the next occurrence of another, less than a day."""
    return (_of_day(later) - _of_day(earlier)) % _DAY


def _of_day(moment: time) -> timedelta:
    return timedelta(hours=moment.hour, minutes=moment.minute, seconds=moment.second, microseconds=moment.microsecond)


CONVERSATION_DATA = Limit(
    name="conversation_data",
    count=90,
    # Whether the service's minute is fixed or sliding is not published; the lease is right for both.
    window=timedelta(seconds=60.1),
    scope="execution user",
    source="Conversation Data API, rate limits: 90 per execution user per minute [doc], read 2026-11-22",
    # A burst of 90 at once would be within the limit, and unkind.
    in_flight=8,
)

ACTIVE_CONVERSATIONS = Limit(
    name="active_conversations",
    # What one execution user touches at full speed, 90 a minute for 30 minutes; CONVERSATION_ACTIVE_BUDGET
    # sets another. It is a share of the org's limit (11,000 unless raised), of which live customers need the
    # rest.
    count=2_700,
    window=timedelta(minutes=30),
    scope="org",
    source="Access Conversation Data: a read marks it active for 30 minutes [doc], read 2026-11-22",
)

CONNECT = Limit(
    name="connect",
    count=1_000,
    window=timedelta(seconds=3_603),
    scope="app and user",
    source="Connect REST API, conversation entries: 1,000 per app, user and hour [doc], read 2026-11-22",
    in_flight=4,
)

BULK_QUERY_JOBS = Limit(
    name="bulk_query_jobs",
    count=10_000,
    window=timedelta(hours=24, minutes=1),
    scope="org",
    source="Bulk API 2.0 limits: 10,000 query jobs in a rolling 24 hours, DailyBulkV2QueryJobs [doc], read 2026-11-22",
)

LOGINS = Limit(
    name="logins",
    # The published hour in minutes: the same rate, and a store that was lost is of use again after one of them.
    count=60,
    window=timedelta(seconds=60.1),
    scope="user",
    source="Salesforce login rate: 3,600 logins per user and hour, then LOGIN_RATE_EXCEEDED [doc], read 2026-11-22",
)

DATA_CLOUD = Limit(
    name="data_cloud",
    count=15,
    # Calls at once, not in a time: held while a call lasts, and a moment more, for the service to see its end.
    window=timedelta(milliseconds=100),
    scope="org",
    source="Data Cloud query limits: 15 concurrent calls [doc], read 2026-11-22",
)
