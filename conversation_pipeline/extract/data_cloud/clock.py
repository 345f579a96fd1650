"""
Whether Data Cloud's times are what they say: some orgs see their own wall time, labelled UTC.

Source: Data Cloud reference 7, trap 7. Wall time shows when conversations seem to begin hours before or after the org
made them, all by the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from statistics import median

import pyarrow as pa
import pyarrow.compute as pc

_MOST = 2_000
_FEWEST = 5
_AGREEING = 0.8
_NEAR = timedelta(minutes=15)
_SMALLEST_OFFSET = timedelta(minutes=30)


class FirstEntries:
    """
    When some conversations began, as Data Cloud tells it: the time of the first entry of each.

    Attributes:
        of: By conversation identifier; at most so many that memory does not grow with the days read.
    """

    def __init__(self) -> None:
        self.of: dict[str, datetime] = {}

    def add(self, batch: pa.RecordBatch) -> None:
        """Takes rows of the dataset, in any order."""
        rows = pa.table([batch["conversation_identifier"], batch["transcripted_timestamp"]], names=["of", "at"])
        if len(self.of) >= _MOST:
            rows = rows.filter(pc.is_in(rows["of"], pa.array(list(self.of), pa.string())))
            if not rows.num_rows:
                return
        first = rows.group_by("of").aggregate([("at", "min")])
        for identifier, at in zip(first["of"].to_pylist(), first["at_min"].to_pylist(), strict=True):
            if identifier in self.of:
                self.of[identifier] = min(at, self.of[identifier])
            elif len(self.of) < _MOST:
                self.of[identifier] = at


def offset(told: Mapping[str, datetime], made: Mapping[str, datetime]) -> tuple[timedelta, int] | None:
    """
    By how much Data Cloud's times lie beside the org's.

    Args:
        told: When conversations began, as Data Cloud tells it.
        made: When the org made them; only such as began within the time that ``told`` covers.

    Returns:
        The offset and the number of conversations that show it; ``None`` where the clocks agree, or where too few
        conversations are known to both to say so.
    """
    apart = [told[identifier] - at for identifier, at in made.items() if identifier in told]
    if len(apart) < _FEWEST:
        return None
    usual = timedelta(seconds=median(one.total_seconds() for one in apart))
    agreeing = [one for one in apart if abs(one - usual) <= _NEAR]
    if abs(usual) < _SMALLEST_OFFSET or len(agreeing) < _AGREEING * len(apart):
        return None
    return usual, len(agreeing)
