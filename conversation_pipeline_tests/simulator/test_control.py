"""The control plane: what tests and benchmarks steer by."""

from __future__ import annotations

import subprocess
import sys
import time

import httpx
import pytest

from conversation_pipeline.simulator import Simulator


def test_the_index_tells_what_this_is(org):
    """
    Seed, first day, clock and every route.
    """
    index = org.http.get("/simulator/").json()

    assert (index["seed"], index["first_day"], index["now"]) == (3, "2026-11-17", "2026-11-19T18:00:00.000Z")
    assert {"oauth.token", "rest.query", "conversation_data.entries", "control.clock"} <= {
        route["name"] for route in index["routes"]
    }


def test_credentials_give_one_integration_client_and_three_execution_clients(org):
    """
    Distinct run-as users, and both base URLs.
    """
    credentials = org.http.get("/simulator/credentials").json()
    base = str(org.http.base_url).rstrip("/")

    assert len({client["user_id"] for client in credentials["clients"]}) == 4
    assert credentials["instance_url"] == base
    assert credentials["conversation_data_url"] == f"{base}/platform/engagement/v1.0"


def test_the_clock_stands_still_once_set_and_runs_when_let_go(org):
    """
    Frozen, moved by hand, then real time.
    """
    standing = org.control("clock", now="2026-11-20T08:00:00Z")
    moved = org.control("clock", advance_seconds=90)
    real = org.control("clock", real=True)

    assert (standing["now"], moved["now"]) == ("2026-11-20T08:00:00.000Z", "2026-11-20T08:01:30.000Z")
    assert (moved["frozen"], real["frozen"]) == (True, False)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("clock", {"now": "2026-11-20T08:00:00"}),
        ("clock", {}),
        ("switches", {"no_such_switch": 1}),
        ("switches", {"payload_form": "xml"}),
        ("switches", {"retry_after": 1}),
        ("limits", {"entry_requests": -1}),
        ("hide", {"object": "VoiceCall", "fields": ["NoSuchColumn"]}),
        ("records", {"update": [{"Id": "005AA0000000zzz"}]}),
        ("records/generate", {"sobject": "User", "count": 5}),
        ("records/generate", {"sobject": "User", "count": 0, "from": "2026-11-01T00:00Z", "to": "2026-11-02T00:00Z"}),
        ("records/generate", {"sobject": "User", "count": 5, "from": "2026-11-02T00:00Z", "to": "2026-11-01T00:00Z"}),
        ("entries", {"conversationIdentifier": "nobody", "entries": [{}]}),
    ],
)
def test_commands_that_make_no_sense_are_refused(org, name, body):
    """
    400 with a sentence; nothing changes.
    """
    answer = org.http.post(f"/simulator/{name}", json=body)

    assert answer.status_code == 400
    assert answer.json()["error"]


def test_switches_tell_meaning_default_and_position(org):
    """
    Every switch describes itself.
    """
    org.control("switches", payload_form="mixed")
    switches = org.http.get("/simulator/switches").json()

    assert switches["payload_form"]["default"] == "string"
    assert switches["payload_form"]["current"] == "mixed"
    assert all(switch["meaning"] for switch in switches.values())


def test_requests_are_logged_in_order(org):
    """
    Route, user, conversation and status of each.
    """
    conversation = org.conversation()
    org.control("counters/reset")
    org.entries(conversation)
    org.http.get("/services/data/v66.0/limits")
    log = org.http.get("/simulator/requests").json()["requests"]

    assert [(entry["route"], entry["status"]) for entry in log] == [
        ("conversation_data.entries", 200),
        ("rest.limits", 401),
    ]
    assert log[0]["conversation_identifier"] == conversation
    assert log[0]["user"] == org.clients[0]["username"]


def test_counters_tell_arrived_served_refused_and_the_worst_windows(org):
    """
    Per route and per execution user; refused requests have arrived all the same.
    """
    conversation = org.conversation()
    org.control("limits", entry_requests=2, entry_window_seconds=3600)
    org.control("counters/reset")
    for _ in range(3):
        org.entries(conversation)
    counters = org.http.get("/simulator/counters").json()
    user = counters["execution_users"][org.clients[0]["username"]]

    assert counters["routes"]["conversation_data.entries"] == {"arrived": 3, "served": 2, "refused": 1}
    assert (user["worst_sliding_window"], user["worst_fixed_window"]) == (3, 3)
    assert counters["conversations_asked"] == {"distinct": 1, "times": {conversation: 3}}


def test_network_delay_is_on_both_ways(org):
    """
    A request takes at least twice the shortest delay.
    """
    org.control("switches", network_delay_min_ms=30, network_delay_max_ms=40)
    started = time.monotonic()
    org.get("/services/data/v66.0/limits")

    assert time.monotonic() - started >= 0.06


def test_an_entry_put_in_by_hand_is_returned_as_it_is(org):
    """
    Any type, any member; and it is part of the truth.
    """
    conversation = org.conversation()
    entry = {"entryType": "NeverHeardOf", "novel": [1], "entryPayload": {"a": "ü"}, "identifier": "made-by-hand"}
    org.control("entries", conversationIdentifier=conversation, entries=[entry])
    newest = org.entries(conversation).json()["conversationEntries"][0]
    true = org.http.get("/simulator/truth/entries", params={"day": "2026-11-19"}).json()["entries"]

    assert (newest["entryType"], newest["novel"], newest["entryPayload"]) == ("NeverHeardOf", [1], '{"a": "ü"}')
    assert "made-by-hand" in {entry["entry_identifier"] for entry in true}


def test_an_entry_of_the_same_identifier_is_replaced(org):
    """
    As a redaction does: same identifier, same time, other text.
    """
    conversation = org.conversation()
    before = org.entries(conversation).json()["conversationEntries"]
    redacted = {**before[3], "entryPayload": {"redacted": True}}
    org.control("entries", conversationIdentifier=conversation, entries=[redacted])
    after = org.entries(conversation).json()["conversationEntries"]

    assert [entry["identifier"] for entry in after] == [entry["identifier"] for entry in before]
    assert after[3]["entryPayload"] == '{"redacted": true}'


def test_a_conversation_can_be_put_in_by_hand(org):
    """
    A Conversation row makes an empty conversation that takes entries.
    """
    org.control("records", insert=[{"sobject": "Conversation", "ConversationIdentifier": "by-hand"}])
    empty = org.entries("by-hand").json()
    org.control("entries", conversationIdentifier="by-hand", entries=[{"sender": {"role": "EndUser"}}])

    assert empty == {"conversationEntries": []}
    assert len(org.entries("by-hand").json()["conversationEntries"]) == 1


def test_a_purged_record_is_gone_from_query_all_too(org):
    """
    Purge leaves nothing, delete leaves a mark.
    """
    session = org.records("SELECT Id FROM MessagingSession ORDER BY Id LIMIT 1")[0]["Id"]
    org.control("records", purge=[session])

    assert org.records(f"SELECT Id FROM MessagingSession WHERE Id = '{session}'", all_rows=True) == []


def test_an_erased_conversation_is_known_and_empty(org):
    """
    404 is for identifiers that never were; after an erasure the answer is 200 without entries.
    """
    conversation = org.conversation()
    record = org.records(f"SELECT Id FROM Conversation WHERE ConversationIdentifier = '{conversation}'")[0]["Id"]
    org.control("records", purge=[record])
    answer = org.entries(conversation)

    assert (answer.status_code, answer.json()) == (200, {"conversationEntries": []})


def test_true_records_are_what_query_all_returns(org):
    """
    Ids of a day of CreatedDate.
    """
    true = org.http.get("/simulator/truth/records", params={"sobject": "VoiceCall", "day": "2026-11-18"}).json()
    soql = "SELECT Id FROM VoiceCall WHERE CreatedDate >= 2026-11-18T00:00:00Z AND CreatedDate < 2026-11-19T00:00:00Z"

    assert sorted(row["Id"] for row in true["records"]) == sorted(row["Id"] for row in org.records(soql, all_rows=True))


def test_reset_restores_everything(org):
    """
    Clock, switches, faults and rows are as at first.
    """
    org.control("switches", payload_form="object")
    org.control("faults", effect={"status": 500})
    org.control("clock", now="2026-12-01T00:00:00Z")
    org.control("reset")

    assert org.http.get("/simulator/switches").json()["payload_form"]["current"] == "string"
    assert org.http.get("/simulator/faults").json() == {"faults": []}
    assert org.http.get("/simulator/clock").json()["now"] == "2026-11-19T18:00:00.000Z"


def test_a_stopped_simulator_answers_no_more():
    """
    The port is free again after the `with` block.
    """
    with Simulator(conversations_per_day=1).serve() as running:
        assert httpx.get(f"{running.url}/simulator/clock").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{running.url}/simulator/clock")


def test_it_runs_in_a_process_of_its_own(tmp_path):
    """
    The ready file holds the URL once the org answers.
    """
    ready = tmp_path / "url"
    command = [sys.executable, "-m", "conversation_pipeline.simulator", "--ready-file", str(ready), "--seed", "5",
               "--conversations-per-day", "1"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while not ready.exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            assert httpx.get(f"{ready.read_text()}/simulator/").json()["seed"] == 5
        finally:
            process.terminate()
