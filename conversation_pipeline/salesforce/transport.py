"""
Transports around httpx's own: one counts what passes, one asks the shared quota store first.

Wrapping the transport rather than the client means that nothing slips past: token requests, replays after a 401 and
retries all go through here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from conversation_pipeline.salesforce.quotas import Claim, Lease, QuotaStore


@dataclass
class Meter:
    """
    What a client has asked for so far; shared by its threads.

    Attributes:
        requests: Requests sent, token requests included.
        refused: Answers that said "too many requests".
        retries: Requests sent again after a passing fault.
        waited_seconds: Time spent waiting for the shared quota, all threads together.
        received_bytes: Size of the answers' bodies, decompressed.
    """

    requests: int = 0
    refused: int = 0
    retries: int = 0
    waited_seconds: float = 0.0
    received_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(
        self,
        *,
        requests: int = 0,
        refused: int = 0,
        retries: int = 0,
        waited_seconds: float = 0.0,
        received_bytes: int = 0,
    ) -> None:
        with self._lock:
            self.requests += requests
            self.refused += refused
            self.retries += retries
            self.waited_seconds += waited_seconds
            self.received_bytes += received_bytes

    @contextmanager
    def measured(self) -> Iterator[Meter]:
        """A meter that, when the block ends, holds what was used inside it."""
        used = Meter()
        before = self._reading()
        try:
            yield used
        finally:
            after = self._reading()
            used.add(
                requests=after.requests - before.requests,
                refused=after.refused - before.refused,
                retries=after.retries - before.retries,
                waited_seconds=after.waited_seconds - before.waited_seconds,
                received_bytes=after.received_bytes - before.received_bytes,
            )

    def _reading(self) -> Meter:
        with self._lock:
            return Meter(self.requests, self.refused, self.retries, self.waited_seconds, self.received_bytes)


class MeteredTransport(httpx.BaseTransport):
    """Counts every request that is really sent."""

    def __init__(self, inner: httpx.BaseTransport, meter: Meter) -> None:
        self._inner = inner
        self._meter = meter

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._meter.add(requests=1)
        response = self._inner.handle_request(request)
        if response.status_code == 429:
            self._meter.add(refused=1)
        return response

    def close(self) -> None:
        self._inner.close()


Claims = Callable[[httpx.Request], Sequence[Claim]]


class LeasedTransport(httpx.BaseTransport):
    """
    Sends a request only under a lease from the shared quota store, and tells the store when the answer began.

    A caller that already holds the lease for this request (because it had to choose between execution users) hands
    it over as the request extension ``lease``. It serves once: the replay of a request after a 401 is counted by
    the service again, so it takes a lease of its own.
    """

    def __init__(self, inner: httpx.BaseTransport, store: QuotaStore, claims: Claims, meter: Meter) -> None:
        self._inner = inner
        self._store = store
        self._claims = claims
        self._meter = meter

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        lease: Lease | None = request.extensions.pop("lease", None) or self._take(request)
        if lease is None:
            return self._inner.handle_request(request)
        with lease:
            response = self._inner.handle_request(request)
            lease.answered()  # the service counted it before it sent these headers
            return response

    def close(self) -> None:
        self._inner.close()

    def _take(self, request: httpx.Request) -> Lease | None:
        claims = self._claims(request)
        if not claims:
            return None
        began = time.monotonic()
        lease = self._store.take([claims], patience=None)
        self._meter.add(waited_seconds=time.monotonic() - began)
        return lease
