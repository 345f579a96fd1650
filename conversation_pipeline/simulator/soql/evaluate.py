"""What a parsed query means over the org's rows: checked against the schema, compiled to functions, then run."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol

from conversation_pipeline.simulator.soql.errors import SoqlError
from conversation_pipeline.simulator.soql.grammar import (
    Call,
    Column,
    Comparison,
    Condition,
    Expression,
    Literal,
    Logical,
    Query,
    unescape,
)
from conversation_pipeline.simulator.world.ids import to_18
from conversation_pipeline.simulator.world.records import Row, Value
from conversation_pipeline.simulator.world.schema import NAME_OBJECT, TEXTUAL, Field, SObject

Getter = Callable[[Row], Any]
Test = Callable[[Row], bool]

AGGREGATES = frozenset({"COUNT", "COUNT_DISTINCT", "MIN", "MAX", "SUM", "AVG"})
_ORDERED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_LITERAL_KINDS = {
    "datetime": ("datetime", "dateTime", False), "date": ("date", "date", False),
    "boolean": ("boolean", "boolean", False), "int": ("number", "int", False), "double": ("number", "double", False),
}  # fmt: skip
_DATE_PARTS: dict[str, tuple[str, Callable[[datetime], Any]]] = {
    "DAY_ONLY": ("date", lambda t: t.strftime("%Y-%m-%d")),
    "CALENDAR_YEAR": ("int", lambda t: t.year),
    "CALENDAR_MONTH": ("int", lambda t: t.month),
    "DAY_IN_MONTH": ("int", lambda t: t.day),
    "HOUR_IN_DAY": ("int", lambda t: t.hour),
}
MAX_OFFSET = 2000
_MAX_LEVELS = 5


class Tables(Protocol):
    """What a query reads: the objects as the asking user sees them, and their rows at one instant."""

    now: int

    def sobject(self, name: str) -> SObject | None:
        """The object without the columns that are hidden, or None when it is absent."""

    def rows(self, sobject: str, *, include_deleted: bool) -> Iterable[Row]:
        """The rows of an object."""

    def row(self, identifier: str, *, include_deleted: bool) -> tuple[str, Row] | None:
        """The object's name and the row with that 18-character id."""


@dataclass(frozen=True, slots=True)
class Selected:
    """A selected column as a flat table has it: its dotted path, its describe type, its value in a row."""

    path: str
    type: str
    get: Getter


@dataclass(frozen=True, slots=True)
class Result:
    """
    The answer to a query, rendered page by page.

    Attributes:
      total: `totalSize`; for COUNT() the count itself, and then there are no records.
      rows: what `render` turns into records.
      render: one record as JSON-ready values; the argument is the API version's path, `/services/data/v66.0`.
      columns: the selected columns of rows that are no groups, in the order of the query.
    """

    total: int
    rows: Sequence[Any]
    render: Callable[[Any, str], dict[str, Any]]
    columns: tuple[Selected, ...] = ()


@lru_cache(maxsize=65536)
def json_datetime(seconds: int) -> str:
    """A datetime as REST JSON spells it: `2026-03-12T09:36:04.000+0000` [doc samples]."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def render_value(type_: str, value: Value) -> Any:
    """One value as REST JSON shows it for its describe type."""
    if type_ == "datetime" and value is not None:
        return json_datetime(int(value))
    if type_ == "double" and value is not None:
        return float(value)
    return bool(value) if type_ == "boolean" else value


def run(query: Query, tables: Tables, *, include_deleted: bool) -> Result:
    """
    Check and run a query.

    Raises:
      SoqlError: INVALID_TYPE, INVALID_FIELD, MALFORMED_QUERY, INVALID_QUERY_FILTER_OPERATOR or
        NUMBER_OUTSIDE_VALID_RANGE.
    """
    return _Run(query, tables, include_deleted).result()


@dataclass(slots=True)
class _Branch:
    """A selected lookup: which column leads on, and what is wanted of the record it points at."""

    lookup: Field
    leaves: dict[str, Field | _Branch] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Resolved:
    lookups: tuple[Field, ...]
    column: Field

    @property
    def path(self) -> str:
        return ".".join([*(str(lookup.relationship_name) for lookup in self.lookups), self.column.name])


class _Run:
    def __init__(self, query: Query, tables: Tables, include_deleted: bool) -> None:
        self._query = query
        self._tables = tables
        self._include_deleted = include_deleted
        sobject = tables.sobject(query.sobject)
        if sobject is None or not sobject.queryable:
            raise SoqlError.at(
                "INVALID_TYPE",
                f"sObject type '{query.sobject}' is not supported. If you are attempting to use a custom object, be "
                "sure to append the '__c' after the entity name. Please reference your WSDL or the describe call for "
                "the appropriate names.",
                query.text,
                query.sobject_at,
            )
        self._sobject = sobject

    def result(self) -> Result:
        if (self._query.offset or 0) > MAX_OFFSET:
            raise SoqlError("NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {MAX_OFFSET}")
        keep = self._condition(self._query.where) if self._query.where else None
        if self._is_count():
            count = len(self._cut(self._filtered(keep)))
            return Result(count, (), lambda _row, _base: {})
        if self._query.group_by or any(self._is_aggregate(item.expression) for item in self._query.items):
            return self._grouped(keep)
        return self._plain(keep)

    def _is_count(self) -> bool:
        items = self._query.items
        if any(isinstance(i.expression, Call) and i.expression == Call("COUNT", None, i.expression.at) for i in items):
            if len(items) > 1 or self._query.group_by:
                raise SoqlError("MALFORMED_QUERY", "COUNT() stands alone; use COUNT(Id) beside other columns")
            return True
        return False

    def _filtered(self, keep: Test | None) -> list[Row]:
        rows = self._tables.rows(self._sobject.name, include_deleted=self._include_deleted)
        return [row for row in rows if keep is None or keep(row)]

    def _cut(self, rows: list[Any]) -> list[Any]:
        start = self._query.offset or 0
        end = None if self._query.limit is None else start + self._query.limit
        return rows[start:end]

    # Rows as they are.

    def _plain(self, keep: Test | None) -> Result:
        tree: dict[str, Field | _Branch] = {}
        selected: dict[str, Selected] = {}
        for item in self._query.items:
            for column in self._columns(item.expression):
                resolved = self._resolve(column)
                self._graft(tree, resolved)
                selected[resolved.path] = Selected(resolved.path, resolved.column.type, self._getter(column))
        keys = [
            (self._sort_key(o.expression, self._getter(o.expression)), o.descending, o.nulls_last)
            for o in self._query.order_by
        ]
        rows = _sorted(self._filtered(keep), keys)
        rows = self._cut(rows)
        name = self._sobject.name
        return Result(
            len(rows), rows, lambda row, base: self._record(name, name, row, tree, base), tuple(selected.values())
        )

    def _columns(self, expression: Expression) -> list[Column]:
        if isinstance(expression, Column):
            return [expression]
        if expression.function != "FIELDS" or expression.argument is None:
            raise SoqlError.at(
                "MALFORMED_QUERY", f"unexpected token: '{expression.function}'", self._query.text, expression.at
            )
        if expression.argument.path.upper() != "STANDARD" and not 0 < (self._query.limit or 0) <= 200:
            raise SoqlError("MALFORMED_QUERY", "The SOQL FIELDS function must have a LIMIT of at most 200")
        return [Column(column.name, expression.at) for column in self._sobject.fields]

    def _graft(self, tree: dict[str, Field | _Branch], resolved: _Resolved) -> None:
        for lookup in resolved.lookups:
            name = str(lookup.relationship_name)
            branch = tree.get(name)
            if not isinstance(branch, _Branch):
                branch = tree[name] = _Branch(lookup)
            tree = branch.leaves
        tree[resolved.column.name] = resolved.column

    def _record(
        self, shown: str, sobject: str, row: Row, tree: dict[str, Field | _Branch], base: str
    ) -> dict[str, Any]:
        record: dict[str, Any] = {"attributes": {"type": shown, "url": f"{base}/sobjects/{sobject}/{row['Id']}"}}
        for name, leaf in tree.items():
            if isinstance(leaf, Field):
                record[name] = render_value(leaf.type, row.get(name))
                continue
            found = self._follow(row, leaf.lookup)
            polymorphic = leaf.lookup.polymorphic
            record[name] = found and self._record(
                "Name" if polymorphic else found[0], found[0], found[1], leaf.leaves, base
            )
        return record

    # Rows in groups.

    def _grouped(self, keep: Test | None) -> Result:
        wanted = {str(expression).lower() for expression in self._query.group_by}
        for item in self._query.items:
            if not self._is_aggregate(item.expression) and str(item.expression).lower() not in wanted:
                raise SoqlError.at(
                    "MALFORMED_QUERY",
                    f"Field must be grouped or aggregated: {item.expression}",
                    self._query.text,
                    item.expression.at,
                )
        getters = [self._getter(expression) for expression in self._query.group_by]
        groups: dict[tuple[Any, ...], list[Row]] = {}
        for row in self._filtered(keep):
            groups.setdefault(tuple(get(row) for get in getters), []).append(row)
        if not self._query.group_by:
            groups = {(): groups.get((), [])}
        measures = [(name, self._measure(expression), self._type(expression)) for name, expression in self._named()]
        found = list(groups.values())
        keys = [
            (self._sort_key(o.expression, self._measure(o.expression)), o.descending, o.nulls_last)
            for o in self._query.order_by
        ]
        found = self._cut(_sorted(found, keys))

        def render(rows: list[Row], _base: str) -> dict[str, Any]:
            values = {name: render_value(type_, measure(rows)) for name, measure, type_ in measures}
            return {"attributes": {"type": "AggregateResult"}, **values}

        return Result(len(found), found, render)

    def _named(self) -> list[tuple[str, Expression]]:
        named, unnamed = [], 0
        for item in self._query.items:
            name = item.alias
            if name is None and isinstance(item.expression, Column):
                name = item.expression.path.rpartition(".")[2]
            if name is None:
                name, unnamed = f"expr{unnamed}", unnamed + 1
            named.append((name, item.expression))
        return named

    def _is_aggregate(self, expression: Expression) -> bool:
        return isinstance(expression, Call) and expression.function in AGGREGATES

    def _measure(self, expression: Expression) -> Callable[[list[Row]], Any]:
        if not isinstance(expression, Call) or expression.function not in AGGREGATES:
            get = self._getter(expression)
            return lambda rows: get(rows[0]) if rows else None
        if expression.argument is None:
            return len
        get = self._getter(expression.argument)
        reduce = _REDUCTIONS[expression.function]
        return lambda rows: reduce([value for value in map(get, rows) if value is not None])

    def _type(self, expression: Expression) -> str:
        if isinstance(expression, Column):
            return self._resolve(expression).column.type
        if expression.argument is None or expression.function in ("COUNT", "COUNT_DISTINCT"):
            return "int"
        if expression.function in ("SUM", "AVG"):
            return "double" if expression.function == "AVG" else "number"
        if expression.function in _DATE_PARTS:
            return _DATE_PARTS[expression.function][0]
        return self._type(expression.argument)

    # Columns.

    def _resolve(self, column: Column) -> _Resolved:
        *path, last = column.path.split(".")
        if path and path[0].lower() in {(self._query.alias or "").lower(), self._sobject.name.lower()}:
            path = path[1:]
        if len(path) > _MAX_LEVELS:
            raise SoqlError("MALFORMED_QUERY", f"SOQL statements cannot follow more than {_MAX_LEVELS} lookups")
        sobject, lookups = self._sobject, []
        for step in path:
            lookup = sobject.relationship(step)
            target = self._target(lookup) if lookup else None
            if lookup is None or target is None:
                message = f"Didn't understand relationship '{step}' in field path. If you are attempting to use a " \
                    "custom relationship, be sure to append the '__r' after the custom relationship name."  # fmt: skip
                raise SoqlError.at("INVALID_FIELD", message, self._query.text, column.at)
            lookups.append(lookup)
            sobject = target
        found = sobject.field(last)
        if found is None:
            raise SoqlError.at(
                "INVALID_FIELD",
                f"No such column '{last}' on entity '{sobject.name}'. If you are attempting to use a custom field, be "
                "sure to append the '__c' after the custom field name. Please reference your WSDL or the describe "
                "call for the appropriate names.",
                self._query.text,
                column.at,
            )
        return _Resolved(tuple(lookups), found)

    def _target(self, lookup: Field) -> SObject | None:
        return NAME_OBJECT if lookup.polymorphic else self._tables.sobject(lookup.reference_to[0])

    def _follow(self, row: Row, lookup: Field) -> tuple[str, Row] | None:
        identifier = row.get(lookup.name)
        if not identifier:
            return None
        found = self._tables.row(str(identifier), include_deleted=self._include_deleted)
        if found and lookup.polymorphic:
            name, target = found
            return name, {"Type": name, **target}
        return found

    def _getter(self, expression: Expression) -> Getter:
        if isinstance(expression, Call):
            return self._part_of_date(expression)
        resolved = self._resolve(expression)
        name, boolean = resolved.column.name, resolved.column.type == "boolean"

        def own(row: Row) -> Any:
            value = row.get(name)
            return bool(value) if boolean else value

        if not resolved.lookups:
            return own

        def followed(row: Row) -> Any:
            for lookup in resolved.lookups:
                found = self._follow(row, lookup)
                if found is None:
                    return None
                row = found[1]
            return own(row)

        return followed

    def _part_of_date(self, call: Call) -> Getter:
        if call.function not in _DATE_PARTS or call.argument is None:
            raise SoqlError.at("MALFORMED_QUERY", f"unexpected token: '{call.function}'", self._query.text, call.at)
        if self._resolve(call.argument).column.type != "datetime":
            raise SoqlError.at("INVALID_FIELD", f"{call} needs a dateTime column", self._query.text, call.at)
        get, part = self._getter(call.argument), _DATE_PARTS[call.function][1]

        def value(row: Row) -> Any:
            seconds = get(row)
            return None if seconds is None else part(datetime.fromtimestamp(seconds, UTC))

        return value

    def _sort_key(self, expression: Expression, get: Callable[[Any], Any]) -> Callable[[Any], Any]:
        fold = _fold_of(self._type(expression))
        return lambda row: fold(get(row))

    # Conditions.

    def _condition(self, condition: Condition) -> Test:
        if isinstance(condition, Comparison):
            return self._comparison(condition)
        tests = [self._condition(part) for part in condition.parts]
        return _logical(condition, tests)

    def _comparison(self, comparison: Comparison) -> Test:
        column = self._filterable(comparison.expression)
        get = self._getter(comparison.expression)
        self._check_operator(column, comparison)
        if comparison.query is not None:
            return self._semi_join(comparison.query, comparison.operator, get)
        for literal in comparison.literals:
            self._check_literal(column, literal, comparison.expression)
        if comparison.operator == "LIKE":
            pattern = _like(str(comparison.literals[0].value))
            return lambda row: (value := get(row)) is not None and pattern.fullmatch(str(value)) is not None
        if any(literal.kind == "relative" for literal in comparison.literals):
            return self._relative(comparison, get)
        values = [self._operand(column, literal) for literal in comparison.literals]
        fold = _fold_of(column.type)
        if comparison.operator in ("IN", "="):
            wanted = frozenset(values)
            return lambda row: fold(get(row)) in wanted
        if comparison.operator in ("NOT IN", "!="):
            unwanted = frozenset(values)
            return lambda row: fold(get(row)) not in unwanted
        compare, bound = _ORDERED[comparison.operator], values[0]
        return lambda row: (value := fold(get(row))) is not None and bound is not None and compare(value, bound)

    def _filterable(self, expression: Expression) -> Field:
        if isinstance(expression, Call):
            self._getter(expression)
            return Field(str(expression), _DATE_PARTS[expression.function][0])
        column = self._resolve(expression).column
        if not column.filterable:
            raise SoqlError.at(
                "INVALID_FIELD",
                f"field '{column.name}' can not be filtered in a query call",
                self._query.text,
                expression.at,
            )
        return column

    def _check_operator(self, column: Field, comparison: Comparison) -> None:
        name = comparison.operator
        textual = column.type in TEXTUAL and column.type not in ("id", "reference")
        if (name == "LIKE" and not textual) or (name in _ORDERED and column.type == "boolean"):
            raise SoqlError.at(
                "INVALID_QUERY_FILTER_OPERATOR",
                f"invalid operator on {column.type} field: {column.name}",
                self._query.text,
                comparison.expression.at,
            )

    def _check_literal(self, column: Field, literal: Literal, expression: Expression) -> None:
        if literal.kind == "null":
            return
        kind, name, quoted = _LITERAL_KINDS.get(column.type, ("string", "string", True))
        if literal.kind == kind or (literal.kind == "relative" and column.type in ("date", "datetime")):
            return
        hint = "should be enclosed in quotes" if quoted else "should not be enclosed in quotes"
        raise SoqlError.at(
            "INVALID_FIELD",
            f"value of filter criterion for field '{column.name}' must be of type {name} and {hint}",
            self._query.text,
            expression.at,
        )

    def _operand(self, column: Field, literal: Literal) -> Any:
        if column.type in ("id", "reference") and literal.value:
            try:
                return to_18(literal.value)
            except ValueError:
                message = f"invalid ID field: {literal.value}"
                raise SoqlError("INVALID_QUERY_FILTER_OPERATOR", message) from None
        if isinstance(literal.value, date):
            return literal.value.isoformat()
        # An empty string and null are one and the same to SOQL.
        return _folded(literal.value) if literal.value != "" else None

    def _semi_join(self, query: Query, operator_name: str, get: Getter) -> Test:
        inner = _Run(query, self._tables, self._include_deleted)
        if len(query.items) != 1:
            raise SoqlError("MALFORMED_QUERY", "A semi-join sub-select selects exactly one column")
        keep = inner._condition(query.where) if query.where else None
        value = inner._getter(query.items[0].expression)
        members = frozenset(_folded(value(row)) for row in inner._cut(inner._filtered(keep))) - {None}
        if operator_name == "IN":
            return lambda row: _folded(get(row)) in members
        return lambda row: _folded(get(row)) not in members

    def _relative(self, comparison: Comparison, get: Getter) -> Test:
        if comparison.operator in ("IN", "NOT IN"):
            raise SoqlError("MALFORMED_QUERY", "date literals are not accepted in a list")
        start, end = _span(str(comparison.literals[0].value), self._tables.now)
        tests: dict[str, Callable[[float], bool]] = {
            "=": lambda t: start <= t < end, "!=": lambda t: not start <= t < end, "<": lambda t: t < start,
            "<=": lambda t: t < end, ">": lambda t: t >= end, ">=": lambda t: t >= start,
        }  # fmt: skip
        test = tests[comparison.operator]
        return lambda row: (value := get(row)) is not None and test(value)


def _logical(condition: Logical, tests: list[Test]) -> Test:
    match condition.operator, tests:
        case "AND", [first, second]:
            return lambda row: first(row) and second(row)
        case "AND", _:
            return lambda row: all(test(row) for test in tests)
        case "OR", _:
            return lambda row: any(test(row) for test in tests)
        case _:
            return lambda row: not tests[0](row)


def _folded(value: Any) -> Any:
    """Text compares without regard to case [doc: SOQL comparison operators]."""
    return value.casefold() if isinstance(value, str) else value


def _fold_of(type_: str) -> Callable[[Any], Any]:
    """Ids are the exception: their letters' case counts, and their order is that of their numbers."""
    return _as_it_is if type_ in ("id", "reference") else _folded


def _as_it_is(value: Any) -> Any:
    return value


def _like(pattern: str) -> re.Pattern[str]:
    parts = []
    for piece in re.findall(r"\\.|[^\\]", pattern, flags=re.DOTALL):
        if piece in ("\\%", "\\_"):
            parts.append(piece[1])
        elif piece in ("%", "_"):
            parts.append(".*" if piece == "%" else ".")
        else:
            parts.append(re.escape(unescape(piece)))
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)


def _span(literal: str, now: int) -> tuple[float, float]:
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    day = timedelta(days=1)
    name, _, count = literal.partition(":")
    days = int(count or 0)
    start, end = {
        "TODAY": (today, today + day),
        "YESTERDAY": (today - day, today),
        "TOMORROW": (today + day, today + 2 * day),
        "LAST_N_DAYS": (today - days * day, today + day),
        "NEXT_N_DAYS": (today + day, today + (days + 1) * day),
    }[name]
    return start.timestamp(), end.timestamp()


def _sorted(rows: list[Any], keys: list[tuple[Callable[[Any], Any], bool, bool]]) -> list[Any]:
    for key, descending, nulls_last in reversed(keys):
        known = [row for row in rows if key(row) is not None]
        empty = [row for row in rows if key(row) is None]
        known.sort(key=key, reverse=descending)
        rows = known + empty if nulls_last else empty + known
    return rows


def _average(values: list[Any]) -> float | None:
    return sum(values) / len(values) if values else None


_REDUCTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "COUNT": len,
    "COUNT_DISTINCT": lambda values: len({_folded(value) for value in values}),
    "MIN": lambda values: min(values, key=_folded, default=None),
    "MAX": lambda values: max(values, key=_folded, default=None),
    "SUM": lambda values: sum(values) if values else None,
    "AVG": _average,
}
