"""A dataset's days, each by the way that costs the fewest calls; and datasets without days."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conversation_pipeline.defs.landing.on_platform.landing import Landing
from conversation_pipeline.defs.landing.on_platform.publishing import close, land_nothing, metadata, replace_snapshot
from conversation_pipeline.defs.landing.on_platform.pull import by_rest, pull_days
from conversation_pipeline.defs.landing.on_platform.refresh import refresh_day
from conversation_pipeline.defs.landing.pulls import open_pull
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
        refreshed = None if landing.full else refresh_day(landing, selection, day)
        if refreshed is None:
            left.append(day)
        else:
            yield day, refreshed
    for run in unbroken(left):
        yield from pull_days(landing, selection, run).items()


def land_snapshot(landing: Landing) -> Metadata:
    """A dataset without partitions, as it is now."""
    with landing.org.meter.measured() as used:
        try:
            selection = _selected(landing)
        except ObjectUnavailable as error:
            return land_nothing(landing, None, error)
        asked_at = landing.org.query.server_time()
        pull = open_pull(landing.staging, landing.dataset.name, asked_at.date().isoformat(), asked_at)
        rows = by_rest(landing, selection, pull, None)
        receipt = replace_snapshot(landing, selection, asked_at, rows)
        close(landing, pull)
    return metadata(receipt, selection, rows, used)


def _selected(landing: Landing) -> Selection:
    selection = select(landing.org.query, landing.dataset)
    name = landing.dataset.name
    if selection.missing:
        hidden = ", ".join(selection.missing)
        landing.log.warning(f"{name}: this org or user does not show {hidden}; nothing new is read of it")
    if selection.unfit:
        landing.log.warning(f"{name}: {', '.join(selection.unfit)} changed their type; nothing new is read of it")
    return selection
