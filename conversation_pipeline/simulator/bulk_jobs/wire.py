"""Query jobs on the wire: job JSON, CSV, locators, result pages."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from conversation_pipeline.simulator.bulk_jobs.model import Job
from conversation_pipeline.simulator.soql.evaluate import json_datetime

DELIMITERS = {"BACKQUOTE": "`", "CARET": "^", "COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "TAB": "\t"}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
_ROWS_A_CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class Spelling:
    """What of the CSV may be one way or another: integers as `3` or `3.0`, time zone, null as `""` or nothing."""

    whole_with_point: bool = False
    zone: str = "Z"
    null: str = '""'
    empty_has_header: bool = True


def created(job: Job) -> dict[str, Any]:
    """The answer to the creating call (query_create_job [doc])."""
    return {
        "id": job.id, "operation": job.operation, "object": job.sobject, "createdById": job.created_by,
        "createdDate": json_datetime(job.created_at), "systemModstamp": json_datetime(job.changed_at),
        "state": job.state, "concurrencyMode": "Parallel", "contentType": "CSV",
        "apiVersion": float(job.api_version), "lineEnding": job.dialect.line_ending,
        "columnDelimiter": job.dialect.column_delimiter,
    }  # fmt: skip


def shown(job: Job) -> dict[str, Any]:
    """The job as a poll tells it (query_get_one_job [doc]; `errorMessage` [seen])."""
    rows = len(job.values)
    return created(job) | {
        "jobType": "V2Query", "numberRecordsProcessed": rows, "retries": job.retries,
        "totalProcessingTime": 0 if job.running else 40 + rows // 20, "isPkChunkingSupported": job.pk_chunking,
    } | ({"errorMessage": job.error} if job.error else {})  # fmt: skip


def csv(job: Job, start: int, end: int, spelling: Spelling) -> Iterator[bytes]:
    """One page: the header row and rows `start` to `end`, every value quoted, in pieces."""
    if not job.values and not spelling.empty_has_header:
        return
    delimiter = DELIMITERS[job.dialect.column_delimiter]
    ending = LINE_ENDINGS[job.dialect.line_ending]
    yield (delimiter.join(f'"{column.path}"' for column in job.columns) + ending).encode()
    write = _row_writer([column.type for column in job.columns], delimiter, spelling)
    for first in range(start, end, _ROWS_A_CHUNK):
        lines = map(write, job.values[first : min(end, first + _ROWS_A_CHUNK)])
        yield (ending.join(lines) + ending).encode("utf-8", "surrogatepass")


def _row_writer(types: Sequence[str], delimiter: str, spelling: Spelling) -> Callable[[tuple[Any, ...]], str]:
    texts = {place: text for place, type_ in enumerate(types) if (text := _texts(type_, spelling)) is not None}
    between = f'"{delimiter}"'
    quotes = between.count('"') * (len(types) - 1)

    def careful(row: tuple[Any, ...]) -> str:
        cells = [texts.get(place, str)(value) if value is not None else None for place, value in enumerate(row)]
        return delimiter.join(
            [spelling.null if cell is None else '"' + cell.replace('"', '""') + '"' for cell in cells]
        )

    def quick(row: tuple[Any, ...]) -> str:
        cells = ["" if value is None else value for value in row]
        for place, text in texts.items():
            if row[place] is not None:
                cells[place] = text(row[place])
        try:
            line = between.join(cells)
        except TypeError:
            return careful(row)
        return f'"{line}"' if line.count('"') == quotes else careful(row)

    return quick if spelling.null == '""' else careful


def _texts(type_: str, spelling: Spelling) -> Callable[[Any], str] | None:
    """How a value becomes text; None for types that are text already."""
    match type_:
        case "datetime":
            return lambda value: _instant(value, spelling.zone)
        case "boolean":
            return lambda value: "true" if value else "false"
        case "int":
            return (lambda value: str(float(value))) if spelling.whole_with_point else (lambda value: str(int(value)))
        case "double":
            return lambda value: str(float(value))
        case _:
            return None


@lru_cache(maxsize=65_536)
def _instant(seconds: int, zone: str) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.000{zone}"


def locator(row: int) -> str:
    """The opaque text that stands for a first row; the documentation's samples are of this kind (`MTAwMDA`)."""
    return base64.urlsafe_b64encode(str(row).encode()).rstrip(b"=").decode()


def first_row(text: str | None) -> int | None:
    """The row that a locator stands for: 0 without one, None when it never was one."""
    if not text:
        return 0
    try:
        row = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return int(row) if row.isdecimal() else None
