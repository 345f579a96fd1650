"""The org's clock: real time until somebody sets it, then frozen until somebody moves it or lets it go."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """
    Two readings of one clock.

    `now_ms` is the instant in the org's world. `elapsed` is what limits, token lives and windows are measured with:
    it runs on in real time even while the world stands still, and every move forward of the world counts too, so a
    test that advances the clock by a minute has waited a minute.
    """

    def __init__(self, now: datetime | None = None) -> None:
        self._frozen_ms: int | None = None
        self._moved = 0.0
        if now is not None:
            self.set(now)

    @property
    def frozen(self) -> bool:
        """True while the world stands still."""
        return self._frozen_ms is not None

    @property
    def now_ms(self) -> int:
        """The world's instant, UTC epoch milliseconds."""
        return self._frozen_ms if self._frozen_ms is not None else time.time_ns() // 1_000_000

    @property
    def now(self) -> int:
        """The world's instant, UTC epoch seconds."""
        return self.now_ms // 1000

    def elapsed(self) -> float:
        """Seconds on a clock that never runs backward."""
        return time.monotonic() + self._moved

    def set(self, now: datetime) -> None:
        """
        Stop the world at an instant.

        Raises:
          ValueError: the instant has no time zone.
        """
        if now.tzinfo is None:
            raise ValueError("the instant needs a time zone, such as 2026-11-20T12:00:00Z")
        self._freeze(round(now.timestamp() * 1000))

    def advance(self, seconds: float) -> None:
        """Move the world on and stop it there."""
        self._freeze(self.now_ms + round(seconds * 1000))

    def release(self) -> None:
        """Follow real time again."""
        self._frozen_ms = None

    def iso(self) -> str:
        """The world's instant as `2026-11-20T12:00:00.000Z`."""
        return datetime.fromtimestamp(self.now_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _freeze(self, milliseconds: int) -> None:
        self._moved += max(0, milliseconds - self.now_ms) / 1000
        self._frozen_ms = milliseconds
