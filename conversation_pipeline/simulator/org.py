"""One running org: its world, clock, switches, limits, clients and books, shared by all rooms."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from conversation_pipeline.simulator.bulk_jobs.model import Jobs
from conversation_pipeline.simulator.control.clock import Clock
from conversation_pipeline.simulator.control.counters import Counters
from conversation_pipeline.simulator.control.faults import Faults
from conversation_pipeline.simulator.control.limits import Bucket, Limits
from conversation_pipeline.simulator.control.switches import Switches
from conversation_pipeline.simulator.data_cloud.model import DataCloud
from conversation_pipeline.simulator.exports.model import Exports
from conversation_pipeline.simulator.oauth.model import Client, Identities
from conversation_pipeline.simulator.world.afterlife import Customs
from conversation_pipeline.simulator.world.builder import Recipe
from conversation_pipeline.simulator.world.entries import Entry
from conversation_pipeline.simulator.world.erasure import request
from conversation_pipeline.simulator.world.ids import record_id, to_18
from conversation_pipeline.simulator.world.reading import Delays, readable
from conversation_pipeline.simulator.world.records import Row
from conversation_pipeline.simulator.world.schema import PREFIXES, SOBJECTS, SObject, without
from conversation_pipeline.simulator.world.script import Conversation
from conversation_pipeline.simulator.world.world import World

DEFAULT_HISTORY = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Seed:
    """What an org starts from: seed, first complete day, conversations a working day, and where its clock stands."""

    seed: int = 7
    first_day: date | None = None
    conversations_per_day: int = 50
    now: datetime | None = None


@dataclass(slots=True)
class Visibility:
    """
    What the integration user may not see: columns by field-level security, whole objects, and the share of an object's
    records that nobody shares with the user.
    """

    hidden: dict[str, frozenset[str]] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    unshared: dict[str, float] = field(default_factory=dict)

    def shared(self, sobject: str, identifier: str) -> bool:
        """Whether the user sees a record, as sharing goes; the same ones each time."""
        share = self.unshared.get(sobject, 0.0)
        return not share or zlib.crc32(identifier.encode()) / 2**32 >= share


class Org:
    """The state behind every room."""

    def __init__(self, seed: Seed) -> None:
        self.seed = seed
        self._first_day = seed.first_day or (datetime.fromtimestamp(Clock(seed.now).now, UTC).date() - DEFAULT_HISTORY)
        self._pristine: bytes | None = None
        self.world = self._new_world()
        self.edited = False
        """True once rows or entries were put in by hand: a world that nobody touched need not be built again."""
        self.revision = 0
        """How often the world may have been changed by hand: what was derived from it before holds no longer."""
        self.reset()

    def _new_world(self) -> World:
        return World(Recipe(self.seed.seed, self.seed.conversations_per_day), self._first_day)

    def _fresh_world(self) -> World:
        """A world as it was at first; tests ask for it all the time, and loading it is faster than drawing it."""
        if self._pristine is None:
            world = self._new_world()
            world.reach(Clock(self.seed.now).now)
            self._pristine = pickle.dumps(world, pickle.HIGHEST_PROTOCOL)
        return pickle.loads(self._pristine)  # type: ignore[no-any-return]  # noqa: S301  (our own bytes)

    def reset(self) -> None:
        """Back to the first state of the org; everything that was switched, added or counted is gone."""
        self.clock = Clock(self.seed.now)
        if self.edited:
            self.world = self._fresh_world()
            self.edited = False
        self.switches = Switches()
        self.world.adopt(self._customs())
        self.limits = Limits()
        self.counters = Counters()
        self.faults = Faults()
        self.visibility = Visibility()
        self.buckets: dict[tuple[str, ...], Bucket] = {}
        self.jobs = Jobs()
        self.exports = Exports()
        self.data_cloud = DataCloud()
        self.schema_changed_at = _midnight(self._first_day)
        self.schema: dict[str, SObject] = dict(SOBJECTS)
        self.api_requests = 0
        self.identities = Identities(self.world.cast.organization_id, self.clock)
        for client in self._first_clients():
            self.identities.register(client)

    def tables(self) -> Tables:
        """The org's rows as a query sees them now."""
        return Tables(self)

    def voice_settle_ms(self) -> int:
        """How long after a call's end its entries can be read."""
        return round(float(self.switches["voice_settle_minutes"]) * 60_000)

    def switch(self, values: Mapping[str, Any]) -> None:
        """
        Move switches; those that the world goes by take effect on the days that are built as well.

        Raises:
          ValueError: an unknown switch, or a value that it cannot take.
        """
        self.switches.set(values)
        self.world.adopt(self._customs())

    def _customs(self) -> Customs:
        switches = self.switches
        return Customs(int(switches["redactions_per_day"]), int(switches["erasures_per_day"]))

    def erase(
        self, kind: str, targets: Sequence[str], *, seconds: int | None = None, failing: bool = False
    ) -> list[str]:
        """
        Request erasures now; returns the ids of their rows in ConversationApiLog.

        Arguments:
          kind: `MessagingEndUser` or `Conversation`.
          targets: ids of that object, 15 or 18 characters; a request for a record that is not there fails.
          seconds: until they are Completed or Failed; the switch `erasure_seconds` unless given.

        Raises:
          ValueError: an id that is none.
        """
        now, user = self.clock.now, self.world.cast.integration_user_id
        after = int(self.switches["erasure_seconds"]) if seconds is None else seconds
        wanted = [to_18(target) for target in targets]
        self.edited = True
        logs = []
        for target in wanted:
            record = self.world.record(target)
            known = record is not None and record.sobject == kind and record.as_of(now) is not None
            outcome = "Completed" if known and not failing else "Failed"
            number = self.world.numbers_by_hand()
            log = request(record_id("1CL", number), f"{number % 100_000_000:08d}", user, (kind, target), now, after,
                          outcome)  # fmt: skip
            self.world.erase(log, target, now + after if outcome == "Completed" else None)
            logs.append(log.id)
        return logs

    def delays(self) -> Delays:
        """How late the entry APIs are, by the switches."""
        switches = self.switches
        return Delays(
            entry=round(switches["entry_delay_seconds"] * 1000),
            late=round(switches["late_entry_seconds"] * 1000),
            late_share=float(switches["late_entry_share"]),
            settle=self.voice_settle_ms(),
            association=round(switches["voice_association_minutes"] * 60_000),
            vanish=round(switches["voice_vanish_seconds"] * 1000),
            empty_before=switches["voice_before_association"] == "none",
        )

    def conversation_for_api(self, identifier: str) -> Conversation | None:
        """
        The conversation that an entry API is asked for, which that makes an active one; None if it says 404.

        Both entry APIs mark: each call restarts the 30 minutes (Access Conversation Data [doc]).
        """
        conversation = self.world.conversation(identifier, self.clock.now)
        if conversation is None:
            return None
        erased = conversation.erased_at is not None and conversation.erased_at <= self.clock.now_ms
        if erased and self.switches["erased_conversation"] == "absent":
            return None
        self.counters.active.touch(identifier, self.clock.elapsed(), self.limits)
        return conversation

    def readable(self, conversation: Conversation) -> list[Entry]:
        """The entries that an entry API returns now, in the order of their times."""
        return list(readable(conversation, self.clock.now_ms, self.delays()))

    def kept(self, conversation: Conversation) -> list[Entry]:
        """The entries that an entry API returns now as they are kept, to be changed."""
        known = {entry.identifier for entry in self.readable(conversation)}
        return [entry for entry in conversation.entries if entry.identifier in known]

    def bucket(self, *key: str) -> Bucket:
        """The bucket of one caller for one API."""
        return self.buckets.setdefault(key, Bucket())

    def _first_clients(self) -> Iterable[Client]:
        cast = self.world.cast
        secret = f"simulated-secret-{self.seed.seed}"
        yield Client("integration-client", secret, "integrationuser@northpine.example", cast.integration_user_id,
                     ("api", "sfap_api", "cdp_query_api", "cdp_profile_api"))  # fmt: skip
        for place, user_id in enumerate(cast.execution_user_ids, start=1):
            yield Client(f"execution-client-{place}", f"{secret}-{place}", f"executionuser{place}@northpine.example",
                         user_id, ("api", "sfap_api"))  # fmt: skip


class Tables:
    """The org's objects and rows at one instant, as the integration user may see them."""

    def __init__(self, org: Org) -> None:
        self.now = org.clock.now
        self._org = org
        # A row that is committed late carries the older stamp all the same.
        self._seen_at = self.now - int(org.switches["commit_delay_seconds"])

    def sobject(self, name: str) -> SObject | None:
        """The object without hidden columns, or None when this org does not show it."""
        sobject = self._org.schema.get(name) or _in_any_case(self._org.schema, name)
        if sobject is None or sobject.name in self._org.visibility.absent:
            return None
        hidden = self._org.visibility.hidden.get(sobject.name)
        return without(sobject, hidden) if hidden else sobject

    def sobjects(self) -> list[SObject]:
        """Every object this org shows."""
        return [found for name in self._org.schema if (found := self.sobject(name)) is not None]

    def rows(self, sobject: str, *, include_deleted: bool) -> Iterable[Row]:
        """The rows of an object that the user sees; soft-deleted ones only if asked."""
        rows = self.all_rows(sobject)
        if self._org.visibility.unshared.get(sobject):
            rows = (row for row in rows if self._org.visibility.shared(sobject, str(row["Id"])))
        return rows if include_deleted else (row for row in rows if not row["IsDeleted"])

    def all_rows(self, sobject: str) -> Iterable[Row]:
        """The rows of an object, whoever may see them."""
        return self._org.world.rows(sobject, self._seen_at)

    def row(self, identifier: str, *, include_deleted: bool) -> tuple[str, Row] | None:
        """The row with that id and its object."""
        record = self._org.world.record(identifier)
        row = record.as_of(self._seen_at) if record else None
        if row is None or (row["IsDeleted"] and not include_deleted):
            return None
        return PREFIXES[identifier[:3]], row


def _in_any_case(schema: dict[str, SObject], name: str) -> SObject | None:
    wanted = name.lower()
    return next((sobject for key, sobject in schema.items() if key.lower() == wanted), None)


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
