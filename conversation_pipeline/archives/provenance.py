"""What was found in an archive and what became of it: for metadata, checks and the quarantine."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """What became of a member."""

    ENTRIES = "entries"
    """Its rows were handed on."""
    OTHER_TABLE = "other table"
    """Rows of something else, such as participants; not handed on."""
    METADATA = "metadata"
    """A manifest, a read-me, a log, a schema."""
    DUPLICATE = "duplicate"
    """The same content was read before."""
    QUARANTINED = "quarantined"
    """It could not be read, or not to its end."""


@dataclass
class Member:
    """
    One file of an archive.

    Attributes:
        name: Its name; inside a nested archive, the names on the way joined by ``/``.
        sha256: Of its content; ``None`` where that could not be read.
        size: Bytes of its content.
        format: ``csv``, ``json lines``, ``json lines with wrapper``, ``json array`` or ``json object``.
        encoding: Of its text.
        delimiter: Of a ``csv``.
        columns: As the member spells them.
        unknown_columns: Those of them that mean nothing to the reader; their values are in the column ``extra``.
        rows: Rows handed on.
        quarantined_rows: Rows that were not, by reason.
        notes: What was odd about rows that were handed on, by how many.
        reason: Why it was quarantined.
        head_sha256: Of its first 200 bytes, to recognise what was quarantined.
    """

    name: str
    outcome: Outcome = Outcome.QUARANTINED
    sha256: str | None = None
    size: int = 0
    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    columns: tuple[str, ...] = ()
    unknown_columns: tuple[str, ...] = ()
    rows: int = 0
    quarantined_rows: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    reason: str | None = None
    head_sha256: str | None = None


@dataclass
class Archive:
    """
    One file that arrived.

    Attributes:
        name: Path, as it was given.
        sha256: Its identity; ``None`` where it could not be read to its end.
        size: Bytes.
        snapshot_at: When its content was taken: by its manifest, else its name, else its file's last change.
        manifest: The manifest's members, if it has one.
        reason: Why the whole of it was quarantined, or ``known`` when it had been read before.
    """

    name: str
    sha256: str | None = None
    size: int = 0
    snapshot_at: datetime | None = None
    manifest: dict[str, Any] | None = None
    members: list[Member] = field(default_factory=list)
    reason: str | None = None


@dataclass
class Provenance:
    """What a reading found, complete once its batches have been read."""

    archives: list[Archive] = field(default_factory=list)

    @property
    def members(self) -> list[Member]:
        return [member for archive in self.archives for member in archive.members]

    @property
    def rows(self) -> int:
        """Rows handed on."""
        return sum(member.rows for member in self.members)

    @property
    def quarantined(self) -> list[tuple[str, str]]:
        """Archives and members that were not read, or not to their end, each with the reason."""
        whole = [(archive.name, archive.reason) for archive in self.archives if archive.reason not in (None, KNOWN)]
        parts = [
            (f"{archive.name}: {member.name}", member.reason or "")
            for archive in self.archives
            for member in archive.members
            if member.outcome is Outcome.QUARANTINED
        ]
        return [(name, reason or "") for name, reason in whole] + parts

    @property
    def quarantined_rows(self) -> Counter[str]:
        """Rows that were not handed on, by reason."""
        return sum((member.quarantined_rows for member in self.members), Counter())

    @property
    def complete(self) -> bool | None:
        """Whether every part that the manifests promise is there and was read; ``None`` without a manifest."""
        told = [archive.manifest for archive in self.archives if archive.manifest is not None]
        parts = {int(one["parts"]) for one in told if str(one.get("parts", "")).isdecimal()}
        if len(parts) != 1:
            return None
        present = {str(one.get("part")) for one in told}
        return len(present) == parts.pop() and not self.quarantined and not self.quarantined_rows

    @property
    def promised(self) -> int | None:
        """Entries that the manifests promise together; ``None`` where one does not say."""
        told = [(archive.manifest or {}).get("entryCount") for archive in self.archives]
        counts = [count for count in told if isinstance(count, int)]
        return sum(counts) if counts and len(counts) == len(told) else None

    def as_json(self) -> dict[str, Any]:
        """Plain values, for metadata and files."""
        return {
            "archives": [
                vars(archive)
                | {
                    "snapshot_at": archive.snapshot_at and archive.snapshot_at.isoformat(),
                    "members": [vars(member) for member in archive.members],
                }
                for archive in self.archives
            ]
        }


KNOWN = "known"
