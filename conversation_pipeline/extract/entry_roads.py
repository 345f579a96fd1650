"""The roads that are asked conversation by conversation: a work list in, readings out, as fast as allowances let it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import Protocol

from conversation_pipeline.extract.estimate import Allowance
from conversation_pipeline.extract.work_list import Request
from conversation_pipeline.salesforce.entry_api import Reading
from conversation_pipeline.salesforce.errors import ConversationUnreadable, RecordUnavailable
from conversation_pipeline.salesforce.limits import Limit

CONVERSATION_DATA = "conversation_data"
CONNECT = "connect"

_THREADS_A_USER = 4  # the rate is 1.5 requests a second and user: four in flight hide answers of 2.5 seconds
_MOST_THREADS = 32


class EntryClient(Protocol):
    """
    A client of either API: all entries of one conversation, by whichever user may ask.

    Attributes:
        users: Who asks; each adds its own allowance.
        rate: Allowance of one user.
        active: Budget of distinct conversations held active.
        set_aside: Users that are asked no more, by where they are set; and why.
    """

    @property
    def users(self) -> Sized: ...
    @property
    def rate(self) -> Limit: ...
    @property
    def active(self) -> Limit: ...
    @property
    def set_aside(self) -> Mapping[str, str]: ...

    def read(self, conversation_identifier: str, start: datetime, end: datetime) -> Reading: ...


def allowance(client: EntryClient) -> Allowance:
    """Of the users that are not set aside."""
    return Allowance(max(1, len(client.users) - len(client.set_aside)), client.rate, client.active)


def read(
    client: EntryClient,
    requests: Sequence[Request],
    not_found: list[str],
    unreadable: dict[str, ConversationUnreadable],
) -> Iterator[Reading]:
    """
    The readings, in the order in which they arrive; the caller stages each before it takes the next.

    Args:
        not_found: Conversations that the org does not know (never stored, or erased) are added here.
        unreadable: Conversations that are refused, whoever asks, are added here, with the refusal. Where nothing at
            all was read, the caller has to find out whether that is the conversations or the road.

    Raises:
        SalesforceError: as soon as one reading fails for good; those already under way are handed on first.
    """
    threads = min(_THREADS_A_USER * len(client.users), _MOST_THREADS)
    todo = iter(requests)
    with ThreadPoolExecutor(threads, thread_name_prefix="entries") as pool:
        running: dict[Future[Reading], Request] = {}

        def start(count: int) -> None:
            for request in islice(todo, count):
                window = request.window
                future = pool.submit(client.read, request.conversation_identifier, window.start, window.end)
                running[future] = request

        start(threads)
        try:
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                start(len(done))
                for future in done:
                    request = running.pop(future)
                    try:
                        yield future.result()
                    except RecordUnavailable:
                        not_found.append(request.conversation_identifier)
                    except ConversationUnreadable as error:
                        unreadable[request.conversation_identifier] = error
        except Exception:
            yield from _finished(running)
            raise


def _finished(running: dict[Future[Reading], Request]) -> Iterator[Reading]:
    """What was under way when another reading failed: it has been paid for, so it is not thrown away."""
    for future in running:
        with suppress(Exception):
            yield future.result()
