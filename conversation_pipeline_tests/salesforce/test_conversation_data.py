"""Conversation Data API: every entry of a window, by any paging; within every limit (conversation-entry APIs 1)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from conversation_pipeline.salesforce.connection import Connection, Retry
from conversation_pipeline.salesforce.conversation_data import ConversationData
from conversation_pipeline.salesforce.entry_api import ExecutionUser, Reading
from conversation_pipeline.salesforce.errors import (
    IncompleteAnswer,
    PagingLoop,
    RecordUnavailable,
    Throttled,
    TransientError,
)
from conversation_pipeline.salesforce.limits import CONVERSATION_DATA
from conversation_pipeline.salesforce.quotas import SqliteQuotaStore
from conversation_pipeline_tests.salesforce.conftest import (
    DAY,
    IMPATIENT,
    NOON,
    Asked,
    Behaviour,
    FaultServer,
    Org,
    Wire,
    answer,
    at,
    says,
    user_key,
)

MANY_AT_ONCE = CONVERSATION_DATA.with_count(10_000)
"""For tests that are not about the limit."""


@dataclass(frozen=True)
class Service:
    """
    The API over entries at given instants: how many it puts on a page whatever is asked, which end it begins at
    whatever is asked, and whether it tells tokens; its sixth entry may be an odd one.
    """

    stamps: Sequence[int]
    cap: int = 1000
    newest_first: bool = False
    tokens: bool = False
    odd: Any = ...

    def __call__(self, wire: Wire, asked: Asked) -> None:
        low, high = int(asked.params["startTimestamp"]), int(asked.params["endTimestamp"])
        found = [(stamp, f"e{place:06d}") for place, stamp in enumerate(self.stamps) if low <= stamp <= high]
        found.sort(reverse=self.newest_first)
        begin = int(asked.params.get("pageToken", 0))
        end = begin + min(self.cap, int(asked.params["recordLimit"]))
        content: dict[str, Any] = {
            "conversationEntries": [
                {"identifier": name, "transcriptedTimestamp": stamp}
                if name != "e000005" or self.odd is ...
                else self.odd
                for stamp, name in found[begin:end]
            ]
        }
        if self.tokens and end < len(found):
            content["nextPageToken"] = str(end)
        wire.send(answer(json.dumps(content).encode()))


@pytest.fixture
def api(faults: FaultServer, line: Connection, store: SqliteQuotaStore) -> ConversationData:
    """A client that asks the fault server."""
    return ConversationData([ExecutionUser(line, "user")], store, "org", MANY_AT_ONCE, retry=IMPATIENT)


def read(api: ConversationData, identifier: str = "conversation") -> Reading:
    return api.read(identifier, *DAY)


def identifiers(reading: Reading) -> set[str]:
    return {entry["identifier"] for body in reading.bodies for entry in json.loads(body)["conversationEntries"]}


def spread(count: int, *, together: int = 1) -> list[int]:
    """Instants from noon on, a second apart, so many at each."""
    return [at(NOON + timedelta(seconds=place // together)) for place in range(count)]


ORDERS = pytest.mark.parametrize("newest_first", [False, True], ids=["oldest first", "newest first"])


@ORDERS
@pytest.mark.parametrize("tokens", [False, True], ids=["without tokens", "with tokens"])
@pytest.mark.parametrize("cap", [20, 25, 100])
@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 100, 230])
def test_a_conversation_is_read_to_its_end(
    count: int, cap: int, tokens: bool, newest_first: bool, faults: FaultServer, api: ConversationData
) -> None:
    """However few entries the service puts on a page, and from whichever end, every entry is read."""
    faults.script = [Service(spread(count), cap, newest_first, tokens)]

    reading = read(api)

    assert len(identifiers(reading)) == reading.entries == count


@ORDERS
@pytest.mark.parametrize("together", [2, 3, 7, 19])
def test_entries_of_one_millisecond_are_not_parted(
    together: int, newest_first: bool, faults: FaultServer, api: ConversationData
) -> None:
    """Where a page ends inside a millisecond, its other entries are on the next."""
    faults.script = [Service(spread(120, together=together), 20, newest_first)]

    assert len(identifiers(read(api))) == 120


@ORDERS
def test_more_in_one_millisecond_than_fit_a_page_is_refused(
    newest_first: bool, faults: FaultServer, api: ConversationData
) -> None:
    """Nothing could be asked that would give the rest: an error, not a loss."""
    faults.script = [Service([*spread(3), *[at(NOON)] * 40], 25, newest_first)]

    with pytest.raises(PagingLoop, match="25 or more entries in one millisecond"):
        read(api)


def test_more_in_one_millisecond_than_fit_a_page_is_read_by_tokens(faults: FaultServer, api: ConversationData) -> None:
    """With tokens there is nothing to it."""
    faults.script = [Service([at(NOON)] * 90, 25, tokens=True)]

    assert len(identifiers(read(api))) == 90


def test_a_normal_conversation_costs_one_request(faults: FaultServer, api: ConversationData) -> None:
    """A page that is shorter than one that the service has sent before is known to be whole."""
    faults.script = [Service(spread(40))]
    api.longest_page = 41

    assert len(identifiers(read(api))) == 40
    assert len(faults.asked) == 1


def test_the_longest_page_is_learnt(faults: FaultServer, api: ConversationData) -> None:
    """The first long conversation is looked at twice from both ends; the next ones are asked for once."""
    faults.script = [Service(spread(60)), Service(spread(60)), Service(spread(60)), Service(spread(40))]

    assert read(api).longest_page == 60
    assert len(faults.asked) == 3
    read(api)
    assert len(faults.asked) == 4


def test_a_page_size_is_forgotten_after_a_day(faults: FaultServer, api: ConversationData) -> None:
    """The service may lower its cap: a page of 60 once sent says nothing of a page of 40 sent two days later."""

    def on(day: int, count: int) -> Behaviour:
        content = [
            {"identifier": f"{place}", "transcriptedTimestamp": stamp} for place, stamp in enumerate(spread(count))
        ]
        body = json.dumps({"conversationEntries": content}).encode()
        return says(body, headers=[f"Date: Thu, {day} Nov 2026 18:00:00 GMT"])

    api.longest_page = 1000
    faults.script = [on(19, 60), on(20, 60), on(21, 40)]

    read(api)
    read(api)
    asked_while_known = len(faults.asked)
    read(api)

    assert (asked_while_known, len(faults.asked)) == (2, 5)


def test_an_empty_conversation_costs_one_request(faults: FaultServer, api: ConversationData) -> None:
    """No entries in the window: nothing to look at again."""
    faults.script = [Service([])]

    assert read(api).entries == 0
    assert len(faults.asked) == 1


def test_tokens_say_that_a_page_is_the_last(faults: FaultServer, api: ConversationData) -> None:
    """Once the service was seen to tell tokens, a page without one needs no second look."""
    faults.script = [Service(spread(90), 40, tokens=True)]

    assert read(api).entries == 90
    assert read(api).entries == 90
    assert len(faults.asked) == 6


@pytest.mark.parametrize("token", ["", None])
def test_a_token_without_content_is_no_token(token: str | None, faults: FaultServer, api: ConversationData) -> None:
    """Null and an empty text both mean that there is no further page."""
    content = {"conversationEntries": [{"identifier": "e", "transcriptedTimestamp": at(NOON)}], "nextPageToken": token}
    faults.script = [says(json.dumps(content).encode())]
    api.longest_page = 1000

    assert read(api).entries == 1
    assert len(faults.asked) == 1


def test_a_token_that_repeats_is_found_out(faults: FaultServer, api: ConversationData) -> None:
    """A service that pages in a circle gives an error, not an endless run."""
    faults.script = [says(b'{"conversationEntries":[],"nextPageToken":"again"}')]

    with pytest.raises(PagingLoop, match="a page token of the Conversation Data API repeats"):
        read(api)


def test_the_window_s_end_does_not_belong_to_it(faults: FaultServer, api: ConversationData) -> None:
    """The service's bounds are both inclusive, ours are half-open: the last millisecond asked for is one before."""
    faults.script = [Service([at(DAY[0]) - 1, at(DAY[0]), at(DAY[1]) - 1, at(DAY[1])])]

    assert identifiers(read(api)) == {"e000001", "e000002"}


def test_more_than_a_thousand_entries_are_read(org: Org) -> None:
    """The org's largest page holds 1,000; conversations hold more."""
    identifier = org.conversation()
    org.put(identifier, [at(NOON) + place for place in range(2_345)])

    assert read(org.conversation_data(), identifier).entries == 2_345


def test_more_than_a_thousand_entries_are_read_without_tokens(org: Org) -> None:
    """The same when the org tells no token."""
    org.control.post("switches", page_tokens=False)
    identifier = org.conversation()
    org.put(identifier, [at(NOON) + place // 3 for place in range(2_345)])

    assert read(org.conversation_data(), identifier).entries == 2_345


@pytest.mark.parametrize("form", ["string", "object", "mixed"])
def test_either_spelling_of_a_payload_is_taken(org: Org, form: str) -> None:
    """The payload as JSON text, as an object, or now one and now the other."""
    org.control.post("switches", payload_form=form)
    day = org.control.get("truth/entries", day="2026-11-18")["entries"]
    one = day[0]["conversation_identifier"]
    true = {entry["entry_identifier"] for entry in day if entry["conversation_identifier"] == one}

    assert identifiers(read(org.conversation_data(), one)) == true


ODD = [
    {"transcriptedTimestamp": at(NOON) + 5000},
    {"identifier": 7, "transcriptedTimestamp": "soon"},
    {"identifier": "e", "transcriptedTimestamp": str(at(NOON) + 5000)},
    {"identifier": "f"},
    None,
    [1, 2],
    "text",
]


@pytest.mark.parametrize("odd", ODD, ids=json.dumps)
@ORDERS
def test_one_odd_entry_does_not_keep_the_others_from_being_read(
    odd: Any, newest_first: bool, faults: FaultServer, api: ConversationData
) -> None:
    """A member that is missing or of another type is for the extract to judge: paging goes on around it."""
    faults.script = [Service(spread(60), 20, newest_first, odd=odd)]

    reading = read(api)
    found = [entry for body in reading.bodies for entry in json.loads(body)["conversationEntries"]]

    named = {entry["identifier"] for entry in found if isinstance(entry, dict) and "identifier" in entry}
    assert {f"e{place:06d}" for place in range(60)} - {"e000005"} <= named
    assert odd in found


def test_bodies_are_handed_on_as_they_came(faults: FaultServer, api: ConversationData) -> None:
    """What is staged is what the service said, to the byte."""
    body = b'{ "conversationEntries" : [ ] , "unknown" : 1e2 }'
    faults.script = [says(body)]

    assert tuple(read(api).bodies) == (body,)


def test_a_reading_is_as_old_as_its_first_page(faults: FaultServer, api: ConversationData) -> None:
    """What was said between two pages may be missing, so the reading counts from the first one."""
    stamps = spread(60)

    def dated(place: int) -> Behaviour:
        content = {
            "conversationEntries": [{"identifier": f"{place}", "transcriptedTimestamp": stamps[place]}],
            "nextPageToken": f"{place}",
        }
        when = f"Date: Thu, 19 Nov 2026 18:00:{10 * place:02d} GMT"
        return says(json.dumps(content).encode(), headers=[when])

    faults.script = [dated(0), dated(1), says(b'{"conversationEntries":[]}')]

    assert read(api).fetched_at == datetime(2026, 11, 19, 18, 0, tzinfo=UTC)


def test_an_unknown_conversation_is_told_as_such(org: Org) -> None:
    """404: the caller goes on without it."""
    with pytest.raises(RecordUnavailable):
        read(org.conversation_data(), "00000000-0000-4000-8000-000000000000")


@pytest.mark.parametrize("body", [b"<html>", b'{"code":500,"message":"no"}', b'{"conversationEntries":5}', b""])
def test_an_answer_of_another_shape_is_not_an_empty_conversation(
    body: bytes, faults: FaultServer, api: ConversationData
) -> None:
    """Status 200 around something else is asked again, then told."""
    faults.script = [says(body)]

    with pytest.raises(IncompleteAnswer):
        read(api)

    assert len(faults.asked) == IMPATIENT.attempts


# Limits


def test_every_request_takes_a_lease(org: Org) -> None:
    """The user's allowance and the org's active conversations, each once."""
    read(org.conversation_data(), org.conversation(3))

    assert org.store.usage(user_key(1)).held == len([name for name in org.seen() if name == "entries"])
    assert org.store.usage("org/active_conversations").held == 1


def test_a_replay_after_an_expired_token_takes_a_lease_of_its_own(org: Org) -> None:
    """The service counts the refused request and the replay; so does the store."""
    api = org.conversation_data()
    api.longest_page = 1000
    identifier = org.conversation(3)
    read(api, identifier)
    org.control.post("tokens/expire")

    read(api, identifier)

    assert org.seen()[-3:] == ["entries", "token", "entries"]
    assert org.store.usage(user_key(1)).held == 3


def test_a_lease_is_freed_one_window_after_the_answer(org: Org) -> None:
    """Not after the send: a request may reach the service at any instant before its answer begins."""
    api = org.conversation_data(rate=CONVERSATION_DATA.scaled(1 / 60))
    api.longest_page = 1000
    org.control.post("switches", network_delay_min_ms=150, network_delay_max_ms=150)

    read(api, org.conversation(3))

    left = org.store.usage(user_key(1)).next_free_seconds
    assert left is not None
    assert 0.8 < left < 1.01


def test_a_throttled_user_rests_and_the_others_go_on(org: Org) -> None:
    """A 429 pauses that user in the shared store as long as the service asks; another one reads on at once."""
    org.control.post(
        "faults", route="conversation_data.entries", times=1, effect={"status": 429, "headers": {"retry-after": "40"}}
    )
    began = time.monotonic()

    reading = read(org.conversation_data(users=2), org.conversation(3))

    rests = sorted(org.store.usage(user_key(place)).paused_seconds for place in (1, 2))
    assert reading.entries == 3
    assert rests[0] == 0
    assert 35 < rests[1] <= 40
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(("told", "least", "most"), [(None, 55, 61), ("-1", 55, 61), ("1000000000", 3590, 3600)])
def test_a_rest_is_bounded(org: Org, told: str | None, least: float, most: float) -> None:
    """Without a usable Retry-After a user rests for its window; an absurd one is cut to an hour."""
    effect = {"status": 429, "headers": {"retry-after": told} if told else {}}
    org.control.post("faults", route="conversation_data.entries", times=1, effect=effect)

    read(org.conversation_data(users=2), org.conversation(3))

    assert least < max(org.store.usage(user_key(place)).paused_seconds for place in (1, 2)) <= most


def test_a_rest_holds_for_other_processes(org: Org) -> None:
    """Whoever opens the same store does not ask for that user meanwhile."""
    effect = {"status": 429, "headers": {"retry-after": "40"}}
    org.control.post("faults", route="conversation_data.entries", times=1, effect=effect)
    read(org.conversation_data(users=2), org.conversation(3))

    other = SqliteQuotaStore(org.store.path)

    assert max(other.usage(user_key(place)).paused_seconds for place in (1, 2)) > 35
    other.close()


def test_as_many_throttled_users_as_there_are_do_not_use_up_the_patience(org: Org) -> None:
    """When all but one user are throttled by somebody else, that one is found, however few tries there are."""
    effect = {"status": 429, "headers": {"retry-after": "40"}}
    users = len(org.clients) - 1
    org.control.post("faults", route="conversation_data.entries", times=users - 1, effect=effect)
    api = org.conversation_data(users=users, retry=Retry(attempts=1))

    assert read(api, org.conversation(3)).entries == 3


def test_throttling_without_end_is_given_up(faults: FaultServer, api: ConversationData) -> None:
    """A user who is throttled on every try ends in an error that says so."""
    faults.script = [says(b"", status=429, headers=["Retry-After: 0"])]

    with pytest.raises(Throttled, match="GET /conversation-entries: 429: too many requests"):
        read(api)

    assert len(faults.asked) == IMPATIENT.attempts


def test_waiting_for_a_lease_uses_up_no_patience(org: Org) -> None:
    """A read that had to wait for its turn longer than retries last is still tried again."""
    rate = CONVERSATION_DATA.with_count(1).scaled(1 / 100)
    api = org.conversation_data(rate=rate, retry=Retry(attempts=2, timeout=0.1, wait_initial=0.01))
    api.longest_page = 1000
    identifier = org.conversation(3)
    read(api, identifier)
    org.control.post("faults", route="conversation_data.entries", times=1, effect={"status": 503})

    assert read(api, identifier).entries == 3


def test_a_token_endpoint_that_is_down_costs_no_reading(org: Org) -> None:
    """It is asked again under the same patience."""
    org.control.post("faults", route="oauth.token", times=2, effect={"status": 503})

    assert read(org.conversation_data(), org.conversation(3)).entries == 3


def test_a_service_that_stays_down_is_told(org: Org) -> None:
    """After its attempts the request is named."""
    org.control.post("faults", route="conversation_data.entries", effect={"status": 502})

    with pytest.raises(TransientError, match="GET /conversation-entries: 502"):
        read(org.conversation_data(), org.conversation(3))


def test_a_burst_stays_within_the_allowance(org: Org) -> None:
    """Two users, eight threads, 40 readings, 8 a window and user: no answer is a 429, and no window holds more."""
    window = 0.4
    org.control.post("limits", entry_requests=8, entry_window_seconds=window, entry_window="sliding")
    org.control.post("switches", network_delay_max_ms=10)
    rate = CONVERSATION_DATA.with_count(8).scaled((window + 0.01) / 60.1)
    api = org.conversation_data(users=2, rate=rate)
    api.longest_page = 1000
    identifier = org.conversation(3)

    with ThreadPoolExecutor(8) as pool:
        readings = list(pool.map(lambda _: read(api, identifier), range(40)))

    counters = org.control.get("counters")
    assert {reading.entries for reading in readings} == {3}
    assert "429" not in counters["statuses"]
    assert [user["worst_sliding_window"] for user in counters["execution_users"].values()] == [8, 8]


def test_threads_share_what_is_learnt(faults: FaultServer, api: ConversationData) -> None:
    """Many conversations at once are each read whole, whichever page comes first."""
    faults.script = [Service(spread(70), 20)]
    together = threading.Barrier(4)

    def one(place: int) -> int:
        together.wait()
        return read(api, f"conversation {place}").entries

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == [70] * 4
