"""
Transports around httpx's own: one counts, one bounds answers in time, one asks the shared quota store first.

Wrapping the transport rather than the client means that nothing slips past: token requests, replays after a 401 and
retries all go through here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

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


class BoundedTransport(httpx.BaseTransport):
    """
    Gives every answer a deadline, counted from its headers: a body that drips would hold a run for ever, because
    httpx's own read timeout begins anew with each byte. Answers to token requests are bounded too.
    """

    def __init__(self, inner: httpx.BaseTransport, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        assert isinstance(response.stream, httpx.SyncByteStream)  # noqa: S101  (a synchronous transport's always is)
        response.stream = _Bounded(response.stream, self._seconds)
        return response

    def close(self) -> None:
        self._inner.close()


class _Bounded(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, seconds: float) -> None:
        self._stream = stream
        self._deadline = time.monotonic() + seconds

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            if time.monotonic() > self._deadline:
                raise httpx.ReadTimeout("the answer was not complete in time")
            yield chunk

    def close(self) -> None:
        self._stream.close()


Claims = Callable[[httpx.Request], Sequence[Claim]]


class LeasedTransport(httpx.BaseTransport):
    """
    Sends a request only under a lease from the shared quota store, and tells the store when the answer began.

    A caller that already holds the lease for this request (because it had to choose between execution users) hands
    it over as the request extension ``lease``. It serves once: the replay of a request after a 401 is counted by
    the service again, so it takes a lease of its own, on the request extension ``claims``.
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
        claims = request.extensions.get("claims") or self._claims(request)
        if not claims:
            return None
        began = time.monotonic()
        lease = self._store.take([claims], patience=None)
        self._meter.add(waited_seconds=time.monotonic() - began)
        return lease


_LONGEST_REST = 3600.0


def retry_after(response: httpx.Response) -> float | None:
    """Seconds from ``Retry-After``, as a number or a date, an hour at most; ``None`` for what no service can mean."""
    value = response.headers.get("Retry-After", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - server_time(response)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(seconds, _LONGEST_REST) if seconds >= 0 else None


def server_time(response: httpx.Response) -> datetime:
    """The service's own clock when it answered; ours where it does not tell."""
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.now(UTC)
