"""What a reader of archives may assume, and how much an archive may ask of it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limits:
    """
    Bounds that keep a hostile or broken archive from taking the machine with it (bulk-export 4.1, safety).

    Attributes:
        members: Most files in one ZIP; its directory is not even read beyond that.
        expanded_bytes: Most bytes that one archive may hold once inflated.
        ratio: Most bytes that one compressed byte may become, for members of more than a megabyte.
        metadata_bytes: Most bytes of a manifest; larger ones are left unread.
        json_bytes: Longest single JSON value, such as one entry; longer ones are not streamed but quarantined.
    """

    members: int = 250_000
    expanded_bytes: int = 256 * 2**30
    ratio: int = 200
    metadata_bytes: int = 2**20
    json_bytes: int = 64 * 2**20


@dataclass(frozen=True)
class Options:
    """
    What an archive does not tell.

    Attributes:
        fallback_encoding: Read in where text is neither UTF-8 nor UTF-16 (CP1252, ISO-8859-1, Shift_JIS, EUC-JP,
            GB18030).
        time_zone: IANA name of the zone of times that are written without one.
        limits: How much an archive may ask.
    """

    fallback_encoding: str = "cp1252"
    time_zone: str = "UTC"
    limits: Limits = field(default_factory=Limits)
