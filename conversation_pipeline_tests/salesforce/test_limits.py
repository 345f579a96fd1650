from __future__ import annotations

from datetime import datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation_pipeline.salesforce.limits import (
    ACTIVE_CONVERSATIONS,
    CONNECT,
    CONVERSATION_DATA,
    LOGINS,
    Limit,
    QuietHours,
)

PUBLISHED = [CONVERSATION_DATA, ACTIVE_CONVERSATIONS, CONNECT, LOGINS]


def a_limit(**changes: object) -> Limit:
    values: dict[str, object] = {
        "name": "reads",
        "count": 90,
        "window": timedelta(seconds=60),
        "scope": "execution user",
        "source": "made up for a test",
    }
    return Limit(**(values | changes))  # type: ignore[arg-type]


def test_conversation_data_allows_ninety_requests_a_minute_and_eight_in_flight():
    """
    The published number, in a window a tenth of a second longer than the service's.
    """
    assert (CONVERSATION_DATA.count, CONVERSATION_DATA.seconds, CONVERSATION_DATA.in_flight) == (90, 60.1, 8)


@pytest.mark.parametrize("limit", PUBLISHED, ids=lambda limit: limit.name)
def test_a_published_limit_says_where_its_number_was_read_and_when(limit):
    """
    A number without a source and a date cannot be checked by the next reader.
    """
    assert "[doc], read 20" in limit.source


def test_scaling_changes_the_window_alone():
    """
    A benchmark at 1/20 of the time has the same count and the same requests in flight.
    """
    assert CONVERSATION_DATA.scaled(1 / 20) == Limit(
        name="conversation_data",
        count=90,
        window=timedelta(seconds=3.005),
        scope="execution user",
        source=CONVERSATION_DATA.source,
        in_flight=8,
    )


def test_another_count_leaves_the_rest_as_it_is():
    """
    An org with a raised allowance differs in the count, not in the window or the source.
    """
    raised = CONNECT.with_count(5_000)

    assert (raised.count, raised.window, raised.source) == (5_000, CONNECT.window, CONNECT.source)


def test_a_limit_reads_as_a_sentence_part():
    """
    Errors and metadata show a limit as people say it.
    """
    assert str(CONVERSATION_DATA) == "conversation_data: 90 per 60.1 s per execution user"


@pytest.mark.parametrize(
    "changes",
    [{"count": 0}, {"window": timedelta(0)}, {"in_flight": 0}],
    ids=["no request", "no window", "nothing in flight"],
)
def test_a_limit_that_lets_nothing_pass_is_refused(changes):
    """
    Whoever waits for such a limit would wait for ever, so it cannot be made.
    """
    with pytest.raises(ValueError, match="nothing"):
        a_limit(**changes)


# Quiet hours


def on_the_clock(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-18T{text}+00:00")


NIGHT = QuietHours.parse("22:00-06:00", 9_000)


@pytest.mark.parametrize(
    ("hours", "now", "budget"),
    [
        ("22:00-06:00", "21:59:59.999999", 2_700),
        ("22:00-06:00", "22:00", 9_000),
        ("22:00-06:00", "00:00", 9_000),
        ("22:00-06:00", "05:29:59.999999", 9_000),
        ("22:00-06:00", "05:30", 2_700),
        ("22:00-06:00", "05:59", 2_700),
        ("22:00-06:00", "12:00", 2_700),
        ("01:00-05:00", "00:59:59", 2_700),
        ("01:00-05:00", "01:00", 9_000),
        ("01:00-05:00", "04:29:59", 9_000),
        ("01:00-05:00", "04:30", 2_700),
        ("12:00-00:00", "23:29:59", 9_000),
        ("12:00-00:00", "23:30", 2_700),
        ("00:00-00:31", "00:00:59", 9_000),
        ("00:00-00:31", "00:01", 2_700),
    ],
)
def test_the_larger_budget_holds_in_quiet_hours_but_for_their_last_half_hour(hours, now, budget):
    """
    What is touched in the last half hour is still active when customers come back.
    """
    quiet = QuietHours.parse(hours, 9_000)

    assert quiet.limit_at(on_the_clock(now), ACTIVE_CONVERSATIONS).count == budget


def test_quiet_hours_are_utc():
    """
    23:30 in New York is half past four, 00:30 there is the last half hour.
    """
    new_york = timezone(timedelta(hours=-5))

    budgets = [
        NIGHT.limit_at(datetime(2026, 11, 18, hour, 30, tzinfo=new_york), ACTIVE_CONVERSATIONS).count
        for hour in (23, 0, 16, 17)
    ]

    assert budgets == [9_000, 2_700, 2_700, 9_000]


def test_only_the_count_is_larger_at_night():
    """
    A mark lasts as long by night as by day, and is counted for the same org.
    """
    night = NIGHT.limit_at(on_the_clock("23:00"), ACTIVE_CONVERSATIONS)

    assert night == ACTIVE_CONVERSATIONS.with_count(9_000)


def test_quiet_hours_never_make_the_budget_smaller():
    """
    An org whose ordinary budget is larger keeps it.
    """
    large = ACTIVE_CONVERSATIONS.with_count(10_000)

    assert NIGHT.limit_at(on_the_clock("23:00"), large) == large


@given(
    begin=st.integers(0, 1_439),
    length=st.integers(31, 1_439),
    second=st.integers(0, 86_399),
)
def test_a_budget_lasts_exactly_until_it_changes(begin, length, second):
    """
    Whatever the hours and the instant: a moment before the change it is the same, at the change it is the other.
    """
    clock = [time(minute // 60, minute % 60) for minute in (begin, (begin + length) % 1_440)]
    quiet = QuietHours(*clock, budget=9_000)
    now = on_the_clock("00:00") + timedelta(seconds=second)
    change = now + quiet.until_change(now, ACTIVE_CONVERSATIONS)

    counts = [
        quiet.limit_at(instant, ACTIVE_CONVERSATIONS).count
        for instant in (now, change - timedelta(microseconds=1), change)
    ]

    assert change > now
    assert counts[0] == counts[1] != counts[2]


@pytest.mark.parametrize("hours", ["", "22-6", "22:00", "24:00-06:00", "22:60-06:00", "22:00-06:00 UTC", "night"])
def test_hours_of_another_form_are_refused(hours):
    """
    The error shows the form.
    """
    with pytest.raises(ValueError, match="such as 22:00-06:00"):
        QuietHours.parse(hours, 9_000)


@pytest.mark.parametrize(("hours", "minutes"), [("22:00-22:00", -30), ("22:00-22:30", 0), ("22:00-06:00", 450)])
def test_hours_may_be_too_short_for_a_mark(hours, minutes):
    """
    Half an hour or less has no room for a larger budget.
    """
    assert QuietHours.parse(hours, 9_000).length_for(ACTIVE_CONVERSATIONS) == timedelta(minutes=minutes)
