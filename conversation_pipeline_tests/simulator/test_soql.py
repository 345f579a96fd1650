"""SOQL as a language: what a query means over rows, and that any text survives quoting."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation_pipeline.simulator.soql.errors import SoqlError
from conversation_pipeline.simulator.soql.evaluate import run
from conversation_pipeline.simulator.soql.grammar import parse
from conversation_pipeline.simulator.world.ids import record_id, to_18
from conversation_pipeline.simulator.world.schema import SOBJECTS

T0 = 1_793_500_000
IDS = [record_id("005", number) for number in (10, 36, 1000, 4000)]


class Rows:
    """Four users in memory."""

    now = T0

    def __init__(self, rows: list[dict]) -> None:
        self._rows = [{"Id": IDS[place], "IsDeleted": False, **row} for place, row in enumerate(rows)]

    def sobject(self, name: str):
        return SOBJECTS.get(name)

    def rows(self, sobject: str, *, include_deleted: bool) -> Iterable[dict]:
        return list(self._rows)

    def row(self, identifier: str, *, include_deleted: bool):
        return next((("User", row) for row in self._rows if row["Id"] == identifier), None)


USERS = Rows([
    {"Name": "Ada", "Title": "Boss", "IsActive": True, "CreatedDate": T0, "ManagerId": None},
    {"Name": "Björn", "Title": None, "IsActive": False, "CreatedDate": T0 + 86_400, "ManagerId": IDS[0]},
    {"Name": "O'Hara", "Title": "100% fit_ness", "IsActive": True, "CreatedDate": T0 + 86_401, "ManagerId": IDS[0]},
    {"Name": "zoe", "Title": "boss", "IsActive": True, "CreatedDate": T0 + 2 * 86_400, "ManagerId": IDS[1]},
])  # fmt: skip


def select(soql: str, tables: Rows = USERS) -> list[dict]:
    result = run(parse(soql), tables, include_deleted=False)
    return [result.render(row, "/services/data/v66.0") for row in result.rows]


def names(condition: str) -> list[str]:
    return [row["Name"] for row in select(f"SELECT Name FROM User WHERE {condition}")]


def quoted(text: str) -> str:
    for plain, escaped in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        text = text.replace(plain, escaped)
    return f"'{text}'"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_quoting(text):
    """
    What stands between the quotes after escaping is what the query means.
    """
    query = parse(f"SELECT Id FROM User WHERE Name = {quoted(text)}")

    assert query.where.literals[0].value == text


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_row_is_found_by_its_own_text(text):
    """
    Parser and comparison together: equality finds exactly the row with that text.
    """
    tables = Rows([{"Name": text}, {"Name": text + "x"}])

    assert len(select(f"SELECT Id FROM User WHERE Name = {quoted(text)}", tables)) == 1


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("Name = 'ADA'", ["Ada"]),
        ("Name != 'Ada' AND IsActive = true", ["O'Hara", "zoe"]),
        ("Name = 'O\\'Hara'", ["O'Hara"]),
        ("Title = null", ["Björn"]),
        ("Title != 'boss'", ["Björn", "O'Hara"]),
        ("Title NOT IN ('boss')", ["Björn", "O'Hara"]),
        ("Name IN ('ada', 'zoe')", ["Ada", "zoe"]),
        ("(Name = 'Ada' OR Name = 'zoe') AND IsActive = true", ["Ada", "zoe"]),
        ("NOT Name LIKE '%a%'", ["Björn", "zoe"]),
        ("NOT (Name = 'Ada' OR Name = 'zoe')", ["Björn", "O'Hara"]),
        ("Name LIKE '_da'", ["Ada"]),
        ("Title LIKE '100\\% fit\\_%'", ["O'Hara"]),
        (f"Id = '{IDS[1]}'", ["Björn"]),
        (f"Id = '{IDS[1][:15]}'", ["Björn"]),
        (f"Id > '{IDS[1]}'", ["O'Hara", "zoe"]),
        ("CreatedDate >= 2026-11-02T00:00:00Z", ["Björn", "O'Hara", "zoe"]),
        ("CreatedDate > 2026-11-02T03:26:40.000+01:00", ["O'Hara", "zoe"]),
        ("DAY_ONLY(CreatedDate) = 2026-11-03", ["zoe"]),
        ("Manager.Name = 'Ada'", ["Björn", "O'Hara"]),
        ("Manager.Manager.Name = 'Ada'", ["zoe"]),
        ("Id IN (SELECT ManagerId FROM User)", ["Ada", "Björn"]),
        ("CreatedDate = TODAY", ["Ada"]),
    ],
)
def test_conditions_keep_the_rows_they_should(condition, expected):
    """
    Comparisons, lists, patterns, logic, paths and typed literals.
    """
    assert names(condition) == expected


def test_a_pattern_reaches_over_lines():
    """
    `%` stands for line ends too.
    """
    assert len(select("SELECT Id FROM User WHERE Name LIKE 'a%b'", Rows([{"Name": "A\nB"}]))) == 1


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("Title", ["Björn", "O'Hara", "Ada", "zoe"]),
        ("Title NULLS LAST", ["O'Hara", "Ada", "zoe", "Björn"]),
        ("Title DESC NULLS LAST, Name DESC", ["zoe", "Ada", "O'Hara", "Björn"]),
        ("Name DESC LIMIT 2 OFFSET 1", ["O'Hara", "Björn"]),
    ],
)
def test_rows_come_in_the_order_asked_for(order, expected):
    """
    Nulls first unless told otherwise, text without regard to case, limit and offset afterwards.
    """
    assert [row["Name"] for row in select(f"SELECT Name FROM User ORDER BY {order}")] == expected


def test_parents_are_nested_objects_or_null():
    """
    A child-to-parent path gives an object with attributes of its own.
    """
    first, second, *_ = select("SELECT Name, Manager.Name FROM User")

    assert first["Manager"] is None
    assert second["Manager"] == {
        "attributes": {"type": "User", "url": f"/services/data/v66.0/sobjects/User/{IDS[0]}"},
        "Name": "Ada",
    }


def test_groups_are_counted_and_named():
    """
    Aliases name the columns, functions without one are expr0, expr1, ...
    """
    rows = select(
        "SELECT DAY_ONLY(CreatedDate) d, COUNT(Id) n, MAX(CreatedDate) FROM User "
        "GROUP BY DAY_ONLY(CreatedDate) ORDER BY DAY_ONLY(CreatedDate)"
    )

    assert [(row["d"], row["n"], row["expr0"]) for row in rows] == [
        ("2026-11-01", 1, "2026-11-01T02:26:40.000+0000"),
        ("2026-11-02", 2, "2026-11-02T02:26:41.000+0000"),
        ("2026-11-03", 1, "2026-11-03T02:26:40.000+0000"),
    ]


def test_count_alone_is_the_total():
    """
    COUNT() has a totalSize and no records.
    """
    result = run(parse("SELECT COUNT() FROM User WHERE IsActive = true"), USERS, include_deleted=False)

    assert (result.total, len(result.rows)) == (3, 0)


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT Id User", "MALFORMED_QUERY"),
        ("SELECT Id FROM User WHERE Name = 'x' AND Title = 'y' OR Title = 'z'", "MALFORMED_QUERY"),
        ("SELECT Id FROM User WHERE Name = 'open", "MALFORMED_QUERY"),
        ("SELECT Id FROM User WHERE Name = 'bad \\q'", "MALFORMED_QUERY"),
        ("SELECT Name, COUNT(Id) FROM User", "MALFORMED_QUERY"),
        ("SELECT FIELDS(ALL) FROM User", "MALFORMED_QUERY"),
        ("SELECT Nothing FROM User", "INVALID_FIELD"),
        ("SELECT Boss.Name FROM User", "INVALID_FIELD"),
        ("SELECT Id FROM User WHERE CreatedDate > '2026-11-01T00:00:00Z'", "INVALID_FIELD"),
        ("SELECT Id FROM User WHERE CreatedDate > 2026-11-01", "INVALID_FIELD"),
        ("SELECT Id FROM User WHERE Name = 5", "INVALID_FIELD"),
        ("SELECT Id FROM MessagingSession WHERE PreviewDetails = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM User WHERE Id LIKE '005%'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM User WHERE Id = 'short'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Absent", "INVALID_TYPE"),
        ("SELECT Id FROM User LIMIT 1 OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"),
        ("SELECT Id FROM User WHERE Name = '" + "x" * 100_000 + "'", "MALFORMED_QUERY"),
    ],
)
def test_wrong_queries_get_their_error_code(soql, code):
    """
    The codes of section 2.5 of the SOQL reference.
    """
    with pytest.raises(SoqlError) as refused:
        select(soql)

    assert refused.value.code == code


def test_an_error_shows_the_place():
    """
    Row, column and a caret below the line, as Salesforce prints it.
    """
    with pytest.raises(SoqlError) as refused:
        select("SELECT Id,\nNothing FROM User")

    assert "\nNothing FROM User\n^\nERROR at Row:2:Column:1\n" in refused.value.message


def test_ids_of_15_characters_get_the_known_checksum():
    """
    A published pair of 15 and 18 characters.
    """
    assert to_18("0012w00000QcV9A") == "0012w00000QcV9AAAV"
