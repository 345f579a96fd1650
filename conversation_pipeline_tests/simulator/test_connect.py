"""The Connect REST conversation entries (section 3 of the entry reference)."""

from __future__ import annotations

import html

import httpx
import pytest

ABSENT = "00000000-0000-4000-8000-000000000000"
MEMBERS = {"clientDuration", "clientTimestamp", "identifier", "messageText", "relatedRecords", "sender",
           "serverReceivedTimestamp"}  # fmt: skip


def path_of(identifier: str) -> str:
    return f"/services/data/v66.0/connect/conversation/{identifier}/entries"


def read(org, identifier: str, **parameters) -> httpx.Response:
    headers = parameters.pop("headers", {})
    return org.get(path_of(identifier), params=parameters, headers=headers)


def rows(answer: httpx.Response) -> list[dict]:
    assert answer.status_code == 200, answer.text
    return answer.json()["conversationEntries"]


def times(answer: httpx.Response) -> list[int]:
    return [row["serverReceivedTimestamp"] for row in rows(answer)]


def names(answer: httpx.Response) -> list[str]:
    return [row["identifier"] for row in rows(answer)]


def true_entries(org, identifier: str) -> list[dict]:
    """What the world holds of a conversation, oldest first."""
    days = ("2026-11-17", "2026-11-18", "2026-11-19")
    found = [
        entry
        for day in days
        for entry in org.http.get("/simulator/truth/entries", params={"day": day}).json()["entries"]
    ]
    return [entry for entry in found if entry["conversation_identifier"] == identifier]


def put(org, identifier: str, *texts: str, at: int = 1_790_000_000_000, step: int = 1000) -> list[str]:
    """Text messages put in by hand, so many milliseconds apart."""
    entries = [
        {
            "identifier": f"by-hand-{place}",
            "transcriptedTimestamp": at + place * step,
            "sender": {"appType": "agent", "subject": "005AA0000001111", "role": "Agent"},
            "entryPayload": {
                "entryType": "Message",
                "id": f"by-hand-{place}",
                "abstractMessage": {
                    "messageType": "StaticContentMessage",
                    "staticContent": {"formatType": "Text", "text": text},
                },
            },
        }
        for place, text in enumerate(texts)
    ]
    return org.control("entries", conversationIdentifier=identifier, entries=entries)["identifiers"]


@pytest.fixture
def blank(org) -> str:
    """The identifier of a conversation without entries."""
    org.control("records", insert=[{"sobject": "Conversation", "ConversationIdentifier": "by-hand"}])
    return "by-hand"


def test_an_answer_holds_the_seven_members_and_no_more(org):
    """
    No entry type, no display name, no payload, and nothing that leads to a next page.
    """
    answer = read(org, org.conversation())

    assert set(answer.json()) == {"conversationEntries"}
    assert all(set(row) == MEMBERS for row in rows(answer))


def test_only_plain_text_messages_are_told(org):
    """
    Of everything in the conversation, those that are static content of type text.
    """
    conversation = org.conversation()
    told = {row["identifier"]: html.unescape(row["messageText"]) for row in rows(read(org, conversation,
                                                                                      recordLimit=1000))}  # fmt: skip
    true = {
        entry["entry_identifier"]: entry["text"]
        for entry in true_entries(org, conversation)
        if (entry["entry_type"], entry["message_type"], entry["format_type"])
        == ("Message", "StaticContentMessage", "Text")
    }

    assert true
    assert told == true


def test_both_roads_tell_one_identifier_time_and_text(org):
    """
    The serverReceivedTimestamp of one is the transcriptedTimestamp of the other.
    """
    conversation = org.conversation("VoiceCall")
    other = {e["identifier"]: e["transcriptedTimestamp"] for e in org.entries(conversation).json()[
        "conversationEntries"]}  # fmt: skip
    mine = {row["identifier"]: row["serverReceivedTimestamp"] for row in rows(read(org, conversation,
                                                                                   recordLimit=1000))}  # fmt: skip

    assert mine
    assert mine.items() <= other.items()


def test_a_default_call_gets_the_newest_25(org, blank):
    """
    FromEnd and 25 are the defaults: the start of a long conversation is what goes missing.
    """
    identifiers = put(org, blank, *(f"message {place}" for place in range(30)))

    assert names(read(org, blank)) == identifiers[:4:-1]


def test_from_start_reads_oldest_first(org, blank):
    """
    Ascending from the lower bound.
    """
    identifiers = put(org, blank, *(f"message {place}" for place in range(30)))

    assert names(read(org, blank, queryDirection="FromStart", recordLimit=10)) == identifiers[:10]


def test_bounds_are_inclusive_milliseconds(org, blank):
    """
    Both ends belong to the window.
    """
    identifiers = put(org, blank, *"abcdef")
    at = times(read(org, blank, queryDirection="FromStart"))

    assert names(read(org, blank, startTimestamp=at[1], endTimestamp=at[3])) == identifiers[3:0:-1]


def test_seconds_in_the_place_of_milliseconds_find_nothing(org):
    """
    An endTimestamp of ten digits lies in 1970: no error, no entry.
    """
    assert rows(read(org, org.conversation(), endTimestamp=1_795_000_000)) == []


def test_entries_of_one_millisecond_come_together_when_the_page_is_asked_for_again(org, blank):
    """
    Who pages on from the largest timestamp itself meets the siblings that did not fit.
    """
    put(org, blank, "a", "b", "c", "d", step=0)
    first = read(org, blank, queryDirection="FromStart", recordLimit=3)
    again = read(org, blank, queryDirection="FromStart", recordLimit=1000, startTimestamp=times(first)[-1])

    assert len(set(names(first) + names(again))) == 4


@pytest.mark.parametrize("made_up", ["pageSize", "pageToken", "offset", "hasMore"])
def test_parameters_of_no_contract_are_passed_over(org, blank, made_up):
    """
    Clients that page with them get the newest 25 for ever.
    """
    put(org, blank, *(f"message {place}" for place in range(30)))

    assert names(read(org, blank, **{made_up: "2"})) == names(read(org, blank))


def test_text_is_html_encoded(org, blank):
    """
    Six characters become entities, every one of them.
    """
    put(org, blank, 'It\'s <b>5 & "6"</b> \\o/')

    assert rows(read(org, blank))[0]["messageText"] == "It&#39;s &lt;b&gt;5 &amp; &quot;6&quot;&lt;/b&gt; &#92;o/"


def test_text_is_raw_for_who_asks_for_it(org, blank):
    """
    X-Chatter-Entity-Encoding: false.
    """
    put(org, blank, "It's <b>5 & 6</b>")
    answer = read(org, blank, headers={"X-Chatter-Entity-Encoding": "false"})

    assert rows(answer)[0]["messageText"] == "It's <b>5 & 6</b>"


@pytest.mark.parametrize("told", [True, False])
def test_bots_may_be_told_or_not(org, told):
    """
    The documentation says they are not, a capture shows that they are.
    """
    org.control("switches", connect_bot_text=told)
    roles = {row["sender"]["role"] for row in rows(read(org, org.conversation(), recordLimit=1000))}

    assert ("Chatbot" in roles) is told


def test_rich_messages_may_come_with_an_empty_text(org):
    """
    Undocumented whether they are omitted or blank.
    """
    conversation = org.conversation()
    omitted = names(read(org, conversation, recordLimit=1000))
    org.control("switches", connect_rich_entries="blank")
    with_blanks = rows(read(org, conversation, recordLimit=1000))

    blanks = {row["identifier"] for row in with_blanks if row["messageText"] == ""}
    assert blanks
    assert {row["identifier"] for row in with_blanks} == set(omitted) | blanks


def test_a_page_may_be_short_while_there_is_more(org):
    """
    Where the limit is taken before the rest is left out.
    """
    conversation = org.conversation()
    whole = len(rows(read(org, conversation, recordLimit=1000)))
    org.control("switches", connect_filter_after_limit=True)

    assert len(rows(read(org, conversation, recordLimit=whole))) < whole


@pytest.mark.parametrize(
    "parameters",
    [{"recordLimit": 0}, {"recordLimit": 1001}, {"recordLimit": "all"}, {"startTimestamp": "soon"},
     {"queryDirection": "Up"}],
    ids=str,
)  # fmt: skip
def test_wrong_parameters_are_400(org, parameters):
    """
    With core REST's list of errors.
    """
    answer = read(org, org.conversation(), **parameters)

    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "ILLEGAL_QUERY_PARAMETER_VALUE")


@pytest.mark.parametrize(
    ("identifier", "status", "code"),
    [(ABSENT, 404, "NOT_FOUND"), ("%20", 400, "INVALID_ID_FIELD"), ("0dwAA0000000001", 400, "INVALID_ID_FIELD")],
)
def test_identifiers_that_lead_nowhere_are_refused(org, identifier, status, code):
    """
    Unknown, blank, or the record's id in the place of the identifier.
    """
    answer = read(org, identifier)

    assert (answer.status_code, answer.json()[0]["errorCode"]) == (status, code)


def test_an_ended_session_is_401(org):
    """
    INVALID_SESSION_ID, as everywhere in core REST.
    """
    org.control("tokens/expire")
    answer = read(org, ABSENT)

    assert (answer.status_code, answer.json()[0]["errorCode"]) == (401, "INVALID_SESSION_ID")


def test_the_hourly_limit_answers_503(org):
    """
    1,000 calls an hour, here 2; the next hour serves again. Retry-After is not promised.
    """
    org.control("limits", connect_requests=2, connect_window="sliding")
    conversation = org.conversation()
    answers = [read(org, conversation) for _ in range(3)]
    org.control("clock", advance_seconds=3600)

    assert [answer.status_code for answer in answers] == [200, 200, 503]
    assert answers[2].json()[0]["errorCode"] == "REQUEST_LIMIT_EXCEEDED"
    assert "retry-after" not in answers[2].headers
    assert read(org, conversation).status_code == 200


def test_the_hour_is_that_of_the_clock_unless_it_slides(org):
    """
    A fixed window is free again at its boundary, however late in it the calls were.
    """
    org.control("limits", connect_requests=1, connect_window_seconds=0.2)
    org.control("switches", connect_retry_after=True)
    conversation = org.conversation()
    answers = [read(org, conversation) for _ in range(2)]
    while answers[-1].status_code == 200:
        answers.append(read(org, conversation))
    org.control("clock", advance_seconds=0.2)

    assert answers[-1].headers["retry-after"] == "1"
    assert read(org, conversation).status_code == 200


def test_every_app_and_user_has_an_allowance_of_its_own(org):
    """
    A second app of the same user has its own hour, another call of the first app has not.
    """
    org.control("limits", connect_requests=1)
    org.control("clients", client_id="second", client_secret="s", username=org.clients[0]["username"])
    conversation = org.conversation()
    form = {"grant_type": "client_credentials", "client_id": "second", "client_secret": "s"}
    second = org.http.post("/services/oauth2/token", data=form).json()["access_token"]
    first = [read(org, conversation).status_code for _ in range(2)]
    org.headers = {"authorization": f"Bearer {second}"}

    assert first == [200, 503]
    assert read(org, conversation).status_code == 200


@pytest.mark.parametrize("status", ["403", "429"])
def test_the_daily_allocation_answers_403_or_429(org, status):
    """
    REQUEST_LIMIT_EXCEEDED either way: general REST says 403, the Connect table 429.
    """
    conversation = org.conversation()
    org.control("switches", connect_daily_status=status)
    org.control("limits", daily_api_requests=1)
    answer = read(org, conversation)

    assert (answer.status_code, answer.json()[0]["errorCode"]) == (int(status), "REQUEST_LIMIT_EXCEEDED")


def test_a_call_uses_up_the_orgs_allocation_and_says_so(org):
    """
    Sforce-Limit-Info goes up by one a call.
    """
    conversation = org.conversation()
    used = [
        int(read(org, conversation).headers["sforce-limit-info"].removeprefix("api-usage=").partition("/")[0])
        for _ in range(2)
    ]

    assert used[1] == used[0] + 1


def test_the_answer_is_not_for_caches(org):
    """
    no-store, and an id of the request, as captured.
    """
    answer = read(org, org.conversation())

    assert "no-store" in answer.headers["cache-control"]
    assert answer.headers["x-sfdc-request-id"]


def test_both_roads_fill_one_set_of_active_conversations(org):
    """
    One conversation read by both counts once, another one by Connect counts as well.
    """
    both, connect_only = org.conversation(), org.conversation("VoiceCall")
    org.entries(both)
    read(org, both)
    read(org, connect_only)

    assert org.http.get("/simulator/counters").json()["active_conversations"]["now"] == 2


def test_the_books_tell_what_each_app_asked(org):
    """
    Served and refused calls, and what its hour saw at worst.
    """
    org.control("limits", connect_requests=1)
    conversation = org.conversation()
    for _ in range(2):
        read(org, conversation)
    counters = org.http.get("/simulator/counters").json()
    caller = counters["connect_callers"]["integration-client integrationuser@northpine.example"]

    assert caller == {"arrived": 2, "served": 1, "refused": 1, "worst_sliding_window": 2, "worst_fixed_window": 2}
    assert counters["connect_conversations_asked"]["times"] == {conversation: 2}


def test_a_redaction_changes_text_under_the_same_identifier_and_time(org, blank):
    """
    Nothing else in either road tells that there was one.
    """
    [identifier] = put(org, blank, "my card is 4111 1111 1111 1111")
    before = rows(read(org, blank))[0]
    body = {"conversationEntriesUpdates": [{"identifier": identifier, "messageText": "my card is ****"}]}
    result = org.patch(path_of(blank), body).json()
    [other] = org.entries(blank).json()["conversationEntries"]

    assert result == {
        "conversationEntriesUpdateResults": [{"identifier": identifier, "success": True, "failureReason": None}]
    }
    assert rows(read(org, blank))[0] == before | {"messageText": "my card is ****"}
    assert "4111" not in str(other)
    assert other["transcriptedTimestamp"] == before["serverReceivedTimestamp"]


def test_a_redaction_tells_the_outcome_entry_by_entry(org, blank):
    """
    One that is there and one that is not: 200, and a reason for the second.
    """
    [identifier] = put(org, blank, "hello")
    updates = [{"identifier": name, "messageText": "x"} for name in (identifier, ABSENT)]
    answer = org.patch(path_of(blank), {"conversationEntriesUpdates": updates})
    results = answer.json()["conversationEntriesUpdateResults"]

    assert answer.status_code == 200
    assert [result["success"] for result in results] == [True, False]
    assert results[1]["failureReason"]


def test_a_user_without_permission_is_403(org):
    """
    Access Conversation Entries is taken away in the middle, and given back.
    """
    conversation, user = org.conversation(), org.clients[0]["username"]
    org.control("users", username=user, state="without_permission")
    refused = read(org, conversation)
    org.control("users", username=user, state="active")

    assert (refused.status_code, refused.json()[0]["errorCode"]) == (403, "INSUFFICIENT_ACCESS")
    assert read(org, conversation).status_code == 200
