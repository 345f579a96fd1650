"""
A member looked through to its end before any row of it is handed on.

A wrong checksum, half a gzip stream or a byte that is no UTF-8 shows only at the end of a stream. So a member is read
twice: once to see that it is whole and in one encoding, once for its rows. Inflating and hashing run at some 600 MB a
second, and what is handed on need never be taken back.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass

from conversation_pipeline.archives.containers import Found
from conversation_pipeline.archives.encodings import BLOCK_BYTES, UTF_8, Utf8, Utf8Check, mixed, told
from conversation_pipeline.archives.errors import Unreadable

HEAD_BYTES = 64 * 1024
_MARKED = 200


@dataclass(frozen=True)
class Survey:
    """
    What a member is, read to its end.

    Attributes:
        sha256: Of its content.
        encoding: Of its text.
        head: The text's first 64 kB, as UTF-8 without a mark.
        head_sha256: Of its first 200 bytes.
        size: Bytes of its content.
    """

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
    except (Unreadable, OSError):
        return None


def surveyed(found: Found, fallback_encoding: str) -> Survey:
    """
    Raises:
        Unreadable: the member is spoilt, no text, or in more than one encoding.
    """
    digest, check, size = hashlib.sha256(), Utf8Check(), 0
    with closing(found.open()) as stream:
        block = head = _filled(stream.read, HEAD_BYTES)
        encoding = told(head)
        assumed = encoding or UTF_8
        while block:
            size += len(block)
            digest.update(block)
            if assumed == UTF_8 and not check.add(block):
                assumed = _other(encoding, block, fallback_encoding)
            block = stream.read(BLOCK_BYTES)
        if assumed == UTF_8 and not check.whole():
            assumed = _other(encoding, head, fallback_encoding)
    return Survey(digest.hexdigest(), assumed, _text(found, assumed), hashlib.sha256(head[:_MARKED]).hexdigest(), size)


def _other(told_encoding: str | None, block: bytes, fallback_encoding: str) -> str:
    if told_encoding == UTF_8 or mixed(block):
        raise Unreadable("two encodings are mixed in it: UTF-8, and bytes that are none; export it again in one")
    return fallback_encoding


def _filled(read: object, size: int) -> bytes:
    parts, left = [], size
    while left and (block := read(left)):  # type: ignore[operator]
        parts.append(block)
        left -= len(block)
    return b"".join(parts)


def _text(found: Found, encoding: str) -> bytes:
    with closing(found.open()) as stream:
        text = b""
        for block in Utf8(stream, encoding):
            text += block
            if len(text) >= HEAD_BYTES:
                break
    return text[:HEAD_BYTES]
