"""
Named places where a test may kill the process, as ``kill -9`` would, to prove that the next run repairs everything.

Each point is declared here and passed with ``at(KillPoint.X)`` in the code; a test asserts that every declared point
is reached and survived.
"""

from __future__ import annotations

import os
import signal
from enum import StrEnum


class KillPoint(StrEnum):
    """Every step boundary of a partition's life, in the order in which a pull passes them."""

    PULL_OPENED = "pull-opened"
    READING_RECEIVED = "reading-received"
    STAGING_WRITTEN = "staging-written"
    READING_STAGED = "reading-staged"
    PARTITION_WRITTEN = "partition-written"
    PARTITION_SYNCED = "partition-synced"
    PARTITION_RENAMED = "partition-renamed"
    PULL_CLOSED = "pull-closed"
    WAREHOUSE_COPIED = "warehouse-copied"
    WAREHOUSE_APPLIED = "warehouse-applied"
    WAREHOUSE_RENAMED = "warehouse-renamed"
    BULK_JOB_CREATED = "bulk-job-created"
    BULK_PAGE_READ = "bulk-page-read"


def at(point: KillPoint) -> None:
    """
    Die here if ``CONVERSATION_KILL_AT`` names this point (``name`` or ``name:3`` for the third passage); else nothing.
    """
    wanted = os.environ.get("CONVERSATION_KILL_AT")
    if wanted is None:
        return
    name, _, passage = wanted.partition(":")
    if name != point:
        return
    _passed[point] = _passed.get(point, 0) + 1
    if _passed[point] == int(passage or 1):
        os.kill(os.getpid(), signal.SIGKILL)


_passed: dict[KillPoint, int] = {}
