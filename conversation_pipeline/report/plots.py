"""Where the marks of a plot lie; the templates draw them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

HOURS = range(24)
COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 2 * 3600, 6 * 3600, 12 * 3600, 24 * 3600)

_TICKS = 4
_SPARK_WIDTH, _SPARK_HEIGHT, _SPARK_MARGIN = 100.0, 28.0, 3.0


@dataclass(frozen=True)
class Bar:
    """
    One mark, in a field 24 wide and 100 high; ``y`` counts from the top.

    Attributes:
        series: Which colour, from 0.
        title: What it says when pointed at.
    """

    x: float
    y: float
    width: float
    height: float
    series: int
    title: str


@dataclass(frozen=True)
class Columns:
    """
    One column an hour.

    Attributes:
        names: Of the series, in the order in which they are stacked.
        ticks: Values of the axis, with the share of the height at which each lies, in percent.
    """

    names: Sequence[str]
    bars: Sequence[Bar]
    ticks: Sequence[tuple[float, float]]

    @property
    def is_empty(self) -> bool:
        return not self.bars


def columns(
    series: Mapping[str, Mapping[int, float]], told: Mapping[tuple[str, int], str], steps: Sequence[int]
) -> Columns:
    """
    Args:
        series: Value by hour, by name; stacked in this order.
        told: What each mark says, by name and hour.
        steps: How far apart the axis' values may be.
    """
    totals = [sum(values.get(hour, 0.0) for values in series.values()) for hour in HOURS]
    axis = ticks(max(totals, default=0.0), steps)
    bars = []
    for hour in HOURS:
        below = 0.0
        for place, (name, values) in enumerate(series.items()):
            if value := values.get(hour, 0.0):
                height = value / axis[-1] * 100
                below += height
                bars.append(Bar(hour + 0.14, 100 - below, 0.72, height, place, told[name, hour]))
    return Columns(list(series), bars, [(value, 100 * value / axis[-1]) for value in axis])


def ticks(highest: float, steps: Sequence[int]) -> list[int]:
    """The axis' values: from 0 by the first step that reaches the highest value in four; beyond, tens of the last."""
    step = next((step for step in steps if step * _TICKS >= highest), steps[-1])
    while step * _TICKS < highest:
        step *= 10
    return [step * place for place in range(max(1, math.ceil(highest / step)) + 1)]


@dataclass(frozen=True)
class Spark:
    """
    A line of days; days that are not known part it.

    Attributes:
        lines: Points as SVG writes them.
        end: The last day's point; ``None`` where it is not known.
    """

    lines: Sequence[str]
    end: tuple[float, float] | None
    width: float = _SPARK_WIDTH
    height: float = _SPARK_HEIGHT

    @property
    def is_empty(self) -> bool:
        return not self.lines and self.end is None


def spark(values: Sequence[float | None]) -> Spark:
    """From the first day that is known."""
    known = [value for value in values if value is not None]
    if not known:
        return Spark((), None)
    values = values[next(place for place, value in enumerate(values) if value is not None) :]
    low, high = min(0.0, *known), max(*known, 0.0)
    step = (_SPARK_WIDTH - 2 * _SPARK_MARGIN) / max(1, len(values) - 1)
    room = _SPARK_HEIGHT - 2 * _SPARK_MARGIN

    def point(place: int, value: float) -> tuple[float, float]:
        up = (value - low) / (high - low) if high > low else 0.0
        return round(_SPARK_MARGIN + place * step, 2), round(_SPARK_HEIGHT - _SPARK_MARGIN - up * room, 2)

    runs: list[list[tuple[float, float]]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(point(place, value))
    lines = [" ".join(f"{x:g},{y:g}" for x, y in run) for run in runs if len(run) > 1]
    return Spark(lines, runs[-1][-1] if runs[-1] else None)


@dataclass(frozen=True)
class Cell:
    """
    A road's day.

    Attributes:
        state: ``whole``, ``open``, ``lacking`` or ``unread``; ``none`` where nothing was counted.
        title: What it says when pointed at.
        count: How many conversations are missing; 0 is not written.
    """

    state: str
    title: str
    count: int = 0


@dataclass(frozen=True)
class HeatMap:
    """Cells by road, one a day."""

    days: Sequence[date]
    roads: Mapping[str, Sequence[Cell]]

    @property
    def states(self) -> set[str]:
        return {cell.state for cells in self.roads.values() for cell in cells}

    @property
    def runs(self) -> Mapping[str, Sequence[tuple[int, int, int]]]:
        """Days in a row that a road has the same state: row, first day and how many, by state."""
        found: dict[str, list[tuple[int, int, int]]] = {}
        for row, cells in enumerate(self.roads.values()):
            first = 0
            for state, same in groupby(cells, key=lambda cell: cell.state):
                length = len(list(same))
                found.setdefault(state, []).append((row, first, length))
                first += length
        return found
