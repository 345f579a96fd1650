"""``conversation-pipeline plan``: what a backfill asks of the org, how long it takes, and what would shorten it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from rich.console import Console, RenderableType
from rich.table import Table

from conversation_pipeline.defs.forecast import RoadForecast, forecast, listed_days
from conversation_pipeline.defs.landing import ENTRY_ROADS
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract.entry_roads import CONNECT, CONVERSATION_DATA
from conversation_pipeline.extract.estimate import Allowance
from conversation_pipeline.extract.history import conversations_by_day
from conversation_pipeline.extract.windows import Window, unbroken
from conversation_pipeline.salesforce.errors import SalesforceError
from conversation_pipeline.salesforce.quotas import QuotaStoreError
from conversation_pipeline.schemas import Group
from conversation_pipeline.schemas.catalogue import DATASETS
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.settings import Settings, SettingsError, load_settings
from conversation_pipeline.storage import Lake, Staging, StorageError

ROADS = tuple(road.name for road in ENTRY_ROADS)
"""Roads that are asked conversation by conversation; the others cost a handful of requests."""

STANDARD_ACTIVE_LIMIT = 11_000
"""Conversations that an org may have active at once, unless raised (Access Conversation Data [doc])."""

_USERS = (1, 2, 3, 5, 10)
_DAYS_A_PULL = 31  # as many days of an on-platform dataset are read by one run
_CALLS_A_PULL = 8  # a bulk job takes seven or so, the object's description one; fewer rows take fewer
_SHORT = timedelta(minutes=10)  # nobody wants that any faster
_ALIKE = 1.02
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Backfill:
    """
    What a backfill would ask for.

    Attributes:
        days: An unbroken range of partition keys.
        listed: Those whose work list is in the lake.
        on_platform_calls: For the days that on-platform datasets lack.
        asked: Requests that it took to find out.
        begin: The org's clock.
    """

    days: Sequence[str]
    listed: Sequence[str]
    roads: Sequence[RoadForecast]
    on_platform_calls: int
    asked: int
    begin: datetime
    org: Org

    @property
    def conversation_days(self) -> int:
        return max(road.listed + road.expected for road in self.roads)

    @property
    def time(self) -> timedelta:
        """Roads are read side by side."""
        return max(road.time(self.begin) for road in self.roads)


def show(first: date | None, last: date | None, roads: Sequence[str], console: Console) -> int:
    """
    Prints the plan; returns the exit code.

    Args:
        first: ``None`` for the first partition.
        last: ``None`` for the org's present day.
        roads: By name; none for those in use.
    """
    try:
        settings = load_settings()
        settings.require_org()
        with closing(Org(settings)) as org, console.status("Counting conversations"):
            found = planned(org, first, last, roads or [road for road in settings.roads if road in ROADS])
    except (SalesforceError, SettingsError, StorageError, QuotaStoreError) as error:
        console.print(f"[red]plan[/red]  {error}", highlight=False)
        return 1
    for part in report(found):
        console.print(part, highlight=False)
    return 0


def planned(org: Org, first: date | None, last: date | None, roads: Sequence[str]) -> Backfill:
    """
    Raises:
        SettingsError: the days lie outside of the partitions.
        SalesforceError: the org does not tell how many conversations it has.
    """
    settings = org.settings
    if not roads:
        raise SettingsError("CONVERSATION_ROADS names none that is asked conversation by conversation: give --road")
    lake, staging = Lake(settings.conversation_lake), Staging(settings.conversation_staging)
    with org.meter.measured() as used:
        begin = org.query.server_time()
        days = _days(settings, first, last, begin.date())
        listed = listed_days(lake, days)
        expected = _expected(org, days, listed)
        if CONNECT in roads and org.allocation.most is None:
            org.query.describe(str(MESSAGING_SESSIONS.sobject))  # any answer tells the allocation
        forecasts = [forecast(road, org, lake, staging, days, expected) for road in ENTRY_ROADS if road.name in roads]
    return Backfill(days, listed, forecasts, _on_platform_calls(lake, days), used.requests, begin, org)


def _days(settings: Settings, first: date | None, last: date | None, today: date) -> list[str]:
    start = settings.require_start_date()
    begin, end = first or start, last or today
    if begin < start:
        raise SettingsError(
            f"{begin} lies before CONVERSATION_START_DATE, {start}: give a later --from, or set an earlier start"
        )
    if end < begin or end > today:
        raise SettingsError(f"there are no days from {begin} to {end}: give days up to today, {today} (UTC)")
    return [(begin + timedelta(days=offset)).isoformat() for offset in range((end - begin).days + 1)]


def _expected(org: Org, days: Sequence[str], listed: Sequence[str]) -> dict[str, int]:
    """Conversations of the days that the lake knows nothing of, as the org counts them now."""
    unknown = sorted(set(days) - set(listed))
    if not unknown:
        return {}
    window = Window.of_day(unknown[0]).spanning(Window.of_day(unknown[-1]))
    counts = conversations_by_day(org.query, window)
    return {day: counts.get(day, 0) for day in unknown}


def _on_platform_calls(lake: Lake, days: Sequence[str]) -> int:
    datasets = [dataset for dataset in DATASETS if dataset.group is Group.ON_PLATFORM and dataset.partitioned]
    missing = [unbroken(set(days) - set(lake.partitions(dataset))) for dataset in datasets]
    return _CALLS_A_PULL * sum(-(-len(run) // _DAYS_A_PULL) for runs in missing for run in runs)


def report(plan: Backfill) -> Iterator[RenderableType]:
    """What to print, for people."""
    yield _heading(plan)
    yield ""
    yield _roads(plan)
    for road in plan.roads:
        if road.road.name == CONVERSATION_DATA and road.work.conversations:
            yield ""
            yield _users(road, plan.begin)
    yield ""
    notes = Table.grid(padding=(0, 1))
    for note in _notes(plan):
        notes.add_row("-", note)
    yield notes
    yield ""
    yield f"[bold]{_in_short(plan)}[/bold]"


def _heading(plan: Backfill) -> str:
    counted = len(plan.days) - len(plan.listed)
    sources = [f"{len(plan.listed):,} by the lake's own work list"] if plan.listed else []
    sources += [f"{counted:,} estimated from the org's counts"] if counted else []
    return (
        f"[bold]{plan.days[0]} to {plan.days[-1]}[/bold] (UTC), {len(plan.days):,} days: {', '.join(sources)}. "
        f"Asking took {plan.asked:,} requests."
    )


def _roads(plan: Backfill) -> Table:
    table = _table(
        "",
        "Road",
        "Conversation\ndays",
        "Already\nread",
        "Left\nto read",
        "Requests\nleft",
        "Bytes to\nreceive",
        "Time",
        "Bound by",
    )
    for road in plan.roads:
        work = road.work
        table.add_row(
            road.road.name,
            f"{road.listed + road.expected:,}",
            f"{road.stand:,}",
            f"{work.conversations:,}",
            f"{work.requests:,}",
            _size(work.received_bytes),
            _time(road.time(plan.begin)),
            _bound_by(road, plan.begin),
        )
    return table


def _bound_by(road: RoadForecast, begin: datetime) -> str:
    allowance = road.allowance
    if allowance.bound_by_allocation:
        return "24-hour allocation"
    window = "a minute" if allowance.rate.window < _HOUR else "an hour"
    return (
        "active budget" if _waits_for_budget(road, begin) else f"{allowance.users} x {allowance.rate.count:,} {window}"
    )


def _waits_for_budget(road: RoadForecast, begin: datetime) -> bool:
    allowance = road.allowance
    at_full_speed = road.work.time(allowance.with_budget(allowance.budget_for_full_speed), begin)
    return road.time(begin) > at_full_speed * _ALIKE


def _users(road: RoadForecast, begin: datetime) -> Table:
    at_hand = road.allowance
    table = _table(
        f"{road.road.api}: what execution users and the active budget buy",
        "Execution\nusers",
        "Requests\na minute",
        f"Time, budget\n{at_hand.active.count:,}",
        "Budget for\nfull speed",
        f"Share of\n{STANDARD_ACTIVE_LIMIT:,}",
        "Time, at\nfull speed",
    )
    for users in sorted({*_USERS, at_hand.users}):
        allowance = at_hand.with_users(users)
        budget = allowance.budget_for_full_speed
        table.add_row(
            f"{users}{' (at hand)' if users == at_hand.users else ''}",
            f"{allowance.requests_a_minute:,.0f}",
            _time(road.work.time(allowance, begin)),
            f"{budget:,}",
            _share(budget),
            _time(road.work.time(allowance.with_budget(budget), begin)),
            style="bold" if users == at_hand.users else "",
        )
    return table


def _notes(plan: Backfill) -> Iterator[str]:
    """What binds, and what it does to the org."""
    yield _of_budget(plan.roads[0].allowance)
    active = sum(road.allowance.most_active(road.work.requests, road.work.conversations) for road in plan.roads)
    active = min(active, plan.roads[0].allowance.most_budget)
    if active:
        yield (
            f"At most {active:,} conversations are held active at once: {_share(active)} of the org's standard limit "
            f"of {STANDARD_ACTIVE_LIMIT:,}, of which live customers need the rest."
        )
    yield _of_allocation(plan)
    for road in plan.roads:
        if road.of_landed_days:
            yield (
                f"{road.road.api}: {road.of_landed_days:,} of the conversations to ask for are of days that are landed "
                "already; a backfill of missing partitions alone leaves them out."
            )
        if road.waiting:
            yield f"{road.road.api}: {road.waiting:,} conversation days wait for their call to settle."


def _of_budget(allowance: Allowance) -> str:
    told = (
        f"CONVERSATION_ACTIVE_BUDGET of {allowance.active.count:,} lets {allowance.new_conversations_a_minute:,.0f} "
        "new conversations a minute be read in the long run, however many users there are."
    )
    if quiet := allowance.quiet:
        at_night = allowance.with_budget(quiet.budget).new_conversations_a_minute
        told += (
            f" In the quiet hours, {quiet.begin:%H:%M} to {quiet.end:%H:%M} UTC less the last half hour, "
            f"{quiet.budget:,} let {at_night:,.0f}; the times above begin now and count on that."
        )
    return told


def _of_allocation(plan: Backfill) -> str:
    allocation = plan.org.allocation
    told = f"The org's 24-hour allocation{f' of {allocation.most:,}' if allocation.most else ''}: "
    told += f"on-platform pulls of what the lake lacks take {plan.on_platform_calls:,} requests in all, or fewer; "
    for road in plan.roads:
        if road.road.name == CONNECT:
            a_day = min(road.work.requests, round(road.allowance.requests_a_minute * (_DAY / _MINUTE)))
            told += f"{road.road.api} {a_day:,} a day; "
            if allocation.most and road.longest_run > allocation.most * allocation.share:
                told += (
                    f"a run may use {allocation.most * allocation.share:,.0f} (CONVERSATION_API_SHARE) and then has to "
                    f"be launched again, for the longest takes {road.longest_run:,}; "
                )
    return f"{told}the Conversation Data API is not counted, as far as is known."


def _in_short(plan: Backfill) -> str:
    """For whoever decides."""
    slowest = max(plan.roads, key=lambda road: road.time(plan.begin))
    work, allowance = slowest.work, slowest.allowance
    if not work.conversations:
        return "Nothing is left to ask for: what these days need is staged."
    users = "1 user" if allowance.users == 1 else f"{allowance.users} users"
    told = (
        f"{slowest.road.api}: {work.conversations:,} conversations to read, {_time(slowest.time(plan.begin))} with the "
        f"{users} at hand."
    )
    full = allowance.budget_for_full_speed
    if slowest.time(plan.begin) < _SHORT:
        return told
    if allowance.bound_by_allocation:
        return f"{told} The org's 24-hour allocation sets the pace."
    if slowest.road.name == CONNECT:
        return f"{told} The limit of {allowance.rate.count:,} calls an hour sets the pace; more users do not help here."
    if not _waits_for_budget(slowest, plan.begin):
        faster = allowance.with_users(allowance.users + 1)
        budget = max(allowance.active.count, faster.budget_for_full_speed)
        if budget > STANDARD_ACTIVE_LIMIT:
            return f"{told} For one more user the active budget would have to pass the org's standard limit."
        time = _time(work.time(faster.with_budget(budget), plan.begin))
        return (
            f"{told} One more user and an active budget of {budget:,} ({_share(budget)} of the limit) make it {time}."
        )
    if full > STANDARD_ACTIVE_LIMIT:
        return (
            f"{told} The active budget of {allowance.active.count:,} sets the pace; more users do not help, and full "
            f"speed would need {full:,}, more than the org's standard limit."
        )
    time = _time(work.time(allowance.with_budget(full), plan.begin))
    return (
        f"{told} The active budget of {allowance.active.count:,} sets the pace, not the users: with {full:,} "
        f"({_share(full)} of the org's standard limit) it would be {time}."
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for place, column in enumerate(columns):
        left = place == 0 or column == columns[-1] == "Bound by"
        table.add_column(column, justify="left" if left else "right", vertical="bottom", no_wrap=True)
    return table


def _share(conversations: int) -> str:
    share = conversations / STANDARD_ACTIVE_LIMIT
    return f"{share:.0%}" if share >= 0.01 or not share else "< 1%"


def _time(time: timedelta) -> str:
    if not time:
        return "none"
    if time < _MINUTE:
        return "a minute"
    if time < 2 * _HOUR:
        return f"{time / _MINUTE:,.0f} min"
    return f"{time / _HOUR:,.1f} h" if time < 2 * _DAY else f"{time / _DAY:,.1f} days"


def _size(count: int | None) -> str:
    if count is None:
        return "unknown"
    size, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, _ = size / 1000, units.pop(0)
    return f"{size:,.0f} {units[0]}"
