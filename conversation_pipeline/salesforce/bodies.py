"""Bodies of many answers, in order, without all of them in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import overload

_IN_MEMORY = 16 * 2**20


class Bodies(Sequence[bytes]):
    """
    A sequence of bodies that grows; beyond ``in_memory`` bytes it lies in an unnamed file of its owner's.

    Not safe for threads: it belongs to one reading.
    """

    def __init__(self, in_memory: int = _IN_MEMORY) -> None:
        # Closed with the sequence: the reading that holds it decides how long it lives.
        self._file = tempfile.SpooledTemporaryFile(max_size=in_memory)  # noqa: SIM115
        self._ends = [0]

    def append(self, body: bytes) -> None:
        self._file.seek(self._ends[-1])
        self._file.write(body)
        self._ends.append(self._ends[-1] + len(body))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[bytes]: ...
    def __getitem__(self, place: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        start, end = self._ends[place % len(self)], self._ends[place % len(self) + 1]
        self._file.seek(start)
        return self._file.read(end - start)
