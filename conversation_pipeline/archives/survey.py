"""
A member looked through to its end before any row of it is handed on.

A wrong checksum, half a gzip stream or a byte that is no UTF-8 shows only at the end of a stream. So a member is first
read to its end and hashed, and what is handed on need never be taken back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import IO

from conversation_pipeline.archives.containers import Found
from conversation_pipeline.archives.encodings import BLOCK_BYTES, UTF_8, Utf8, Utf8Check, mixed, told
from conversation_pipeline.archives.errors import Unreadable
from conversation_pipeline.archives.spool import Spool

HEAD_BYTES = 64 * 1024
_MARKED = 200


@dataclass(frozen=True)
class Survey:
    """
    What a member is, read to its end.

    Attributes:
        content: Its bytes.
        sha256: Of its content.
        encoding: Of its text.
        head: The text's first 64 kB, as UTF-8 without a mark.
        head_sha256: Of its first 200 bytes.
        size: Bytes of its content.
    """

    content: Spool
    sha256: str
    encoding: str
    head: bytes
    head_sha256: str
    size: int


def head_sha256(found: Found) -> str | None:
    """A fingerprint of a member's first 200 bytes; ``None`` where not even they can be read."""
    try:
        with closing(found.open()) as stream:
            return hashlib.sha256(stream.read(_MARKED)).hexdigest()
    except Unreadable:
        return None


def surveyed(found: Found, fallback_encoding: str, passed: Callable[[int], None] = lambda _: None) -> Survey:
    """
    Args:
        passed: Is told of bytes as they are read.

    Raises:
        Unreadable: the member is spoilt, no text, or in more than one encoding.
    """
    content = Spool(found.open if found.lasts else None)
    try:
        return _surveyed(found, content, fallback_encoding, passed)
    except BaseException:
        content.close()
        raise


def _surveyed(found: Found, content: Spool, fallback_encoding: str, passed: Callable[[int], None]) -> Survey:
    digest, check, size = hashlib.sha256(), Utf8Check(), 0
    head, marked, encoding = b"", None, UTF_8
    with closing(found.open()) as stream:
        for block in _blocks(stream):
            if not size:
                head, marked = block, told(block)
                encoding = marked or UTF_8
            size += len(block)
            passed(len(block))
            digest.update(block)
            content.write(block)
            if encoding == UTF_8 and not check.add(block):
                encoding = _other(marked, block, fallback_encoding)
    if encoding == UTF_8 and not check.whole():
        encoding = _other(marked, head, fallback_encoding)
    text = _text(content, encoding)
    return Survey(content, digest.hexdigest(), encoding, text, hashlib.sha256(head[:_MARKED]).hexdigest(), size)


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """The content in blocks; the first is as long as a head needs, if there is as much."""
    head = b""
    while len(head) < HEAD_BYTES and (block := stream.read(HEAD_BYTES - len(head))):
        head += block
    if head:
        yield head
    while block := stream.read(BLOCK_BYTES):
        yield block


def _other(marked: str | None, block: bytes, fallback_encoding: str) -> str:
    if marked == UTF_8 or mixed(block):
        raise Unreadable("two encodings are mixed in it: UTF-8, and bytes that are none; export it again in one")
    return fallback_encoding


def _text(content: Spool, encoding: str) -> bytes:
    text = b""
    for block in Utf8(content.rewound(), encoding):
        text += block
        if len(text) >= HEAD_BYTES:
            break
    return text[:HEAD_BYTES]
