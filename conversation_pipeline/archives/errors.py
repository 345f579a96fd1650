"""Why a file is not read. The texts name files, places and sizes, never what is written in them."""

from __future__ import annotations


class Unreadable(Exception):
    """A file or a member cannot be read as it is; it is quarantined and the others are read on."""


class OutsideFile(OSError):
    """A container points to a place before its beginning: it is spoilt, its store is not."""


class Refused(Unreadable):
    """A file or a member is not even tried: it is encrypted, a bomb, or has a name that leads out of the archive."""
