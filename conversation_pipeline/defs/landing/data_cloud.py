"""
The Data Cloud road's landing: one look for all days, one query for a run of days that have something new.

A page is staged as it arrives, under its query's id; a run that was killed goes on with that query for as long as its
result lives, and asks only for pages that are not staged.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.defs.reporting import Metadata, drift_metadata, receipt_metadata, usage_metadata
from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract.bulk import RESUME_WITHIN
from conversation_pipeline.extract.data_cloud import (
    ROAD,
    Entries,
    Look,
    Looks,
    Objects,
    discover,
    entries_sql,
    look,
    offset,
)
from conversation_pipeline.extract.entries import Drift
from conversation_pipeline.extract.windows import Window, unbroken
from conversation_pipeline.salesforce.data_cloud import DataCloud, Page, Result
from conversation_pipeline.salesforce.errors import LocatorLost
from conversation_pipeline.schemas.conversations import CONVERSATIONS, ENTRIES_DATA_CLOUD
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.storage import Lake, PublishError, Receipt, Staged, Staging, StagingError
from conversation_pipeline.storage.erasure import erased
from conversation_pipeline.storage.notes import Notes

ASKED_AT = "asked_at"
"""In a day's receipt: when its query was sent, by the org's clock."""

_LOOKS = "looks"
_RECORD_IDS = ("0dw", "0Mw")
"""How the record ids of conversations and sessions begin, by which entries of unknown conversations go."""
_RESTARTS = 2


@dataclass(frozen=True)
class DataCloudLanding:
    """
    What the landing of the road works with.

    Attributes:
        full: Read days anew even where their count stands still.
    """

    org: Org
    lake: Lake
    staging: Staging
    run_id: str
    log: logging.Logger
    full: bool = False

    @property
    def client(self) -> DataCloud[pa.Table]:
        return self.org.data_cloud

    @property
    def lag(self) -> timedelta:
        return timedelta(minutes=self.org.settings.conversation_data_cloud_lag_minutes)

    @property
    def notes(self) -> Notes:
        return Notes(self.org.settings.conversation_staging, "data-cloud-queries")


@dataclass
class DataCloudPull:
    """
    What a run has found out, besides rows.

    Attributes:
        newest: Creation of the newest entry that is visible; ``None`` where there is none of the last two days, or
            nothing was asked.
        looked: Whether Data Cloud was asked at all.
    """

    newest: datetime | None = None
    looked: bool = False
    asked_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    rows_processed: list[int | None] = field(default_factory=list)


def asked_from(day: str, lag: timedelta) -> datetime:
    """When a day is asked for at the earliest: it has ended, and what was said last has had time to be synced."""
    return Window.of_day(day).end + lag


def read_at(receipt: Receipt) -> datetime:
    """When the query was sent that a day was read by, by the org's clock."""
    return datetime.fromisoformat(receipt.provenance[ASKED_AT])


def land_data_cloud(
    landing: DataCloudLanding, days: Sequence[str], pull: DataCloudPull
) -> Iterator[tuple[str, Metadata]]:
    """Lands the days that have ended, each with its metadata; what the run cost stands with the first of them."""
    with landing.org.meter.measured() as used:
        now = pull.asked_at = landing.org.query.server_time()
        ended = [day for day in days if asked_from(day, landing.lag) <= now]
        news = look_for_news(landing, ended, now) if ended else None
        landed: dict[str, Metadata] = {}
        if news is not None:
            pull.newest, pull.looked = news.looks.newest, True
            pull.rows_processed.append(news.looks.rows_processed)
            new = ended if landing.full else news.days
            for day in new:
                _refuse_to_empty(news.receipts[day], news.looks.days[day], day)
            for run in unbroken(new):
                landed |= _land_run(landing, run, news, pull)
    cost: Metadata = {
        **usage_metadata(used),
        "mode": landing.client.name,
        "rows_processed": _total(pull.rows_processed),
        "newest_visible": "" if pull.newest is None else pull.newest.isoformat(),
        "columns_not_there": list(news.objects.missing) if news else [],
    }
    for day in days:
        metadata = landed.get(day) or _untouched(landing, day, news, now)
        yield day, metadata | (cost if day == days[0] else {})


@dataclass(frozen=True)
class News:
    """
    What one look at Data Cloud told of some days that have ended.

    Attributes:
        receipts: What the lake has of each of them.
        days: Those that are not in the lake as Data Cloud has them now.
    """

    objects: Objects
    looks: Looks
    receipts: Mapping[str, Receipt | None]
    days: list[str]


def look_for_news(landing: DataCloudLanding, days: Sequence[str], now: datetime) -> News:
    """
    Asks for the counts of some days, by one query that reads no payload.

    Raises:
        SalesforceError: Data Cloud is not there for this user, or does not answer.
    """
    settings = landing.org.settings
    objects = discover(landing.client, settings.data_cloud_names, settings.data_cloud_zone)
    looks = look(landing.client, objects, days, now)
    receipts = {day: landing.lake.receipt(ENTRIES_DATA_CLOUD, day) for day in days}
    new = [
        day
        for day, receipt in receipts.items()
        if not _stands_still(receipt, looks.days[day]) or _is_known_by_now(landing.lake, receipt)
    ]
    return News(objects, looks, receipts, new)


def _untouched(landing: DataCloudLanding, day: str, news: News | None, now: datetime) -> Metadata:
    """A day that was not asked for yet, or of which nothing is new."""
    receipt = news.receipts.get(day) if news else landing.lake.receipt(ENTRIES_DATA_CLOUD, day)
    begins = asked_from(day, landing.lag)
    if receipt is None or now < begins:
        landing.log.info(f"{ENTRIES_DATA_CLOUD.name} of {day} is asked for from {begins:%Y-%m-%d %H:%M} UTC on")
        kept = {} if receipt is None else receipt_metadata(receipt)
        return {**kept, "closed": False, "asked_for_from": begins.isoformat()}
    return {**receipt_metadata(receipt), "changed": False, "closed": now - read_at(receipt) >= landing.lag}


def _stands_still(receipt: Receipt | None, seen: Look) -> bool:
    """Nothing came and nothing changed since the day was read, by the same version of what is made of it."""
    if receipt is None or receipt.schema_version != ENTRIES_DATA_CLOUD.version:
        return False
    looks = msgspec.json.decode(receipt.provenance.get(_LOOKS, "{}"))
    return bool(looks.get(receipt.partition) == asdict(seen))


def _refuse_to_empty(receipt: Receipt | None, seen: Look, day: str) -> None:
    """A policy that hides rows looks like rows that are gone; who is to be gone is erased on purpose."""
    if receipt is not None and receipt.rows and not seen.entries:
        raise PublishError(
            f"Data Cloud shows no entry of {day}, of which {receipt.rows:,} are in the lake: look for a policy that "
            "hides them from this user, or for a data stream that was deployed anew; the day stays as it is"
        )


def _is_known_by_now(lake: Lake, receipt: Receipt | None) -> bool:
    """Whether conversations that nobody knew when the day was read are in the lake now."""
    if receipt is None or not receipt.rows:
        return False
    name = pc.field("conversation_identifier")
    conversation, session = ((name >= start) & (name < f"{start}~") for start in _RECORD_IDS)
    day = lake.dataset(ENTRIES_DATA_CLOUD, [str(receipt.partition)])
    unknown = day.to_table([ENTRIES_DATA_CLOUD.key[0]], conversation | session)[0].unique().to_pylist()
    return bool(unknown and _identifiers(lake, unknown))


def _identifiers(lake: Lake, record_ids: Collection[str]) -> dict[str, str]:
    """Conversation identifiers by record id of a conversation or of a session, as far as the lake knows them."""
    wanted = pa.array(sorted(record_ids), pa.string())
    named = ["id", "conversation_id"]
    sessions = lake.dataset(MESSAGING_SESSIONS).to_table(named, pc.field("id").isin(wanted))
    of_session = dict(zip(sessions["id"].to_pylist(), sessions["conversation_id"].to_pylist(), strict=True))
    wanted = pa.array(sorted({*record_ids, *filter(None, of_session.values())}), pa.string())
    known = pc.field("conversation_identifier").is_valid() & pc.field("id").isin(wanted)
    rows = lake.dataset(CONVERSATIONS).to_table(["id", "conversation_identifier"], known)
    found = dict(zip(rows["id"].to_pylist(), rows["conversation_identifier"].to_pylist(), strict=True))
    return found | {session: found[one] for session, one in of_session.items() if one in found}


def _checked(
    landing: DataCloudLanding, batches: Iterator[pa.RecordBatch], entries: Entries, days: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    yield from batches
    _refuse_wall_time(landing, entries, days)


def _refuse_wall_time(landing: DataCloudLanding, entries: Entries, days: Sequence[str]) -> None:
    """Days can not be told apart by times that are not what they say."""
    window = Window.of_days(days)
    created = (pc.field("created_date") >= window.start) & (pc.field("created_date") < window.end)
    told = pc.field("conversation_identifier").isin(pa.array(list(entries.first.of), pa.string()))
    rows = landing.lake.dataset(CONVERSATIONS).to_table(["conversation_identifier", "created_date"], created & told)
    made = dict(zip(rows[0].to_pylist(), rows[1].to_pylist(), strict=True))
    if found := offset(entries.first.of, made):
        apart, conversations = found
        hours = f"{abs(apart) / timedelta(hours=1):.1f} hours {'before' if apart < timedelta(0) else 'after'}"
        raise PublishError(
            f"in Data Cloud {conversations:,} of {len(made):,} conversations begin {hours} the org made them: its "
            "times are the wall time of a time zone, labelled UTC. Set CONVERSATION_DATA_CLOUD_TIME_ZONE to "
            "the org's default time zone (Setup, Company Information), such as America/Denver; nothing is published"
        )


def _land_run(landing: DataCloudLanding, days: Sequence[str], news: News, pull: DataCloudPull) -> dict[str, Metadata]:
    """An unbroken run of days by one query; the query is begun anew where its result is lost."""
    looks, objects = news.looks, news.objects
    one_each = any(looks.days[day].ids < looks.days[day].entries for day in days)
    sql = entries_sql(objects, Window.of_days(days), one_each=one_each)
    for restart in range(_RESTARTS + 1):
        query = _Query.begun(landing, sql, days[0], pull.asked_at)
        entries = Entries(
            ENTRIES_DATA_CLOUD,
            query.asked_at,
            Drift(),
            erased(landing.lake),
            partial(_identifiers, landing.lake),
            objects.zone,
        )
        told = {day: asdict(looks.days[day]) for day in days}
        try:
            receipts = landing.lake.replace_days(
                ENTRIES_DATA_CLOUD,
                days,
                _checked(landing, query.batches(entries), entries, days),
                run_id=landing.run_id,
                road=ROAD,
                provenance={_LOOKS: msgspec.json.encode(told).decode(), ASKED_AT: query.asked_at.isoformat()},
            )
        except LocatorLost as error:
            query.forget()
            if restart == _RESTARTS:
                raise
            landing.log.warning(f"{ENTRIES_DATA_CLOUD.name}: {error}; the query is sent again")
            continue
        query.forget()
        pull.rows_processed.append(query.result.rows_processed)
        run: Metadata = {
            "query_id": query.result.query_id,
            "pages_read": query.read,
            "pages_from_staging": len(query.staged),
            "entries_resolved_by_the_lake": entries.resolved,
            "entries_unresolved": entries.unresolved,
            "entries_of_erased": entries.left_out,
            **drift_metadata(entries.drift.seen),
        }
        return {
            day: {**receipt_metadata(receipt), "closed": False, **(run if day == days[0] else {})}
            for day, receipt in receipts.items()
        }
    raise AssertionError("the last restart raises")


@dataclass
class _Query:
    """
    A query whose result is read, now or by a run that was killed.

    Attributes:
        asked_at: When it was sent, by the org's clock.
        staged: Pages that an earlier run has read.
        read: Pages that this one has read.
    """

    landing: DataCloudLanding
    name: str
    day: str
    asked_at: datetime
    result: Result
    staged: Mapping[int, Staged]
    read: int = 0

    @classmethod
    def begun(cls, landing: DataCloudLanding, sql: str, day: str, now: datetime) -> _Query:
        """The query that a killed run left behind, while its result lives; else a new one."""
        client, notes = landing.client, landing.notes
        name = f"{client.name}-{hashlib.sha256(sql.encode()).hexdigest()[:16]}"
        note = notes.read(name) if client.resumable else None
        if note is not None and (left := _left(note, now)) is not None:
            asked_at = datetime.fromisoformat(note["asked_at"])
            found = landing.staging.records(ENTRIES_DATA_CLOUD.name, [day])
            query_id = landing.staging.encode(left.query_id)
            staged = {int(it.label[1]): it for it in found if it.label[0] == query_id}
            return cls(landing, name, day, asked_at, left, _readable(landing, staged))
        result = client.query(sql)
        query = cls(landing, name, day, now, result, {})
        if client.resumable:
            notes.write(name, query._note())
        return query

    def batches(self, entries: Entries) -> Iterator[pa.RecordBatch]:
        """All rows: those of staged pages, then the others as they come."""
        client = self.landing.client
        for record in self.staged.values():
            yield from entries.batches(client.decode(self.landing.staging.read(record)))
        held = {number: int(record.label[2]) for number, record in self.staged.items()}
        received = self._stage if client.resumable else _kept_nowhere
        for page in client.pages(self.result, held=held, received=received):
            self.read += 1
            yield from entries.batches(page.decoded)

    def forget(self) -> None:
        """It has served, or can not: nobody goes on with it."""
        self.landing.notes.remove(self.name)
        query_id = self.landing.staging.encode(self.result.query_id)
        for record in self.landing.staging.records(ENTRIES_DATA_CLOUD.name, [self.day]):
            if record.label[0] == query_id:
                self.landing.staging.discard(record)

    def _stage(self, page: Page[pa.Table]) -> None:
        label = (self.result.query_id, str(page.number), str(page.decoded.num_rows))
        self.landing.staging.put(ENTRIES_DATA_CLOUD.name, self.day, label, page.body, fetched_at=self.asked_at)

    def _note(self) -> dict[str, Any]:
        result = self.result
        return {
            "started_at": datetime.now(UTC).isoformat(),
            "asked_at": self.asked_at.isoformat(),
            "result": msgspec.to_builtins(replace(result, first=None)),
        }


def _kept_nowhere(_: Page[pa.Table]) -> None:
    """Batches of v2 can not be gone on with, so there is no use in staging them."""


def _left(note: Mapping[str, Any], now: datetime) -> Result | None:
    """The result that a note tells of, if it can still be read and is fresh."""
    with suppress(msgspec.ValidationError, KeyError, ValueError):
        result = msgspec.convert(note["result"], Result)
        fresh = now - datetime.fromisoformat(note["asked_at"]) <= RESUME_WITHIN
        if fresh and (result.expires_at is None or now < result.expires_at):
            return result
    return None


def _readable(landing: DataCloudLanding, staged: Mapping[int, Staged]) -> dict[int, Staged]:
    """Those that are whole; a torn one is asked for again."""
    whole = {}
    for number, record in sorted(staged.items()):
        try:
            landing.staging.read(record)
        except StagingError:
            landing.staging.discard(record)
            continue
        whole[number] = record
    return whole


def _total(counts: Sequence[int | None]) -> int | None:
    told = [count for count in counts if count is not None]
    return sum(told) if told else None
