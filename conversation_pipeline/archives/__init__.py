"""
Conversation transcript export archives: what is in them, whatever their layout, as Arrow record batches.

Salesforce does not publish the layout of these archives, so everything is told by content: containers, encodings,
formats, columns and how values are written (bulk-export 4). The layout is detected, not guaranteed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pyarrow import fs

from conversation_pipeline.archives.entries import ENTRIES
from conversation_pipeline.archives.options import Limits, Options
from conversation_pipeline.archives.provenance import Archive, Member, Outcome, Provenance
from conversation_pipeline.archives.reading import Reading, is_metadata
from conversation_pipeline.archives.sets import ArchiveSet, sets

__all__ = [
    "ENTRIES", "Archive", "ArchiveSet", "Limits", "Member", "Options", "Outcome", "Provenance", "Reading",
    "is_metadata", "read", "sets",
]  # fmt: skip


def read(
    paths: Sequence[str],
    *,
    filesystem: fs.FileSystem | None = None,
    options: Options | None = None,
    known: Collection[str] = (),
) -> Reading:
    """
    An archive, or all parts of one export together.

    Args:
        paths: Of the files, on the file system.
        filesystem: The local one unless given.
        options: What archives do not tell, and how much they may ask.
        known: SHA-256 of archives and members that were read before; they are skipped.
    """
    return Reading(tuple(paths), filesystem or fs.LocalFileSystem(), options or Options(), known)
