from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sqlite3
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from conversation_pipeline.salesforce.limits import Limit, QuietHours
from conversation_pipeline.salesforce.quotas import (
    LATE_ARRIVAL,
    RESTART_REST,
    Claim,
    Lease,
    QuotaStoreError,
    QuotaTimeout,
    SqliteQuotaStore,
    file_system,
    open_quota_store,
)

USER = "00D000000000001/005000000000001/conversation_data"
OTHER_USER = "00D000000000001/005000000000002/conversation_data"
THIRD_USER = "00D000000000001/005000000000003/conversation_data"
ORG = "00D000000000001/active_conversations"

TICK = 1e-6
"""A hair of time, in seconds: enough to be before or after an instant in spite of rounding."""


def limit(count: int, seconds: float, *, in_flight: int | None = None) -> Limit:
    return Limit("reads", count, timedelta(seconds=seconds), "execution user", "made up for a test", in_flight)


TWO_A_MINUTE = limit(2, 60.0)


class Machine:
    """A machine whose time only moves when somebody sleeps or the test says so."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "quotas.db"
        self.now = 1_000.0
        self.boot = "first start"

    def store(self, **options: Any) -> SqliteQuotaStore:
        return SqliteQuotaStore(self.path, clock=lambda: self.now, clock_id=self.boot, sleep=self.pass_time, **options)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    def restart(self) -> None:
        self.boot += ", and again"
        self.now = 5.0


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def store(machine: Machine) -> Iterator[SqliteQuotaStore]:
    store = machine.store()
    yield store
    store.close()


def take(store: SqliteQuotaStore, *claims: Claim) -> Lease:
    """Takes the claims together, now or never."""
    return store.take([claims], patience=0)


def is_full(store: SqliteQuotaStore, *claims: Claim) -> bool:
    try:
        take(store, *claims)
    except QuotaTimeout:
        return True
    return False


class TestRate:
    """A place is free again one window after the answer."""

    def test_no_more_than_the_limit_is_granted(self, store):
        """
        The third request of two a minute is not sent.
        """
        claim = Claim(USER, TWO_A_MINUTE)
        take(store, claim).answered()
        take(store, claim).answered()

        assert is_full(store, claim)

    def test_a_place_is_free_one_window_after_the_answer(self, store, machine):
        """
        Sent at 0 s and answered at 10 s, its place is free at 70 s.
        """
        claim = Claim(USER, limit(1, 60.0))
        lease = take(store, claim)
        machine.pass_time(10.0)
        lease.answered()

        machine.pass_time(60.0 - TICK)
        full_just_before = is_full(store, claim)
        machine.pass_time(2 * TICK)

        assert (full_just_before, is_full(store, claim)) == (True, False)

    def test_take_waits_until_the_first_place_is_free(self, store, machine):
        """
        A request that finds both places taken leaves right when the older one is free.
        """
        claim = Claim(USER, TWO_A_MINUTE)
        take(store, claim).answered()
        machine.pass_time(20.0)
        take(store, claim).answered()

        lease = store.take([[claim]])

        assert lease.waited == pytest.approx(40.0, abs=0.01)

    def test_a_free_place_is_given_out_once(self, store, machine):
        """
        With one of two places free and the other free half a second later, one request passes.
        """
        claim = Claim(USER, TWO_A_MINUTE)
        take(store, claim).answered()
        machine.pass_time(0.5)
        take(store, claim).answered()
        machine.pass_time(59.6)
        take(store, claim)

        assert is_full(store, claim)

    def test_a_request_that_was_given_up_holds_its_place_two_seconds_longer(self, store, machine):
        """
        It may still arrive after the client stopped listening.
        """
        claim = Claim(USER, limit(1, 60.0))
        take(store, claim).gave_up()

        machine.pass_time(62.0 - TICK)
        full_just_before = is_full(store, claim)
        machine.pass_time(2 * TICK)

        assert (full_just_before, is_full(store, claim)) == (True, False)

    def test_leaving_the_block_without_a_word_gives_up(self, store, machine):
        """
        An exception between send and answer is a request that may still arrive.
        """
        claim = Claim(USER, limit(1, 60.0))
        with pytest.raises(ConnectionError), take(store, claim):
            raise ConnectionError

        assert store.usage(USER).next_free_seconds == pytest.approx(62.0)

    def test_only_the_first_word_about_a_lease_counts(self, store, machine):
        """
        Leaving the block 5 s after the answer does not hold the place any longer.
        """
        with take(store, Claim(USER, limit(1, 60.0))) as lease:
            lease.answered()
            machine.pass_time(5.0)

        assert store.usage(USER).next_free_seconds == pytest.approx(55.0)

    def test_an_answer_after_the_longest_request_still_counts(self, machine):
        """
        A request that took longer than any should counts from its answer on, though its place had been free.
        """
        store = machine.store(longest_request=5.0)
        claim = Claim(USER, limit(1, 60.0))
        lease = take(store, claim)
        machine.pass_time(66.0)
        store.usage(USER)
        lease.answered()

        assert is_full(store, claim)

    def test_keys_do_not_share_places(self, store):
        """
        Each execution user has an allowance of its own.
        """
        take(store, Claim(USER, limit(1, 60.0)))

        assert not is_full(store, Claim(OTHER_USER, limit(1, 60.0)))

    def test_a_claim_that_can_never_fit_is_an_error(self, store):
        """
        Three places at once of two a minute would be waited for in vain.
        """
        with pytest.raises(ValueError, match="never fit"):
            take(store, *[Claim(USER, TWO_A_MINUTE)] * 3)


class TestInFlight:
    """Requests without an answer are bounded too."""

    def test_no_more_requests_than_allowed_are_without_an_answer(self, store):
        """
        With one in flight the next waits for the answer, though the minute has room.
        """
        claim = Claim(USER, limit(90, 60.0, in_flight=1))
        lease = take(store, claim)
        full_before_the_answer = is_full(store, claim)
        lease.answered()

        assert (full_before_the_answer, is_full(store, claim)) == (True, False)

    def test_a_request_is_not_in_flight_longer_than_the_longest(self, machine):
        """
        A process that hangs does not stop the others for ever.
        """
        store = machine.store(longest_request=5.0)
        claim = Claim(USER, limit(90, 60.0, in_flight=1))
        take(store, claim)

        assert store.take([[claim]]).waited == pytest.approx(5.0, abs=0.1)


class TestNames:
    """A limit on distinct names counts each name once."""

    def test_a_name_that_is_held_costs_no_new_place(self, store):
        """
        Reading a conversation twice makes one conversation active.
        """
        claim = Claim(ORG, limit(1, 1_800.0), name="a")
        take(store, claim).answered()

        take(store, claim).answered()

        assert store.usage(ORG).held == 1

    def test_a_new_name_needs_a_place(self, store):
        """
        One conversation at a time means that a second one waits.
        """
        take(store, Claim(ORG, limit(1, 1_800.0), name="a")).answered()

        assert is_full(store, Claim(ORG, limit(1, 1_800.0), name="b"))

    def test_each_touch_holds_the_name_for_another_window(self, store, machine):
        """
        Touched at 0 and at 1,000 s, the conversation is active until 2,800 s.
        """
        claim = Claim(ORG, limit(1, 1_800.0), name="a")
        take(store, claim).answered()
        machine.pass_time(1_000.0)
        take(store, claim).answered()

        assert store.usage(ORG).next_free_seconds == pytest.approx(1_800.0)

    def test_an_answer_does_not_let_go_of_a_name_that_another_request_touches(self, store, machine):
        """
        The other request may arrive much later than this answer.
        """
        claim = Claim(ORG, limit(1, 60.0), name="a")
        early, late = take(store, claim), take(store, claim)
        early.answered()
        machine.pass_time(61.0)
        full_before_the_other_answer = is_full(store, Claim(ORG, limit(1, 60.0), name="b"))
        late.answered()

        assert full_before_the_other_answer
        assert store.usage(ORG).next_free_seconds == pytest.approx(60.0)

    def test_one_request_may_touch_several_names(self, store):
        """
        Two names in one set of claims need two places.
        """
        take(store, Claim(ORG, limit(2, 60.0), name="a"), Claim(ORG, limit(2, 60.0), name="b"))

        assert store.usage(ORG).held == 2


class TestShrinking:
    """A limit may be smaller than it was when its places were taken: the budget of active conversations has hours."""

    def test_a_new_name_waits_until_enough_has_been_let_go(self, store, machine):
        """
        Three are held when the limit falls to two: the next one waits for two of them to go.
        """
        for name in "abc":
            take(store, Claim(ORG, limit(3, 60.0), name=name)).answered()
            machine.pass_time(10.0)

        lease = store.take([[Claim(ORG, limit(2, 60.0), name="d")]])

        assert lease.waited == pytest.approx(40.0, abs=0.3)

    def test_a_held_name_is_not_held_longer_while_there_are_too_many(self, store, machine):
        """
        A touch would keep the third of two allowed: it waits until one of them is gone.
        """
        for name in "abc":
            take(store, Claim(ORG, limit(3, 60.0), name=name)).answered()
            machine.pass_time(10.0)

        lease = store.take([[Claim(ORG, limit(2, 60.0), name="c")]])

        assert lease.waited == pytest.approx(30.0, abs=0.3)

    def test_through_a_whole_night_no_more_are_active_than_the_hour_allows(self, machine):
        """
        A crowd that touches old and new conversations as fast as it may: three by day, eight in the quiet hours.
        """
        day, night = limit(3, 1_800.0), QuietHours.parse("22:00-06:00", 8)
        store = machine.store()
        midnight = datetime(2026, 11, 18, tzinfo=UTC)
        chance = random.Random(5)
        touched: dict[str, float] = {}
        worst = {3: 0, 8: 0}

        for minute in range(20 * 60, 32 * 60):
            now = midnight + timedelta(minutes=minute)
            for _ in range(3):
                name = chance.choice([*touched, f"new at {minute}"])
                claim = Claim(ORG, night.limit_at(now, day), name=name)
                if not is_full(store, claim):
                    touched[name] = minute
            active = sum(minute - since < 30 for since in touched.values())
            allowed = 8 if now.hour >= 22 or now.hour < 6 else 3
            worst[allowed] = max(worst[allowed], active)
            machine.pass_time(60.0)
        store.close()

        assert worst == {3: 3, 8: 8}


class TestAlternatives:
    """Several execution users add up."""

    def test_three_users_have_three_allowances(self, store):
        """
        Six requests pass at once when each of three users has two a minute, two by each.
        """
        alternatives = [[Claim(key, TWO_A_MINUTE)] for key in (USER, OTHER_USER, THIRD_USER)]

        used = Counter(store.take(alternatives, patience=0).index for _ in range(6))

        assert used == {0: 2, 1: 2, 2: 2}

    def test_the_user_with_the_most_room_is_asked(self, store):
        """
        Who has used less of the allowance is asked first.
        """
        take(store, Claim(USER, TWO_A_MINUTE))

        assert store.take([[Claim(USER, TWO_A_MINUTE)], [Claim(OTHER_USER, TWO_A_MINUTE)]]).index == 1

    def test_the_user_who_is_free_soonest_is_waited_for(self, store, machine):
        """
        With nobody free the request leaves when the first of them is.
        """
        for key in (OTHER_USER, USER):
            take(store, Claim(key, limit(1, 60.0))).answered()
            machine.pass_time(10.0)

        lease = store.take([[Claim(USER, limit(1, 60.0))], [Claim(OTHER_USER, limit(1, 60.0))]])

        assert (lease.index, lease.waited) == (1, pytest.approx(40.0, abs=0.01))

    def test_all_claims_of_an_alternative_are_granted_or_none(self, store):
        """
        A request that the org's budget refuses does not use up its user's minute.
        """
        take(store, Claim(ORG, limit(1, 1_800.0), name="a"))

        refused = is_full(store, Claim(USER, TWO_A_MINUTE), Claim(ORG, limit(1, 1_800.0), name="b"))

        assert (refused, store.usage(USER).held) == (True, 0)

    def test_the_answer_settles_all_claims(self, store):
        """
        The user's minute and the org's half hour both count from the answer.
        """
        take(store, Claim(USER, TWO_A_MINUTE), Claim(ORG, limit(9, 1_800.0), name="a")).answered()

        assert [store.usage(key).next_free_seconds for key in (USER, ORG)] == pytest.approx([60.0, 1_800.0])

    def test_no_alternative_is_an_error(self, store):
        """
        Waiting for nothing would never end.
        """
        with pytest.raises(ValueError, match="at least one alternative"):
            store.take([])


class TestPauses:
    """A refusal of the service stops everybody who uses the key."""

    def test_a_paused_key_grants_nothing_until_its_pause_ends(self, store):
        """
        Told to come back in 30 s, the next request leaves in 30 s.
        """
        store.pause(USER, 30.0)

        assert store.take([[Claim(USER, TWO_A_MINUTE)]]).waited == pytest.approx(30.0, abs=0.01)

    def test_other_users_go_on(self, store):
        """
        A pause concerns one key.
        """
        store.pause(USER, 30.0)

        lease = store.take([[Claim(USER, TWO_A_MINUTE)], [Claim(OTHER_USER, TWO_A_MINUTE)]], patience=0)

        assert lease.index == 1

    def test_a_shorter_pause_does_not_cut_a_longer_one(self, store):
        """
        The service's longest word counts.
        """
        store.pause(USER, 30.0)
        store.pause(USER, 5.0)

        assert store.usage(USER).paused_seconds == pytest.approx(30.0)


class TestPatience:
    """Whoever cannot wait is told what to do."""

    def test_patience_ends_the_wait_in_time(self, store, machine):
        """
        Ten seconds of patience end after ten seconds.
        """
        take(store, Claim(USER, limit(1, 60.0))).answered()
        began = machine.now

        with pytest.raises(QuotaTimeout):
            store.take([[Claim(USER, limit(1, 60.0))]], patience=10.0)

        assert machine.now - began == pytest.approx(10.0, abs=0.01)

    def test_the_error_names_the_key_and_when_to_come_back(self, store):
        """
        A caller can decide without reading the text, and a reader without reading the code.
        """
        take(store, Claim(USER, limit(1, 60.0))).answered()

        with pytest.raises(QuotaTimeout, match=rf"{USER}.*1 per 60 s per execution user.*add execution users") as error:
            take(store, Claim(USER, limit(1, 60.0)))

        assert (error.value.key, error.value.retry_after) == (USER, pytest.approx(60.0))

    def test_the_error_is_about_the_claim_that_is_in_the_way_longest(self, store):
        """
        With the user's minute and the org's half hour both full, coming back after a minute would not help.
        """
        claims = Claim(ORG, limit(1, 1_800.0), name="a"), Claim(USER, limit(1, 60.0))
        take(store, *claims).answered()

        with pytest.raises(QuotaTimeout) as error:
            take(store, Claim(ORG, limit(1, 1_800.0), name="b"), Claim(USER, limit(1, 60.0)))

        assert (error.value.key, error.value.retry_after) == (ORG, pytest.approx(1_800.0))


class TestUsage:
    """What metadata and the doctor show."""

    def test_usage_tells_places_requests_and_times(self, store, machine):
        """
        Two places held, one request in flight, a pause, and when the first place is free.
        """
        take(store, Claim(USER, TWO_A_MINUTE)).answered()
        take(store, Claim(USER, TWO_A_MINUTE))
        store.pause(USER, 7.0)
        machine.pass_time(1.0)

        usage = store.usage(USER)

        assert (usage.held, usage.in_flight) == (2, 1)
        assert (usage.paused_seconds, usage.next_free_seconds) == pytest.approx((6.0, 59.0))

    def test_an_unused_key_is_empty(self, store):
        """
        Nothing is held by a key that nobody ever took.
        """
        usage = store.usage(USER)

        assert (usage.held, usage.in_flight, usage.paused_seconds, usage.next_free_seconds) == (0, 0, 0.0, None)

    def test_keys_in_use_are_listed(self, store, machine):
        """
        A key that holds a place or rests is listed, one whose time is over is not.
        """
        take(store, Claim(THIRD_USER, TWO_A_MINUTE)).answered()
        machine.pass_time(61.0)
        take(store, Claim(USER, TWO_A_MINUTE))
        store.pause(OTHER_USER, 30.0)

        assert store.keys() == [USER, OTHER_USER]


class TestFile:
    """The file heals, or says what is wrong with it."""

    def test_only_its_owner_may_read_the_file(self, store, machine):
        """
        The file names org, users and conversations.
        """
        assert stat.S_IMODE(machine.path.stat().st_mode) == 0o600

    def test_a_new_store_knows_what_an_old_one_granted(self, store, machine):
        """
        A run that ends and one that begins share a minute.
        """
        take(store, Claim(USER, limit(1, 60.0)))
        store.close()

        assert is_full(machine.store(), Claim(USER, limit(1, 60.0)))

    def test_a_closed_store_opens_again_when_it_is_used(self, store):
        """
        A lease that is answered after the close still counts.
        """
        lease = take(store, Claim(USER, limit(1, 60.0)))
        store.close()
        lease.answered()

        assert store.usage(USER).next_free_seconds == pytest.approx(60.0)

    def test_after_a_restart_nothing_is_granted_for_one_window(self, store, machine):
        """
        What the last half minute before a power cut granted may not have reached the disk.
        """
        machine.restart()

        assert machine.store().take([[Claim(USER, TWO_A_MINUTE)]]).waited == pytest.approx(60.0, abs=0.01)

    def test_after_a_restart_a_held_name_stays_held_for_a_window(self, store, machine):
        """
        How long ago it was touched cannot be told, so it counts as touched just now.
        """
        take(store, Claim(ORG, limit(1, 1_800.0), name="a")).answered()
        machine.restart()
        restarted = machine.store()
        machine.pass_time(RESTART_REST)

        assert restarted.take([[Claim(ORG, limit(1, 1_800.0), name="b")]]).waited == pytest.approx(1_710.0, abs=0.01)

    def test_after_a_restart_a_long_window_with_room_does_not_rest_for_all_of_it(self, store, machine):
        """
        An hourly allowance is not blocked for an hour.
        """
        machine.restart()

        assert machine.store().take([[Claim(USER, limit(9, 3_600.0))]]).waited == pytest.approx(RESTART_REST, abs=0.01)

    def test_after_a_restart_a_pause_begins_anew(self, store, machine):
        """
        The service's word outlives the machine.
        """
        store.pause(USER, 500.0)
        machine.restart()

        assert machine.store().usage(USER).paused_seconds == pytest.approx(500.0)

    def test_a_second_machine_is_refused(self, store, machine):
        """
        Clocks of two machines cannot be compared, so the first to notice says so.
        """
        machine.boot = "another machine"
        machine.store()

        with pytest.raises(QuotaStoreError, match="two machines"):
            take(store, Claim(USER, TWO_A_MINUTE))

    def test_an_unreadable_file_is_made_anew_with_all_places_taken(self, machine, caplog):
        """
        What was granted is unknown, so nothing is granted for one window, and the log says why.
        """
        machine.path.write_bytes(b"this was a database before the disk failed" * 200)

        waited = machine.store().take([[Claim(USER, TWO_A_MINUTE)]]).waited

        assert waited == pytest.approx(60.0, abs=0.01)
        assert "made anew, all places taken for one window" in caplog.text

    def test_an_unreadable_file_is_kept_aside(self, machine):
        """
        Whoever set the wrong path loses nothing.
        """
        machine.path.write_bytes(b"somebody's precious notes" * 200)

        machine.store()

        kept = [path.read_bytes() for path in machine.path.parent.glob("quotas.db.unreadable-*")]
        assert kept == [b"somebody's precious notes" * 200]

    def test_a_file_that_breaks_under_an_open_store_is_made_anew(self, store, machine):
        """
        A process that runs for weeks heals as one that starts does.
        """
        take(store, Claim(USER, TWO_A_MINUTE))
        with sqlite3.connect(machine.path) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        with machine.path.open("r+b") as file:
            file.write(b"\xff" * machine.path.stat().st_size)

        assert is_full(store, Claim(OTHER_USER, TWO_A_MINUTE))

    def test_a_file_that_was_removed_under_an_open_store_counts_as_full(self, store, machine):
        """
        Two processes must not count in two files, and what the removed one held is unknown.
        """
        machine.path.unlink()

        assert store.take([[Claim(USER, TWO_A_MINUTE)]]).waited == pytest.approx(60.0, abs=0.01)

    def test_an_answer_counts_in_the_new_file_too(self, store, machine):
        """
        A request that was in flight when the file was removed holds its place in the new one.
        """
        lease = take(store, Claim(USER, limit(1, 60.0)))
        machine.path.unlink()
        machine.pass_time(10.0)
        lease.answered()

        assert store.take([[Claim(USER, limit(1, 60.0))]]).waited == pytest.approx(60.0, abs=0.01)

    def test_a_file_that_another_process_keeps_locked_is_an_error_that_says_so(self, machine):
        """
        After the time-out the message tells to look for a process that hangs.
        """
        store = machine.store(busy_timeout=0.05)
        other = sqlite3.connect(machine.path)
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(QuotaStoreError, match="another process has held it"):
            take(store, Claim(USER, TWO_A_MINUTE))
        other.close()

    def test_a_path_that_cannot_hold_a_file_is_an_error_that_says_so(self, tmp_path):
        """
        A folder below a file cannot be made.
        """
        (tmp_path / "file").write_text("no folder")

        with pytest.raises(QuotaStoreError, match="set a path to a file"):
            SqliteQuotaStore(tmp_path / "file" / "quotas.db")

    def test_a_network_file_system_is_refused(self, tmp_path):
        """
        There SQLite cannot keep processes apart, so the advice is a local disk.
        """
        mounts = tmp_path / "mounts"
        mounts.write_text(f"/dev/vda / ext4 rw 0 0\nfiler:/home {tmp_path} nfs4 rw 0 0\n")

        with pytest.raises(QuotaStoreError, match=r"network file system \(nfs4\).*local disk"):
            SqliteQuotaStore(tmp_path / "quotas.db", mounts=mounts)

    def test_a_machine_without_a_mount_table_is_trusted(self, machine):
        """
        Not every system has one, and the path may be fine.
        """
        assert not is_full(machine.store(mounts=machine.path.parent / "absent"), Claim(USER, TWO_A_MINUTE))

    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("/home/a/q.db", "ext4"),
            ("/mnt/share/q.db", "cifs"),
            ("/mnt/shared/q.db", "ext4"),
            ("/mnt/my disk/q", "xfs"),
        ],
    )
    def test_the_innermost_mount_decides(self, path, kind):
        """
        Mount points are folders, not prefixes of text, and their blanks are written in octal.
        """
        mounts = "\n".join(
            [
                "/dev/vda / ext4 rw 0 0",
                "//filer/share /mnt/share cifs rw 0 0",
                r"/dev/vdb /mnt/my\040disk xfs rw 0 0",
            ]
        )

        assert file_system(Path(path), mounts) == kind


class TestAddress:
    """A setting names the store."""

    @pytest.mark.parametrize("form", ["{path}", "sqlite:///{path}"], ids=["plain path", "address"])
    def test_a_path_or_an_sqlite_address_opens_that_file(self, form, tmp_path):
        """
        Both spellings name the same file.
        """
        open_quota_store(form.format(path=tmp_path / "quotas.db")).close()

        assert (tmp_path / "quotas.db").exists()

    @pytest.mark.parametrize("scheme", ["postgresql", "redis"])
    def test_another_backend_is_refused_with_the_ones_that_exist(self, scheme):
        """
        The message tells what to set, and does not repeat the password.
        """
        with pytest.raises(ValueError, match="sqlite:///") as error:
            open_quota_store(f"{scheme}://pipeline:hunter2@db.example/quotas")

        assert "hunter2" not in str(error.value)


# Real processes, real time, windows of fractions of a second.

SPAWN = multiprocessing.get_context("spawn")
FORK = multiprocessing.get_context("fork")


def in_another_process(work: Callable[..., None], *arguments: Any) -> None:
    process = SPAWN.Process(target=work, args=arguments)
    process.start()
    process.join(30)
    assert process.exitcode == 0


def pause_user(path: Path) -> None:
    SqliteQuotaStore(path).pause(USER, 30.0)


def take_and_hang(path: Path, claim: Claim, count: int, longest_request: float, ready: Any) -> None:
    store = SqliteQuotaStore(path, longest_request=longest_request)
    leases = [store.take([[claim]]) for _ in range(count)]
    ready.set()
    time.sleep(60)
    assert leases


def take_twice(store: SqliteQuotaStore, claim: Claim, taken: Any, closed: Any) -> None:
    take(store, claim)
    taken.set()
    closed.wait(30)
    take(store, claim)


def request_again_and_again(path: Path, claim: Claim, seconds: float, seed: int, started: Any, arrivals: Any) -> None:
    store, network, seen = SqliteQuotaStore(path), random.Random(seed), []
    started.wait(60.0)  # a busy machine takes seconds to start a process: all begin together, whenever that is
    until = time.monotonic() + seconds

    def work() -> None:
        while time.monotonic() < until:
            with store.take([[claim]]) as lease:
                time.sleep(network.uniform(0.0, 0.005))
                seen.append(time.monotonic())
                time.sleep(network.uniform(0.0, 0.005))
                lease.answered()

    with ThreadPoolExecutor(3) as threads:
        for ended in [threads.submit(work) for _ in range(3)]:
            ended.result()
    arrivals.put(seen)


def most_in_any_window(arrivals: list[float], seconds: float) -> int:
    arrivals = sorted(arrivals)
    return max(sum(first <= other < first + seconds for other in arrivals) for first in arrivals)


def killed_while_holding(path: Path, claim: Claim, count: int, *, longest_request: float = 90.0) -> None:
    ready = SPAWN.Event()
    process = SPAWN.Process(target=take_and_hang, args=(path, claim, count, longest_request, ready))
    process.start()
    assert ready.wait(30)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()


class TestProcesses:
    """What one process takes, all others see."""

    def test_processes_that_ask_at_once_stay_under_the_limit_and_use_it(self, tmp_path):
        """
        Three processes of three threads: never more than 30 arrivals in any 0.3 s, and not far below.
        """
        seconds, window, count = 1.5, 0.3, 30
        started, arrivals = SPAWN.Barrier(3), SPAWN.Queue()
        processes = [
            SPAWN.Process(
                target=request_again_and_again,
                args=(tmp_path / "quotas.db", Claim(USER, limit(count, window)), seconds, seed, started, arrivals),
            )
            for seed in range(3)
        ]
        for process in processes:
            process.start()
        seen = [instant for _ in processes for instant in arrivals.get(timeout=60)]
        for process in processes:
            process.join()

        assert most_in_any_window(seen, window) <= count
        assert len(seen) > 0.5 * count * seconds / window

    def test_a_killed_process_leaves_its_places_held(self, tmp_path):
        """
        Its requests may still arrive: the longest request and one window pass before others get the places.
        """
        claim = Claim(USER, limit(2, 0.5))
        began = time.monotonic()
        killed_while_holding(tmp_path / "quotas.db", claim, 2, longest_request=0.4)
        store = SqliteQuotaStore(tmp_path / "quotas.db")

        store.take([[claim]], patience=30.0)

        assert time.monotonic() - began > 0.9

    def test_requests_of_a_killed_process_are_not_in_flight(self, tmp_path):
        """
        The minute has room, so others need not wait until the dead process's requests could have ended.
        """
        claim = Claim(USER, limit(90, 3_600.0, in_flight=2))
        killed_while_holding(tmp_path / "quotas.db", claim, 2)
        store = SqliteQuotaStore(tmp_path / "quotas.db")

        store.take([[claim]], patience=10.0)

        assert store.usage(USER).in_flight == 1

    def test_a_pause_is_seen_by_every_process(self, tmp_path):
        """
        Who is told to wait waits for all.
        """
        store = SqliteQuotaStore(tmp_path / "quotas.db")
        in_another_process(pause_user, tmp_path / "quotas.db")

        assert 0.0 < store.usage(USER).paused_seconds <= 30.0

    def test_a_forked_process_goes_on_counting_after_its_parent_closed_the_store(self, tmp_path):
        """
        Parent and child hold connections of their own: what the child takes later is seen by all.
        """
        store, claim = SqliteQuotaStore(tmp_path / "quotas.db"), Claim(USER, TWO_A_MINUTE)
        taken, closed = FORK.Event(), FORK.Event()
        child = FORK.Process(target=take_twice, args=(store, claim, taken, closed))
        child.start()
        taken.wait(30)
        store.close()
        closed.set()
        child.join(10)
        child.kill()

        assert (child.exitcode, store.usage(USER).held) == (0, 2)

    def test_a_fork_waits_for_the_transaction_of_another_thread(self, tmp_path):
        """
        A child that was forked in the midst of it would find the store locked for ever.
        """
        hold, inside, go_on = threading.Event(), threading.Event(), threading.Event()

        def clock() -> float:
            if hold.is_set():
                inside.set()
                go_on.wait(30)
            return time.monotonic()

        store = SqliteQuotaStore(tmp_path / "quotas.db", clock=clock, busy_timeout=1.0)
        child = FORK.Process(target=store.pause, args=(USER, 30.0))
        hold.set()
        with ThreadPoolExecutor(1) as thread:
            paused = thread.submit(store.pause, OTHER_USER, 30.0)
            inside.wait(30)
            hold.clear()
            threading.Timer(0.2, go_on.set).start()
            child.start()
            paused.result()
        child.join(10)
        child.kill()

        assert (child.exitcode, store.keys()) == (0, [USER, OTHER_USER])


@settings(
    max_examples=50,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
class AnyHistory(RuleBasedStateMachine):
    """
    Whatever happens, a service that counts arrivals never counts more than the limit in any sliding window.

    A request arrives at an instant that the clients do not know: between its taking and its answer, its giving up
    and two seconds, or its sender's death and the longest request. Hypothesis chooses it as an adversary would.
    """

    WINDOW, LONGEST, ACTIVE_WINDOW = 60.0, 20.0, 150.0
    RATE, ACTIVE = limit(3, WINDOW, in_flight=2), limit(4, ACTIVE_WINDOW)

    moments = st.sampled_from([0.0, 0.5, 1.0])
    requests = st.runner().flatmap(lambda self: st.integers(0, max(len(self.open) - 1, 0)))

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.machine = Machine(Path(self.folder.name))
        self.store = self.machine.store(longest_request=self.LONGEST)
        self.past = 0.0
        self.open: list[tuple[Lease, float, str, str]] = []
        self.arrivals: list[tuple[float, str, str]] = []

    @property
    def now(self) -> float:
        """True time, which goes on when the machine's clock begins anew."""
        return self.past + self.machine.now

    @rule(name=st.sampled_from("abcdef"), both=st.booleans())
    def send(self, name: str, both: bool) -> None:
        users = [USER, OTHER_USER] if both else [USER]
        alternatives = [[Claim(user, self.RATE), Claim(ORG, self.ACTIVE, name=name)] for user in users]
        try:
            lease = self.store.take(alternatives, patience=0)
        except QuotaTimeout:
            return
        self.open.append((lease, self.now, users[lease.index], name))

    @precondition(lambda self: self.open)
    @rule(number=requests, moment=moments)
    def answer(self, number: int, moment: float) -> None:
        lease = self.arrive(number, moment, self.now)
        lease.answered()

    @precondition(lambda self: self.open)
    @rule(number=requests, moment=moments)
    def give_up(self, number: int, moment: float) -> None:
        lease = self.arrive(number, moment, self.now + LATE_ARRIVAL)
        lease.gave_up()

    @precondition(lambda self: self.open)
    @rule(number=requests, moment=moments)
    def die(self, number: int, moment: float) -> None:
        self.arrive(number, moment, self.open[number][1] + self.LONGEST)

    def arrive(self, number: int, moment: float, latest: float) -> Lease:
        lease, taken, user, name = self.open.pop(number)
        self.arrivals.append((taken + moment * (latest - taken), user, name))
        return lease

    @rule(seconds=st.sampled_from([0.1, 2.0, 15.0, 40.0, 60.0, 100.0]))
    def pass_time(self, seconds: float) -> None:
        # No request takes longer than the longest: that is the promise the store is built on.
        oldest = min((taken for _, taken, _, _ in self.open), default=self.now)
        self.machine.pass_time(max(0.0, min(seconds, oldest + self.LONGEST - self.now)))

    @rule(seconds=st.sampled_from([0.0, 30.0]), moment=moments)
    def restart(self, seconds: float, moment: float) -> None:
        while self.open:
            self.arrive(0, moment, self.now)
        self.store.close()
        before = self.now + seconds
        self.machine.restart()
        self.past = before - self.machine.now
        self.store = self.machine.store(longest_request=self.LONGEST)

    @rule(user=st.sampled_from([USER, OTHER_USER]))
    def pause(self, user: str) -> None:
        self.store.pause(user, 5.0)

    @invariant()
    def no_user_is_above_the_limit(self) -> None:
        for user in (USER, OTHER_USER):
            instants = [instant for instant, who, _ in self.arrivals if who == user]
            for first in instants:
                inside = [instant for instant in instants if first <= instant < first + self.WINDOW - TICK]
                assert len(inside) <= self.RATE.count

    @invariant()
    def no_more_conversations_are_active_than_budgeted(self) -> None:
        for first, _, _ in self.arrivals:
            end = first + self.ACTIVE_WINDOW - TICK
            assert len({name for instant, _, name in self.arrivals if first <= instant < end}) <= self.ACTIVE.count

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


TestAnyHistory = AnyHistory.TestCase
