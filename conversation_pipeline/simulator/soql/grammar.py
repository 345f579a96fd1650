"""From the text of a query to its tree (SOQL and SOSL Reference, SELECT syntax [doc])."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedInput, VisitError

from conversation_pipeline.simulator.soql.errors import SoqlError

_GRAMMAR = r"""
query: _SELECT selection _FROM PATH [PATH] [where] [group] [order] [limit] [offset]
selection: item ("," item)*
item: expression [PATH]
?expression: PATH              -> column
           | call
call: PATH "(" [PATH] ")"
where: _WHERE _condition
_condition: conjunction | disjunction | unit
conjunction: unit (_AND unit)+
disjunction: unit (_OR unit)+
?unit: comparison
     | _NOT unit               -> negation
     | "(" _condition ")"      -> group_of
comparison: expression OPERATOR literal
          | expression LIKE STRING           -> like
          | expression IN members            -> within
          | expression _NOT IN members       -> without
members: "(" literal ("," literal)* ")"
       | "(" query ")"         -> semi_join
literal: STRING | DATETIME | DATE | NUMBER | BOOLEAN | NULL | RELATIVE
group: _GROUP _BY expression ("," expression)*
order: _ORDER _BY ordering ("," ordering)*
ordering: expression [DIRECTION] [_NULLS PLACE]
limit: _LIMIT NUMBER
offset: _OFFSET NUMBER

_SELECT.2: /select\b/i
_FROM.2: /from\b/i
_WHERE.2: /where\b/i
_AND.2: /and\b/i
_OR.2: /or\b/i
_NOT.2: /not\b/i
_GROUP.2: /group\b/i
_ORDER.2: /order\b/i
_BY.2: /by\b/i
_LIMIT.2: /limit\b/i
_OFFSET.2: /offset\b/i
_NULLS.2: /nulls\b/i
IN.2: /in\b/i
LIKE.2: /like\b/i
DIRECTION.2: /(asc|desc)\b/i
PLACE.2: /(first|last)\b/i
BOOLEAN.2: /(true|false)\b/i
NULL.2: /null\b/i
RELATIVE.2: /(today|yesterday|tomorrow|last_n_days:\d+|next_n_days:\d+)\b/i
OPERATOR: "<=" | ">=" | "!=" | "<>" | "=" | "<" | ">"
DATETIME.3: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)/
DATE.2: /\d{4}-\d\d-\d\d/
NUMBER: /[+-]?\d+(\.\d+)?/
STRING: /'(\\.|[^'\\])*'/s
PATH: /[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*/
%ignore /\s+/
"""

_ESCAPES = {"n": "\n", "N": "\n", "r": "\r", "R": "\r", "t": "\t", "T": "\t", "b": "\b", "B": "\b", "f": "\f",
            "F": "\f", '"': '"', "'": "'", "\\": "\\"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """A column or a path of lookups that ends in one: `Conversation.ConversationIdentifier`."""

    path: str
    at: int

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class Call:
    """A function of one column, or of none for `COUNT()`; the name is upper-case."""

    function: str
    argument: Column | None
    at: int

    def __str__(self) -> str:
        return f"{self.function}({self.argument or ''})"


Expression = Column | Call


@dataclass(frozen=True, slots=True)
class Literal:
    """A typed literal: `kind` is string, datetime, date, number, boolean, null or relative."""

    kind: str
    value: Any


@dataclass(frozen=True, slots=True)
class Item:
    """One selected expression with the alias it was given."""

    expression: Expression
    alias: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`expression operator literals`; IN and NOT IN carry many literals or a sub-query."""

    expression: Expression
    operator: str
    literals: tuple[Literal, ...]
    query: Query | None = None


@dataclass(frozen=True, slots=True)
class Logical:
    """`AND`, `OR` or `NOT` over conditions."""

    operator: str
    parts: tuple[Condition, ...]


Condition = Comparison | Logical


@dataclass(frozen=True, slots=True)
class Ordering:
    """One sort key; nulls come first unless told otherwise."""

    expression: Expression
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed SELECT."""

    text: str
    items: tuple[Item, ...]
    sobject: str
    sobject_at: int
    alias: str | None
    where: Condition | None
    group_by: tuple[Expression, ...]
    order_by: tuple[Ordering, ...]
    limit: int | None
    offset: int | None


class _Builder(Transformer[Token, Query]):
    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def query(self, children: list[Any]) -> Query:
        items, sobject, alias, where, group, order, limit, offset = children
        return Query(self._text, items, str(sobject), sobject.start_pos, alias and str(alias), where, group or (),
                     order or (), limit, offset)  # fmt: skip

    def selection(self, children: list[Any]) -> tuple[Item, ...]:
        return tuple(children)

    def item(self, children: list[Any]) -> Item:
        return Item(children[0], children[1] and str(children[1]))

    def column(self, children: list[Any]) -> Column:
        return Column(str(children[0]), children[0].start_pos)

    def call(self, children: list[Any]) -> Call:
        name, argument = children
        return Call(name.upper(), argument and Column(str(argument), argument.start_pos), name.start_pos)

    def where(self, children: list[Any]) -> Condition:
        return children[0]  # type: ignore[no-any-return]

    def conjunction(self, children: list[Any]) -> Logical:
        return Logical("AND", tuple(children))

    def disjunction(self, children: list[Any]) -> Logical:
        return Logical("OR", tuple(children))

    def negation(self, children: list[Any]) -> Logical:
        return Logical("NOT", tuple(children))

    def group_of(self, children: list[Any]) -> Condition:
        return children[0]  # type: ignore[no-any-return]

    def comparison(self, children: list[Any]) -> Comparison:
        expression, operator, literal = children
        return Comparison(expression, "!=" if operator == "<>" else str(operator), (literal,))

    def like(self, children: list[Any]) -> Comparison:
        # The wildcards' own escapes must survive until the pattern is built.
        return Comparison(children[0], "LIKE", (Literal("string", str(children[2])[1:-1]),))

    def within(self, children: list[Any]) -> Comparison:
        return self._membership(children[0], "IN", children[2])

    def without(self, children: list[Any]) -> Comparison:
        return self._membership(children[0], "NOT IN", children[2])

    def _membership(self, expression: Expression, operator: str, members: Any) -> Comparison:
        if isinstance(members, Query):
            return Comparison(expression, operator, (), members)
        return Comparison(expression, operator, members)

    def members(self, children: list[Any]) -> tuple[Literal, ...]:
        return tuple(children)

    def semi_join(self, children: list[Any]) -> Query:
        return children[0]  # type: ignore[no-any-return]

    def literal(self, children: list[Any]) -> Literal:
        return _literal(children[0], self._text)

    def group(self, children: list[Any]) -> tuple[Expression, ...]:
        return tuple(children)

    def order(self, children: list[Any]) -> tuple[Ordering, ...]:
        return tuple(children)

    def ordering(self, children: list[Any]) -> Ordering:
        expression, direction, place = children
        return Ordering(expression, str(direction or "").upper() == "DESC", str(place or "").upper() == "LAST")

    def limit(self, children: list[Any]) -> int:
        return int(children[0])

    def offset(self, children: list[Any]) -> int:
        return int(children[0])


_PARSER = Lark(_GRAMMAR, start="query", parser="lalr", maybe_placeholders=True, propagate_positions=False)


def parse(text: str) -> Query:
    """
    The tree of a SOQL query.

    Raises:
      SoqlError: MALFORMED_QUERY, with the place as Salesforce shows it.
    """
    if len(text) > 100_000:
        raise SoqlError("MALFORMED_QUERY", "SOQL statements cannot be longer than 100000 characters.")
    try:
        return _Builder(text).transform(_PARSER.parse(text))
    except UnexpectedInput as error:
        at = error.pos_in_stream if error.pos_in_stream is not None and error.pos_in_stream >= 0 else len(text)
        token = getattr(error, "token", None)
        unexpected = f"unexpected token: '{token}'" if token else "unexpected end of the query or character"
        raise SoqlError.at("MALFORMED_QUERY", unexpected, text, at) from None
    except VisitError as error:
        if isinstance(error.orig_exc, SoqlError):
            raise error.orig_exc from None
        raise


def unescape(body: str) -> str:
    """
    The characters that the inside of a quoted string stands for.

    Raises:
      SoqlError: MALFORMED_QUERY for a backslash sequence that SOQL does not know.
    """

    def character(match: re.Match[str]) -> str:
        try:
            return _ESCAPES[match[1]]
        except KeyError:
            raise SoqlError("MALFORMED_QUERY", f"Illegal character sequence '\\{match[1]}' in string literal") from None

    return re.sub(r"\\(.)", character, body, flags=re.DOTALL)


def _literal(token: Token, text: str) -> Literal:
    value = str(token)
    match token.type:
        case "STRING":
            return Literal("string", unescape(value[1:-1]))
        case "DATETIME":
            return Literal("datetime", _instant(value, text, token.start_pos or 0))
        case "DATE":
            return Literal("date", _day(value, text, token.start_pos or 0))
        case "NUMBER":
            return Literal("number", float(value) if "." in value else int(value))
        case "BOOLEAN":
            return Literal("boolean", value.lower() == "true")
        case "NULL":
            return Literal("null", None)
        case _:
            return Literal("relative", value.upper())


def _instant(value: str, text: str, at: int) -> float:
    try:
        return datetime.fromisoformat(value).astimezone(UTC).timestamp()
    except ValueError:
        raise SoqlError.at("MALFORMED_QUERY", f"line 1: invalid date-time {value}", text, at) from None


def _day(value: str, text: str, at: int) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise SoqlError.at("MALFORMED_QUERY", f"line 1: invalid date {value}", text, at) from None
