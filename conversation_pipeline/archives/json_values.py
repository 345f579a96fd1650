"""JSON of any of the public spellings as batches of text cells, one value at a time from a stream."""

from __future__ import annotations

import codecs
import json
from collections import Counter
from collections.abc import Iterator

import msgspec
import pyarrow as pa

from conversation_pipeline.archives.aliases import meanings
from conversation_pipeline.archives.errors import Unreadable

LINES = "json lines"
WRAPPED_LINES = "json lines with wrapper"
ARRAY = "json array"
OBJECT = "json object"

NO_JSON = "line that is no JSON object"
NO_ENTRY = "JSON value that is no object"

CHILD_LISTS = ("entries", "conversationEntries", "conversation_entries", "messages", "transcript", "data", "records")
_ROWS_A_BATCH = 8_192
_SMALL = 4 * 2**20
"""Characters of an object that is parsed in one piece."""
_CONVERSATION = "conversation"
_WRAPPERS = (_CONVERSATION, "conversationEntry")
_OF_ALL_ENTRIES = ("conversation_identifier", "conversation", "messaging_session_id", "voice_call_id")
_BROKEN = "JSON that breaks off or is spoilt; rows before that place were read"
_WHITE = " \t\r\n"

Row = dict[str, str | None]

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_raw = json.JSONDecoder().raw_decode


def sniffed(head: bytes) -> str | None:
    """Which of the JSON formats a text that begins so has; ``None`` for none."""
    text = head.decode(errors="ignore").lstrip()
    if text.startswith("["):
        return ARRAY
    if not text.startswith("{"):
        return None
    line, _, more = text.partition("\n")
    try:
        first = json.loads(line)
    except ValueError:
        return OBJECT
    if {"type", "payload"} <= first.keys() and first["type"] in _WRAPPERS:
        return WRAPPED_LINES
    holds_entries = any(isinstance(value, list) for name, value in first.items() if name in CHILD_LISTS)
    return OBJECT if holds_entries and not more.strip() else LINES


def cells(blocks: Iterator[bytes], kind: str, longest: int, left_out: Counter[str]) -> Iterator[pa.RecordBatch]:
    """
    The entries of a JSON text, every member a text cell: JSON for what is no text, null for null.

    Args:
        kind: What ``sniffed`` said.
        longest: Most characters of one value.
        left_out: Counts what is not handed on, by reason.

    Raises:
        Unreadable: the text breaks off, or one value is longer than that.
    """
    if kind in (LINES, WRAPPED_LINES):
        rows = _of_lines(_lines(blocks, longest), left_out, wrapped=kind == WRAPPED_LINES)
    elif kind == ARRAY:
        rows = _of_array(_Text(blocks, longest), left_out)
    else:
        rows = _of_objects(_Text(blocks, longest), left_out)
    yield from _batches(rows)


def _batches(rows: Iterator[Row]) -> Iterator[pa.RecordBatch]:
    waiting: list[Row] = []
    broken: Unreadable | None = None
    try:
        for row in rows:
            waiting.append(row)
            if len(waiting) == _ROWS_A_BATCH:
                yield _batch(waiting)
                waiting = []
    except Unreadable as error:
        broken = error
    if waiting:
        yield _batch(waiting)
    if broken is not None:
        raise broken


def _batch(rows: list[Row]) -> pa.RecordBatch:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.record_batch([pa.array([row.get(name) for row in rows], pa.string()) for name in names], names)


def _lines(blocks: Iterator[bytes], longest: int) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
        if len(rest) > longest:
            raise Unreadable(f"a line of more than {longest:,} bytes; rows before it were read")
    yield rest


def _of_lines(lines: Iterator[bytes], left_out: Counter[str], *, wrapped: bool) -> Iterator[Row]:
    parent: Row = {}
    for line in lines:
        if not line.strip():
            continue
        row = _row(line)
        if row is None:
            left_out[NO_JSON] += 1
        elif not wrapped or row.get("type") not in _WRAPPERS:
            yield from _entries(row, left_out)
        else:
            inner = _row((row.get("payload") or "").encode())
            if inner is None:
                left_out[NO_ENTRY] += 1
            elif row["type"] == _CONVERSATION:
                parent = inner
            else:
                yield parent | inner


def _row(line: bytes) -> Row | None:
    try:
        return {name: _cell(bytes(raw)) for name, raw in _members(line).items()}
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _cell(text: bytes) -> str | None:
    if text == b"null":
        return None
    if text.startswith(b'"'):
        return str(msgspec.json.decode(text)) or None
    return text.decode()


def _of_array(text: _Text, left_out: Counter[str]) -> Iterator[Row]:
    for item in text.items():
        yield from _item(item, left_out)


def _of_objects(text: _Text, left_out: Counter[str]) -> Iterator[Row]:
    """Objects one after the other; where one is too long to hold, its lists are streamed."""
    while text.peek():
        whole = text.small()
        if whole is not None:
            yield from _item(whole, left_out)
        else:
            yield from _streamed(text, left_out)


def _streamed(text: _Text, left_out: Counter[str]) -> Iterator[Row]:
    told: Row = {}
    for name in text.names():
        if name in CHILD_LISTS and text.peek() == "[":
            parent = _parent(told)
            for item in text.items():
                for row in _item(item, left_out):
                    yield parent | row
        else:
            told[name] = _cell(text.value().encode())


def _item(item: str, left_out: Counter[str]) -> Iterator[Row]:
    row = _row(item.encode())
    if row is None:
        left_out[NO_ENTRY] += 1
    else:
        yield from _entries(row, left_out)


def _entries(row: Row, left_out: Counter[str]) -> Iterator[Row]:
    """The entries of one object: itself, or those that it holds as a conversation does."""
    lists = [name for name in CHILD_LISTS if (row.get(name) or "").startswith("[")]
    if not lists:
        yield row
        return
    parent = _parent({name: value for name, value in row.items() if name not in lists})
    for name in lists:
        for raw in msgspec.json.decode(row[name] or "[]", type=list[msgspec.Raw]):
            child = _row(bytes(raw))
            if child is None:
                left_out[NO_ENTRY] += 1
            else:
                yield parent | child


def _parent(told: Row) -> Row:
    """What a conversation says of all its entries: which one it is."""
    names, places = list(told), meanings(list(told))
    inherited = {names[place]: told[names[place]] for meaning in _OF_ALL_ENTRIES for place in places.get(meaning, ())}
    if not {"conversation_identifier", "conversation"} & places.keys():
        named = [told[names[place]] for place in places.get("entry_identifier", ())]
        inherited |= {"conversationIdentifier": named[0]} if named else {}
    return inherited


class _Text:
    """A JSON text that arrives in pieces, taken apart from its front."""

    def __init__(self, blocks: Iterator[bytes], longest: int) -> None:
        self._pieces = codecs.iterdecode(blocks, "utf-8", "replace")
        self._longest = longest
        self._text = ""
        self._at = 0

    def peek(self) -> str:
        """The next character that is not white; empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _WHITE:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, expected: str) -> str:
        """The next character, which has to be one of these."""
        char = self.peek()
        if not char or char not in expected:
            raise Unreadable(_BROKEN)
        self._at += 1
        return char

    def value(self) -> str:
        """The text of the next value."""
        while (found := self._next()) is None:
            if len(self._text) - self._at > self._longest:
                raise self._too_long()
            if not self._more():
                raise Unreadable(_BROKEN)
        if len(found) > self._longest:
            raise self._too_long()
        return found

    def _too_long(self) -> Unreadable:
        return Unreadable(f"a JSON value of more than {self._longest:,} characters; rows before it were read")

    def small(self) -> str | None:
        """The text of the next value, if it is a small and whole one; else nothing is taken."""
        while (found := self._next()) is None:
            if len(self._text) - self._at > _SMALL or not self._more():
                return None
        return found

    def _next(self) -> str | None:
        """The next value, if all of it is here."""
        self.peek()
        try:
            _, end = _raw(self._text, self._at)
        except (ValueError, RecursionError):
            return None
        if end == len(self._text) and self._text[-1] not in ']}"' and self._more():
            return self._next()  # a number may go on in the next piece
        text, self._at = self._text[self._at : end], end
        return text

    def items(self) -> Iterator[str]:
        """The texts of the next list's items."""
        self.take("[")
        if self.peek() == "]":
            self._at += 1
            return
        while True:
            yield self.value()
            if self.take(",]") == "]":
                return

    def names(self) -> Iterator[str]:
        """The names of the next object's members; whoever asks takes each value before the next name."""
        self.take("{")
        if self.peek() == "}":
            self._at += 1
            return
        while True:
            name = json.loads(self.value())
            self.take(":")
            yield str(name)
            if self.take(",}") == "}":
                return

    def _more(self) -> bool:
        """Read on, at least as much again as is here: a long value is tried only a few times."""
        self._text, self._at = self._text[self._at :], 0
        wanted, pieces = max(1, len(self._text)), []
        while wanted > 0 and (piece := next(self._pieces, "")):
            pieces.append(piece)
            wanted -= len(piece)
        self._text += "".join(pieces)
        return bool(pieces)
