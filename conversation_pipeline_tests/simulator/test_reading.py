"""What makes entries hard to read: lateness, ties, length, calls that settle, users that are locked, a full org."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from conversation_pipeline_tests.simulator.conftest import ENTRIES

CONNECT = "/services/data/v66.0/connect/conversation"
BY_HAND = "by-hand"


def read(org, identifier: str, **parameters) -> list[dict]:
    answer = org.entries(identifier, **parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()["conversationEntries"]


def names(entries: list[dict]) -> list[str]:
    return [entry["identifier"] for entry in entries]


def times(entries: list[dict]) -> list[int]:
    return [entry["transcriptedTimestamp"] for entry in entries]


def counters(org) -> dict:
    return org.http.get("/simulator/counters").json()["active_conversations"]


def now_at(org, instant: datetime) -> None:
    org.control("clock", now=instant.isoformat())


def conversation_by_hand(org, count: int, **more) -> str:
    """A conversation of so many entries, all of them within the minute before now."""
    org.control("records", insert=[{"sobject": "Conversation", "ConversationIdentifier": BY_HAND}])
    span = {"from": "2026-11-19T17:58:00Z", "to": "2026-11-19T17:59:00Z"}
    org.control("entries/generate", conversationIdentifier=BY_HAND, count=count, **span, **more)
    return BY_HAND


def transferred(org) -> tuple[str, list[str], datetime]:
    """A conversation of several calls: identifier, the calls' ids in order, when the last one ended."""
    org.control("switches", token_life_seconds=10**8)
    org.headers = {"authorization": f"Bearer {org.token()}"}
    org.control("clock", now="2026-11-26T00:00:00Z")
    later = org.records("SELECT ConversationId FROM VoiceCall WHERE PreviousCallId != null ORDER BY CreatedDate")
    conversation = later[0]["ConversationId"]
    calls = org.records(
        "SELECT Id, CallEndDateTime, Conversation.ConversationIdentifier FROM VoiceCall "
        f"WHERE ConversationId = '{conversation}' ORDER BY CallStartDateTime"
    )
    ended = datetime.fromisoformat(calls[-1]["CallEndDateTime"].replace("+0000", "+00:00"))
    return calls[0]["Conversation"]["ConversationIdentifier"], [call["Id"] for call in calls], ended


def related(entries: list[dict]) -> set[str | None]:
    return {entry["relatedRecords"][0][:15] if entry["relatedRecords"] else None for entry in entries}


def test_entries_can_come_some_time_after_they_were_said(org):
    """
    Near real time is not real time.
    """
    conversation = conversation_by_hand(org, 3)
    org.control("switches", entry_delay_seconds=121)
    now_at(org, datetime.fromisoformat("2026-11-19T18:00:00+00:00"))
    before = read(org, conversation)
    org.control("clock", advance_seconds=60)

    assert before == []
    assert len(read(org, conversation)) == 3


def test_some_entries_come_later_than_those_after_them(org):
    """
    A share of them, always the same ones.
    """
    conversation = conversation_by_hand(org, 200)
    org.control("switches", late_entry_share=0.3, late_entry_seconds=3600)
    early = [names(read(org, conversation)) for _ in range(2)]
    org.control("clock", advance_seconds=3600)
    everything = names(read(org, conversation))

    assert early[0] == early[1]
    assert 110 < len(early[0]) < 170
    assert len(everything) == 200
    assert set(everything[:20]) - set(early[0])


def test_the_truth_is_late_as_well(org):
    """
    What no API returns yet is not yet true.
    """
    org.control("switches", entry_delay_seconds=10**7)

    assert org.http.get("/simulator/truth/entries", params={"day": "2026-11-18"}).json()["entries"] == []


def test_a_page_can_come_in_no_order(org):
    """
    The pages are cut newest first all the same.
    """
    conversation = conversation_by_hand(org, 60)
    sorted_page = read(org, conversation, recordLimit=40)
    org.control("switches", entry_order="shuffled")
    shuffled = read(org, conversation, recordLimit=40)

    assert set(names(shuffled)) == set(names(sorted_page))
    assert times(shuffled) not in (sorted(times(shuffled)), sorted(times(shuffled), reverse=True))


def test_a_conversation_can_have_more_than_a_thousand_entries(org):
    """
    A page never holds more; the token leads to the rest.
    """
    conversation = conversation_by_hand(org, 2500)
    pages, token = [], None
    while token is not None or not pages:
        answer = org.entries(conversation, recordLimit=1000, **({"pageToken": token} if token else {})).json()
        pages.append(len(answer["conversationEntries"]))
        token = answer.get("nextPageToken")

    assert pages == [1000, 1000, 500]


def test_generated_entries_share_milliseconds_where_asked(org):
    """
    Three at a time.
    """
    conversation = conversation_by_hand(org, 9, tied=3)
    found = times(read(org, conversation))

    assert [found.count(at) for at in sorted(set(found))] == [3, 3, 3]


def test_generated_entries_are_equal_for_equal_seeds(org):
    """
    And others for another seed.
    """
    made = []
    for seed in (1, 1, 2):
        org.http.post("/simulator/reset")
        org.headers = {"authorization": f"Bearer {org.token()}"}
        made.append(read(org, conversation_by_hand(org, 5, seed=seed)))

    assert made[0] == made[1]
    assert not set(names(made[0])) & set(names(made[2]))


def test_every_conversation_can_have_ties(org):
    """
    Every third entry has the time of the one before, in the truth as well.
    """
    conversation = org.conversation()
    before = sorted(times(read(org, conversation)))
    org.control("entries/tie", every=3)
    after = sorted(times(read(org, conversation)))
    true = org.http.get("/simulator/truth/entries", params={"day": "2026-11-18"}).json()["entries"]
    true_times = [(entry["conversation_identifier"], entry["transcripted_timestamp"]) for entry in true]

    assert after == [at if place % 3 != 2 else before[place - 1] for place, at in enumerate(before)]
    assert len(set(true_times)) < len(true_times)


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("entries/tie", {"every": 1}),
        ("entries/generate", {"conversationIdentifier": "nobody", "count": 1}),
        ("customers", {"count": 0}),
        ("users", {"username": "nobody", "state": "locked"}),
        ("users", {"username": "integrationuser@northpine.example", "state": "asleep"}),
        ("users", {"username": "integrationuser@northpine.example", "state": "locked", "after_requests": -1}),
        ("erasures", {}),
        ("erasures", {"conversationIds": ["x"]}),
        ("limits", {"connect_window": "round"}),
        ("switches", {"conversation_service": "maybe"}),
    ],
)
def test_commands_that_make_no_sense_are_refused(org, name, asked):
    """
    400 with a sentence.
    """
    answer = org.http.post(f"/simulator/{name}", json=asked)

    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_calls_entries_name_the_right_call_after_a_while(org):
    """
    Read right when they appear, those of a transferred call name the first one.
    """
    identifier, calls, ended = transferred(org)
    org.control("switches", voice_association_minutes=5)
    now_at(org, ended + timedelta(minutes=3, seconds=2))
    early = related(read(org, identifier))
    now_at(org, ended + timedelta(minutes=8, seconds=2))
    late = related(read(org, identifier))

    assert early == {calls[0][:15]}
    assert late == {call[:15] for call in calls}


def test_a_calls_entries_may_name_no_call_at_first(org):
    """
    By a switch.
    """
    identifier, _, ended = transferred(org)
    org.control("switches", voice_association_minutes=5, voice_before_association="none")
    now_at(org, ended + timedelta(minutes=3, seconds=2))

    assert related(read(org, identifier)) == {None}


def test_a_calls_entries_may_vanish_while_they_are_associated(org):
    """
    There, gone, there again.
    """
    identifier, _, ended = transferred(org)
    org.control("switches", voice_association_minutes=5, voice_vanish_seconds=60)
    seen = []
    for seconds in (200, 430, 482):
        now_at(org, ended + timedelta(seconds=seconds))
        seen.append(bool(read(org, identifier)))

    assert seen == [True, False, True]


@pytest.mark.parametrize(("toggle", "status"), [("off", 403), ("off_as_404", 404)])
def test_the_toggle_of_the_service_can_be_off(org, toggle, status):
    """
    Looks like missing rights or like a wrong address; Connect goes on.
    """
    conversation = org.conversation()
    org.control("switches", conversation_service=toggle)

    assert org.entries(conversation).status_code == status
    assert org.get(f"{CONNECT}/{conversation}/entries").status_code == 200


def test_a_locked_user_loses_its_tokens_and_gets_no_new_one(org):
    """
    In the middle: 401 for the API, inactive_user for the token request; the other users go on.
    """
    conversation, client = org.conversation(), org.clients[1]
    token = {"authorization": f"Bearer {org.token(1)}"}
    ask = {"headers": token, "params": {"conversationIdentifier": conversation}}
    before = org.http.get(ENTRIES, **ask).status_code
    org.control("users", username=client["username"], state="locked")
    form = {"grant_type": "client_credentials"} | {key: client[key] for key in ("client_id", "client_secret")}
    refused = org.http.post("/services/oauth2/token", data=form)

    assert (before, org.http.get(ENTRIES, **ask).status_code) == (200, 401)
    assert (refused.status_code, refused.json()["error"]) == (400, "inactive_user")
    assert org.entries(conversation).status_code == 200


def test_a_user_can_lose_its_permission_and_get_it_back(org):
    """
    403 in between, while its token and its queries go on.
    """
    conversation, user = org.conversation(), org.clients[0]["username"]
    statuses = []
    for state in ("without_permission", "active"):
        org.control("users", username=user, state=state)
        statuses.append((org.entries(conversation).status_code, org.query("SELECT Id FROM User").status_code))

    assert statuses == [(403, 200), (200, 200)]
    assert org.http.get("/simulator/users").json()["users"][user] == "active"


@pytest.mark.parametrize(("state", "status"), [("locked", 401), ("without_permission", 403)])
def test_a_user_can_be_stopped_after_some_requests(org, state, status):
    """
    Two are served, the third is not: what a run meets in its middle.
    """
    conversation = org.conversation()
    org.control("users", username=org.clients[0]["username"], state=state, after_requests=2)

    assert [org.entries(conversation).status_code for _ in range(4)] == [200, 200, status, status]


def test_a_full_org_still_answers_but_turns_customers_away(org):
    """
    One too many active conversations: reads go on, live customers cannot begin.
    """
    org.control("limits", active_conversations=10, live_conversations=9)
    free = org.control("customers", count=1)
    conversation = org.conversation()
    status = org.entries(conversation).status_code
    full = org.control("customers", count=4)

    assert (free, status, full) == ({"begun": 1, "turned_away": 0}, 200, {"begun": 0, "turned_away": 4})
    assert (counters(org)["over_limit"], counters(org)["customers_turned_away"]) == (True, 4)


def test_harm_adds_up_while_the_limit_is_passed(org):
    """
    Half an hour over it: of 8,000 live customers as many would have begun anew in that time.
    """
    org.control("limits", active_conversations=8_000, live_conversations=8_000)
    org.entries(org.conversation())
    org.control("clock", advance_seconds=3 * 3600)

    assert counters(org)["seconds_over_limit"] == pytest.approx(1800, abs=1)
    assert counters(org)["customers_turned_away"] == pytest.approx(8_000, abs=5)


def test_harm_ends_when_the_first_touches_expire(org):
    """
    With room for one, two conversations read ten minutes apart are too many for twenty.
    """
    org.control("limits", active_conversations=101, live_conversations=100)
    org.entries(org.conversation())
    org.control("clock", advance_seconds=600)
    org.entries(org.conversation("VoiceCall"))
    org.control("clock", advance_seconds=3600)

    assert counters(org)["seconds_over_limit"] == pytest.approx(1200, abs=1)


def test_no_harm_is_done_within_the_limit(org):
    """
    At the limit and not above it.
    """
    org.control("limits", active_conversations=101, live_conversations=100)
    org.entries(org.conversation())
    org.control("clock", advance_seconds=3600)

    assert (counters(org)["over_limit"], counters(org)["customers_turned_away"]) == (False, 0)
