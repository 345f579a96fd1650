"""Running a simulated org: in a thread of this process, or in the foreground."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from types import TracebackType

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from conversation_pipeline.simulator.app import create_app
from conversation_pipeline.simulator.gate import Connections
from conversation_pipeline.simulator.org import Org, Seed

HOST = "127.0.0.1"
_START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """What HTTPS is served with: PEM files of the certificate and of its key."""

    certificate_file: Path
    key_file: Path


class Simulator:
    """
    A Salesforce org of conversation data over HTTP on loopback.

    Arguments:
      seed: what the world is drawn from; equal seeds give equal worlds, day by day.
      first_day: the first UTC day whose conversations are complete; 14 days before now unless given.
      conversations_per_day: how many begin on a usual working day; fewer at weekends.
      now: where the org's clock stands, frozen; None follows real time.
    """

    def __init__(
        self,
        seed: int = 7,
        first_day: date | None = None,
        conversations_per_day: int = 50,
        now: datetime | None = None,
    ) -> None:
        self._org = Org(Seed(seed, first_day, conversations_per_day, now))

    def build(self) -> Simulator:
        """
        Build the world up to now, about 2 ms a conversation, and return this simulator.

        Without it the first query builds, and waits as long: worth it before a large world is served.
        """
        self._org.world.reach(self._org.clock.now)
        return self

    def serve(self, port: int = 0, *, certificate: Certificate | None = None) -> Running:
        """
        Start serving in a thread; stops at the end of the `with` block or by `stop()`.

        With a certificate over HTTPS, which some clients insist on.

        Raises:
          OSError: the port is taken.
        """
        return Running(self._org, port, certificate)

    def run(self, port: int = 8443, when_ready: Callable[[str], None] | None = None) -> None:
        """Serve in the foreground until interrupted; `when_ready` is told the URL."""
        listener = _listener(port)
        server = _server(self._org)
        if when_ready is not None:
            when_ready(_url(listener))
        server.run(sockets=[listener])


class Running:
    """A simulator that serves; `url` is its instance URL."""

    def __init__(self, org: Org, port: int, certificate: Certificate | None = None) -> None:
        listener = _listener(port)
        self.url = _url(listener, "https" if certificate else "http")
        self._server = _server(org, certificate)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="salesforce-simulator", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the simulator did not start; its own log says why")
            time.sleep(0.002)

    def stop(self) -> None:
        """Close every connection and end the thread."""
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(_START_SECONDS)

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _listener(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    listener.listen(256)
    return listener


def _url(listener: socket.socket, scheme: str = "http") -> str:
    return f"{scheme}://{HOST}:{listener.getsockname()[1]}"


def _server(org: Org, certificate: Certificate | None = None) -> uvicorn.Server:
    connections: Connections = {}

    class Protocol(AutoHTTPProtocol):  # type: ignore[valid-type,misc]
        """HTTP/1.1 that remembers its connections, so that a fault can cut one."""

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._peer = transport.get_extra_info("peername")
            connections[self._peer] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            connections.pop(self._peer, None)
            super().connection_lost(exc)

    config = uvicorn.Config(
        create_app(org, connections),
        http=Protocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        ssl_certfile=certificate.certificate_file if certificate else None,
        ssl_keyfile=certificate.key_file if certificate else None,
    )
    return uvicorn.Server(config)
