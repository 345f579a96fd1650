"""Faults to order: each does to a client what the real network does."""

from __future__ import annotations

import time

import httpx
import pytest

QUERY = "/services/data/v66.0/query?q=SELECT+Id+FROM+MessagingSession"


def order(org, effect, **rule):
    org.control("faults", route="rest.query", effect=effect, **rule)


def test_a_status_is_answered_with_body_and_headers(org):
    """
    And only as many times as asked.
    """
    order(org, {"status": 503, "body": [{"errorCode": "SERVER_UNAVAILABLE"}], "headers": {"retry-after": "2"}}, times=1)
    answers = [org.get(QUERY) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [503, 200]
    assert answers[0].json()[0]["errorCode"] == "SERVER_UNAVAILABLE"
    assert answers[0].headers["retry-after"] == "2"


def test_only_the_nth_request_is_met(org):
    """
    Counted among the requests that match.
    """
    order(org, {"status": 500}, nth=2)

    assert [org.get(QUERY).status_code for _ in range(3)] == [200, 500, 200]


def test_a_rule_may_be_for_one_user(org):
    """
    The others are served.
    """
    order(org, {"status": 429}, user=org.clients[1]["username"])
    mine = org.get(QUERY).status_code
    org.headers = {"authorization": f"Bearer {org.token(1)}"}

    assert (mine, org.get(QUERY).status_code) == (200, 429)


def test_a_rule_may_be_for_one_conversation(org):
    """
    Other conversations are served.
    """
    one, other = org.conversation(), org.conversation("VoiceCall")
    org.control("faults", route="conversation_data.*", conversationIdentifier=one, effect={"status": 500})

    assert (org.entries(one).status_code, org.entries(other).status_code) == (500, 200)


def test_a_connection_is_reset_before_the_answer(org):
    """
    The client sees a broken connection, not a status.
    """
    order(org, {"reset": "before"}, times=1)

    with pytest.raises(httpx.TransportError):
        org.get(QUERY)
    assert org.get(QUERY).status_code == 200


def test_a_connection_is_reset_within_the_body(org):
    """
    After the headers and half of the body.
    """
    order(org, {"reset": "body"})

    with org.http.stream("GET", QUERY, headers=org.headers) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.TransportError):
            answer.read()


def test_a_truncated_body_may_keep_its_length(org):
    """
    Content-Length tells that something is missing.
    """
    order(org, {"truncate": {"fraction": 0.5, "content_length": "kept"}})

    with pytest.raises(httpx.RemoteProtocolError):
        org.get(QUERY)


@pytest.mark.parametrize("told", ["matching", "absent"])
def test_a_truncated_body_may_look_whole(org, told):
    """
    The length agrees or is not told: only the content shows that it is cut.
    """
    order(org, {"truncate": {"bytes": 40, "content_length": told}})
    answer = org.get(QUERY, headers={"accept-encoding": "identity"})

    assert (answer.status_code, len(answer.content)) == (200, 40)


def test_a_stalled_answer_runs_into_the_clients_timeout(org):
    """
    Nothing comes for a while.
    """
    order(org, {"stall_seconds": 0.4}, times=1)

    with pytest.raises(httpx.ReadTimeout):
        org.get(QUERY, timeout=0.1)


def test_a_stalled_body_goes_on_later(org):
    """
    Some bytes, a pause, the rest.
    """
    order(org, {"stall_seconds": 0.2, "stall_after_bytes": 10})
    started = time.monotonic()
    answer = org.get(QUERY)

    assert answer.json()["done"] is True
    assert time.monotonic() - started >= 0.2


def test_html_may_come_with_status_200(org):
    """
    A maintenance page where JSON should be.
    """
    order(org, {"html": True})
    answer = org.get(QUERY)

    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/html")


def test_a_token_may_expire_at_a_request(org):
    """
    401 from then on, until a new token is there.
    """
    order(org, {"expire_token": True}, times=1)
    statuses = [org.get(QUERY).status_code, org.get(QUERY).status_code]
    org.headers = {"authorization": f"Bearer {org.token()}"}

    assert [*statuses, org.get(QUERY).status_code] == [401, 401, 200]


def test_an_entry_may_be_dropped_or_repeated(org):
    """
    The page looks whole and is not.
    """
    conversation = org.conversation()
    whole = org.entries(conversation).json()["conversationEntries"]
    lengths = []
    for effect in ({"drop_entry": 1}, {"repeat_entry": 1}):
        org.control("faults", route="conversation_data.entries", times=1, effect=effect)
        lengths.append(len(org.entries(conversation).json()["conversationEntries"]))

    assert lengths == [len(whole) - 1, len(whole) + 1]


def test_a_record_may_be_dropped_from_a_page(org):
    """
    totalSize tells that one is missing.
    """
    order(org, {"drop_record": True})
    answer = org.get(QUERY).json()

    assert len(answer["records"]) == answer["totalSize"] - 1


def test_faults_can_be_listed_and_forgotten(org):
    """
    DELETE takes every rule back.
    """
    order(org, {"status": 500})
    listed = org.http.get("/simulator/faults").json()["faults"]
    org.http.delete("/simulator/faults")

    assert len(listed) == 1
    assert org.get(QUERY).status_code == 200


@pytest.mark.parametrize(
    "rule", [{"effect": {"explode": 1}}, {"effect": {}}, {"effect": {"status": 500}, "when": "now"}]
)
def test_a_rule_that_makes_no_sense_is_refused(org, rule):
    """
    With a sentence that says what a rule has.
    """
    answer = org.http.post("/simulator/faults", json=rule)

    assert answer.status_code == 400
    assert answer.json()["error"]
