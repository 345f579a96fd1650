"""Connect: every text of a window, by timestamps that survive ties; within the hour and the day (entry APIs 3)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from conversation_pipeline.salesforce.allocation import Allocation, AllocationTransport
from conversation_pipeline.salesforce.connect import Connect
from conversation_pipeline.salesforce.connection import Connection, Retry
from conversation_pipeline.salesforce.entry_api import ExecutionUser, Reading
from conversation_pipeline.salesforce.errors import (
    ConversationUnreadable,
    IncompleteAnswer,
    LimitReached,
    NoUserLeft,
    PagingLoop,
    RecordUnavailable,
    Throttled,
    TooManyLogins,
    TransientError,
)
from conversation_pipeline.salesforce.limits import CONNECT
from conversation_pipeline.salesforce.quotas import SqliteQuotaStore
from conversation_pipeline_tests.salesforce.conftest import (
    CONNECT_KEY,
    DAY,
    IMPATIENT,
    NOON,
    Asked,
    FaultServer,
    Org,
    Wire,
    answer,
    at,
    says,
    transport,
)

PATH = "/services/data/v66.0/connect/conversation/conversation/entries"
HOURLY = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "too many in an hour"}]
MANY_AT_ONCE = CONNECT.with_count(10_000)
"""For tests that are not about the limit."""


@dataclass(frozen=True)
class Service:
    """The API over texts at given instants, as documented; `hidden` are counted against the limit and left out."""

    stamps: Sequence[int]
    hidden: frozenset[int] = frozenset()

    def __call__(self, wire: Wire, asked: Asked) -> None:
        low, high = int(asked.params["startTimestamp"]), int(asked.params["endTimestamp"])
        found = [(place, stamp) for place, stamp in enumerate(self.stamps) if low <= stamp <= high]
        assert asked.params["queryDirection"] == "FromStart"
        page = sorted(found, key=lambda one: one[1])[: int(asked.params["recordLimit"])]
        entries = [
            {"identifier": f"e{place:06d}", "serverReceivedTimestamp": stamp, "clientTimestamp": 0, "messageText": "t"}
            for place, stamp in page
            if place not in self.hidden
        ]
        wire.send(answer(json.dumps({"conversationEntries": entries}).encode()))


@pytest.fixture
def api(faults: FaultServer, line: Connection, store: SqliteQuotaStore) -> Connect:
    """A client that asks the fault server."""
    return Connect([ExecutionUser(line, "user")], store, "org", MANY_AT_ONCE, retry=IMPATIENT)


def read(api: Connect, identifier: str = "conversation") -> Reading:
    return api.read(identifier, *DAY)


def told(reading: Reading) -> list[dict[str, Any]]:
    return [entry for body in reading.bodies for entry in json.loads(body)["conversationEntries"]]


def identifiers(reading: Reading) -> set[str]:
    return {entry["identifier"] for entry in told(reading)}


def spread(count: int, *, together: int = 1) -> list[int]:
    """Instants from noon on, so many at each millisecond."""
    return [at(NOON) + place // together for place in range(count)]


# Paging


@pytest.mark.parametrize("together", [1, 2, 3, 7, 999])
@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2345])
def test_a_conversation_is_read_to_its_end(count: int, together: int, faults: FaultServer, api: Connect) -> None:
    """However many texts there are, and however many of them share a millisecond."""
    faults.script = [Service(spread(count, together=together))]

    reading = read(api)

    assert len(identifiers(reading)) == reading.entries == count


def test_a_page_begins_at_the_last_instant_of_the_one_before(faults: FaultServer, api: Connect) -> None:
    """Not one later, or a sibling of the same millisecond would be lost; a page with nothing new is the end."""
    faults.script = [Service([at(NOON), at(NOON) + 5])]

    read(api)

    assert [int(asked.params["startTimestamp"]) for asked in faults.asked] == [at(DAY[0]), at(NOON) + 5]


def test_a_short_page_is_no_end(faults: FaultServer, api: Connect) -> None:
    """What the API leaves out may have been counted against the limit: a page of 10 may have more behind it."""
    faults.script = [Service(spread(1500), hidden=frozenset(range(10, 990)))]

    assert read(api).entries == 1500 - 980


def test_an_empty_conversation_costs_one_request(faults: FaultServer, api: Connect) -> None:
    """No texts in the window: nothing to look at again."""
    faults.script = [Service([])]

    assert read(api).entries == 0
    assert len(faults.asked) == 1


@pytest.mark.parametrize("before", [0, 3])
def test_more_in_one_millisecond_than_fit_a_page_is_refused(before: int, faults: FaultServer, api: Connect) -> None:
    """Nothing could be asked that would give the rest: an error, not a loss and not a loop."""
    faults.script = [Service([*spread(before), *[at(NOON) + 60_000] * 1001])]

    with pytest.raises(PagingLoop, match="has 1,000 or more entries in one millisecond and Connect has no page token"):
        read(api)


def test_what_is_asked_for(faults: FaultServer, api: Connect) -> None:
    """Milliseconds with both bounds inclusive, from the start, a thousand at once, and text as it was written."""
    faults.script = [Service([])]

    read(api)

    [asked] = faults.asked
    assert asked.path == PATH
    assert asked.params == {
        "startTimestamp": str(at(DAY[0])),
        "endTimestamp": str(at(DAY[1]) - 1),
        "queryDirection": "FromStart",
        "recordLimit": "1000",
    }
    assert "x-chatter-entity-encoding: false" in asked.head.lower()


def test_no_header_of_another_api_is_sent(faults: FaultServer, api: Connect) -> None:
    """The org is known by the token: ids of it in headers belong to the chat and bot APIs, in 15 characters at that."""
    faults.script = [Service([])]

    read(api)

    sent = {line.partition(":")[0].lower() for line in faults.asked[0].head.splitlines()[1:]}
    assert sent <= {"host", "user-agent", "connection", "accept", "accept-encoding", "authorization"} | {
        "x-chatter-entity-encoding"
    }


def test_an_identifier_stays_one_part_of_the_path(faults: FaultServer, api: Connect) -> None:
    """It is an opaque text: a slash or a question mark in it leads nowhere else."""
    faults.script = [Service([])]

    read(api, "a/b?c=d")

    assert faults.asked[0].path == PATH.replace("conversation/entries", "a%2Fb%3Fc%3Dd/entries")


def test_entries_without_a_time_do_not_end_the_paging(faults: FaultServer, api: Connect) -> None:
    """An odd entry is for the extract to judge; the next page begins at the last instant that is told."""
    first = {"conversationEntries": [{"identifier": "a", "serverReceivedTimestamp": at(NOON)}, {"identifier": 7}, None]}
    rest = {"conversationEntries": [{"identifier": "b", "serverReceivedTimestamp": at(NOON)}]}
    faults.script = [says(json.dumps(first).encode()), says(json.dumps(rest).encode())]

    assert json.loads(read(api).bodies[1]) == rest


def test_a_reading_is_as_old_as_its_first_page(faults: FaultServer, api: Connect) -> None:
    """What was said between two pages may be missing, so the reading counts from the first one."""
    page = json.dumps({"conversationEntries": [{"identifier": "a", "serverReceivedTimestamp": at(NOON)}]}).encode()
    faults.script = [says(page, headers=[f"Date: Thu, 19 Nov 2026 18:00:{second} GMT"]) for second in ("00", "10")]

    assert read(api).fetched_at == datetime(2026, 11, 19, 18, 0, tzinfo=UTC)


@pytest.mark.parametrize("filtered", [False, True], ids=["counted after", "counted before"])
def test_more_than_a_thousand_texts_are_read_from_an_org(filtered: bool, org: Org) -> None:
    """Ties at the page's end included, whether or not the org counts what it leaves out."""
    org.control.post("switches", connect_filter_after_limit=filtered)
    identifier = org.conversation()
    org.put(identifier, [at(NOON) + place // 3 for place in range(2_345)])

    assert read(org.connect(), identifier).entries == 2_345


def test_text_comes_as_it_was_written(org: Org) -> None:
    """An apostrophe is an apostrophe, no HTML entity."""
    day = org.control.get("truth/entries", day="2026-11-18")["entries"]
    texts: dict[str, str] = {}
    for identifier in {entry["conversation_identifier"] for entry in day}:
        texts |= {entry["identifier"]: entry["messageText"] for entry in told(read(org.connect(), identifier))}

    true = {entry["entry_identifier"]: entry["text"] for entry in day if entry["entry_identifier"] in texts}
    assert true == texts
    assert any("'" in text for text in texts.values())


# Errors


def test_an_unknown_conversation_is_told_as_such(org: Org) -> None:
    """404: the caller goes on without it."""
    with pytest.raises(RecordUnavailable):
        read(org.connect(), "00000000-0000-4000-8000-000000000000")


def test_a_record_id_in_the_identifier_s_place_is_unreadable(org: Org) -> None:
    """400 INVALID_ID_FIELD, again and again: that conversation alone."""
    with pytest.raises(ConversationUnreadable, match="400 INVALID_ID_FIELD"):
        read(org.connect(), "0dwAA0000000001YAA")


def test_a_lost_permission_is_told_with_what_to_grant(org: Org) -> None:
    """403: with one user there is nobody to compare with, so the conversation is unreadable and the reason is told."""
    org.put_user(0, "without_permission")

    with pytest.raises(ConversationUnreadable, match="Access Conversation Entries"):
        read(org.connect(), org.conversation())


def test_a_locked_user_is_the_end_of_the_road(org: Org) -> None:
    """The org's own client is the only user as a rule; the error names its setting."""
    org.put_user(0, "locked")

    with pytest.raises(NoUserLeft, match=r"SALESFORCE_CLIENT_ID \(client .*\) is set aside"):
        read(org.connect(), org.conversation())


@pytest.mark.parametrize("body", [b"<html>", b'[{"errorCode":"X"}]', b'{"conversationEntries":5}', b""])
def test_an_answer_of_another_shape_is_not_an_empty_conversation(
    body: bytes, faults: FaultServer, api: Connect
) -> None:
    """Status 200 around something else is asked again, then told."""
    faults.script = [says(body)]

    with pytest.raises(IncompleteAnswer):
        read(api)

    assert len(faults.asked) == IMPATIENT.attempts


# The hour


def refuse(org: Org, status: int, body: Any, times: int | None = 1, **headers: str) -> None:
    effect = {"status": status, "body": body, "headers": headers}
    org.control.post("faults", route="connect.entries", times=times, effect=effect)


@pytest.mark.parametrize("now", ["2026-11-19T18:00:00+00:00", "2026-11-19T18:59:30+00:00"])
def test_a_used_up_hour_rests_the_key_to_the_next_full_hour(now: str, org: Org) -> None:
    """503 REQUEST_LIMIT_EXCEEDED: by the service's clock, in every process, and a few seconds more."""
    api = org.connect(retry=Retry(attempts=1))
    identifier = org.conversation()
    org.control.post("clock", now=now)
    refuse(org, 503, HOURLY)

    with pytest.raises(Throttled):
        read(api, identifier)

    left = datetime(2026, 11, 19, 19, 0, tzinfo=UTC) - datetime.fromisoformat(now)
    assert 0 < org.store.usage(CONNECT_KEY).paused_seconds - left.total_seconds() <= 5


def test_a_used_up_hour_rests_as_long_as_told(org: Org) -> None:
    """Retry-After is not promised; where it is sent it is obeyed."""
    refuse(org, 503, HOURLY, **{"retry-after": "40"})

    with pytest.raises(Throttled):
        read(org.connect(retry=Retry(attempts=1)), org.conversation())

    assert 35 < org.store.usage(CONNECT_KEY).paused_seconds <= 40


def test_a_reading_goes_on_after_the_hour(org: Org) -> None:
    """The wait is part of the reading: nothing fails and nothing is lost."""
    refuse(org, 503, HOURLY, **{"retry-after": "0.3"})

    assert read(org.connect(), org.conversation(3)).entries == 3


@pytest.mark.parametrize("body", [[{"errorCode": "SERVER_UNAVAILABLE", "message": "busy"}], "<html>maintenance"])
def test_maintenance_rests_no_key(body: Any, org: Org) -> None:
    """The same status with another code or none is a passing fault: tried again a moment later."""
    refuse(org, 503, body)

    assert read(org.connect(), org.conversation(3)).entries == 3
    assert org.store.usage(CONNECT_KEY).paused_seconds == 0


def test_maintenance_that_lasts_is_told(org: Org) -> None:
    """After its attempts the request is named."""
    refuse(org, 503, [{"errorCode": "SERVER_UNAVAILABLE", "message": "busy"}], times=None)

    with pytest.raises(TransientError, match="503 SERVER_UNAVAILABLE"):
        read(org.connect(), org.conversation())


def test_the_hour_and_the_active_conversations_are_leased_together(org: Org) -> None:
    """Each call is counted for the app and user, and its conversation is marked once."""
    identifier = org.conversation(3)

    read(org.connect(), identifier)

    assert org.store.usage(CONNECT_KEY).held == org.seen().count("entries") == 2
    assert org.store.usage("org/active_conversations").held == 1


def test_a_used_up_hour_is_waited_for_before_the_service_says_so(org: Org) -> None:
    """Five calls a window of half a second: twelve readings, and no 503."""
    org.control.post("limits", connect_requests=5, connect_window_seconds=0.5, connect_window="sliding")
    api = org.connect(rate=CONNECT.with_count(5).scaled(0.51 / 3603))
    identifier = org.conversation()

    for _ in range(12):
        read(api, identifier)

    assert "503" not in org.control.get("counters")["statuses"]


def test_too_many_logins_are_not_a_used_up_day(org: Org) -> None:
    """429 of the token endpoint: the user rests a minute and is asked again."""
    org.control.post("faults", route="oauth.token", times=1, effect={"status": 429})

    with pytest.raises(TooManyLogins):
        read(org.connect(retry=Retry(attempts=1)), org.conversation())

    assert 50 < org.store.usage(CONNECT_KEY).paused_seconds <= 61


# The day


@pytest.mark.parametrize(("status", "told"), [("403", "403 REQUEST_LIMIT_EXCEEDED"), ("429", "429")])
def test_a_used_up_day_stops_with_when_to_go_on(status: str, told: str, org: Org) -> None:
    """Whichever status the org uses: not tried again, and the sentence says when it is sure to work."""
    api = org.connect(clock=lambda: NOON)
    identifier = org.conversation()
    org.control.post("switches", connect_daily_status=status)
    org.control.post("limits", daily_api_requests=0)

    with pytest.raises(LimitReached, match=rf"\({told}.*hour by hour: .* at the latest at 2026-11-19 12:00 UTC"):
        read(api, identifier)

    assert org.seen().count("entries") == 1


def test_the_reserve_of_the_allocation_is_kept(org: Org) -> None:
    """Connect is asked through the org's own line, which stops before the reserve and says so in its own words."""
    inner = AllocationTransport(transport(), Allocation(reserve=0.5, share=1.0))
    line = Connection(org.url, org.connection().auth, org.store, transport=inner)
    api = Connect([ExecutionUser(line, CONNECT_KEY)], org.store, "org", retry=IMPATIENT)
    org.control.post("limits", daily_api_requests=10)
    identifier = org.conversation(1)

    read(api, identifier)
    read(api, identifier)

    with pytest.raises(LimitReached, match="CONVERSATION_API_RESERVE 50%"):
        read(api, identifier)

    assert org.seen().count("entries") == 5
    line.close()
