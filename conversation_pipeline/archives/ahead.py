"""A generator that works while its consumer does."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any, TypeVar, cast

T = TypeVar("T")

_WAIT_SECONDS = 0.1


def ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """
    The same items in the same order, the next one made in a thread while the last one is used.

    What the iterator raises is raised here, in its turn. Closing this generator ends the thread.
    """
    waiting: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(maxsize=1)
    stopped = threading.Event()

    def put(item: Any, error: BaseException | None) -> None:
        while not stopped.is_set():
            try:
                waiting.put((item, error), timeout=_WAIT_SECONDS)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            with closing(cast("Generator[T, None, None]", items)):
                for item in items:
                    put(item, None)
                    if stopped.is_set():
                        return
            put(_END, None)
        except BaseException as error:
            put(_END, error)

    thread = threading.Thread(target=work, name="archive-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stopped.set()
        thread.join()


_END = object()
