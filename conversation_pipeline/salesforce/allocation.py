"""
The org's 24-hour API allocation: shared with everything else that talks to the org, so we stop before it is gone.

Contract: the reply header ``Sforce-Limit-Info``, ``api-usage=10018/100000`` with or without a
``; per-app-api-usage=17/250(appName=x)`` tail. The window rolls: what was used 24 hours ago is free again.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx

from conversation_pipeline.salesforce.auth import TOKEN_PATH
from conversation_pipeline.salesforce.errors import LimitReached

_USAGE = re.compile(r"\bapi-usage=(\d+)/(\d+)")
_WINDOW = timedelta(hours=24)


@dataclass
class Allocation:
    """
    What the org says that is used, and how far a run may go.

    Attributes:
        reserve: Share of the allocation, 0 to 1, that is left to others whatever happens.
        share: Share of the allocation that one run (of one process) may use at the most.
        used, most: The org's newest word; ``None`` before the first reply.
        asked: Requests of this run.
    """

    reserve: float
    share: float
    used: int | None = None
    most: int | None = None
    asked: int = 0
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
            self.asked += 1

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
        if self.asked >= most * self.share:
            raise LimitReached(
                f"this run has used {self.asked:,} API requests, its share of the org's {most:,} "
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


def _a_day_from_now() -> str:
    return f"{datetime.now(UTC) + _WINDOW:%Y-%m-%d %H:%M} UTC"
