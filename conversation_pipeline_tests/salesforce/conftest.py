"""An org and a fault server over real HTTP on loopback, and clients that talk to them."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from conversation_pipeline.salesforce.auth import BearerAuth, ClientCredentials, Grant
from conversation_pipeline.salesforce.connect import Connect
from conversation_pipeline.salesforce.connection import Connection, Retry, Timeouts
from conversation_pipeline.salesforce.conversation_data import ConversationData
from conversation_pipeline.salesforce.entry_api import ExecutionUser
from conversation_pipeline.salesforce.limits import CONNECT, CONVERSATION_DATA, Limit
from conversation_pipeline.salesforce.query import Query
from conversation_pipeline.salesforce.quotas import SqliteQuotaStore
from conversation_pipeline.simulator import Running, Simulator
from conversation_pipeline_tests.conftest import Control

FIRST_DAY = date(2026, 11, 17)
NOW = datetime(2026, 11, 19, 18, 0, tzinfo=UTC)
IMPATIENT = Retry(attempts=4, timeout=10.0, wait_initial=0.01, wait_max=0.02)
SECRET = "a-secret-that-nobody-may-read"


_CERTIFICATES = ssl.create_default_context()


def transport() -> httpx.HTTPTransport:
    """What a connection sends with; certificates are read once for all tests, because that takes long."""
    return httpx.HTTPTransport(verify=_CERTIFICATES)


_CONTROL = httpx.Client(verify=_CERTIFICATES)


class OneLine(Control):
    """The control plane over one connection: a test says a lot to it."""

    def get(self, path: str, **params: Any) -> Any:
        return self._checked(_CONTROL.get(f"{self.url}/simulator/{path}", params=params))

    def post(self, path: str, **body: Any) -> Any:
        return self._checked(_CONTROL.post(f"{self.url}/simulator/{path}", json=body))


def user_key(place: int) -> str:
    """Key of the allowance of the execution user at that place."""
    return f"org/execution-client-{place}/conversation_data"


def setting(place: int) -> str:
    """Where the execution user at that place is set."""
    return f"entry {place} of CONVERSATION_DATA_USERS"


CONNECT_KEY = "org/integration-client/connect"


@dataclass
class Org:
    """A simulated org and the clients that a test opens to it."""

    url: str
    store: SqliteQuotaStore
    control: Control = field(init=False)
    clients: list[dict[str, Any]] = field(init=False)
    _open: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.control = OneLine(self.url)
        self.clients = self.control.get("credentials")["clients"]

    def grant(self, place: int = 0) -> ClientCredentials:
        client = self.clients[place]
        return ClientCredentials(self.url, client["client_id"], client["client_secret"])

    def connection(self, grant: Grant | None = None, *, base_url: str = "", **more: Any) -> Connection:
        connection = Connection(
            base_url or self.url, BearerAuth(grant or self.grant()), self.store, transport=transport(), **more
        )
        self._open.append(connection.close)
        return connection

    def query(self, retry: Retry = IMPATIENT, **more: Any) -> Query:
        return Query(self.connection(**more), retry=retry)

    def user(self, place: int, grant: Grant | None = None) -> ExecutionUser:
        """The execution user at that place; with another grant it is known by its key and setting all the same."""
        base_url = self.control.get("credentials")["conversation_data_url"]
        connection = self.connection(grant or self.grant(place), base_url=base_url)
        return ExecutionUser(connection, user_key(place), setting(place))

    def conversation_data(
        self, *, users: int = 1, rate: Limit = CONVERSATION_DATA, retry: Retry = IMPATIENT, **more: Any
    ) -> ConversationData:
        lines = [self.user(place) for place in range(1, users + 1)]
        return ConversationData(lines, self.store, "org", rate, retry=retry, **more)

    def connect(self, *, rate: Limit = CONNECT, retry: Retry = IMPATIENT, **more: Any) -> Connect:
        user = ExecutionUser(self.connection(), CONNECT_KEY)
        return Connect([user], self.store, "org", rate, retry=retry, **more)

    def put_user(self, place: int, state: str) -> None:
        """The execution user at that place is `active`, `locked` or `without_permission` from now on."""
        self.control.post("users", username=self.clients[place]["username"], state=state)

    def seen(self) -> list[str]:
        """The requests that the org got, in order, by the names of their routes."""
        return [request["route"].partition(".")[2] for request in self.control.get("requests")["requests"]]

    def conversation(self, messages: int = 0) -> str:
        """A conversation of its own, with that many messages ten seconds apart."""
        identifier = f"c0ffee00-0000-4000-8000-{len(self._open):04d}{messages:08d}"
        self.control.post("records", insert=[{"sobject": "Conversation", "ConversationIdentifier": identifier}])
        if messages:
            self.put(identifier, [at(NOON + timedelta(seconds=10 * place)) for place in range(messages)])
        return identifier

    def put(self, identifier: str, stamps: Sequence[int]) -> None:
        """Texts at those instants."""
        static = {"formatType": "Text", "text": "hello"}
        text = {"abstractMessage": {"messageType": "StaticContentMessage", "staticContent": static}}
        entries = [
            {
                "identifier": f"e{place:07d}-0000-4000-8000-000000000000",
                "transcriptedTimestamp": stamp,
                "entryPayload": text,
            }
            for place, stamp in enumerate(stamps)
        ]
        self.control.post("entries", conversationIdentifier=identifier, entries=entries)

    def close(self) -> None:
        for close in self._open:
            close()


NOON = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)
DAY = (datetime(2026, 11, 18, tzinfo=UTC), datetime(2026, 11, 19, tzinfo=UTC))


def at(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    """One simulator for all tests of this folder."""
    with Simulator(seed=3, first_day=FIRST_DAY, conversations_per_day=6, now=NOW).serve() as served:
        yield served


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteQuotaStore]:
    opened = SqliteQuotaStore(tmp_path / "quotas.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def org(running: Running, store: SqliteQuotaStore) -> Iterator[Org]:
    """The org in its first state, with nothing on its books."""
    _CONTROL.post(f"{running.url}/simulator/reset")
    found = Org(running.url, store)
    yield found
    found.close()


@dataclass(frozen=True)
class Asked:
    """A request as it came over the wire."""

    method: str
    path: str
    params: dict[str, str]
    head: str


class Wire:
    """The server's end of one connection, for behaviours that no HTTP library would show."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def drip(self, data: bytes, seconds: float) -> None:
        """One byte at a time."""
        for place in range(len(data)):
            self.send(data[place : place + 1])
            time.sleep(seconds)

    def reset(self) -> None:
        """RST instead of FIN, as a dropped connection shows itself."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()


Behaviour = Callable[[Wire, Asked], None]


def answer(
    body: bytes, *, status: int = 200, headers: Sequence[str] = ("Content-Type: application/json",), length: int = -1
) -> bytes:
    """A whole answer; ``length`` is what Content-Length says if it lies."""
    told = len(body) if length < 0 else length
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {told}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def says(body: bytes, **more: Any) -> Behaviour:
    return lambda wire, asked: wire.send(answer(body, **more))


@dataclass
class FaultServer:
    """
    Answers requests by a script, one behaviour each; the last one goes on for ever. Tokens are always given.
    """

    script: Sequence[Behaviour] = ()
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def grant(self) -> ClientCredentials:
        return ClientCredentials(self.url, "integration-client", SECRET)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            asked = _asked(connection)
            if asked is None:
                return
            wire = Wire(connection)
            if asked.path == "/services/oauth2/token":
                wire.send(answer(b'{"access_token":"a.b.c"}'))
                return
            with self._lock:
                behave = self.script[min(len(self.asked), len(self.script) - 1)]
                self.asked.append(asked)
            behave(wire, asked)


def _asked(connection: socket.socket) -> Asked | None:
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        if not received:
            return None
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    length = next((int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    method, target, _ = lines[0].split(" ")
    url = urlsplit(target)
    return Asked(method, url.path, dict(parse_qsl(url.query)), head.decode())


@pytest.fixture
def faults() -> Iterator[FaultServer]:
    server = FaultServer()
    yield server
    server.close()


@pytest.fixture
def line(faults: FaultServer, store: SqliteQuotaStore) -> Iterator[Connection]:
    """A connection to the fault server that loses its patience soon."""
    connection = Connection(
        faults.url,
        BearerAuth(faults.grant()),
        store,
        timeouts=Timeouts(connect=1.0, headers=0.3, body=0.5),
        transport=transport(),
    )
    yield connection
    connection.close()
