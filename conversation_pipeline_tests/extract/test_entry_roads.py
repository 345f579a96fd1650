"""The roads that are asked conversation by conversation: a work list in, readings out (design, sections 4 and 5)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pytest

from conversation_pipeline.extract.entry_roads import read
from conversation_pipeline.extract.windows import Window
from conversation_pipeline.extract.work_list import Request
from conversation_pipeline.salesforce.connection import Retry
from conversation_pipeline.salesforce.entry_api import Reading
from conversation_pipeline.salesforce.errors import ConversationUnreadable, SalesforceError
from conversation_pipeline_tests.salesforce.conftest import DAY, NOON, Org

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def requests(identifiers: Sequence[str]) -> list[Request]:
    return [Request(identifier, Window(*DAY)) for identifier in identifiers]


def conversations(org: Org, count: int) -> list[str]:
    """Conversations of one message each."""
    found = [f"c0ffee00-0000-4000-8000-{place:012d}" for place in range(count)]
    org.control.post("records", insert=[{"sobject": "Conversation", "ConversationIdentifier": one} for one in found])
    for place, one in enumerate(found):
        stamp = round(NOON.timestamp() * 1000)
        org.control.post(
            "entries",
            conversationIdentifier=one,
            entries=[{"identifier": f"e{place}", "transcriptedTimestamp": stamp}],
        )
    return found


def test_every_request_gives_one_reading(org: Org) -> None:
    """Each conversation of the work list once, by threads, in the order in which they arrive."""
    wanted = conversations(org, 20)

    readings = list(read(org.conversation_data(users=2), requests(wanted), [], {}))

    assert sorted(reading.conversation_identifier for reading in readings) == wanted
    assert {reading.entries for reading in readings} == {1}


def test_an_empty_work_list_asks_for_nothing(org: Org) -> None:
    """Not even for a token."""
    assert list(read(org.conversation_data(), [], [], {})) == []
    assert org.seen() == []


def test_an_unknown_conversation_is_counted_and_passed_over(org: Org) -> None:
    """One that was erased meanwhile does not keep the others from being read."""
    wanted = conversations(org, 3)
    not_found: list[str] = []

    readings = list(read(org.conversation_data(), requests([wanted[0], UNKNOWN, *wanted[1:]]), not_found, {}))

    assert len(readings) == 3
    assert not_found == [UNKNOWN]


def test_an_unreadable_conversation_is_counted_and_passed_over(org: Org) -> None:
    """One that the API always answers 400 for does not keep the others from being read."""
    wanted = conversations(org, 3)
    org.control.post("faults", conversation_identifier=wanted[0], effect={"status": 400})
    unreadable: dict[str, ConversationUnreadable] = {}

    readings = list(read(org.conversation_data(), requests(wanted), [], unreadable))

    assert sorted(reading.conversation_identifier for reading in readings) == wanted[1:]
    assert list(unreadable) == [wanted[0]]


def test_what_was_under_way_when_one_failed_is_handed_on(org: Org) -> None:
    """A reading that has been paid for is not thrown away because another failed for good."""
    wanted = conversations(org, 4)
    org.control.post("faults", conversation_identifier=wanted[0], effect={"status": 500})
    org.control.post("faults", route="conversation_data.entries", effect={"stall_seconds": 0.2})
    arrived: list[Reading] = []

    def failing() -> None:
        for reading in read(org.conversation_data(), requests(wanted), [], {}):
            arrived.append(reading)

    with pytest.raises(SalesforceError):
        failing()

    assert sorted(reading.conversation_identifier for reading in arrived) == wanted[1:]


def test_a_failure_asks_for_no_more(org: Org) -> None:
    """The rest of the work list is left for the next run."""
    wanted = conversations(org, 30)
    org.control.post("faults", effect={"status": 500}, route="conversation_data.entries", nth=1)
    org.control.post("switches", network_delay_min_ms=10, network_delay_max_ms=10)

    def failing() -> None:
        for _ in read(org.conversation_data(retry=Retry(attempts=1)), requests(wanted), [], {}):
            pass

    with pytest.raises(SalesforceError):
        failing()

    assert org.seen().count("entries") < 15


def test_readings_carry_the_window_and_the_org_s_clock(org: Org) -> None:
    """What was asked for and when it was answered, for whoever stages them."""
    [reading] = read(org.conversation_data(), requests(conversations(org, 1)), [], {})

    assert (reading.start, reading.end) == DAY
    assert reading.fetched_at == datetime.fromisoformat("2026-11-19T18:00:00+00:00")
