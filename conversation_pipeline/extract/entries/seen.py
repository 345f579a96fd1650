"""Which identifiers a reading has had of late, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable

_MOST = 50_000


class Seen:
    """
    Identifiers of the latest pages: as many as ``most``, and as many again of those before.

    Pages overlap with their neighbours, so these are the ones that come again. What comes again after more than that is
    taken for new: whoever sorts the rows has it beside its later word.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._latest: set[str] = set()
        self._before: set[str] = set()

    def add(self, identifiers: Iterable[str]) -> list[str]:
        """Those of the identifiers (each given once) that were not there, in their order."""
        fresh = list(identifiers)
        for known in (self._latest, self._before):
            if not known.isdisjoint(fresh):
                fresh = [identifier for identifier in fresh if identifier not in known]
        self._latest.update(fresh)
        if len(self._latest) > self._most:
            self._before, self._latest = self._latest, set()
        return fresh
