"""A dataset's days, each by the way that costs the fewest calls; and datasets without days."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from conversation_pipeline.defs.landing.on_platform.landing import Landing
from conversation_pipeline.defs.landing.on_platform.publishing import land_nothing, newest
from conversation_pipeline.defs.landing.on_platform.pull import pull_days, pull_snapshot
from conversation_pipeline.defs.landing.on_platform.refresh import refresh_day
from conversation_pipeline.defs.reporting import Metadata
from conversation_pipeline.extract.on_platform import Selection, select
from conversation_pipeline.extract.windows import unbroken
from conversation_pipeline.salesforce.errors import ObjectUnavailable


def land_days(landing: Landing, days: Sequence[str]) -> Iterator[tuple[str, Metadata]]:
    """
    Days of an on-platform dataset, each with its metadata as soon as it is published: queried, staged, typed.

    A day that the lake holds is refreshed where that costs fewer calls; the others are pulled together, one query or
    one bulk job for each unbroken run of days. What a run of days cost stands in the metadata of its first day.
    """
    try:
        selection = _selected(landing)
    except ObjectUnavailable as error:
        for day in days:
            yield day, land_nothing(landing, day, error)
        return
    left = []
    for day in days:
        refreshed = None if landing.full else newest(landing, partial(refresh_day, landing, selection, day))
        if refreshed is None:
            left.append(day)
        else:
            yield day, refreshed
    for run in unbroken(left):
        yield from pull_days(landing, selection, run).items()


def land_snapshot(landing: Landing) -> Metadata:
    """A dataset without partitions, as it is now."""
    try:
        selection = _selected(landing)
    except ObjectUnavailable as error:
        return land_nothing(landing, None, error)
    return pull_snapshot(landing, selection)


def _selected(landing: Landing) -> Selection:
    selection = select(landing.org.query, landing.dataset)
    for reason, names in selection.findings.items():
        landing.log.warning(f"{landing.dataset.name}: {', '.join(names)}: {reason}")
    return selection
