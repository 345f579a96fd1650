"""What was asked and what was answered, in numbers and in order."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

from conversation_pipeline.simulator.control.limits import ActiveConversations, Limits, Windows

_LONGEST_JOURNAL = 50_000


@dataclass(slots=True)
class Request:
    """One request as it came in; `status` is None until it is answered, 0 when the connection was cut instead."""

    time: str
    route: str
    method: str
    path: str
    user: str | None
    conversation_identifier: str | None
    status: int | None = None


@dataclass(slots=True)
class Tally:
    """Arrived, served (below 400) and refused requests."""

    arrived: int = 0
    served: int = 0
    refused: int = 0

    def answer(self, status: int) -> None:
        """Count an answer; a cut connection is neither served nor refused."""
        if 0 < status < 400:
            self.served += 1
        elif status >= 400:
            self.refused += 1


class Counters:
    """The org's own books."""

    def __init__(self) -> None:
        self.requests: deque[Request] = deque(maxlen=_LONGEST_JOURNAL)
        self.active = ActiveConversations()
        self._routes: dict[str, Tally] = {}
        self._users: dict[str, Tally] = {}
        self._windows: dict[str, Windows] = {}
        self._open: dict[int, float] = {}
        self._statuses: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()

    def arrive(self, request: Request, at: float, limits: Limits) -> None:
        """A request is here; entry requests count against their execution user's windows now."""
        self.requests.append(request)
        self._open[id(request)] = at
        self._routes.setdefault(request.route, Tally()).arrived += 1
        if request.route != ENTRIES:
            return
        if request.user is not None:
            self._users.setdefault(request.user, Tally()).arrived += 1
            self._windows.setdefault(request.user, Windows()).arrive(at, limits.entry_window_seconds)
        if request.conversation_identifier is not None:
            self._asked[request.conversation_identifier] += 1

    def answer(self, request: Request, status: int) -> None:
        """The request got its answer."""
        request.status = status
        self._open.pop(id(request), None)
        self._routes.setdefault(request.route, Tally()).answer(status)
        self._statuses[str(status)] += 1
        if request.route == ENTRIES and request.user is not None:
            self._users.setdefault(request.user, Tally()).answer(status)

    def running_long(self, at: float, seconds: float) -> int:
        """How many requests have been open for as long as that."""
        return sum(at - arrived >= seconds for arrived in self._open.values())

    def shown(self, at: float, limits: Limits) -> dict[str, Any]:
        """Everything as JSON."""
        return {
            "routes": {name: asdict(tally) for name, tally in sorted(self._routes.items())},
            "statuses": dict(self._statuses),
            "execution_users": {
                user: asdict(tally)
                | {
                    "worst_sliding_window": self._windows[user].worst_sliding,
                    "worst_fixed_window": self._windows[user].worst_fixed,
                }
                for user, tally in sorted(self._users.items())
            },
            "active_conversations": {
                "now": self.active.count(at, limits),
                "worst": self.active.worst,
                "limit": limits.active_conversations,
                "over_limit": self.active.worst > limits.active_conversations,
            },
            "conversations_asked": {"distinct": len(self._asked), "times": dict(self._asked)},
        }


ENTRIES = "conversation_data.entries"
"""The name of the route whose requests count against an execution user."""
