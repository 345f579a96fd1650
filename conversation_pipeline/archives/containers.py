"""From an archive to the streams of its members: ZIP, once nested ZIP, gzip, or a plain file; by content."""

from __future__ import annotations

import gzip
import io
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import IO, cast

from isal import igzip

from conversation_pipeline.archives.errors import OutsideFile, Refused, Unreadable
from conversation_pipeline.archives.inflating import SPOILT, Inflated
from conversation_pipeline.archives.options import Limits

Open = Callable[[], IO[bytes]]

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_GZIP = b"\x1f\x8b"
_LEAST_JUDGED = 2**20
"""Members that expand to less than this may be as repetitive as they like."""
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_DIRECTORY_BYTES = 300
"""A directory entry with a long name; a directory of more than this a member is refused unread."""
_NESTING = 1
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}

READING_FAILS: tuple[type[Exception], ...] = (
    zipfile.BadZipFile, gzip.BadGzipFile, OutsideFile, zlib.error, SPOILT, EOFError, NotImplementedError,
    RuntimeError, ValueError, struct.error,
)  # fmt: skip
"""What the standard library raises on spoilt containers; any other OSError is the store's."""


@dataclass(frozen=True)
class Found:
    """
    A member whose content can be read, as often as needed: each ``open()`` gives it from its beginning.

    Attributes:
        packed: Bytes that it takes in the archive.
        size: Bytes that it is said to expand to; ``None`` where nothing says it.
        lasts: Whether it can still be opened once the next member has been asked for.
    """

    name: str
    open: Open
    packed: int = 0
    size: int | None = None
    lasts: bool = True


@dataclass(frozen=True)
class Spoilt:
    """A member that cannot be read, and why."""

    name: str
    reason: str


@dataclass
class _Budget:
    """Bytes that an archive may still expand to."""

    limits: Limits
    left: int

    def take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise Refused(
                f"the archive expands to more than {self.limits.expanded_bytes:,} bytes; raise the limit if it is meant"
            )


def members(name: str, opened: Open, limits: Limits) -> Iterator[Found | Spoilt]:
    """
    The files of an archive in their order, nested ones after each other.

    Raises:
        Unreadable: it is a ZIP that was cut or is no ZIP inside.
        Refused: it has too many members, or expands to too much.
    """
    with closing(opened()) as file:
        packed = file.seek(0, io.SEEK_END)
    budget = _Budget(limits, limits.expanded_bytes)
    yield from _members(Found(name.rsplit("/", 1)[-1], opened, packed, packed), budget, depth=0)


def _members(outer: Found, budget: _Budget, *, depth: int) -> Iterator[Found | Spoilt]:
    with closing(outer.open()) as stream:
        magic = stream.read(4)
    if magic in _ZIP:
        yield from _zipped(outer, budget, depth=depth)
    elif magic[:2] == _GZIP:
        yield replace(outer, open=lambda: cast(IO[bytes], _Gunzipped(outer.open(), budget.limits)), size=None)
    else:
        yield outer


def _zipped(outer: Found, budget: _Budget, *, depth: int) -> Iterator[Found | Spoilt]:
    prefix = f"{outer.name}/" if depth else ""
    with closing(outer.open()) as file:
        _judge_directory(file, budget.limits)
        try:
            archive = zipfile.ZipFile(file)
        except READING_FAILS as error:
            raise Unreadable(f"no whole ZIP archive ({_kind(error)}); get the file again") from None
        with archive:
            seen: dict[str, tuple[int, int]] = {}
            for info in archive.infolist():
                if not info.is_dir():
                    yield from _member(prefix, outer, archive, info, seen, budget, depth=depth)


def _member(
    prefix: str,
    outer: Found,
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    seen: dict[str, tuple[int, int]],
    budget: _Budget,
    *,
    depth: int,
) -> Iterator[Found | Spoilt]:
    name = prefix + printable(info.filename)
    try:
        _judge(info, seen, budget)
        seen[info.filename] = info.CRC, info.file_size

        archive.open(info).close()  # looks whether the member is where the directory says, and nothing else is

        def opened() -> IO[bytes]:
            return cast(IO[bytes], _Checked(cast(IO[bytes], Inflated(outer.open(), info))))

        found = Found(name, opened, info.compress_size, info.file_size, outer.lasts)
        with closing(opened()) as stream:
            magic = stream.read(4)
        if magic not in _ZIP:
            yield from _members(found, budget, depth=depth + 1)
        elif depth >= _NESTING:
            raise Refused("archives are nested too deeply; unpack the inner one and drop it by itself")
        else:
            with _unpacked(opened) as nested:
                yield from _members(replace(found, open=nested, lasts=False), budget, depth=depth + 1)
    except Unreadable as error:
        yield Spoilt(name, str(error))
    except READING_FAILS as error:
        yield Spoilt(name, f"spoilt inside the archive ({_kind(error)}); get the archive again")


def _judge(info: zipfile.ZipInfo, seen: dict[str, tuple[int, int]], budget: _Budget) -> None:
    if info.flag_bits & 0x1:
        raise Refused("encrypted; unpack it with its password and drop the content")
    raw = info.orig_filename.replace("\\", "/")
    if raw.startswith("/") or ".." in raw.split("/") or re.match(r"[A-Za-z]:", raw):
        raise Refused("its name leads out of the archive")
    if info.file_size > max(_LEAST_JUDGED, info.compress_size * budget.limits.ratio):
        raise Refused(f"expands to more than {budget.limits.ratio} times its size; raise the limit if it is meant")
    if info.compress_type not in _METHODS:
        raise Refused(f"compressed by a method that is not read here (number {info.compress_type})")
    if info.filename in seen and seen[info.filename] != (info.CRC, info.file_size):
        raise Unreadable("a second member of that name with other content; which one is meant cannot be known")
    budget.take(info.file_size)


def _judge_directory(file: IO[bytes], limits: Limits) -> None:
    """Refuse a ZIP of too many members before its directory is read into memory."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 2**16 - _END.size))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise Unreadable("a ZIP archive without its end; the download was cut, get the file again")
    _, _, _, _, count, directory, _, _ = _END.unpack_from(tail, at)
    at_64 = tail.rfind(b"PK\x06\x06", 0, at)
    if at_64 >= 0 and at - at_64 >= _END_64.size:
        *_, count, directory, _ = _END_64.unpack_from(tail, at_64)
    if count > limits.members or directory > limits.members * _DIRECTORY_BYTES:
        raise Refused(f"more than {limits.members:,} members; raise the limit if it is meant")
    file.seek(0)


@contextmanager
def _unpacked(opened: Open) -> Iterator[Open]:
    """A nested archive on disk: a ZIP is read from its end, which a compressed stream cannot give."""
    with tempfile.NamedTemporaryFile(prefix="conversation-pipeline-archive-") as file:
        with closing(opened()) as stream:
            while block := stream.read(2**20):
                file.write(block)
        file.flush()
        yield lambda: open(file.name, "rb")  # noqa: SIM115, PTH123  (whoever opens closes)


class _Checked(io.RawIOBase):
    """A member's stream whose failures are told in words."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except READING_FAILS as error:
            raise Unreadable(f"spoilt inside the archive ({_kind(error)}); get the archive again") from None

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Counted(io.RawIOBase):
    """A stream that knows how much was read of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.count = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(size)
        self.count += len(block)
        return block

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Gunzipped(_Checked):
    """The content of a gzip stream, which tells its size only at its end, if at all: watched as it expands."""

    def __init__(self, packed: IO[bytes], limits: Limits) -> None:
        self._packed = _Counted(packed)
        super().__init__(cast(IO[bytes], igzip.IGzipFile(fileobj=self._packed)))  # type: ignore[no-untyped-call]
        self._limits = limits
        self._count = 0

    def read(self, size: int = -1) -> bytes:
        block = super().read(size)
        self._count += len(block)
        most = max(_LEAST_JUDGED, self._packed.count * self._limits.ratio)
        if self._count > min(most, self._limits.expanded_bytes):
            raise Refused(f"expands to more than {self._limits.ratio} times its size; raise the limit if it is meant")
        return block

    def close(self) -> None:
        super().close()
        self._packed.close()


def _kind(error: BaseException) -> str:
    """What went wrong, without the library's text: that quotes names and bytes."""
    text = str(error)
    known = {
        "CRC": "wrong checksum",
        "Overlapped": "members overlap",
        "not a zip": "not a ZIP",
        "password": "encrypted",
    }
    return next((said for sign, said in known.items() if sign in text), type(error).__name__)


def printable(name: str) -> str:
    """A member's name as it may be shown: no control characters, not longer than 200."""
    return "".join(char if char.isprintable() else "?" for char in name)[:200]
