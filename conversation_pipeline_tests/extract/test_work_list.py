"""What to ask for: every need served once, nothing asked twice (design, sections 4 and 6)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from conversation_pipeline.extract.windows import Window
from conversation_pipeline.extract.work_list import LONGEST_CHAIN, OVERLAP, Held, Need, Plan, Request, plan

SETTLED_AT = datetime(2026, 11, 19, 1, tzinfo=UTC)
LATER = SETTLED_AT + timedelta(hours=1)
EARLIER = SETTLED_AT - timedelta(hours=1)
DAY = "2026-11-18"
SECOND = timedelta(seconds=1)
NEXT_DAY = "2026-11-19"


NOW = LATER


def need(
    day: str = DAY,
    *,
    changed_at: datetime | None = None,
    readable: bool = True,
    live: bool = True,
    has_call: bool = False,
    retold_at: datetime | None = None,
) -> Need:
    return Need(
        "conversation",
        day,
        SETTLED_AT,
        changed_at,
        has_call=has_call,
        readable=readable,
        live=live,
        retold_at=retold_at,
    )


def held(fetched_at: datetime, *, window: Window | None = None, ref: str = "reading") -> Held[str]:
    return Held("conversation", window or Window.of_day(DAY), fetched_at, ref)


def planned(
    *needs: Need,
    having: Sequence[Held[str]] = (),
    now: datetime = NOW,
    resumed_from: datetime | None = None,
    landed_at: datetime | None = None,
) -> Plan[str]:
    resumed = {DAY: resumed_from} if resumed_from else {}
    landed = {("conversation", DAY): landed_at} if landed_at else {}
    return plan(needs, having, now=now, resumed_from=resumed, landed_at=landed)


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
    found = planned(need(changed_at=EARLIER), having=[held(LATER)])

    assert not found.requests
    assert [one.ref for one in found.held["conversation", DAY]] == ["reading"]


def test_what_was_landed_since_it_settled_stands_without_its_reading() -> None:
    """Raw answers are not kept for ever; what was read before the records last changed is asked for all the same."""
    stands = planned(need(changed_at=EARLIER), landed_at=LATER)
    changed = planned(need(changed_at=LATER), landed_at=LATER)

    assert (stands.requests, stands.landed) == ((), {("conversation", DAY)})
    assert (len(changed.requests), changed.landed) == (1, frozenset())


def test_a_reading_is_preferred_to_what_was_landed() -> None:
    """Rows are made of readings, as long as there are some."""
    found = planned(need(changed_at=EARLIER), having=[held(LATER)], landed_at=LATER)

    assert (len(found.held), found.landed) == (1, frozenset())


def test_a_reading_of_an_open_day_is_asked_again() -> None:
    """What was read before the day had settled may be less than the day's truth."""
    assert planned(need(), having=[held(EARLIER)]).requests


def test_a_reading_at_the_instant_of_settling_stands() -> None:
    """From that instant on, entries no longer move."""
    assert not planned(need(), having=[held(SETTLED_AT)]).requests


def test_words_that_a_poorer_road_has_newer_are_asked_for_once() -> None:
    """They may have been taken back: the day is read as a whole, and that reading stands whatever it says."""
    needed = need(retold_at=LATER)
    [request] = planned(needed, having=[held(SETTLED_AT)], now=LATER + SECOND).requests

    assert request.window == Window.of_day(DAY)
    assert not planned(needed, having=[held(SETTLED_AT), held(LATER + SECOND)], now=LATER + SECOND).requests


def test_a_day_that_goes_on_is_read_as_a_whole_for_newer_words() -> None:
    """What came since its last reading is not where words were taken back."""
    [request] = planned(
        need(retold_at=EARLIER), having=[held(EARLIER - OVERLAP)], now=EARLIER + timedelta(minutes=1)
    ).requests

    assert request.window == Window.of_day(DAY)


def test_a_changed_conversation_is_asked_again() -> None:
    """Its records changed after the reading."""
    assert planned(need(changed_at=LATER), having=[held(LATER - timedelta(seconds=1))]).requests


def test_a_change_in_the_second_of_the_reading_is_asked_again() -> None:
    """Both clocks tell whole seconds: which came first can not be known."""
    assert planned(need(changed_at=LATER), having=[held(LATER)]).requests


def test_a_killed_run_s_readings_serve_the_next() -> None:
    """Whatever an unfinished pull has read since it began need not be read again, settled or not."""
    assert not planned(need(changed_at=LATER), having=[held(EARLIER)], resumed_from=EARLIER).requests


def test_readings_before_an_unfinished_pull_do_not_serve_it() -> None:
    """They are of an earlier run."""
    assert planned(need(), having=[held(EARLIER)], resumed_from=EARLIER + timedelta(seconds=1)).requests


def test_a_reading_serves_the_days_that_it_covers() -> None:
    """One over two days serves both; one over a part of the day serves none."""
    both = Window.of_day(DAY).spanning(Window.of_day(NEXT_DAY))
    morning = Window(datetime(2026, 11, 18, tzinfo=UTC), datetime(2026, 11, 18, 12, tzinfo=UTC))

    assert planned(need(DAY), need(NEXT_DAY), having=[held(LATER, window=both)]).held.keys() == {
        ("conversation", DAY),
        ("conversation", NEXT_DAY),
    }
    assert planned(need(), having=[held(LATER, window=morning)]).requests


def test_the_newest_of_several_readings_serves() -> None:
    """Whichever order they are listed in."""
    older, newer = held(LATER, ref="older"), held(LATER + timedelta(seconds=1), ref="newer")

    for readings in ([older, newer], [newer, older]):
        assert [one.ref for one in planned(need(), having=readings).held["conversation", DAY]] == ["newer"]


def test_a_call_that_has_not_settled_is_postponed() -> None:
    """Its entries are not stored yet: a request would be wasted."""
    found = planned(need(readable=False))

    assert (found.requests, found.postponed) == ((), 1)


def test_other_conversations_readings_do_not_serve() -> None:
    """A reading is of one conversation."""
    other = Held("other", Window.of_day(DAY), LATER, "reading")

    assert planned(need(), having=[other]).requests


DAYS = [f"2026-11-{day}" for day in range(10, 16)]
NAMES = st.sampled_from(["a", "b", "c"])
INSTANTS = st.integers(0, 7 * 24).map(lambda hours: datetime(2026, 11, 10, tzinfo=UTC) + timedelta(hours=hours))
NEEDS = st.lists(
    st.builds(
        Need, NAMES, st.sampled_from(DAYS), INSTANTS, st.none() | INSTANTS, st.booleans(), st.booleans(), st.booleans()
    ),
    unique_by=lambda one: (one.conversation_identifier, one.day),
    max_size=12,
)
WINDOWS = st.tuples(st.sampled_from(DAYS), st.sampled_from(DAYS)).map(
    lambda ends: Window.of_day(ends[0]).spanning(Window.of_day(ends[1]))
)
READINGS = st.lists(st.builds(Held, NAMES, WINDOWS, INSTANTS, st.integers()), max_size=8)
RESUMED = st.dictionaries(st.sampled_from(DAYS), INSTANTS, max_size=3)


@given(NEEDS, READINGS, RESUMED, INSTANTS)
def test_every_need_is_served_once(
    needs: list[Need], readings: list[Held[int]], resumed: dict[str, datetime], now: datetime
) -> None:
    """By readings that are held, by a request, or later: never by two of them, never by none."""
    found = plan(needs, readings, now=now, resumed_from=resumed)

    unserved = [one for one in needs if (one.conversation_identifier, one.day) not in found.held]
    asked = [one for one in unserved if one.readable]
    assert found.held.keys() <= {(one.conversation_identifier, one.day) for one in needs}
    assert found.postponed == len(unserved) - len(asked)
    assert {request.conversation_identifier for request in found.requests} == {
        one.conversation_identifier for one in asked
    }


@given(NEEDS, READINGS, RESUMED, INSTANTS)
def test_a_conversation_is_asked_for_once_a_run(
    needs: list[Need], readings: list[Held[int]], resumed: dict[str, datetime], now: datetime
) -> None:
    """And over no more than its own days, oldest first."""
    requests = plan(needs, readings, now=now, resumed_from=resumed).requests

    names = [request.conversation_identifier for request in requests]
    assert len(set(names)) == len(names)
    assert [request.window for request in requests] == sorted(request.window for request in requests)
    for request in requests:
        days = [one.window for one in needs if one.conversation_identifier == request.conversation_identifier]
        assert any(day.start <= request.window.start < day.end for day in days)
        assert request.window.end in {day.end for day in days}


@given(NEEDS, READINGS, RESUMED, INSTANTS)
def test_what_was_carried_out_adds_up_to_the_whole_day(
    needs: list[Need], readings: list[Held[int]], resumed: dict[str, datetime], now: datetime
) -> None:
    """With a plan's requests answered, every readable need has readings that leave no instant of its day untold."""
    known = [one for one in readings if one.fetched_at <= now]
    requests = plan(needs, known, now=now, resumed_from=resumed).requests
    answered = [Held(request.conversation_identifier, request.window, now, -1) for request in requests]
    all_serve = dict.fromkeys(DAYS, datetime.min.replace(tzinfo=UTC))
    after = plan(needs, [*known, *answered], now=now, resumed_from=all_serve)

    for one in needs:
        if one.readable:
            chain = after.held[one.conversation_identifier, one.day]
            assert chain[0].window.covers(one.window)
            assert all(
                later.window.start <= earlier.fetched_at and later.window.end >= one.window.end
                for earlier, later in pairwise(chain)
            )


@given(NEEDS)
def test_what_was_read_after_everything_settled_is_never_asked_again(needs: list[Need]) -> None:
    """Carrying out a plan leaves nothing to ask for."""
    now = datetime(2026, 12, 1, tzinfo=UTC)
    read = [
        Held(request.conversation_identifier, request.window, now, "reading")
        for request in plan(needs, [], now=now).requests
    ]

    assert plan(needs, read, now=now).requests == ()


MORNING = datetime(2026, 11, 18, 9, tzinfo=UTC)
NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)


def test_a_day_that_goes_on_is_asked_for_what_came_since() -> None:
    """From the last reading on, less an overlap, to the end of the day."""
    [request] = planned(need(), having=[held(MORNING)], now=NOON).requests

    assert request.window == Window(MORNING - OVERLAP, Window.of_day(DAY).end)


def test_readings_that_went_on_from_one_another_serve_together() -> None:
    """The whole day first, then what came since."""
    since = Window(MORNING - OVERLAP, Window.of_day(DAY).end)
    found = planned(need(live=False), having=[held(NOON, window=since, ref="since"), held(MORNING)], now=NOON)

    assert [one.ref for one in found.held["conversation", DAY]] == ["reading", "since"]


def test_a_reading_that_leaves_a_gap_does_not_go_on() -> None:
    """What came between the two would be lost."""
    afternoon = Window(MORNING + timedelta(hours=1), Window.of_day(DAY).end)
    found = planned(need(live=False), having=[held(MORNING), held(NOON, window=afternoon)], now=NOON)

    assert [one.ref for one in found.held["conversation", DAY]] == ["reading"]


def test_a_settled_day_is_read_as_a_whole() -> None:
    """Whatever it was read in: text may have been redacted meanwhile."""
    since = Window(MORNING - OVERLAP, Window.of_day(DAY).end)
    [request] = planned(need(), having=[held(MORNING), held(NOON, window=since)]).requests

    assert request.window == Window.of_day(DAY)


def test_a_day_in_many_readings_is_read_as_a_whole() -> None:
    """Typing a day must not cost more with each refresh."""
    minutes = [MORNING + timedelta(minutes=5 * count) for count in range(LONGEST_CHAIN)]
    since = [held(at, window=Window(at - OVERLAP, Window.of_day(DAY).end)) for at in minutes[1:]]
    [request] = planned(need(), having=[held(minutes[0]), *since], now=NOON).requests

    assert request.window == Window.of_day(DAY)


def test_an_idle_conversation_is_not_asked_again() -> None:
    """Nobody can write in it without a change to its records."""
    assert not planned(need(live=False, changed_at=MORNING), having=[held(MORNING + 2 * SECOND)], now=NOON).requests


def test_an_idle_conversation_that_changed_is_asked_again() -> None:
    """Somebody wrote, or it ended."""
    assert planned(need(live=False, changed_at=NOON), having=[held(MORNING)], now=NOON).requests


def test_a_call_is_read_again_a_day_after_it_settled() -> None:
    """Its entries may have been tied to another call meanwhile."""
    then = SETTLED_AT + timedelta(days=1)
    having = [held(SETTLED_AT)]

    assert not planned(need(has_call=True), having=having, now=then - SECOND).requests
    assert planned(need(has_call=True), having=having, now=then).requests
    assert not planned(need(has_call=True), having=[held(then)], now=then + timedelta(days=9)).requests


def test_a_settled_conversation_is_read_again_at_the_ages_that_are_set() -> None:
    """Redaction shows by nothing else: once at each age, for a day that was read before."""
    week = timedelta(days=7)
    then = SETTLED_AT + week

    def requests(fetched_at: datetime, now: datetime) -> tuple[Request, ...]:
        return plan([need()], [held(fetched_at)], now=now, read_again_after=[week]).requests

    assert not requests(SETTLED_AT, then - SECOND)
    assert requests(SETTLED_AT, then)
    assert not requests(then, then + 4 * week)
