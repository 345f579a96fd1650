"""Windows are half-open and in UTC (design, section 6)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversation_pipeline.extract.windows import Window, from_milliseconds, to_milliseconds

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
DATES = st.dates(date(1990, 1, 1), date(2100, 1, 1))


@settings(deadline=None)
@given(DATES)
def test_days_leave_no_gap_and_do_not_overlap(day: date) -> None:
    """Where a day ends the next one starts, and it is 24 hours long."""
    one, following = (Window.of_day((day + timedelta(days=offset)).isoformat()) for offset in (0, 1))

    assert one.end == following.start
    assert one.end - one.start == timedelta(days=1)
    assert one.start.utcoffset() == timedelta(0)


@settings(deadline=None)
@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_milliseconds_survive_the_way_there_and_back(milliseconds: int) -> None:
    """No instant of the years 1 to 9999 is lost to rounding."""
    assert to_milliseconds(from_milliseconds(milliseconds)) == milliseconds


@pytest.mark.parametrize("ends", [(NOON.replace(tzinfo=None), NOON), (NOON, NOON.replace(tzinfo=None))])
def test_ends_need_a_time_zone(ends: tuple[datetime, datetime]) -> None:
    """An instant in nobody's zone is refused."""
    with pytest.raises(ValueError, match="time zone"):
        Window(*ends)


def test_a_window_does_not_run_backward() -> None:
    """Its end is not before its start; it may be empty."""
    assert Window(NOON, NOON).covers(Window(NOON, NOON))
    with pytest.raises(ValueError, match="before it starts"):
        Window(NOON, NOON - timedelta(seconds=1))


def test_covering_and_spanning() -> None:
    """What spans two windows covers each; neither covers the span."""
    one, other = Window.of_day("2026-11-18"), Window.of_day("2026-11-20")
    both = one.spanning(other)

    assert both.covers(one)
    assert both.covers(other)
    assert not one.covers(both)
