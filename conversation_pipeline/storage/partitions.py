"""Where a partition lives: ``day=YYYY-MM-DD``, the hive folder that every reader prunes on."""

from __future__ import annotations

import re
from datetime import date

from conversation_pipeline.storage.errors import StorageError

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def day_folder(day: str) -> str:
    """
    The folder of a UTC day.

    Raises:
        StorageError: ``day`` is no date written ``YYYY-MM-DD``.
    """
    try:
        if _DAY.fullmatch(day):
            return f"day={date.fromisoformat(day)}"
    except ValueError:
        pass
    raise StorageError(f"a partition is a UTC day written YYYY-MM-DD, not {day[:40]!r}")
