"""A member's content kept aside, so that it is inflated once: small ones in memory, others on disk."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import IO

IN_MEMORY_BYTES = 8 * 2**20


class Spool:
    """
    Bytes to be written once and read from their beginning as often as needed.

    On disk they stay as they are: packing them by LZ4 and back costs half of what inflating them costs.

    Args:
        folder: For what does not fit in memory; the system's temporary folder by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115  (it is closed with the spool)
            IN_MEMORY_BYTES, prefix="conversation-pipeline-archive-", dir=str(folder) if folder else None
        )

    def write(self, block: bytes) -> None:
        self._file.write(block)

    def rewound(self) -> IO[bytes]:
        """What was written, from its beginning; one reader at a time, which leaves it open."""
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Let go of everything."""
        self._file.close()
