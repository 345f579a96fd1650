"""SOQL text: values survive quoting (SOQL and SOSL reference, quoted strings and dates; fault list X1)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conversation_pipeline.salesforce import soql
from conversation_pipeline.simulator.soql.grammar import Comparison, parse
from conversation_pipeline_tests.salesforce.conftest import Org

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANTS = st.datetimes(datetime(1900, 1, 2), datetime(9999, 12, 30), timezones=ZONES)
any_text = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""The first text of all takes its time: Hypothesis then makes its tables of characters."""
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def condition(text: str) -> Comparison:
    """What the org's own parser makes of a condition."""
    where = parse(f"SELECT Id FROM User WHERE {text}").where
    assert isinstance(where, Comparison)
    return where


def value(text: str) -> Any:
    return condition(text).literals[0].value


@any_text
@given(TEXTS)
def test_any_text_survives_quoting(text: str) -> None:
    """The org reads back what was meant, whatever quotes and backslashes there are."""
    assert value(soql.compare("Name", "=", text)) == text


@any_text
@given(TEXTS)
def test_no_text_becomes_a_condition(text: str) -> None:
    """A value stays one value: nothing that it holds is read as SOQL."""
    found = condition(soql.compare("Name", "=", text + "' OR Name != '"))

    assert (found.operator, len(found.literals)) == ("=", 1)


@any_text
@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_lists_survive_quoting(texts: list[str]) -> None:
    """The same for the members of a list."""
    assert [literal.value for literal in condition(soql.one_of("Name", texts)).literals] == texts


@any_text
@given(INSTANTS)
def test_instants_keep_their_milliseconds(instant: datetime) -> None:
    """In whichever zone an instant was given, the org reads the same one, cut to the millisecond."""
    read = datetime.fromtimestamp(0, UTC) + timedelta(seconds=value(soql.compare("CreatedDate", ">=", instant)))

    assert abs(read - instant.replace(microsecond=instant.microsecond // 1000 * 1000)) < timedelta(milliseconds=0.5)


def test_an_instant_without_a_zone_is_refused() -> None:
    """SOQL would read it in nobody's zone."""
    with pytest.raises(ValueError, match="time zone"):
        soql.literal(datetime(2026, 11, 19))


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_a_number_without_end_is_refused(number: float) -> None:
    """SOQL has no literal for it."""
    with pytest.raises(ValueError, match="finite"):
        soql.literal(number)


@pytest.mark.parametrize(
    ("given_value", "written"), [(None, "null"), (True, "true"), (False, "false"), (7, "7"), (-1.5, "-1.5")]
)
def test_other_values_are_written_as_soql_writes_them(given_value: Any, written: str) -> None:
    """null, booleans and numbers are bare words."""
    assert soql.literal(given_value) == written


def test_a_list_without_values_is_refused() -> None:
    """IN () is no SOQL, and must not become a query for everything."""
    with pytest.raises(ValueError, match="is no SOQL"):
        soql.one_of("Id", [])


def test_a_window_is_half_open() -> None:
    """Its start belongs to it, its end does not."""
    start, end = datetime(2026, 11, 18, tzinfo=UTC), datetime(2026, 11, 19, tzinfo=UTC)

    assert soql.within("CreatedDate", start, end) == (
        "CreatedDate >= 2026-11-18T00:00:00.000Z AND CreatedDate < 2026-11-19T00:00:00.000Z"
    )


def test_a_query_is_put_together() -> None:
    """Columns, object, condition and order."""
    assert soql.select(["Id", "Name"], "User", where="IsActive = true", order_by="Id") == (
        "SELECT Id, Name FROM User WHERE IsActive = true ORDER BY Id"
    )


NASTY = "O'Brien \\ \"100%\" _\n\t\r\b\f' OR Name != ' \\' café 🙂 \u202e"


def test_quoting_survives_the_way_to_the_org(org: Org) -> None:
    """Over real HTTP a value full of quotes, backslashes and line ends finds its one row."""
    [user] = org.control.get("truth/records", sobject="User")["records"][:1]
    org.control.post("records", update=[{"Id": user["Id"], "LastName": NASTY}])
    text = soql.select(["Id"], "User", where=soql.compare("LastName", "=", NASTY))

    [page] = org.query().pages(text, all_rows=False)

    assert page.total_size == 1
