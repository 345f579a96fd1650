"""Which encoding a member's text has, and the same text as UTF-8 (bulk-export 4.2, encoding order)."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import IO

import pyarrow as pa

from conversation_pipeline.archives.errors import Unreadable

UTF_8 = "utf-8"
BLOCK_BYTES = 4 * 2**20
"""Large, since after each the thread may have to wait for its turn to run Python."""

_MARKS = (
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LONGEST_CHARACTER = 4


def told(head: bytes) -> str | None:
    """
    The encoding that the first bytes tell: by their mark, or by where their NULs stand; ``None`` without either.

    Raises:
        Unreadable: it is no text.
    """
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    nuls = head.count(0)
    if not nuls:
        return None
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) > len(head) // 4 and min(even, odd) < len(head) // 50:
        return "utf-16-le" if odd > even else "utf-16-be"
    if nuls > len(head) // 100:
        raise Unreadable("no text; nothing but text is read")
    return None


class Utf8Check:
    """Whether a text that comes in blocks is UTF-8, at the speed of Arrow's own check."""

    def __init__(self) -> None:
        self._rest = b""

    def add(self, block: bytes) -> bool:
        """False once the text cannot be UTF-8."""
        if not self._rest and block.isascii():
            return True
        text = self._rest + block if self._rest else block
        cut = len(text) - _unfinished(text)
        self._rest = text[cut:]
        return _is_utf_8(text, cut)

    def whole(self) -> bool:
        """Whether the text ended at the end of a character."""
        return not self._rest


def _unfinished(text: bytes) -> int:
    """How many bytes at the end begin a character that is not complete."""
    for back in range(1, min(_LONGEST_CHARACTER, len(text)) + 1):
        byte = text[-back]
        if byte & 0xC0 == 0x80:
            continue
        length = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
        return back if length > back else 0
    return 0


def _is_utf_8(text: bytes, size: int) -> bool:
    if not size:
        return True
    offsets = pa.array([0, size], pa.int32()).buffers()[1]
    try:
        pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(text)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def mixed(block: bytes) -> bool:
    """
    Whether a block that is not UTF-8 is mostly that: then two encodings were mixed, and no single one reads it.

    In one-byte encodings hardly any pair of characters beyond ASCII looks like UTF-8.
    """
    whole = block.decode(UTF_8, "ignore")
    wrong = block.decode(UTF_8, "replace").count("\ufffd") - whole.count("\ufffd")
    right = sum(1 for char in whole if char > "\x7f")
    return right > wrong


class Utf8(Iterator[bytes]):
    """
    A text in any encoding as blocks of UTF-8, without a mark.

    Attributes:
        replaced: Characters that the encoding does not know, which came out as U+FFFD.
    """

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._stream = stream
        self._decoder = None if encoding == UTF_8 else codecs.getincrementaldecoder(encoding)(errors="replace")
        self._first = True
        self._ended = False
        self.replaced = 0

    def __next__(self) -> bytes:
        while not self._ended:
            block = self._stream.read(BLOCK_BYTES)
            self._ended = not block
            if self._decoder is not None:
                text = self._decoder.decode(block, final=self._ended)
                self.replaced += text.count("\ufffd")
                block = text.encode()
            if block and self._first:
                block, self._first = block.removeprefix(codecs.BOM_UTF8), False
            if block:
                return block
        raise StopIteration


class File:
    """Blocks as the kind of file that Arrow reads."""

    closed = False

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        parts, wanted = [], size if size >= 0 else None
        block = self._rest
        while block or (block := next(self._blocks, b"")):
            parts.append(block)
            if wanted is not None:
                wanted -= len(block)
                if wanted <= 0:
                    break
            block = b""
        whole = b"".join(parts)
        if size < 0:
            self._rest = b""
            return whole
        self._rest = whole[size:]
        return whole[:size]

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True
