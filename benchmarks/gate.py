"""
The gate of the Conversation Data API, as an instrument: counts each request when it arrives, refuses what is too much.

It answers token requests and conversation-entries requests and knows nothing of conversations: the fuller simulator
would take a good part of a small machine's processor away from the clients that are measured. Both kinds of window
are audited whichever is enforced.
"""

from __future__ import annotations

import asyncio
import bisect
import random
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from urllib.parse import parse_qs

Head = dict[bytes, bytes]

DELAYS = {
    # Seconds at the true scale of a minute, on the way there and on the way back: from, to, and one in a hundred.
    "calm": ((0.02, 0.04, 0.04), (0.02, 0.04, 0.04)),
    "jitter": ((0.0, 0.8, 0.8), (0.02, 0.04, 0.04)),
    "rough": ((0.0, 1.2, 6.0), (0.0, 1.2, 6.0)),
}


@dataclass
class Allowance:
    """What one execution user may do, and what it did: instants of the event loop's clock, in seconds."""

    limit: int
    window: float
    kind: str
    served: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    _recent: deque[float] = field(default_factory=deque)

    def arrive(self, now: float) -> bool:
        """Counts a request; False if it is one too many, which then uses up nothing."""
        begin = now // self.window * self.window if self.kind == "fixed" else now - self.window
        while self._recent and (self._recent[0] < begin or self._recent[0] == begin != now):
            self._recent.popleft()
        if len(self._recent) >= self.limit:
            self.refused.append(now)
            return False
        self._recent.append(now)
        self.served.append(now)
        return True

    def worst_sliding(self) -> int:
        """The most arrivals, refused ones included, in any window of that length."""
        arrivals = sorted(self.served + self.refused)
        ends = (bisect.bisect_left(arrivals, first + self.window) for first in arrivals)
        return max((end - number for number, end in enumerate(ends)), default=0)

    def worst_fixed(self) -> int:
        """The most arrivals, refused ones included, in any window that begins at a multiple of its length."""
        counts: dict[float, int] = defaultdict(int)
        for arrival in self.served + self.refused:
            counts[arrival // self.window] += 1
        return max(counts.values(), default=0)


@dataclass
class Touched:
    """Which conversations were read and when: each is active for one window after it was read last."""

    instants: list[float] = field(default_factory=list)
    conversations: list[bytes] = field(default_factory=list)

    def read(self, now: float, conversation: bytes) -> None:
        self.instants.append(now)
        self.conversations.append(conversation)

    def worst(self, window: float) -> int:
        """The most distinct conversations that were active at once."""
        active: dict[bytes, float] = {}  # each touch moves its conversation to the end, so the oldest stand first
        most = 0
        for instant, conversation in zip(self.instants, self.conversations, strict=True):
            active.pop(conversation, None)
            active[conversation] = instant
            while active[next(iter(active))] <= instant - window:
                del active[next(iter(active))]
            most = max(most, len(active))
        return most


@dataclass
class Audit:
    """What a server saw: each execution user's requests, the conversations, and the processor seconds it took."""

    allowances: list[Allowance]
    touched: Touched
    processor_seconds: float


@dataclass
class Gate:
    """One server: `limit` requests per `window` seconds and bearer token, delays scaled with the window."""

    limit: int
    window: float
    kind: str
    network: str
    allowances: dict[bytes, Allowance] = field(default_factory=dict)
    touched: Touched = field(default_factory=Touched)
    _random: random.Random = field(default_factory=lambda: random.Random(7))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One kept-alive connection."""
        try:
            while True:
                target, head = await _read_head(reader)
                body = await reader.readexactly(int(head.get(b"content-length", b"0")))
                if target.startswith(b"/services/oauth2/token"):
                    status, answer = b"200 OK", _token(body)
                else:
                    status, answer = await self._entries(target, head)
                writer.write(
                    b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                    % (status, len(answer), answer)
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _entries(self, target: bytes, head: Head) -> tuple[bytes, bytes]:
        user = head.get(b"authorization", b"")
        there, back = DELAYS[self.network]
        allowance = self.allowances.setdefault(user, Allowance(self.limit, self.window, self.kind))
        await asyncio.sleep(self._delay(there))
        now = asyncio.get_running_loop().time()
        let_in = allowance.arrive(now)
        if let_in:
            self.touched.read(now, _conversation(target))
        await asyncio.sleep(self._delay(back))
        if let_in:
            return b"200 OK", b'{"conversationEntries":[]}'
        return b"429 Too Many Requests", b'{"code":429,"message":"too many requests"}'

    def _delay(self, way: tuple[float, float, float]) -> float:
        shortest, longest, late = way
        seconds = late if self._random.random() < 0.01 else self._random.uniform(shortest, longest)
        return seconds * self.window / 60


async def _read_head(reader: asyncio.StreamReader) -> tuple[bytes, Head]:
    request, *lines = (await reader.readuntil(b"\r\n\r\n")).strip().split(b"\r\n")
    fields = (line.partition(b":") for line in lines)
    return request.split(b" ")[1], {name.strip().lower(): value.strip() for name, _, value in fields}


def _conversation(target: bytes) -> bytes:
    return parse_qs(target.partition(b"?")[2])[b"conversationIdentifier"][0]


def _token(body: bytes) -> bytes:
    return b'{"access_token":"token-of-%s"}' % parse_qs(body)[b"client_id"][0]


def run(gate: Gate, control: Connection) -> None:
    """Serves on a free port, which is sent over `control`, until told to stop; then sends what it saw."""

    async def main() -> None:
        server = await asyncio.start_server(gate.serve, "127.0.0.1", 0)
        control.send(server.sockets[0].getsockname()[1])
        async with server:
            await asyncio.to_thread(control.recv)

    asyncio.run(main())
    control.send(Audit(list(gate.allowances.values()), gate.touched, time.process_time()))
