"""What the entry roads have left to ask for, and how long that takes: before a backfill, and on every work list."""

from __future__ import annotations

import logging
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from statistics import fmean

import msgspec

from conversation_pipeline.defs.landing import (
    DAYS_A_RUN,
    ENTRY_ROADS,
    EntryLanding,
    EntryRoad,
    plan_entries,
    staged_for,
)
from conversation_pipeline.defs.landing.readings import whole_readings
from conversation_pipeline.defs.reporting import Metadata
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract import entry_roads
from conversation_pipeline.extract.estimate import Allowance, Usual, Work
from conversation_pipeline.schemas.conversations import CONVERSATION_ACTIVITY
from conversation_pipeline.settings import SettingsError
from conversation_pipeline.storage import Lake, Staged, Staging, StagingError

_SAMPLE = 50  # staged readings whose mean is taken: as many files to open
_LONGEST_RUN_DAYS = 31
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class RoadForecast:
    """
    What a backfill would ask of one road.

    Attributes:
        listed: Conversation days of the work lists in the lake.
        stand: Those of them that were read and stand.
        waiting: Those whose calls have not settled.
        expected: Conversation days of the other days, as the org counts them.
        work: What is to be asked.
        allowance: With the users at hand.
        of_landed_days: Readings among them of days that the road's dataset holds already.
        longest_run: Requests of the longest run of a backfill.
    """

    road: EntryRoad
    listed: int
    stand: int
    waiting: int
    expected: int
    work: Work
    allowance: Allowance
    of_landed_days: int
    longest_run: int

    def time(self, begin: datetime) -> timedelta:
        return self.work.time(self.allowance, begin)


def listed_days(lake: Lake, days: Sequence[str]) -> list[str]:
    """Days whose work list is in the lake."""
    known = set(lake.partitions(CONVERSATION_ACTIVITY))
    return [day for day in days if day in known]


def forecast(
    road: EntryRoad, org: Org, lake: Lake, staging: Staging, days: Sequence[str], expected: Mapping[str, int]
) -> RoadForecast:
    """
    Args:
        days: An unbroken range; a backfill reads it in runs of ``DAYS_A_RUN``.
        expected: Conversations of days whose work list is not in the lake.
    """
    landing = _landing(road, org, lake, staging)
    staged, now = staged_for(landing, days), org.query.server_time()
    known, landed = set(listed_days(lake, days)), set(lake.partitions(road.dataset))
    stand = waiting = of_landed_days = 0
    runs = []
    for run in (days[place : place + DAYS_A_RUN] for place in range(0, len(days), DAYS_A_RUN)):
        listed, readings = [day for day in run if day in known], _of_run(staged, run)
        plan = plan_entries(landing, listed, now, readings)
        missing = plan_entries(landing, [day for day in listed if day not in landed], now, readings)
        stand += len(plan.held) + len(plan.landed)
        waiting += plan.postponed
        of_landed_days += len(plan.requests) - len(missing.requests)
        runs.append(len(plan.requests) + sum(expected.get(day, 0) for day in run))
    usual = _usual(road, staging, staged)
    return RoadForecast(
        road=road,
        listed=lake.dataset(CONVERSATION_ACTIVITY, known).count_rows(),
        stand=stand,
        waiting=waiting,
        expected=sum(expected.values()),
        work=Work(sum(runs), usual),
        allowance=allowance(road, org),
        of_landed_days=of_landed_days,
        longest_run=round(max(runs, default=0) * usual.requests),
    )


def _of_run(staged: Sequence[Staged], run: Sequence[str]) -> Sequence[Staged]:
    """Readings that may serve the run: a reading lies under the first day of its window."""
    earliest = (date.fromisoformat(run[0]) - timedelta(days=_LONGEST_RUN_DAYS)).isoformat()
    begin = bisect_left(staged, earliest, key=lambda record: record.day)
    return staged[begin : bisect_right(staged, run[-1], key=lambda record: record.day)]


@dataclass(frozen=True)
class DayForecast:
    """
    What roads have left to ask for, of one day at a time; knows what was staged when it was made.

    Attributes:
        staged: Readings that may serve the days, by road.
        now: The org's clock.
    """

    landings: Sequence[EntryLanding]
    staged: Mapping[str, Sequence[Staged]]
    now: datetime

    @classmethod
    def of(cls, org: Org, lake: Lake, staging: Staging, days: Sequence[str]) -> DayForecast:
        """For the roads in use."""
        landings = [_landing(road, org, lake, staging) for road in roads_in_use(org)]
        staged = {landing.road.name: staged_for(landing, days) for landing in landings}
        return cls(landings, staged, org.query.server_time())

    def metadata(self, day: str) -> Metadata:
        """
        For each road: the requests that it needs now, and the minutes that they take with the users at hand; without
        the minutes where no users can be read. That fails whoever asks the road, which a work list does not.
        """
        told: Metadata = {}
        for landing in self.landings:
            road = landing.road
            plan = plan_entries(landing, [day], self.now, self.staged[road.name])
            work = Work(len(plan.requests), Usual(road.requests_a_conversation))
            told[f"{road.name}_requests_left"] = work.requests
            with suppress(SettingsError):
                minutes = work.time(allowance(road, landing.org), self.now) / timedelta(minutes=1)
                told[f"{road.name}_minutes_left"] = round(minutes, 1)
        return told


def roads_in_use(org: Org) -> list[EntryRoad]:
    return [road for road in ENTRY_ROADS if road.name in org.settings.roads]


def allowance(road: EntryRoad, org: Org) -> Allowance:
    """Of the users at hand, in ordinary and in quiet hours, and of what the org's allocation leaves."""
    of_users = replace(entry_roads.allowance(road.client(org)), quiet=org.settings.quiet_hours)
    most = org.allocation.most
    if road.name != entry_roads.CONNECT or most is None:
        return of_users
    return replace(of_users, a_day=max(1, int(most * (1 - org.allocation.reserve))))


def _landing(road: EntryRoad, org: Org, lake: Lake, staging: Staging) -> EntryLanding:
    return EntryLanding(road, org, lake, staging, org.run_id, logging.getLogger(__name__))


def _usual(road: EntryRoad, staging: Staging, staged: Sequence[Staged]) -> Usual:
    """The mean of some readings of whole days; without any, what the road takes as a rule."""
    whole = [reading for reading in whole_readings(staged) if reading.window.end - reading.window.start >= _DAY]
    pages: list[int] = []
    sizes: list[int] = []
    for reading in whole[:: max(1, -(-len(whole) // _SAMPLE))]:
        try:
            parts = [_pages_and_bytes(staging.read(part)) for part in reading.ref.parts]
        except StagingError:  # torn: the next run asks for it again
            continue
        pages.append(sum(count for count, _ in parts))
        sizes.append(sum(size for _, size in parts))
    return Usual(fmean(pages), fmean(sizes)) if pages else Usual(road.requests_a_conversation)


def _pages_and_bytes(part: bytes) -> tuple[int, int]:
    return len(msgspec.json.decode(part, type=list[msgspec.Raw])), len(part)
