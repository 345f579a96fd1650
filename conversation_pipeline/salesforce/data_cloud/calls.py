"""One call of Data Cloud: leased while it lasts, tried again where that helps, its whole body read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from conversation_pipeline.salesforce.connection import Connection, Retry
from conversation_pipeline.salesforce.data_cloud.results import Counted
from conversation_pipeline.salesforce.errors import IncompleteAnswer
from conversation_pipeline.salesforce.quotas import Claim
from conversation_pipeline.salesforce.transport import server_time

T = TypeVar("T", bound=Counted)
V = TypeVar("V")


@dataclass(frozen=True)
class Reply:
    """A whole answer: headers in any case, and the body as it came, which may be no text."""

    headers: Mapping[str, str]
    body: bytes
    answered_at: datetime

    def json(self, kind: type[V], what: str) -> V:
        """Raises ``IncompleteAnswer`` where the body is not the JSON that was expected."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except msgspec.DecodeError:
            raise IncompleteAnswer(f"{what}: {len(self.body):,} bytes are not the JSON that was expected") from None


@dataclass(frozen=True)
class Calls:
    """
    Attributes:
        connection: To the host that answers.
        claims: What each call holds while it lasts, its body included: the tenant counts calls at once.
        retry: For passing faults; queries only read, so each call may be made again.
    """

    connection: Connection
    claims: Sequence[Claim] = ()
    retry: Retry = field(default_factory=Retry)

    def get(self, path: str, params: Mapping[str, str | int] | None = None, accept: str = "application/json") -> Reply:
        """One try of a GET."""
        with self._leased(), self.connection.stream(path, params, {"Accept": accept}) as response:
            body = response.read()
            self.connection.meter.add(received_bytes=len(body))
            return Reply(response.headers, body, server_time(response))

    def post(self, path: str, json: Any) -> Reply:
        """One try of a POST."""
        with self._leased():
            answer = self.connection.send("POST", path, json)
        self.connection.meter.add(received_bytes=len(answer.body))
        return Reply(answer.headers, answer.body, answer.server_time)

    def tried(self, call: Callable[[], V]) -> V:
        """The value of a call, made again for as long as that may help."""
        for attempt in self.retry.attempts_for(self.connection.meter):
            with attempt:
                return call()
        raise AssertionError("the last attempt raises")

    @contextmanager
    def _leased(self) -> Iterator[None]:
        lease = self.connection.store.take([self.claims]) if self.claims else nullcontext()
        with lease as held:
            yield
            if held is not None:
                held.answered()
