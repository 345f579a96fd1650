"""
SQL over Data Cloud's tables: DuckDB in memory, read-only, shut off from everything else, with bounds.

The service's engine speaks a dialect near PostgreSQL's (Data Cloud, section 7); so does this one.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.simulator.data_cloud.rows import Tables

LONGEST_SECONDS = 60.0
MOST_BYTES = 1_000_000_000
_ENGINE_MEMORY = "1GB"
_BATCH_ROWS = 65_536
_RESULT_SCAN = re.compile(r"result_scan\s*\(\s*'([^']+)'\s*\)", re.IGNORECASE)
_CATALOGUES = re.compile(r"\b(information_schema|pg_catalog|pg_\w+)\b", re.IGNORECASE)
_NAMED = re.compile(r"('(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|::)|:([A-Za-z_]\w*)")
_POSITION = re.compile(r"^LINE (\d+): ", re.MULTILINE)
Parameters = Sequence[Any] | Mapping[str, Any] | None


class SqlError(Exception):
    """
    A statement that the engine refuses.

    Attributes:
      state: SQLSTATE, such as 42P01 for a table that does not exist.
      message, hint: what is wrong, and what may help.
      position: the line, from 1, where it is; None if not known.
    """

    def __init__(self, state: str, message: str, hint: str = "", position: int | None = None) -> None:
        super().__init__(message)
        self.state = state
        self.message = message
        self.hint = hint
        self.position = position


@dataclass(frozen=True, slots=True)
class Found:
    """A result, and how many rows were read for it (what queries are billed by)."""

    table: pa.Table
    rows_processed: int


class Engine:
    """
    One database in memory; each statement runs in a session of its own that sees no other's tables.

    Arguments:
      tables: what can be selected from.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._database = duckdb.connect(config={"threads": "1", "memory_limit": _ENGINE_MEMORY, "temp_directory": ""})
        # Neither files nor extensions, and no name in the SQL means a variable of this process.
        self._database.execute("SET enable_external_access = false")

    def run(
        self, sql: str, *, parameters: Parameters = None, zone: str = "UTC", results: Mapping[str, pa.Table]
    ) -> Found:
        """
        Run one SELECT.

        Arguments:
          parameters: a list for `?` or `$1`, a mapping for `:name`.
          zone: the time zone of the session.
          results: earlier results by query id, for `result_scan('<id>')`.

        Raises:
          SqlError: wrong, not read-only, or more than the bounds allow.
        """
        if isinstance(parameters, Mapping):
            sql = _NAMED.sub(lambda match: match[1] or f"${match[2]}", sql)
        scanned: dict[str, pa.Table] = {}
        sql = _RESULT_SCAN.sub(lambda match: _scan(match[1], results, scanned), sql)
        with self._database.cursor() as session:
            stop = threading.Timer(LONGEST_SECONDS, session.interrupt)
            stop.daemon = True
            stop.start()
            try:
                session.execute(f"SET TimeZone = '{zone.replace(chr(39), '')}'")
                _check(session, sql)
                processed = _furnish(session, sql, self._tables, scanned)
                return Found(_collected(session, sql, parameters), processed)
            except duckdb.Error as error:
                raise _refused(error) from None
            finally:
                stop.cancel()


def _scan(query_id: str, results: Mapping[str, pa.Table], scanned: dict[str, pa.Table]) -> str:
    if query_id not in results:
        raise SqlError("42P01", f'query "{query_id}" does not exist', "Results can be read until they expire.")
    scanned[f"result_scan:{query_id}"] = results[query_id]
    return f'"result_scan:{query_id}"'


def _furnish(session: duckdb.DuckDBPyConnection, sql: str, tables: Tables, scanned: Mapping[str, pa.Table]) -> int:
    """Give the session its tables, filled where the statement may read them; tells how many rows those have."""
    lowered, processed = sql.lower(), 0
    every = _CATALOGUES.search(sql) is not None
    for name in tables.names():
        mentioned = name.lower() in lowered
        if mentioned or every:
            table = tables.filled(name) if mentioned else tables.empty(name)
            processed += table.num_rows
            session.register(name, table)
    for name, table in scanned.items():
        processed += table.num_rows
        session.register(name, table)
    return processed


def _check(session: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = session.extract_statements(sql)
    if len(statements) != 1:
        raise SqlError("42601", "exactly one statement is expected", "Send one SELECT without others beside it.")
    if statements[0].type != duckdb.StatementType.SELECT:
        raise SqlError("0A000", "only SELECT statements are supported", "Data Cloud is read-only here.")


def _collected(session: duckdb.DuckDBPyConnection, sql: str, parameters: Parameters) -> pa.Table:
    relation = session.sql(sql, params=parameters)
    reader = relation.to_arrow_reader(_BATCH_ROWS)
    batches, size = [], 0
    for batch in reader:
        size += batch.nbytes
        if size > MOST_BYTES:
            raise SqlError("53200", "the result is too large", "Select fewer columns or a shorter time window.")
        batches.append(batch)
    table = pa.Table.from_batches(batches, reader.schema)
    names = _distinct(table.column_names)
    return pa.table([_plain(column) for column in table.itercolumns()], names=names)


def _distinct(names: Sequence[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        place, candidate = 1, name
        while candidate in found:
            candidate, place = f"{name}_{place}", place + 1
        found.append(candidate)
    return found


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column in one of the types that the service tells of."""
    type_ = column.type
    if pa.types.is_int8(type_) or pa.types.is_uint8(type_):
        return column.cast(pa.int16())
    if pa.types.is_unsigned_integer(type_):
        return column.cast(pa.int64() if not pa.types.is_uint64(type_) else pa.decimal128(20, 0))
    if pa.types.is_timestamp(type_):
        return column.cast(pa.timestamp("us", type_.tz))
    known = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal, pa.types.is_date32)
    if any(is_known(type_) for is_known in known):
        return column
    if pa.types.is_string(type_) or pa.types.is_null(type_):
        return column.cast(pa.string())
    if pa.types.is_date(type_):
        return column.cast(pa.date32())
    if pa.types.is_time(type_) or pa.types.is_large_string(type_):
        return pc.cast(column, pa.string())
    texts = [None if value is None else str(value) for value in column.to_pylist()]
    return pa.chunked_array([pa.array(texts, pa.string())])


_MESSAGES = (
    (re.compile(r'Table with name "?(.+?)"? does not exist'), "42P01", 'table "{}" does not exist'),
    (re.compile(r'Referenced table "(.+?)" not found'), "42P01", 'missing FROM-clause entry for table "{}"'),
    (re.compile(r'Referenced column "(.+?)" (?:not found|was not found)'), "42703", 'column "{}" does not exist'),
    (re.compile(r'does not have a column named "(.+?)"'), "42703", 'column "{}" does not exist'),
    (re.compile(r"Function with name (.+?) does not exist"), "42883", 'function "{}" does not exist'),
    (re.compile(r"Parser Error: (syntax error[^\n]*)"), "42601", "{}"),
)
_STATES = (
    (duckdb.ParserException, "42601"), (duckdb.ConversionException, "22000"), (duckdb.OutOfMemoryException, "53200"),
    (duckdb.InterruptException, "57014"), (duckdb.PermissionException, "42501"), (duckdb.BinderException, "42000"),
)  # fmt: skip


def _refused(error: duckdb.Error) -> SqlError:
    """The engine's refusal in the service's words."""
    text = str(error)
    line = _POSITION.search(text)
    position = int(line[1]) if line else None
    for pattern, state, message in _MESSAGES:
        match = pattern.search(text)
        if match:
            return SqlError(state, message.format(match[1]), _hint(state), position)
    state = next((state for kind, state in _STATES if isinstance(error, kind)), "XX000")
    first = text.splitlines()[0] if text else "the query failed"
    return SqlError(state, first.partition(": ")[2] or first, _hint(state), position)


def _hint(state: str) -> str:
    return {
        "42P01": "Objects are listed by the metadata service; the data stream may not be deployed.",
        "42703": "Columns are listed by the metadata service; quote names in their exact case.",
        "57014": "Select a shorter time window.", "53200": "Select fewer columns or a shorter time window.",
    }.get(state, "")  # fmt: skip


def bound(type_: str, value: Any) -> Any:
    """
    A query parameter as the engine takes it, by its declared type.

    Raises:
      SqlError: the value is none of that type.
    """
    if value is None:
        return None
    try:
        match type_.lower():
            case "timestamptz" | "timestamp":
                return datetime.fromisoformat(str(value))
            case "date":
                return date.fromisoformat(str(value))
            case "numeric" | "decimal":
                return Decimal(str(value))
            case "double" | "float":
                return float(value)
            case "int" | "integer" | "bigint" | "smallint":
                return int(value)
            case "bool" | "boolean":
                return value if isinstance(value, bool) else str(value).lower() == "true"
            case _:
                return str(value)
    except (ValueError, ArithmeticError):
        raise SqlError("22000", f"a parameter is no {type_}") from None
