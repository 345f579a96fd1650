"""Which identifiers a reading has had, in bounded memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

_MOST_IN_MEMORY = 100_000
_CACHE_KIB = 32 * 1024
_IDS_A_STATEMENT = 1_000  # more than any page holds; SQLite takes 32,766 parameters


class Seen:
    """
    Identifiers so far. Many go into a temporary database, which SQLite keeps in a file of its own once it has
    outgrown its cache, and removes.
    """

    def __init__(self) -> None:
        self._few: set[str] = set()
        self._many: sqlite3.Connection | None = None

    def add(self, identifiers: Iterable[str]) -> list[str]:
        """Those of the identifiers (each given once) that were not there, in their order."""
        wanted = list(identifiers)
        if self._many is not None:
            new = _added(self._many, wanted)
            return [identifier for identifier in wanted if identifier in new]
        fresh = [identifier for identifier in wanted if identifier not in self._few]
        self._few.update(fresh)
        if len(self._few) > _MOST_IN_MEMORY:
            self._many = _temporary()
            _added(self._many, list(self._few))
            self._few.clear()
        return fresh


def _temporary() -> sqlite3.Connection:
    database = sqlite3.connect("", isolation_level=None)
    database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("CREATE TABLE seen (identifier TEXT PRIMARY KEY) WITHOUT ROWID")
    return database


def _added(database: sqlite3.Connection, identifiers: list[str]) -> set[str]:
    new: set[str] = set()
    database.execute("BEGIN")
    for start in range(0, len(identifiers), _IDS_A_STATEMENT):
        some = identifiers[start : start + _IDS_A_STATEMENT]
        places = ",".join(["(?)"] * len(some))
        statement = f"INSERT OR IGNORE INTO seen VALUES {places} RETURNING identifier"  # noqa: S608  (question marks)
        rows = database.execute(statement, some)
        new.update(identifier for (identifier,) in rows)
    database.execute("COMMIT")
    return new
