"""A member's content, to be read again after it was looked through to its end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import IO

IN_MEMORY_BYTES = 8 * 2**20


class Spool:
    """
    Bytes to be written once and read from their beginning as often as needed.

    A small content stays in memory. Another is inflated once more, which costs less than to write it to a disk and to
    read it back; where it can not be opened again later, it is kept on disk as it is.

    Args:
        again: Opens the content from its beginning; ``None`` where that will not be possible any more.
    """

    def __init__(self, again: Callable[[], IO[bytes]] | None = None) -> None:
        self._again = again
        self._stream: IO[bytes] | None = None
        self._kept: IO[bytes] | None = tempfile.SpooledTemporaryFile(  # noqa: SIM115  (it is closed with the spool)
            IN_MEMORY_BYTES, prefix="conversation-pipeline-archive-"
        )

    def write(self, block: bytes) -> None:
        if self._kept is None:
            return
        if self._again is not None and self._kept.tell() + len(block) > IN_MEMORY_BYTES:
            self._kept = None
        else:
            self._kept.write(block)

    def rewound(self) -> IO[bytes]:
        """What was written, from its beginning; one reader at a time, which leaves it open."""
        if self._kept is not None:
            self._kept.seek(0)
            return self._kept
        self._close_stream()
        assert self._again is not None  # noqa: S101  (else it would have been kept)
        self._stream = self._again()
        return self._stream

    def close(self) -> None:
        """Let go of everything."""
        if self._kept is not None:
            self._kept.close()
        self._close_stream()

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
