"""Delimited text as batches of text cells: pyarrow's streaming reader, rows of the wrong width set aside."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa
import pyarrow.csv as pacsv

from conversation_pipeline.archives.encodings import File
from conversation_pipeline.archives.errors import Unreadable

DELIMITERS = ",;\t|"
WRONG_WIDTH = "row with more or fewer cells than the header"

_BLOCK_BYTES = (4 * 2**20, 64 * 2**20)
"""Sizes of what is parsed at a time; the larger one for members with a row that does not fit the smaller."""
_QUOTED = re.compile(r'"[^"]*"')


@dataclass(frozen=True)
class Header:
    """
    A table's first row.

    Attributes:
        length: Bytes up to the next row, as UTF-8.
    """

    delimiter: str
    columns: tuple[str, ...]
    length: int


def header(head: bytes) -> Header:
    """The first row of a table that begins so; its quoted names may hold line ends."""
    text = head.decode(errors="ignore")
    end, quoted = len(text), False
    for place, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif char in "\r\n" and not quoted:
            end = place
            break
    line = text[:end]
    bare = _QUOTED.sub("", line)
    delimiter = max(DELIMITERS, key=bare.count)
    columns = next(csv.reader([line], delimiter=delimiter), [])
    line_end = 2 if text[end : end + 2] == "\r\n" else 1
    return Header(delimiter, tuple(columns), len(text[:end].encode()) + line_end)


def cells(blocks: Callable[[], Iterator[bytes]], header: Header, left_out: Counter[str]) -> Iterator[pa.RecordBatch]:
    """
    The rows of a table, every cell a text, empty ones null.

    Args:
        blocks: Gives the text from its beginning, as UTF-8.
        left_out: Counts the rows that are not handed on, by reason.

    Raises:
        Unreadable: the table breaks off, or a row is longer than 64 MB.
    """
    done = 0
    for size in _BLOCK_BYTES:
        left_out.pop(WRONG_WIDTH, None)
        try:
            for batch in _rows(blocks(), header, size, left_out, skip=done):
                done += batch.num_rows
                yield batch
            return
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error):
                # pyarrow's own text quotes the row.
                raise Unreadable("a table that breaks off; rows before the break were read") from None
    raise Unreadable(f"a row of more than {_BLOCK_BYTES[-1]:,} bytes; rows before it were read")


def _rows(
    blocks: Iterator[bytes], header: Header, size: int, left_out: Counter[str], *, skip: int
) -> Iterator[pa.RecordBatch]:
    def set_aside(_row: pacsv.InvalidRow) -> str:
        left_out[WRONG_WIDTH] += 1
        return "skip"

    # Two columns may have one name, so they are read by their places.
    places = [str(place) for place in range(len(header.columns))]
    rows = _after(blocks, header.length)
    first = next(rows, None)
    if first is None:
        return
    with pacsv.open_csv(
        pa.PythonFile(File(chain([first], rows)), mode="r"),
        read_options=pacsv.ReadOptions(block_size=size, column_names=places),
        parse_options=pacsv.ParseOptions(
            delimiter=header.delimiter, newlines_in_values=True, invalid_row_handler=set_aside, ignore_empty_lines=True
        ),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(places, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    ) as reader:
        for batch in reader:
            if batch.num_rows <= skip:
                skip -= batch.num_rows
                continue
            yield batch.slice(skip).rename_columns(list(header.columns))
            skip = 0


def _after(blocks: Iterator[bytes], length: int) -> Iterator[bytes]:
    for block in blocks:
        if length < len(block):
            yield block[length:] if length else block
        length = max(0, length - len(block))
