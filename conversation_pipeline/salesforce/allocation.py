"""
The org's 24-hour API allocation: shared with everything else that talks to the org, so we stop before it is gone.

Contract: the reply header ``Sforce-Limit-Info``, ``api-usage=10018/100000`` with or without a
``; per-app-api-usage=17/250(appName=x)`` tail. The window rolls: what was used 24 hours ago is free again.
"""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from conversation_pipeline.salesforce.auth import TOKEN_PATH
from conversation_pipeline.salesforce.errors import LimitReached

_USAGE = re.compile(r"\bapi-usage=(\d+)/(\d+)")
_WINDOW = timedelta(hours=24)


class Tally:
    """
    How many requests a run has sent, whichever of its processes sent them.

    Kept in a file of one byte a request: appending one is a single act of the operating system, so that no process has
    to wait for another. Files of other runs are removed a day after their last request.

    Args:
        file: The run's own file, in a folder of such files; without one, this process alone is counted.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._count = 0
        self._descriptor: int | None = None
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            _forget_old_runs(file.parent)
            self._descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    @property
    def count(self) -> int:
        return self._count if self._descriptor is None else os.fstat(self._descriptor).st_size

    def add(self) -> None:
        if self._descriptor is None:
            self._count += 1
        else:
            os.write(self._descriptor, b".")

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _forget_old_runs(folder: Path) -> None:
    for file in folder.iterdir():
        with suppress(FileNotFoundError):  # another process was faster
            if time.time() - file.stat().st_mtime > _WINDOW.total_seconds():
                file.unlink()


@dataclass
class Allocation:
    """
    What the org says that is used, and how far a run may go.

    Attributes:
        reserve: Share of the allocation, 0 to 1, that is left to others whatever happens.
        share: Share of the allocation that one run may use at the most.
        used, most: The org's newest word; ``None`` before the first reply.
        tally: Requests of this run, in all its processes.
    """

    reserve: float
    share: float
    used: int | None = None
    most: int | None = None
    tally: Tally = field(default_factory=lambda: Tally())
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def ask(self) -> None:
        """
        Counts a request that is about to be sent.

        Raises:
            LimitReached: it would eat into the reserve, or the run has had its share.
        """
        with self._lock:
            if self.used is not None and self.most is not None:
                self._refuse_beyond(self.used, self.most)
            self.tally.add()

    def learn(self, header: str) -> None:
        found = _USAGE.search(header)
        if found is not None:
            with self._lock:
                self.used, self.most = int(found[1]), int(found[2])

    def _refuse_beyond(self, used: int, most: int) -> None:
        if used >= most * (1 - self.reserve):
            raise LimitReached(
                f"the org has used {used:,} of its {most:,} API requests in 24 hours and the rest is the reserve "
                f"(CONVERSATION_API_RESERVE {self.reserve:.0%}); run again when usage has fallen, which it does hour "
                f"by hour, at the latest at {_a_day_from_now()}. What is done stays done."
            )
        asked = self.tally.count
        if asked >= most * self.share:
            raise LimitReached(
                f"this run has used {asked:,} API requests, its share of the org's {most:,} "
                f"(CONVERSATION_API_SHARE {self.share:.0%}); run again to go on, or raise the share"
            )


class AllocationTransport(httpx.BaseTransport):
    """Sends a request only while the org's allocation allows it, and reads what each reply says of it."""

    def __init__(self, inner: httpx.BaseTransport, allocation: Allocation) -> None:
        self._inner = inner
        self._allocation = allocation

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != TOKEN_PATH:  # tokens are not counted
            self._allocation.ask()
        response = self._inner.handle_request(request)
        self._allocation.learn(response.headers.get("Sforce-Limit-Info", ""))
        return response

    def close(self) -> None:
        self._inner.close()
        self._allocation.tally.close()


def _a_day_from_now() -> str:
    return f"{datetime.now(UTC) + _WINDOW:%Y-%m-%d %H:%M} UTC"
