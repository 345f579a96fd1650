"""How long a work list takes (design, section 5; conversation entry reference, 1.6 and 1.7)."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation_pipeline.extract.estimate import Allowance, Usual, Work
from conversation_pipeline.salesforce.limits import ACTIVE_CONVERSATIONS, CONNECT, CONVERSATION_DATA, QuietHours

MILLION = 1_000_000
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
WIDE = ACTIVE_CONVERSATIONS.with_count(10 * MILLION)
NIGHT = QuietHours(time(20), time(6), 5_400)


def conversation_data(users: int = 1, budget: int = 2_700) -> Allowance:
    return Allowance(users, CONVERSATION_DATA, ACTIVE_CONVERSATIONS.with_count(budget))


def days(allowance: Allowance, requests: float, conversations: int, begin: datetime | None = None) -> float:
    return allowance.time_for(requests, conversations, begin) / timedelta(days=1)


@pytest.mark.parametrize(("users", "expected"), [(1, 7.7), (4, 1.9)])
def test_a_million_conversations_take_what_the_reference_says(users: int, expected: float) -> None:
    """Where the active budget is not in the way, users add up."""
    assert days(Allowance(users, CONVERSATION_DATA, WIDE), MILLION, MILLION) == pytest.approx(expected, abs=0.05)


def test_connect_takes_twice_a_conversation() -> None:
    """A thousand calls an hour, and one more call each to see that nothing follows: 42 days become 83."""
    connect = Allowance(1, CONNECT, ACTIVE_CONVERSATIONS)

    assert days(connect, 2 * MILLION, MILLION) == pytest.approx(83.4, abs=0.1)


@pytest.mark.parametrize("users", [2, 3, 10])
def test_the_default_budget_lets_ninety_new_conversations_a_minute_be_read(users: int) -> None:
    """In the long run, however many users there are."""
    minutes = conversation_data(users).time_for(MILLION, MILLION) / timedelta(minutes=1)

    assert MILLION / minutes == pytest.approx(90, abs=0.3)


def test_a_work_list_within_the_budget_is_read_at_full_speed() -> None:
    """The budget lets the first 2,700 in at once; only those after them wait."""
    ten = conversation_data(users=10)

    assert ten.time_for(2_700, 2_700) < timedelta(minutes=4)
    assert ten.time_for(2_701, 2_701) > timedelta(minutes=30)


def test_pages_take_requests_but_no_budget() -> None:
    """Three requests a conversation by three users are ninety conversations a minute: nobody waits for the budget."""
    three = conversation_data(users=3)

    assert three.time_for(3 * MILLION, MILLION) == pytest.approx(three.time_for(MILLION, MILLION), rel=0.01)


def test_quiet_hours_shorten_the_time() -> None:
    """Nine and a half hours of 180 a minute and fourteen and a half of 90: a day of 180,900 conversations."""
    quiet = Allowance(2, CONVERSATION_DATA, ACTIVE_CONVERSATIONS, NIGHT)

    assert days(quiet, MILLION, MILLION, NOON) == pytest.approx(MILLION / 180_900, rel=0.03)


def test_quiet_hours_help_only_who_reads_in_them() -> None:
    """What is done by the evening takes as long as without them."""
    quiet = Allowance(2, CONVERSATION_DATA, ACTIVE_CONVERSATIONS, NIGHT)

    assert quiet.time_for(20_000, 20_000, NOON) == conversation_data(2).time_for(20_000, 20_000)


def test_what_the_allocation_leaves_may_bind() -> None:
    """An org with 12,000 calls a day to spare is read by no more of them."""
    connect = Allowance(1, CONNECT, ACTIVE_CONVERSATIONS, a_day=12_000)

    assert days(connect, 24_000, 12_000) == pytest.approx(2)
    assert connect.bound_by_allocation


@given(st.integers(1, 20), st.integers(1, 50_000), st.floats(1, 3))
def test_more_users_never_take_longer(users: int, conversations: int, pages: float) -> None:
    """Whatever binds."""
    requests = conversations * pages
    fewer, more = (conversation_data(count).time_for(requests, conversations) for count in (users, users + 1))

    assert more <= fewer + timedelta(seconds=1)


@given(st.integers(1, 20), st.integers(0, 50_000))
def test_no_more_are_active_than_the_budget_lets(users: int, conversations: int) -> None:
    """Nor than there are, nor than can be asked for in half an hour."""
    active = conversation_data(users).most_active(conversations, conversations)

    assert active == min(conversations, 2_700)


@pytest.mark.parametrize("users", [1, 2, 5])
def test_at_the_budget_for_full_speed_nobody_waits(users: int) -> None:
    """2,700 for each user, as the reference derives."""
    allowance = conversation_data(users)
    assert allowance.budget_for_full_speed == 2_700 * users

    at_full_speed = allowance.with_budget(allowance.budget_for_full_speed)

    assert at_full_speed.time_for(MILLION, MILLION) == pytest.approx(
        Allowance(users, CONVERSATION_DATA, WIDE).time_for(MILLION, MILLION), rel=0.001
    )


def test_work_is_counted_by_what_a_conversation_usually_costs() -> None:
    """Requests and bytes are the mean of one times all; bytes stay unknown where none are known."""
    work = Work(200, Usual(1.5, 2_000.0))

    assert (work.requests, work.received_bytes) == (300, 400_000)
    assert Work(200, Usual(2)).received_bytes is None


def test_nothing_takes_no_time() -> None:
    """An empty work list."""
    assert conversation_data().time_for(0, 0) == timedelta(0)
