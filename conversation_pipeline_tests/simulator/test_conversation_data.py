"""The Conversation Data API (sections 1.2 to 1.7 of the entry reference)."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from httpx import Response

from conversation_pipeline_tests.simulator.conftest import ENTRIES

ABSENT = "00000000-0000-4000-8000-000000000000"


def identifiers(answer: Response) -> list[str]:
    return [entry["identifier"] for entry in answer.json()["conversationEntries"]]


def times(answer: Response) -> list[int]:
    return [entry["transcriptedTimestamp"] for entry in answer.json()["conversationEntries"]]


def test_an_entry_has_the_required_members(org):
    """
    The schema's required members, and a payload that names the entry.
    """
    entries = org.entries(org.conversation()).json()["conversationEntries"]

    required = {"identifier", "entryType", "entryPayload", "sender", "clientTimestamp", "clientDuration",
                "transcriptedTimestamp"}  # fmt: skip
    for entry in entries:
        assert required <= set(entry)
        assert json.loads(entry["entryPayload"])["id"] == entry["identifier"]
        assert json.loads(entry["entryPayload"])["entryType"] == entry["entryType"]


def test_the_truth_and_the_api_tell_the_same_entries(org):
    """
    What the control plane calls true is what the API returns.
    """
    true = org.http.get("/simulator/truth/entries", params={"day": "2026-11-18"}).json()["entries"]
    conversation = org.conversation("VoiceCall")
    true_ones = {e["entry_identifier"] for e in true if e["conversation_identifier"] == conversation}

    assert true_ones
    assert true_ones <= set(identifiers(org.entries(conversation)))


@pytest.mark.parametrize("form", ["string", "object", "mixed"])
def test_payloads_come_in_the_form_of_the_switch(org, form):
    """
    JSON text, an object, or one or the other by entry.
    """
    org.control("switches", payload_form=form)
    entries = org.entries(org.conversation()).json()["conversationEntries"]
    kinds = {type(entry["entryPayload"]) for entry in entries}

    assert kinds == {"string": {str}, "object": {dict}, "mixed": {str, dict}}[form]


def test_pages_by_token_give_each_entry_once(org):
    """
    nextPageToken leads on and is missing on the last page.
    """
    conversation = org.conversation()
    everything = identifiers(org.entries(conversation))
    collected, token = [], None
    while True:
        answer = org.entries(conversation, recordLimit=7, **({"pageToken": token} if token else {}))
        collected += identifiers(answer)
        token = answer.json().get("nextPageToken")
        if token is None:
            break

    assert collected == everything


def test_an_org_may_never_tell_a_page_token(org):
    """
    Then only the timestamps lead on.
    """
    org.control("switches", page_tokens=False, entry_page_size=3)
    answer = org.entries(org.conversation())

    assert len(identifiers(answer)) == 3
    assert "nextPageToken" not in answer.json()


def test_entries_come_newest_first_unless_switched(org):
    """
    Order is not documented: both must be met.
    """
    conversation = org.conversation()
    newest = times(org.entries(conversation))
    org.control("switches", entry_order="oldest_first")
    oldest = times(org.entries(conversation))

    assert newest == sorted(newest, reverse=True)
    assert oldest == newest[::-1]


def test_both_bounds_are_inclusive(org):
    """
    Epoch milliseconds on the transcripted timestamp.
    """
    conversation = org.conversation()
    newest_first = times(org.entries(conversation))
    late, early = newest_first[2], newest_first[5]

    assert times(org.entries(conversation, startTimestamp=early, endTimestamp=late)) == newest_first[2:6]


@pytest.mark.parametrize(
    "parameters",
    [
        {"recordLimit": 0},
        {"recordLimit": 1001},
        {"startTimestamp": "soon"},
        {"pageToken": "?"},
        {"queryDirection": "Up"},
    ],
    ids=lambda parameters: next(iter(parameters)),
)
def test_wrong_parameters_are_400(org, parameters):
    """
    With an object of code and message.
    """
    answer = org.entries(org.conversation(), **parameters)

    assert answer.status_code == 400
    assert {type(answer.json()["code"]), type(answer.json()["message"])} == {int, str}


def test_a_missing_identifier_is_400(org):
    """
    conversationIdentifier is the one required parameter.
    """
    assert org.get(ENTRIES).status_code == 400


def test_an_unknown_identifier_is_404(org):
    """
    A UUID of no conversation, and a conversation that has not begun yet.
    """
    assert org.entries(ABSENT).status_code == 404


def test_a_token_without_the_scope_is_401(org):
    """
    sfap_api is needed, and a token at all.
    """
    org.control("clients", client_id="narrow", client_secret="s", scopes=["api"])
    form = {"grant_type": "client_credentials", "client_id": "narrow", "client_secret": "s"}
    token = org.http.post("/services/oauth2/token", data=form).json()["access_token"]

    for headers in ({}, {"authorization": f"Bearer {token}"}, {"authorization": "Bearer 00D!opaque"}):
        assert org.http.get(ENTRIES, headers=headers).status_code == 401


def test_voice_entries_appear_three_minutes_after_the_call(org):
    """
    And they are tied to their call then.
    """
    call = org.records(
        "SELECT CallEndDateTime, Conversation.ConversationIdentifier FROM VoiceCall "
        "WHERE NextCallId = null AND PreviousCallId = null AND CallEndDateTime < 2026-11-19T00:00:00Z LIMIT 1"
    )[0]
    conversation = call["Conversation"]["ConversationIdentifier"]
    ended = datetime.fromisoformat(call["CallEndDateTime"].replace("+0000", "+00:00"))
    org.control("clock", now=(ended + timedelta(seconds=170)).isoformat())
    before = identifiers(org.entries(conversation))
    org.control("clock", now=(ended + timedelta(seconds=182)).isoformat())
    after = org.entries(conversation).json()["conversationEntries"]

    assert before == []
    assert after
    assert all(entry["relatedRecords"][0].startswith("0LQ") for entry in after if entry["sender"]["role"] != "System")


def test_the_ninety_first_request_of_a_minute_is_429(org):
    """
    Refused with Retry-After in seconds; after that time the next one is served.
    """
    org.control("limits", entry_requests=3, entry_window="sliding")
    conversation = org.conversation()
    statuses = [org.entries(conversation).status_code for _ in range(3)]
    refused = org.entries(conversation)
    org.control("clock", advance_seconds=int(refused.headers["retry-after"]))

    assert statuses == [200, 200, 200]
    assert refused.status_code == 429
    assert org.entries(conversation).status_code == 200


def test_retry_after_may_be_missing(org):
    """
    It is not promised.
    """
    org.control("limits", entry_requests=0)
    org.control("switches", retry_after=False)
    answer = org.entries(org.conversation())

    assert answer.status_code == 429
    assert "retry-after" not in answer.headers


def test_every_execution_user_has_a_bucket(org):
    """
    Capacity adds up over users.
    """
    org.control("limits", entry_requests=1, entry_window_seconds=3600)
    conversation = org.conversation()
    statuses = []
    for place in (0, 1, 1):
        org.headers = {"authorization": f"Bearer {org.token(place)}"}
        statuses.append(org.entries(conversation).status_code)

    assert statuses == [200, 200, 429]


def test_apps_with_one_run_as_user_share_its_bucket(org):
    """
    The limit is tied to the identity, not to the app.
    """
    org.control("limits", entry_requests=1, entry_window_seconds=3600)
    org.control("clients", client_id="second", client_secret="s", username=org.clients[0]["username"])
    conversation = org.conversation()
    first = org.entries(conversation).status_code
    form = {"grant_type": "client_credentials", "client_id": "second", "client_secret": "s"}
    org.headers = {
        "authorization": "Bearer " + org.http.post("/services/oauth2/token", data=form).json()["access_token"]
    }

    assert (first, org.entries(conversation).status_code) == (200, 429)


def test_reading_marks_a_conversation_active_for_half_an_hour(org):
    """
    Distinct conversations count once; a further call restarts the timer.
    """
    conversations = [org.conversation(), org.conversation("VoiceCall")]
    for conversation in (*conversations, conversations[0]):
        org.entries(conversation)
    active = [org.http.get("/simulator/counters").json()["active_conversations"]]
    org.control("clock", advance_seconds=30 * 60 + 1)
    active.append(org.http.get("/simulator/counters").json()["active_conversations"])

    assert [(seen["now"], seen["worst"]) for seen in active] == [(2, 2), (0, 2)]
