"""The files of export archives, once they are landed: how long they stay, and that no erased person's words stay."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from conversation_pipeline import archives
from conversation_pipeline.defs.landing.archive_record import ArchiveRecord, LandedSet
from conversation_pipeline.schemas.conversations import ENTRIES_ARCHIVE, ENTRIES_ARCHIVE_UNPLACED
from conversation_pipeline.storage import Lake
from conversation_pipeline.storage.erasure import Erasure, on_record
from conversation_pipeline.storage.store import Store

_OF_ARCHIVES = (ENTRIES_ARCHIVE.name, ENTRIES_ARCHIVE_UNPLACED.name)


@dataclass(frozen=True)
class RemovedFiles:
    """
    Files that were removed from the folder, by their names in it.

    Attributes:
        by_age: Of exports that were landed whole so many days ago.
        of_erased: Of exports that hold words of people whom the org has erased since; the rest of them is landed.
    """

    by_age: tuple[str, ...] = ()
    of_erased: tuple[str, ...] = ()


def remove_files(folder: Store, lake: Lake, keep: timedelta | None, now: datetime) -> RemovedFiles:
    """
    Remove archives that are not to stay: told by their content, whatever they are called by now.

    An export of which something was not read stays until it has been, or until an erasure takes it along. One that was
    never landed is left alone: what is in it is not known.

    Args:
        keep: How long an export stays after it was landed; ``None`` for good.
    """
    landed = [one for one in ArchiveRecord(lake).sets if one.rows]
    erasures = on_record(lake)
    of_erased = [one for one in landed if _holds_erased(one, erasures)]
    by_age = [one for one in landed if keep is not None and not one.faults and now - one.landed_at >= keep]
    hashes = {row["sha256"]: False for one in by_age for row in one.files}
    hashes |= {row["sha256"]: True for one in of_erased for row in one.files}
    if not hashes:
        return RemovedFiles()
    sizes = {row["bytes"] for one in landed for row in one.files if row["sha256"] in hashes}
    found = [(name, _sha256(folder, name)) for name in folder.names("") if _size(folder, name) in sizes]
    gone = {name: hashes[sha256] for name, sha256 in found if sha256 in hashes}
    for name in gone:
        folder.delete(name)
    return RemovedFiles(
        tuple(name for name, erased in gone.items() if not erased),
        tuple(name for name, erased in gone.items() if erased),
    )


def _holds_erased(one: LandedSet, erasures: list[Erasure]) -> bool:
    """
    Whether the landing left out somebody erased, or an erasure since took rows of archives along: an export tells all
    of history, so every one that was taken before it may hold them.
    """
    return one.rows_of_erased > 0 or any(
        erasure.rows.get(name)
        and (erasure.replayed_at is None or one.landed_at <= erasure.replayed_at)
        and (None in (erasure.completed_at, one.snapshot_at) or one.snapshot_at <= erasure.completed_at)  # type: ignore[operator]
        for erasure in erasures
        for name in _OF_ARCHIVES
    )


def _size(folder: Store, name: str) -> int | None:
    info = folder.info(name)
    return None if info is None else info.size


def _sha256(folder: Store, name: str) -> str:
    return archives.read([], filesystem=folder.filesystem).sha256(folder.path(name))
