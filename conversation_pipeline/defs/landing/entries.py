"""The entry road's landing: readings are staged as they arrive, days are typed from what is staged."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.defs.landing.pulls import open_pull
from conversation_pipeline.defs.reporting import (
    Metadata,
    Progress,
    drift_metadata,
    receipt_metadata,
    usage_metadata,
)
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract import conversation_data
from conversation_pipeline.extract.entries import Drift, ReadConversation, batches
from conversation_pipeline.extract.windows import Window, from_milliseconds, to_milliseconds
from conversation_pipeline.extract.work_list import Held, Need, Plan, plan
from conversation_pipeline.kill_points import KillPoint, at
from conversation_pipeline.salesforce.conversation_data import Reading
from conversation_pipeline.schemas.conversations import CONVERSATION_ACTIVITY, ENTRIES_CONVERSATION_DATA
from conversation_pipeline.storage import Lake, PublishError, Pull, Staged, Staging

_TOO_MANY_UNKNOWN = 5  # so many, and nobody known: that is the road, not the conversations
_EVER = datetime.min.replace(tzinfo=UTC)
_LONGEST_RUN_DAYS = 31  # a reading lies under the first day of its window; runs of more days do not occur


@dataclass(frozen=True)
class EntriesPull:
    """
    What is staged for a run's days: which reading serves which conversation and day.

    Attributes:
        asked_at: The org's clock when the pull began; raw answers are stamped by the same clock.
        metadata: What the pull cost; it stands in the metadata of the run's first day, once.
    """

    asked_at: datetime
    held: dict[tuple[str, str], Staged]
    needs: tuple[Need, ...]
    pulls: tuple[Pull, ...]
    metadata: Metadata


def pull_entries(days: Sequence[str], *, org: Org, lake: Lake, staging: Staging, log: logging.Logger) -> EntriesPull:
    """Asks the Conversation Data API for what the days need and is not staged; each answer is staged as it comes."""
    dataset = ENTRIES_CONVERSATION_DATA.name
    with org.meter.measured() as used:
        now = org.query.server_time()
        needs = tuple(_needs(days, lake, now))
        pulls = tuple(open_pull(staging, dataset, day, now) for day in days)
        at(KillPoint.PULL_OPENED)
        work = _plan(needs, days, staging, {pull.day: pull.started_at for pull in pulls if pull.resumed})
        not_found: list[str] = []
        if work.requests:
            users = len(org.conversation_data.users)
            log.info(
                f"{dataset}: {len(work.requests):,} conversations to read with {users} execution users, "
                f"{len(work.held):,} conversation days are staged, {work.postponed:,} wait for their call to settle"
            )
            _tell_what_binds(org, log)
            org.conversation_data.longest_page = _longest_page(days, staging)
            progress = Progress(log, dataset, len(work.requests))
            for reading in conversation_data.read(org.conversation_data, work.requests, not_found):
                at(KillPoint.READING_RECEIVED)
                _stage_reading(reading, staging)
                at(KillPoint.READING_STAGED)
                progress.step()
        # All that had to be read anew has been; whom the org no longer knows is served by what it told before.
        final = _plan(needs, days, staging, dict.fromkeys(days, _EVER))
    if not_found:
        if not final.held:
            _refuse_to_empty(days, len(not_found), lake)
        log.warning(f"{dataset}: the org does not know {len(not_found):,} conversations of its own records")
    return EntriesPull(
        now,
        {key: held.ref for key, held in final.held.items()},
        needs,
        pulls,
        {
            **usage_metadata(used),
            "conversations_read": len(work.requests) - len(not_found),
            "conversation_days_staged_before": len(work.held),
            "conversations_not_found": len(not_found),
            "execution_users": len(org.conversation_data.users) if work.requests else 0,
        },
    )


def land_entries(pull: EntriesPull, day: str, *, lake: Lake, staging: Staging, run_id: str) -> Metadata:
    """
    The day's partition, from what is staged; conversations of which nothing new was read keep the rows they have.

    A conversation that drops off the work list (a column or a record that the user may no longer see), answers with
    nothing, or whose raw answers have passed their retention would else take its entries with it in silence. What is
    to be gone is erased on purpose, not by being out of sight.
    """
    drift = Drift()
    kept: set[str] = set()
    wanted = [need for need in pull.needs if need.day == day]
    serving = {need.conversation_identifier: pull.held.get((need.conversation_identifier, day)) for need in wanted}
    readings = _readings(serving, staging)
    told = batches(readings, Window.of_day(day), ENTRIES_CONVERSATION_DATA, road=conversation_data.ROAD, drift=drift)
    rows = _with_kept(told, day, lake, kept)
    receipt = lake.replace(ENTRIES_CONVERSATION_DATA, day, rows, run_id=run_id, road=conversation_data.ROAD)
    staging.close_pull(next(one for one in pull.pulls if one.day == day))
    at(KillPoint.PULL_CLOSED)
    waiting = sum(1 for need in wanted if serving[need.conversation_identifier] is None)
    return {
        **receipt_metadata(receipt),
        **(pull.metadata if day == pull.pulls[0].day else {}),
        "conversations": len(wanted) - waiting,
        "conversations_without_reading": waiting,
        "conversations_kept": len(kept),
        **drift_metadata(drift.seen),
    }


def _with_kept(told: Iterable[pa.RecordBatch], day: str, lake: Lake, kept: set[str]) -> Iterator[pa.RecordBatch]:
    """What was told, then the rows in the lake of conversations that told nothing; those are added to ``kept``."""
    heard: set[str] = set()
    for batch in told:
        heard.update(batch["conversation_identifier"].to_pylist())
        yield batch
    silent = ~pc.field("conversation_identifier").isin(pa.array(sorted(heard), pa.string()))
    for batch in lake.dataset(ENTRIES_CONVERSATION_DATA, [day]).to_batches(filter=silent):
        kept.update(batch["conversation_identifier"].to_pylist())
        yield batch


def _needs(days: Sequence[str], lake: Lake, now: datetime) -> Iterator[Need]:
    known = set(lake.partitions(CONVERSATION_ACTIVITY))
    for day in days:
        if day not in known:
            raise PublishError(f"{CONVERSATION_ACTIVITY.name} of {day} is not in the lake: materialize it first")
        for row in lake.read(CONVERSATION_ACTIVITY, day).to_pylist():
            settled_at = row["settled_at"]
            readable = "Messaging" in row["modality"] or settled_at <= now
            yield Need(row["conversation_identifier"], day, settled_at, row["changed_at"], readable)


def _refuse_to_empty(days: Sequence[str], not_found: int, lake: Lake) -> None:
    """A wrong URL, a lost permission and an API switched off may all look like conversations that nobody knows."""
    there = (lake.receipt(ENTRIES_CONVERSATION_DATA, day) for day in days)
    if not_found >= _TOO_MANY_UNKNOWN or any(receipt is not None and receipt.rows for receipt in there):
        raise PublishError(
            f"the Conversation Data API knows none of the {not_found:,} conversations asked for (404): check "
            "CONVERSATION_DATA_URL, Conversation Service API in Setup and the execution users' permissions"
        )


def _plan(
    needs: Iterable[Need], days: Sequence[str], staging: Staging, resumed_from: Mapping[str, datetime]
) -> Plan[Staged]:
    names = {staging.encode(need.conversation_identifier): need.conversation_identifier for need in needs}
    held = [
        Held(names[record.label[0]], _window_of(record), record.fetched_at, record)
        for record in staging.records(ENTRIES_CONVERSATION_DATA.name, _neighbours(days))
        if record.label[0] in names
    ]
    return plan(needs, held, resumed_from=resumed_from)


def _stage_reading(reading: Reading, staging: Staging) -> None:
    body = b"[" + b",".join(reading.bodies) + b"]"
    bounds = (str(to_milliseconds(reading.start)), str(to_milliseconds(reading.end)))
    label = (reading.conversation_identifier, *bounds, str(reading.longest_page))
    day = reading.start.date().isoformat()
    staging.put(ENTRIES_CONVERSATION_DATA.name, day, label, body, fetched_at=reading.fetched_at)


def _tell_what_binds(org: Org, log: logging.Logger) -> None:
    """Execution users beyond what the active-conversation budget lets them ask are worth a word."""
    api = org.conversation_data
    new_a_minute = api.active.count / (api.active.seconds / 60)
    asked_a_minute = len(api.users) * api.rate.count / (api.rate.seconds / 60)
    if asked_a_minute > new_a_minute * 1.05:
        log.info(
            f"{len(api.users)} execution users could ask for {asked_a_minute:,.0f} conversations a minute; over the "
            f"hours CONVERSATION_ACTIVE_BUDGET of {api.active.count:,} lets {new_a_minute:,.0f} be new"
        )


def _longest_page(days: Sequence[str], staging: Staging) -> int:
    records = staging.records(ENTRIES_CONVERSATION_DATA.name, _neighbours(days))
    return max((int(record.label[3]) for record in records), default=0)


def _readings(serving: dict[str, Staged | None], staging: Staging) -> Iterator[ReadConversation]:
    for identifier, record in sorted(serving.items()):
        if record is not None:
            bodies = msgspec.json.decode(staging.read(record), type=list[msgspec.Raw])
            pages = tuple(bytes(body) for body in bodies)
            yield ReadConversation(identifier, pages, record.fetched_at, _window_of(record))


def _neighbours(days: Sequence[str]) -> list[str]:
    """The days themselves and those before, under which a reading that reaches into them may lie."""
    first = Window.of_day(min(days)).start
    before = [(first - timedelta(days=back)).date().isoformat() for back in range(1, _LONGEST_RUN_DAYS)]
    return [*before, *days]


def _window_of(record: Staged) -> Window:
    start, end = record.label[1:3]
    return Window(from_milliseconds(int(start)), from_milliseconds(int(end)))
