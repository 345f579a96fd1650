"""What to ask for: every need served once, nothing asked twice (design, sections 4 and 6)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from conversation_pipeline.extract.windows import Window
from conversation_pipeline.extract.work_list import Held, Need, Plan, plan

SETTLED_AT = datetime(2026, 11, 19, 1, tzinfo=UTC)
LATER = SETTLED_AT + timedelta(hours=1)
EARLIER = SETTLED_AT - timedelta(hours=1)
DAY = "2026-11-18"
NEXT_DAY = "2026-11-19"


def need(day: str = DAY, *, changed_at: datetime | None = None, readable: bool = True) -> Need:
    return Need("conversation", day, SETTLED_AT, changed_at, readable)


def held(fetched_at: datetime, *, window: Window | None = None, ref: str = "reading") -> Held[str]:
    return Held("conversation", window or Window.of_day(DAY), fetched_at, ref)


def planned(*needs: Need, having: Held[str] | None = None, resumed_from: datetime | None = None) -> Plan[str]:
    resumed = {DAY: resumed_from} if resumed_from else {}
    return plan(needs, [having] if having else [], resumed_from=resumed)


def test_what_is_not_staged_is_asked_for() -> None:
    """A conversation of the day becomes one request over the day."""
    [request] = planned(need()).requests

    assert (request.conversation_identifier, request.window) == ("conversation", Window.of_day(DAY))


def test_a_conversation_of_several_days_is_asked_for_once() -> None:
    """One request spans all its days of the run, those between included."""
    [request] = planned(need("2026-11-20"), need(DAY)).requests

    assert request.window == Window(datetime(2026, 11, 18, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC))


def test_a_settled_and_unchanged_reading_stands() -> None:
    """It was read after its entries had settled and its records last changed."""
    found = planned(need(changed_at=EARLIER), having=held(LATER))

    assert not found.requests
    assert found.held["conversation", DAY].ref == "reading"


def test_a_reading_of_an_open_day_is_asked_again() -> None:
    """What was read before the day had settled may be less than the day's truth."""
    assert planned(need(), having=held(EARLIER)).requests


def test_a_reading_at_the_instant_of_settling_stands() -> None:
    """From that instant on, entries no longer move."""
    assert not planned(need(), having=held(SETTLED_AT)).requests


def test_a_changed_conversation_is_asked_again() -> None:
    """Its records changed after the reading."""
    assert planned(need(changed_at=LATER), having=held(LATER - timedelta(seconds=1))).requests


def test_a_change_in_the_second_of_the_reading_is_asked_again() -> None:
    """Both clocks tell whole seconds: which came first can not be known."""
    assert planned(need(changed_at=LATER), having=held(LATER)).requests


def test_a_killed_run_s_readings_serve_the_next() -> None:
    """Whatever an unfinished pull has read since it began need not be read again, settled or not."""
    assert not planned(need(changed_at=LATER), having=held(EARLIER), resumed_from=EARLIER).requests


def test_readings_before_an_unfinished_pull_do_not_serve_it() -> None:
    """They are of an earlier run."""
    assert planned(need(), having=held(EARLIER), resumed_from=EARLIER + timedelta(seconds=1)).requests


def test_a_reading_serves_the_days_that_it_covers() -> None:
    """One over two days serves both; one over a part of the day serves none."""
    both = Window.of_day(DAY).spanning(Window.of_day(NEXT_DAY))
    morning = Window(datetime(2026, 11, 18, tzinfo=UTC), datetime(2026, 11, 18, 12, tzinfo=UTC))

    assert planned(need(DAY), need(NEXT_DAY), having=held(LATER, window=both)).held.keys() == {
        ("conversation", DAY),
        ("conversation", NEXT_DAY),
    }
    assert planned(need(), having=held(LATER, window=morning)).requests


def test_the_newest_of_several_readings_serves() -> None:
    """Whichever order they are listed in."""
    older, newer = held(LATER, ref="older"), held(LATER + timedelta(seconds=1), ref="newer")

    for readings in ([older, newer], [newer, older]):
        assert plan([need()], readings, resumed_from={}).held["conversation", DAY].ref == "newer"


def test_a_call_that_has_not_settled_is_postponed() -> None:
    """Its entries are not stored yet: a request would be wasted."""
    found = planned(need(readable=False))

    assert (found.requests, found.postponed) == ((), 1)


def test_other_conversations_readings_do_not_serve() -> None:
    """A reading is of one conversation."""
    other = Held("other", Window.of_day(DAY), LATER, "reading")

    assert plan([need()], [other], resumed_from={}).requests


DAYS = [f"2026-11-{day}" for day in range(10, 16)]
NAMES = st.sampled_from(["a", "b", "c"])
INSTANTS = st.integers(0, 7 * 24).map(lambda hours: datetime(2026, 11, 10, tzinfo=UTC) + timedelta(hours=hours))
NEEDS = st.lists(
    st.builds(Need, NAMES, st.sampled_from(DAYS), INSTANTS, st.none() | INSTANTS, st.booleans()),
    unique_by=lambda one: (one.conversation_identifier, one.day),
    max_size=12,
)
WINDOWS = st.tuples(st.sampled_from(DAYS), st.sampled_from(DAYS)).map(
    lambda ends: Window.of_day(ends[0]).spanning(Window.of_day(ends[1]))
)
READINGS = st.lists(st.builds(Held, NAMES, WINDOWS, INSTANTS, st.integers()), max_size=8)
RESUMED = st.dictionaries(st.sampled_from(DAYS), INSTANTS, max_size=3)


@settings(deadline=None)
@given(NEEDS, READINGS, RESUMED)
def test_every_need_is_served_once(needs: list[Need], readings: list[Held[int]], resumed: dict[str, datetime]) -> None:
    """By a reading that is held, by a request, or later: never by two of them, never by none."""
    found = plan(needs, readings, resumed_from=resumed)

    windows = {request.conversation_identifier: request.window for request in found.requests}
    unserved = [one for one in needs if (one.conversation_identifier, one.day) not in found.held]
    asked = [one for one in unserved if one.readable]
    assert found.held.keys() <= {(one.conversation_identifier, one.day) for one in needs}
    assert found.postponed == len(unserved) - len(asked)
    assert windows.keys() == {one.conversation_identifier for one in asked}
    assert all(windows[one.conversation_identifier].covers(one.window) for one in asked)


@settings(deadline=None)
@given(NEEDS, READINGS, RESUMED)
def test_a_conversation_is_asked_for_once_a_run(
    needs: list[Need], readings: list[Held[int]], resumed: dict[str, datetime]
) -> None:
    """And over no more than its own days, oldest first."""
    requests = plan(needs, readings, resumed_from=resumed).requests

    names = [request.conversation_identifier for request in requests]
    assert len(set(names)) == len(names)
    assert [request.window for request in requests] == sorted(request.window for request in requests)
    for request in requests:
        days = [one.window for one in needs if one.conversation_identifier == request.conversation_identifier]
        assert request.window.start in {day.start for day in days}
        assert request.window.end in {day.end for day in days}


@settings(deadline=None)
@given(NEEDS)
def test_what_was_read_after_everything_settled_is_never_asked_again(needs: list[Need]) -> None:
    """Carrying out a plan leaves nothing to ask for."""
    now = datetime(2026, 12, 1, tzinfo=UTC)
    read = [
        Held(request.conversation_identifier, request.window, now, "reading")
        for request in plan(needs, [], resumed_from={}).requests
    ]

    assert plan(needs, read, resumed_from={}).requests == ()
