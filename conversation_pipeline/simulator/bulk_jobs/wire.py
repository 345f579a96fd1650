"""Query jobs on the wire: job JSON, CSV, locators, result pages."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
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
    writers = [_writer(column.type, spelling) for column in job.columns]
    yield (delimiter.join(f'"{column.path}"' for column in job.columns) + ending).encode()
    for first in range(start, end, _ROWS_A_CHUNK):
        lines = [
            delimiter.join([spelling.null if v is None else write(v) for write, v in zip(writers, row, strict=True)])
            for row in job.values[first : min(end, first + _ROWS_A_CHUNK)]
        ]
        yield (ending.join(lines) + ending).encode("utf-8", "surrogatepass")


def _writer(type_: str, spelling: Spelling) -> Callable[[Any], str]:
    match type_:
        case "datetime":
            return lambda value: _instant(int(value), spelling.zone)
        case "boolean":
            return lambda value: '"true"' if value else '"false"'
        case "int":
            return lambda value: f'"{float(value)}"' if spelling.whole_with_point else f'"{int(value)}"'
        case "double":
            return lambda value: f'"{float(value)}"'
        case _:
            return lambda value: f'"{_doubled(str(value))}"'


def _doubled(text: str) -> str:
    return text.replace('"', '""') if '"' in text else text


@lru_cache(maxsize=65_536)
def _instant(seconds: int, zone: str) -> str:
    return f'"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.000{zone}"'


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
