"""A ZIP member's content, inflated by ISA-L: three times as fast as by zlib, which took half of a reading's time."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import IO, cast

from isal import igzip_lib, isal_zlib

SPOILT = cast(type[Exception], igzip_lib.error)
"""What ISA-L raises on packed bytes that are none."""

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_PACKED_BYTES = 2**20


class Inflated(io.RawIOBase):
    """
    Reads a member from its beginning; its checksum is looked at when its last byte is read.

    Args:
        file: The archive, for this reader alone; closed with it.
        info: What its directory says of the member: stored or deflated, and not encrypted.
    """

    def __init__(self, file: IO[bytes], info: zipfile.ZipInfo) -> None:
        self._file = file
        self._left = info.file_size
        self._packed = info.compress_size
        self._expected, self._checksum = info.CRC, 0
        deflated = info.compress_type == zipfile.ZIP_DEFLATED
        self._inflate = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE) if deflated else None
        file.seek(info.header_offset)
        _, name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        file.seek(name + extra, io.SEEK_CUR)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """
        Raises:
            zipfile.BadZipFile: the checksum is wrong.
            EOFError: the member is shorter than the directory says.
            SPOILT: the packed bytes are spoilt.
        """
        wanted = self._left if size < 0 else min(size, self._left)
        parts = []
        while wanted:
            block = self._some(wanted)
            self._checksum = isal_zlib.crc32(block, self._checksum)
            wanted -= len(block)
            self._left -= len(block)
            parts.append(block)
        if not self._left and self._checksum != self._expected:
            raise zipfile.BadZipFile("Bad CRC-32")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _some(self, most: int) -> bytes:
        """At least one byte and no more than so many."""
        if self._inflate is None:
            block = self._file.read(min(most, self._packed))
            self._packed -= len(block)
            if not block:
                raise EOFError
            return block
        while True:
            packed = b""
            if self._inflate.needs_input:
                packed = self._file.read(min(_PACKED_BYTES, self._packed))
                self._packed -= len(packed)
            block = self._inflate.decompress(packed, most)
            if block:
                return block
            if self._inflate.eof or (self._inflate.needs_input and not self._packed):
                raise EOFError

    def close(self) -> None:
        self._file.close()
        super().close()
