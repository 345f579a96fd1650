"""What was asked and what was answered, in numbers and in order."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
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
    client_id: str | None = None


@dataclass(slots=True)
class Tally:
    """Arrived, served (below 400) and refused requests."""

    arrived: int = 0
    served: int = 0
    refused: int = 0

    def shown(self) -> dict[str, int]:
        """The three numbers by name."""
        return {"arrived": self.arrived, "served": self.served, "refused": self.refused}

    def answer(self, status: int) -> None:
        """Count an answer; a cut connection is neither served nor refused."""
        if 0 < status < 400:
            self.served += 1
        elif status >= 400:
            self.refused += 1


class Callers:
    """Who asked one of the entry APIs: a tally each, what their windows saw at worst, and for what they asked."""

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = {}
        self._windows: dict[str, Windows] = {}
        self._asked: Counter[str] = Counter()

    def arrive(self, caller: str | None, conversation: str | None, at: float, seconds: float) -> None:
        """A request is here; it counts against its caller's windows of so many seconds now."""
        if caller is not None:
            self._tallies.setdefault(caller, Tally()).arrived += 1
            self._windows.setdefault(caller, Windows()).arrive(at, seconds)
        if conversation is not None:
            self._asked[conversation] += 1

    def answer(self, caller: str | None, status: int) -> None:
        """The caller got an answer."""
        if caller is not None:
            self._tallies.setdefault(caller, Tally()).answer(status)

    def shown(self) -> dict[str, dict[str, int]]:
        """Caller to tally and worst windows."""
        return {
            caller: tally.shown()
            | {
                "worst_sliding_window": self._windows[caller].worst_sliding,
                "worst_fixed_window": self._windows[caller].worst_fixed,
            }
            for caller, tally in sorted(self._tallies.items())
        }

    def asked(self) -> dict[str, Any]:
        """Which conversations were asked for, and how often."""
        return {"distinct": len(self._asked), "times": dict(self._asked)}


class Counters:
    """The org's own books."""

    def __init__(self) -> None:
        self.requests: deque[Request] = deque(maxlen=_LONGEST_JOURNAL)
        self.active = ActiveConversations()
        self._routes: dict[str, Tally] = {}
        self._users = Callers()
        self._apps = Callers()
        self._open: dict[int, float] = {}
        self._statuses: Counter[str] = Counter()

    def arrive(self, request: Request, at: float, limits: Limits) -> None:
        """A request is here; requests for entries count against their caller's windows now."""
        self.requests.append(request)
        self._open[id(request)] = at
        self._routes.setdefault(request.route, Tally()).arrived += 1
        if request.route == ENTRIES:
            self._users.arrive(request.user, request.conversation_identifier, at, limits.entry_window_seconds)
        elif request.route == CONNECT:
            self._apps.arrive(_app(request), request.conversation_identifier, at, limits.connect_window_seconds)

    def answer(self, request: Request, status: int) -> None:
        """The request got its answer."""
        request.status = status
        self._open.pop(id(request), None)
        self._routes.setdefault(request.route, Tally()).answer(status)
        self._statuses[str(status)] += 1
        if request.route == ENTRIES:
            self._users.answer(request.user, status)
        elif request.route == CONNECT:
            self._apps.answer(_app(request), status)

    def running_long(self, at: float, seconds: float) -> int:
        """How many requests have been open for as long as that."""
        return sum(at - arrived >= seconds for arrived in self._open.values())

    def shown(self, at: float, limits: Limits) -> dict[str, Any]:
        """Everything as JSON."""
        active = self.active
        return {
            "routes": {name: tally.shown() for name, tally in sorted(self._routes.items())},
            "statuses": dict(self._statuses),
            "execution_users": self._users.shown(),
            "connect_callers": self._apps.shown(),
            "active_conversations": {
                "now": active.count(at, limits),
                "worst": active.worst,
                "live": limits.live_conversations,
                "limit": limits.active_conversations,
                "over_limit": active.worst + limits.live_conversations > limits.active_conversations,
                "seconds_over_limit": round(active.seconds_over_limit, 3),
                "customers_turned_away": active.customers_turned_away,
            },
            "conversations_asked": self._users.asked(),
            "connect_conversations_asked": self._apps.asked(),
        }


ENTRIES = "conversation_data.entries"
"""The name of the route whose requests count against an execution user."""
CONNECT = "connect.entries"
"""The name of the route whose requests count against an app and its user."""


def _app(request: Request) -> str | None:
    return f"{request.client_id} {request.user}" if request.client_id else None
