"""Results on the wire: rows as JSON arrays or Arrow streams, types and errors in the spelling of each API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from starlette.requests import Request
from starlette.responses import Response

from conversation_pipeline.simulator.data_cloud.engine import SqlError
from conversation_pipeline.simulator.endpoint import json_response

ARROW_STREAM = "application/vnd.apache.arrow.stream"
STATUS_HEADER = "x-hyperdb-status"
_BLOCK_ROWS = 1_000
_V2_TYPES = {
    "varchar": ("VARCHAR", 12), "numeric": ("DECIMAL", 3), "date": ("DATE", 91), "timestamp": ("TIMESTAMP", 93),
    "timestamptz": ("TIMESTAMP WITH TIME ZONE", 2014), "bool": ("BOOLEAN", 16), "smallint": ("SMALLINT", 5),
    "int": ("INTEGER", 4), "bigint": ("BIGINT", -5), "float": ("REAL", 7), "double": ("DOUBLE", 8),
}  # fmt: skip
_CONNECT_TYPES = {
    "varchar": "Varchar", "numeric": "Numeric", "date": "Date", "timestamp": "Timestamp", "timestamptz": "TimestampTZ",
    "bool": "Bool", "smallint": "SmallInt", "int": "Integer", "bigint": "BigInt", "float": "Float", "double": "Double",
}  # fmt: skip


def type_name(type_: pa.DataType) -> str:
    """The SQL name of a column's type, as v3 tells it."""
    if pa.types.is_timestamp(type_):
        return "timestamptz" if type_.tz else "timestamp"
    tests = ((pa.types.is_decimal, "numeric"), (pa.types.is_boolean, "bool"), (pa.types.is_date, "date"),
             (pa.types.is_int64, "bigint"), (pa.types.is_int32, "int"), (pa.types.is_int16, "smallint"),
             (pa.types.is_float64, "double"), (pa.types.is_floating, "float"))  # fmt: skip
    return next((name for is_type, name in tests if is_type(type_)), "varchar")


@dataclass(frozen=True, slots=True)
class Form:
    """
    How cells are written.

    Attributes:
      instant: strftime pattern of timestamps with a zone; without one the zone is left out.
      number: how a decimal is written.
    """

    instant: str
    number: Callable[[Any], Any]

    def column(self, values: pa.ChunkedArray) -> list[Any]:
        """One column's cells as JSON values."""
        type_ = values.type
        if pa.types.is_timestamp(type_):
            pattern = (
                self.instant if type_.tz else self.instant.removesuffix("Z").removesuffix("+00").removesuffix(" UTC")
            )
            utc = values.cast(pa.timestamp("ms", type_.tz), safe=False)
            return pc.strftime(utc, format=pattern).to_pylist()  # type: ignore[no-any-return]
        if pa.types.is_date(type_):
            return [value and value.isoformat() for value in values.to_pylist()]
        if pa.types.is_decimal(type_):
            return [None if value is None else self.number(value) for value in values.to_pylist()]
        return values.to_pylist()  # type: ignore[no-any-return]


def _plain_number(value: Any) -> Any:
    return int(value) if value == int(value) else float(value)


ISO = Form("%Y-%m-%dT%H:%M:%SZ", _plain_number)
SQL = Form("%Y-%m-%d %H:%M:%S+00", _plain_number)
V2 = Form("%Y-%m-%d %H:%M:%S UTC", lambda value: f"{value:.18f}")


def rows(table: pa.Table, form: Form, most_bytes: int) -> list[str]:
    """
    The first rows as JSON texts, as many as fit into that many bytes; one at least.

    Arguments:
      table: what is left to send.
    """
    found: list[str] = []
    size = 0
    for start in range(0, table.num_rows, _BLOCK_ROWS):
        block = table.slice(start, _BLOCK_ROWS)
        columns = [form.column(column) for column in block.itercolumns()]
        for row in zip(*columns, strict=True):
            text = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
            size += len(text.encode()) + 1
            if found and size > most_bytes:
                return found
            found.append(text)
    return found


def arrow(table: pa.Table) -> bytes:
    """The rows as one Arrow IPC stream; the schema always comes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=65_536)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def arrow_page(table: pa.Table, most_bytes: int) -> bytes:
    """The first rows as an Arrow stream of at most that many bytes; one row at least."""
    count = table.num_rows
    while True:
        body = arrow(table.slice(0, count))
        if len(body) <= most_bytes or count <= 1:
            return body
        count = max(1, min(count - 1, count * most_bytes // len(body)))


def v3_columns(table: pa.Table) -> list[dict[str, Any]]:
    """`columns` of v3's metadata."""
    return [_described(field, type_name(field.type)) for field in table.schema]


def connect_columns(table: pa.Table) -> list[dict[str, Any]]:
    """`metadata` of query-sql."""
    return [_described(field, _CONNECT_TYPES[type_name(field.type)]) for field in table.schema]


def v2_columns(table: pa.Table) -> dict[str, dict[str, Any]]:
    """`metadata` of v2: a map without order, as the reply of the real service has none."""
    found = {}
    for place, field in enumerate(table.schema):
        name, code = _V2_TYPES[type_name(field.type)]
        found[field.name] = {"type": name, "placeInOrder": place, "typeCode": code}
    return dict(sorted(found.items(), key=lambda item: item[0][::-1]))


def _described(field: pa.Field, name: str) -> dict[str, Any]:
    decimal = pa.types.is_decimal(field.type)
    return {
        "name": field.name, "type": name, "nullable": True,
        "precision": field.type.precision if decimal else None, "scale": field.type.scale if decimal else None,
    }  # fmt: skip


def json_page(content: dict[str, Any], data: list[str] | None, headers: dict[str, str] | None = None) -> Response:
    """An object with rows that are JSON texts already as its member `data`; None leaves the member out."""
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    if data is not None:
        told = ',"data":[' + ",".join(data) + "]}"
        body = body[:-1] + (told if content else told[1:])
    return Response(body.encode(), 200, headers, media_type="application/json;charset=UTF-8")


def pieces(body: bytes) -> Iterator[bytes]:
    """A body for chunked transfer."""
    step = 1 << 18
    for start in range(0, len(body), step):
        yield body[start : start + step]


def instant(milliseconds: int) -> str:
    """`2026-01-03T03:04:05Z`."""
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def refused(
    request: Request, status: int, error: str, message: str, *, now: str, tenant: str,
    details: dict[str, Any] | None = None, headers: dict[str, str] | None = None,
) -> Response:  # fmt: skip
    """An error of the tenant host [seen]."""
    return json_response({
        "timestamp": now, "error": error, "message": message, "path": request.url.path, "tenantId": tenant,
        "internalErrorCode": "COMMON_ERROR_GENERIC", "details": details or {},
    }, status, headers)  # fmt: skip


def engine_details(error: SqlError) -> dict[str, Any]:
    """What the engine tells of a refused statement (rich errors [doc]; member names [seen])."""
    return {"primaryMessage": error.message, "sqlState": error.state, "customerHint": error.hint,
            "customerDetail": None, "position": error.position}  # fmt: skip
