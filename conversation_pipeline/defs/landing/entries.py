"""The entry roads' landing: readings are staged as they arrive, days are typed from what is staged."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.defs.landing.pulls import open_pull
from conversation_pipeline.defs.landing.readings import (
    StagedReading,
    held_readings,
    longest_page,
    read_back,
    stage_reading,
)
from conversation_pipeline.defs.landing.redactions import retold_conversations
from conversation_pipeline.defs.landing.roads import EntryRoad
from conversation_pipeline.defs.reporting import (
    SECONDS_BETWEEN_LINES,
    Metadata,
    Progress,
    drift_metadata,
    receipt_metadata,
    told_while,
    usage_metadata,
)
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract import entry_roads
from conversation_pipeline.extract.entries import Drift, batches
from conversation_pipeline.extract.estimate import Allowance
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.extract.work_list import Need, Plan, Request, plan
from conversation_pipeline.kill_points import KillPoint, at
from conversation_pipeline.salesforce.conversation_data import ConversationData
from conversation_pipeline.salesforce.errors import ConversationUnreadable, RecordUnavailable
from conversation_pipeline.schemas.conversations import CONVERSATION_ACTIVITY
from conversation_pipeline.storage import Lake, PublishError, Pull, Staged, Staging

# In a day's receipt, of its work list: conversations without a reading that was due, those of whose call none is yet,
# and whether all have settled and were read since.
NOT_READ = "not_read"
NOT_DUE = "not_due"
CLOSED = "closed"

_TOO_MANY_UNKNOWN = 5  # so many, and nobody known: that is the road, not the conversations
_LATELY = timedelta(days=1)
"""Salesforce may have lowered the length of its pages since."""
_KNOWN_TO_ASK = 3  # conversations that were read before, to find out whether the road still is
_LANDINGS = 5  # of a day, while runs beside this one stage more for it
_TOLD_AT, _LISTED = "told_at", "listed"
"""In a closed day's file: when the first of its conversations was read, and which conversations those were."""
_MEMORY = 96 * 2**20
"""Bytes of rows that are gathered to sort them: some 130,000 entries."""
_EVER = datetime.min.replace(tzinfo=UTC)
_LONGEST_RUN_DAYS = 31  # a reading lies under the first day of its window; runs of more days do not occur


@dataclass(frozen=True)
class EntryLanding:
    """What the landing of one entry road works with."""

    road: EntryRoad
    org: Org
    lake: Lake
    staging: Staging
    run_id: str
    log: logging.Logger
    seconds_between_lines: float = SECONDS_BETWEEN_LINES


@dataclass(frozen=True)
class EntriesPull:
    """
    What a run's days need; the readings are staged.

    Attributes:
        asked_at: The org's clock when the pull began; raw answers are stamped by the same clock.
        metadata: What the pull cost; it stands in the metadata of the run's first day, once.
    """

    asked_at: datetime
    needs: tuple[Need, ...]
    pulls: tuple[Pull, ...]
    metadata: Metadata


def pull_entries(landing: EntryLanding, days: Sequence[str]) -> EntriesPull:
    """Asks the road for what the days need and is not staged; each answer is staged as it comes."""
    org, staging, dataset = landing.org, landing.staging, landing.road.dataset.name
    with org.meter.measured() as used:
        now = org.query.server_time()
        needs = tuple(_needs(landing, days, now))
        pulls = tuple(open_pull(staging, dataset, day, now) for day in days)
        at(KillPoint.PULL_OPENED)
        work = _plan(landing, needs, days, now, {pull.day: pull.started_at for pull in pulls if pull.resumed})
        told = _read(landing, work, days, now) if work.requests else _Told()
    if told.not_found:
        if not work.held and not work.landed and not told.read:
            _refuse_to_empty(landing, days, len(told.not_found))
        landing.log.warning(
            f"{dataset}: the org does not know {len(told.not_found):,} conversations of its own records"
        )
    if told.unreadable:
        landing.log.warning(
            f"{dataset}: {len(told.unreadable):,} conversations are refused whoever asks, such as "
            f"{next(iter(told.unreadable))}; what was read of them before stays, and the next run asks again"
        )
    return EntriesPull(
        now,
        needs,
        pulls,
        {
            **usage_metadata(used),
            "conversations_read": len(work.requests) - len(told.not_found) - len(told.unreadable),
            "conversations_read_from_their_watermark": sum(not _is_whole(request) for request in work.requests),
            "conversation_days_unchanged": len(work.held) + len(work.landed),
            "conversations_not_found": len(told.not_found),
            "conversations_unreadable": len(told.unreadable),
            **told.metadata,
        },
    )


@dataclass
class _Told:
    """What came of a work list, besides readings."""

    read: int = 0
    not_found: list[str] = field(default_factory=list)
    unreadable: dict[str, ConversationUnreadable] = field(default_factory=dict)
    metadata: Metadata = field(default_factory=dict)


def _read(landing: EntryLanding, work: Plan[StagedReading], days: Sequence[str], now: datetime) -> _Told:
    """Asks for everything on the work list, and stages it."""
    client, dataset, log = landing.road.client(landing.org), landing.road.dataset.name, landing.log
    if isinstance(client, ConversationData):
        client.longest_page = longest_page(staged_for(landing, days), since=now - _LATELY)
    allowance = entry_roads.allowance(client)
    _tell_before(landing, work, allowance)
    told = _Told()
    progress = Progress(
        dataset, len(work.requests), landing.org.meter, allowance.requests_a_window, allowance.rate.seconds
    )
    with told_while(log, progress.line, landing.seconds_between_lines):
        for reading in entry_roads.read(client, work.requests, told.not_found, told.unreadable):
            at(KillPoint.READING_RECEIVED)
            stage_reading(landing.staging, landing.road.dataset, reading)
            at(KillPoint.READING_STAGED)
            told.read = progress.done = told.read + 1
    if not told.read:
        _make_sure_of_the_road(landing, work, told)
    told.metadata = {
        "execution_users": len(client.users),
        "execution_users_set_aside": len(client.set_aside),
        "requests_a_minute": round(progress.requests_a_minute, 1),
        "share_of_allowance": round(progress.share_of_allowance, 3),
        "active_conversations": landing.org.active_conversations,
        "active_budget": client.active.count,
    }
    return told


def _make_sure_of_the_road(landing: EntryLanding, work: Plan[StagedReading], told: _Told) -> None:
    """
    Whatever was asked for was refused or not found: is it these conversations, or everything? Those that were read
    lately tell.

    Raises:
        ConversationUnreadable: they are refused as well, or nothing was ever read.
        PublishError: they are not found either.
    """
    readings = sorted((chain[-1] for chain in work.held.values()), key=lambda one: one.fetched_at, reverse=True)
    known = {one.conversation_identifier: one for one in readings if one.ref.longest_page}
    if not known and told.unreadable:
        raise next(iter(told.unreadable.values()))
    client = landing.road.client(landing.org)
    for number, (conversation, reading) in enumerate(islice(known.items(), _KNOWN_TO_ASK), start=1):
        try:
            client.read(conversation, reading.fetched_at - timedelta(seconds=1), reading.fetched_at)
            return
        except RecordUnavailable:  # one of them may have been erased
            if number == min(len(known), _KNOWN_TO_ASK):
                raise _knows_none(landing, len(told.not_found)) from None


def _tell_before(landing: EntryLanding, work: Plan[StagedReading], allowance: Allowance) -> None:
    """How much there is to do, how long it takes, and what binds."""
    count = len(work.requests)
    minutes = allowance.time_for(count, count) / timedelta(minutes=1)
    stand = len(work.held) + len(work.landed)
    landing.log.info(
        f"{landing.road.dataset.name}: {count:,} conversations to read with {allowance.users} execution users, about "
        f"{minutes:,.1f} minutes; {stand:,} conversation days stand as read, {work.postponed:,} "
        "conversations wait for their call to settle"
    )
    if allowance.bound_by_active_budget and count > allowance.active.count:
        landing.log.info(
            f"{allowance.users} execution users could ask for {allowance.requests_a_minute:,.0f} conversations a "
            f"minute; over the hours CONVERSATION_ACTIVE_BUDGET of {allowance.active.count:,} lets "
            f"{allowance.new_conversations_a_minute:,.0f} be new"
        )


def _is_whole(request: Request) -> bool:
    return request.window.start == Window.of_day(request.window.start.date().isoformat()).start


def land_entries(landing: EntryLanding, pull: EntriesPull, day: str) -> Metadata:
    """
    The day's partition, from what is staged; conversations of which nothing new was read keep the rows they have.

    A conversation that drops off the work list (a column or a record that the user may no longer see), answers with
    nothing, or whose raw answers have passed their retention would else take its entries with it in silence. What is
    to be gone is erased on purpose, not by being out of sight.
    """
    wanted = [need for need in pull.needs if need.day == day]
    for _ in range(_LANDINGS):
        staged = staged_for(landing, [day])
        metadata = _land(landing, pull, day, wanted, staged)
        # A run beside this one may have staged and landed more since: what is published last must be the newest.
        if staged_for(landing, [day]) == staged:
            break
    landing.staging.close_pull(next(one for one in pull.pulls if one.day == day))
    at(KillPoint.PULL_CLOSED)
    return metadata | (pull.metadata if day == pull.pulls[0].day else {})


def _land(
    landing: EntryLanding, pull: EntriesPull, day: str, wanted: Sequence[Need], staged: Sequence[Staged]
) -> Metadata:
    road, dataset = landing.road, landing.road.dataset
    drift = Drift()
    kept: set[str] = set()
    # All that had to be read anew has been; whom the org no longer knows is served by what it told before.
    work = _plan(landing, wanted, [day], pull.asked_at, {day: _EVER}, staged)
    serving = {need.conversation_identifier: work.held.get((need.conversation_identifier, day)) for need in wanted}
    known = _landed_at(landing, wanted)
    read_at = {
        conversation: readings[-1].fetched_at if readings else known.get((conversation, day))
        for conversation, readings in serving.items()
    }
    closed = _is_closed(wanted, read_at, day, pull.asked_at)
    unread = [need for need in wanted if read_at[need.conversation_identifier] is None]
    told = batches(read_back(serving, landing.staging), Window.of_day(day), dataset, road=road.name, drift=drift)
    receipt = landing.lake.replace(
        dataset,
        day,
        _with_kept(told, landing, day, kept),
        run_id=landing.run_id,
        road=road.name,
        provenance=_provenance(unread, closed=closed) | (_as_told(wanted, read_at, pull.asked_at) if closed else {}),
        first_counts=True,  # what is told twice is told in its last words first
        memory=_MEMORY,
    )
    return {
        **receipt_metadata(receipt),
        "conversations": len(wanted) - len(unread),
        "conversations_without_reading": len(unread),
        "conversations_kept": len(kept),
        "closed": closed,
        **drift_metadata(drift.seen),
    }


def _provenance(unread: Sequence[Need], *, closed: bool) -> dict[str, str]:
    due = [need.conversation_identifier for need in unread if need.readable]
    not_due = [need.conversation_identifier for need in unread if not need.readable]
    return {NOT_READ: json.dumps(due), NOT_DUE: json.dumps(not_due), CLOSED: json.dumps(closed)}


def _is_closed(needs: Iterable[Need], read_at: Mapping[str, datetime | None], day: str, asked_at: datetime) -> bool:
    """A day closes by itself: it has ended, and all its conversations have settled and were read since."""

    def is_read(need: Need) -> bool:
        instant = read_at[need.conversation_identifier]
        return instant is not None and need.settled_at <= min(asked_at, instant)

    return asked_at >= Window.of_day(day).end and all(is_read(need) for need in needs)


def _as_told(needs: Sequence[Need], read_at: Mapping[str, datetime | None], asked_at: datetime) -> dict[str, str]:
    """What a closed day's file says, for the time when its readings are not kept any more."""
    told_at = min((instant for instant in read_at.values() if instant is not None), default=asked_at)
    return {_TOLD_AT: told_at.isoformat(), _LISTED: _digest(needs)}


def _landed_at(landing: EntryLanding, needs: Iterable[Need]) -> dict[tuple[str, str], datetime]:
    """
    When what the lake holds was read, by conversation and day, for needs whose readings are not kept any more.

    Each row tells when it was read. Of conversations without a row only a closed day tells that, as long as its work
    list names the same ones.
    """
    dataset, by_day = landing.road.dataset, dict[str, list[Need]]()
    for need in needs:
        by_day.setdefault(need.day, []).append(need)
    landed: dict[tuple[str, str], datetime] = {}
    for day, of_day in by_day.items():
        there = landing.lake.receipt(dataset, day)
        if there is None or there.schema_version != dataset.version:
            continue
        if there.provenance.get(_LISTED) == _digest(of_day):
            told_at = datetime.fromisoformat(there.provenance[_TOLD_AT])
            landed |= {(need.conversation_identifier, day): told_at for need in of_day}
        rows = landing.lake.dataset(dataset, [day]).to_table(columns=["conversation_identifier", "fetched_at"])
        latest = rows.group_by("conversation_identifier").aggregate([("fetched_at", "max")])
        for conversation, read_at in zip(*(latest[name].to_pylist() for name in latest.column_names), strict=True):
            landed[conversation, day] = max(read_at, landed.get((conversation, day), read_at))
    return landed


def _digest(needs: Iterable[Need]) -> str:
    """Which conversations are on a work list."""
    listed = "\n".join(sorted(need.conversation_identifier for need in needs))
    return hashlib.sha256(listed.encode()).hexdigest()[:16]


def _with_kept(
    told: Iterable[pa.RecordBatch], landing: EntryLanding, day: str, kept: set[str]
) -> Iterator[pa.RecordBatch]:
    """What was told, then the rows in the lake of conversations that told nothing; those are added to ``kept``."""
    heard: set[str] = set()
    for batch in told:
        heard.update(batch["conversation_identifier"].unique().to_pylist())
        yield batch
    silent = ~pc.field("conversation_identifier").isin(pa.array(sorted(heard), pa.string()))
    for batch in landing.lake.dataset(landing.road.dataset, [day]).to_batches(filter=silent):
        kept.update(batch["conversation_identifier"].unique().to_pylist())
        yield batch


def _needs(landing: EntryLanding, days: Sequence[str], now: datetime) -> Iterator[Need]:
    lake = landing.lake
    known = set(lake.partitions(CONVERSATION_ACTIVITY))
    for day in days:
        if day not in known:
            raise PublishError(f"{CONVERSATION_ACTIVITY.name} of {day} is not in the lake: materialize it first")
        retold = retold_conversations(lake, landing.road.name, day)
        for row in lake.read(CONVERSATION_ACTIVITY, day).to_pylist():
            has_call, settled_at = "Voice" in row["modality"], row["settled_at"]
            yield Need(
                row["conversation_identifier"],
                day,
                settled_at,
                row["changed_at"],
                has_call=has_call,
                readable="Messaging" in row["modality"] or settled_at <= now,
                live=row["is_live"] is not False,
                retold_at=retold.get(row["conversation_identifier"]),
            )


def staged_for(landing: EntryLanding, days: Sequence[str]) -> list[Staged]:
    """Readings that may serve these days."""
    return landing.staging.records(landing.road.dataset.name, _neighbours(days))


def plan_entries(
    landing: EntryLanding, days: Sequence[str], now: datetime, staged: Sequence[Staged] | None = None
) -> Plan[StagedReading]:
    """
    What a run of these days would ask for now; nothing is asked.

    Args:
        staged: Readings that may serve the days, where they are known.
    """
    return _plan(landing, tuple(_needs(landing, days, now)), days, now, {}, staged)


def _refuse_to_empty(landing: EntryLanding, days: Sequence[str], not_found: int) -> None:
    """A wrong URL, a lost permission and an API switched off may all look like conversations that nobody knows."""
    there = (landing.lake.receipt(landing.road.dataset, day) for day in days)
    if not_found >= _TOO_MANY_UNKNOWN or any(receipt is not None and receipt.rows for receipt in there):
        raise _knows_none(landing, not_found)


def _knows_none(landing: EntryLanding, not_found: int) -> PublishError:
    return PublishError(
        f"the {landing.road.api} knows none of the {not_found:,} conversations asked for (404): check "
        f"{landing.road.look_at}"
    )


def _plan(
    landing: EntryLanding,
    needs: Sequence[Need],
    days: Sequence[str],
    now: datetime,
    resumed_from: Mapping[str, datetime],
    staged: Sequence[Staged] | None = None,
) -> Plan[StagedReading]:
    records = staged_for(landing, days) if staged is None else staged
    held = held_readings(landing.staging, records, (need.conversation_identifier for need in needs))
    again = [timedelta(days=age) for age in landing.org.settings.reread_ages]
    having = partial(plan, needs, held, now=now, read_again_after=again, resumed_from=resumed_from)
    found = having()
    return having(landed_at=_landed_at(landing, needs)) if found.requests else found


def _neighbours(days: Sequence[str]) -> list[str]:
    """The days themselves and those before, under which a reading that reaches into them may lie."""
    first = Window.of_day(min(days)).start
    before = [(first - timedelta(days=back)).date().isoformat() for back in range(1, _LONGEST_RUN_DAYS)]
    return [*before, *days]
