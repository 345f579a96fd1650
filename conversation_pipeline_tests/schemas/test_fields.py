"""Names and ids: one rule each (design, section 3)."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversation_pipeline.schemas import INSTANT, Field, column_name
from conversation_pipeline.schemas.fields import flag, instant, record_id, text, whole_number
from conversation_pipeline.schemas.identifiers import is_record_id, record_id_18

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
IDS = st.text(st.sampled_from(LETTERS), min_size=15, max_size=15)


@pytest.mark.parametrize(
    ("api_name", "column"),
    [
        ("Id", "id"),
        ("CallStartDateTime", "call_start_date_time"),
        ("SystemModstamp", "system_modstamp"),
        ("IsoCountryCode", "iso_country_code"),
        ("TimeZoneSidKey", "time_zone_sid_key"),
        ("StartTimeMilliSecs", "start_time_milli_secs"),
        ("IVRDuration", "ivr_duration"),
        ("Address2Line", "address2_line"),
        ("Order_Number__c", "order_number__c"),
    ],
)
def test_a_column_is_the_snake_case_of_its_field(api_name: str, column: str) -> None:
    """CallStartDateTime becomes call_start_date_time; acronyms are one word."""
    assert column_name(api_name) == column


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("001A0000006Vm9r", "001A0000006Vm9rIAC"),  # Salesforce's own example in the SOAP API guide, ID field type
        ("0MwAA0000002222", "0MwAA00000022220AA"),
        ("000000000000000", "000000000000000AAA"),
        ("ZZZZZZZZZZZZZZZ", "ZZZZZZZZZZZZZZZ555"),
    ],
)
def test_a_record_id_gets_its_checksum(short: str, long: str) -> None:
    """Three characters tell which of the fifteen are upper-case."""
    assert record_id_18(short) == long


@settings(deadline=None)
@given(IDS)
def test_long_ids_survive_folding_case(short: str) -> None:
    """Two ids that differ in case alone are still two when a reader ignores case."""
    swapped = short.swapcase()

    assert record_id_18(short)[:15] == short
    assert swapped == short or record_id_18(short).lower() != record_id_18(swapped).lower()


@settings(deadline=None)
@given(IDS)
def test_a_long_id_stays_as_it_is(short: str) -> None:
    """Asking twice changes nothing."""
    assert record_id_18(record_id_18(short)) == record_id_18(short)


@pytest.mark.parametrize("other", ["", "0b6f2f0e-5f55-4a59-9f0e-2d9a6f7d1c01", "15 characters!!", "ünfzehnBuchstab"])
def test_what_is_no_record_id_stays_as_it_is(other: str) -> None:
    """UUIDs and other texts are not touched."""
    assert record_id_18(other) == other
    assert not is_record_id(other)


def test_kinds_of_fields_have_their_types() -> None:
    """Ids and texts are texts, instants are UTC milliseconds, whole numbers 64 bits; only the key is required."""
    declared = [
        record_id(),
        record_id("OwnerId"),
        text("Name", ""),
        instant("A", ""),
        whole_number("B", ""),
        flag("C", ""),
    ]

    assert [field.type for field in declared] == [pa.string()] * 3 + [INSTANT, pa.int64(), pa.bool_()]
    assert [field.required for field in declared] == [True] + [False] * 5


def test_a_required_column_takes_no_null() -> None:
    """The Arrow field says so, and every other column may be null."""
    assert not Field("a", pa.string(), "", required=True).arrow.nullable
    assert Field("a", pa.string(), "").arrow.nullable
