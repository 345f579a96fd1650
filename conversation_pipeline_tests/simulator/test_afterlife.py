"""Redaction and erasure: what was said once, and is not any more (sections 1.8 and 3.5 of the entry reference)."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest

from conversation_pipeline.simulator.world.afterlife import REMOVED, Customs
from conversation_pipeline.simulator.world.builder import Recipe
from conversation_pipeline.simulator.world.world import World

BASE = "/platform/engagement/v1.0"
LOG = "SELECT Id, Status, RequestedEntityIdentifier, RequestedEntityType, Operation FROM ConversationApiLog"
FIRST = date(2026, 11, 9)
DAY = date(2026, 11, 10)
LATER = int(datetime(2026, 11, 13, tzinfo=UTC).timestamp())


def truth(org, name: str) -> list[dict]:
    return org.http.get(f"/simulator/truth/{name}").json()[name]


def session(org) -> dict:
    """A messaging session that ended yesterday, with its end user and its conversation."""
    return org.records(
        "SELECT Id, MessagingEndUserId, ConversationId, Conversation.ConversationIdentifier FROM MessagingSession "
        "WHERE EndTime < 2026-11-19T00:00:00Z ORDER BY CreatedDate DESC LIMIT 1"
    )[0]


def entries(org, found: dict) -> list[dict]:
    answer = org.entries(found["Conversation"]["ConversationIdentifier"])
    assert answer.status_code == 200, answer.text
    return answer.json()["conversationEntries"]


def log_of(org, identifier: str) -> dict:
    return org.records(f"{LOG} WHERE Id = '{identifier}'")[0]


def test_an_erasure_is_accepted_and_logged(org):
    """
    202 with an item for each id, and a row of ConversationApiLog that tells 15 characters of it.
    """
    user = session(org)["MessagingEndUserId"]
    answer = org.delete(f"{BASE}/conversation-participants?participantEntityIds={user}")
    [item] = answer.json()["conversationApiLogs"]
    row = log_of(org, item["id"])

    assert (answer.status_code, item["status"], item["requestedEntityIdentifier"]) == (202, "REQUESTED", user[:15])
    assert (row["Status"], row["RequestedEntityIdentifier"], row["RequestedEntityType"], row["Operation"]) == (
        "Requested", user[:15], "MessagingEndUser", "deleteConversationParticipantData")  # fmt: skip


def test_an_erasure_runs_through_its_statuses(org):
    """
    Requested, Enqueued, InProgress, Completed, over the minutes that the switch gives it.
    """
    org.control("switches", erasure_seconds=400)
    user = session(org)["MessagingEndUserId"]
    answer = org.delete(f"{BASE}/conversation-participants?participantEntityIds={user}")
    identifier = answer.json()["conversationApiLogs"][0]["id"]
    statuses = [log_of(org, identifier)["Status"]]
    for seconds in (30, 100, 269, 1):
        org.control("clock", advance_seconds=seconds)
        statuses.append(log_of(org, identifier)["Status"])

    assert statuses == ["Requested", "Enqueued", "InProgress", "InProgress", "Completed"]


def test_nothing_is_gone_before_the_erasure_is_completed(org):
    """
    The entries are read until then.
    """
    found = session(org)
    before = entries(org, found)
    org.control("erasures", messagingEndUserIds=[found["MessagingEndUserId"]], seconds=100)
    org.control("clock", advance_seconds=99)

    assert entries(org, found) == before


def test_completed_erasure_leaves_nothing_said(org):
    """
    200 and an empty list: the identifier is still known.
    """
    found = session(org)
    org.control("erasures", messagingEndUserIds=[found["MessagingEndUserId"]], seconds=100)
    org.control("clock", advance_seconds=100)

    assert entries(org, found) == []


def test_an_erased_conversation_may_be_unknown_to_both_roads(org):
    """
    404 by a switch, as nothing is published of it.
    """
    org.control("switches", erased_conversation="absent")
    found = session(org)
    org.control("erasures", conversationIds=[found["ConversationId"]], seconds=0)
    identifier = found["Conversation"]["ConversationIdentifier"]

    assert org.entries(identifier).status_code == 404
    assert org.get(f"/services/data/v66.0/connect/conversation/{identifier}/entries").status_code == 404


@pytest.mark.parametrize(
    ("sobject", "column"),
    [
        ("MessagingSession", "MessagingEndUserId"),
        ("MessagingEndUser", "Id"),
        ("Conversation", "Id"),
        ("ConversationParticipant", "ConversationId"),
        ("MessagingSessionMetrics", "MessagingSessionId"),
    ],
)
def test_the_rows_of_an_erased_person_are_gone(org, sobject, column):
    """
    Not in the recycle bin either: queryAll does not find them.
    """
    found = session(org)
    keys = {
        "MessagingEndUser": found["MessagingEndUserId"], "MessagingSession": found["MessagingEndUserId"],
        "MessagingSessionMetrics": found["Id"],
    }  # fmt: skip
    soql = f"SELECT Id FROM {sobject} WHERE {column} = '{keys.get(sobject, found['ConversationId'])}'"
    before = org.records(soql, all_rows=True)
    org.control("erasures", messagingEndUserIds=[found["MessagingEndUserId"]], seconds=0)

    assert before
    assert org.records(soql, all_rows=True) == []


def test_a_conversation_is_erased_without_its_person(org):
    """
    DELETE /conversations takes record ids, in a JSON body as well, and leaves the end user.
    """
    found = session(org)
    org.control("switches", erasure_seconds=0)
    body = json.dumps({"conversationIds": [found["ConversationId"]]})
    answer = org.http.request("DELETE", f"{BASE}/conversations", content=body, headers=org.headers)

    assert answer.status_code == 202
    assert entries(org, found) == []
    assert org.records(f"SELECT Id FROM MessagingEndUser WHERE Id = '{found['MessagingEndUserId']}'")


@pytest.mark.parametrize("how", ["failing", "unknown"])
def test_an_erasure_can_fail(org, how):
    """
    By order, or because there is no such person: Status Failed, and everything is still there.
    """
    found = session(org)
    user = found["MessagingEndUserId"] if how == "failing" else "0PAAA0000zzzzzz"
    [log] = org.control("erasures", messagingEndUserIds=[user], seconds=0, failing=how == "failing")[
        "conversationApiLogs"
    ]

    assert log_of(org, log)["Status"] == "Failed"
    assert entries(org, found)


def test_ten_deletes_an_hour_are_served_for_each_operation(org):
    """
    The eleventh is 429; the other operation has an allowance of its own.
    """
    org.control("limits", delete_window_seconds=10**9)
    path = f"{BASE}/conversation-participants?participantEntityIds=0PAAA0000zzzzzz"
    statuses = [org.delete(path).status_code for _ in range(11)]

    assert statuses == [202] * 10 + [429]
    assert org.delete(f"{BASE}/conversations?conversationIds=0dwAA0000zzzzzz").status_code == 202


@pytest.mark.parametrize("query", ["", "?conversationIds=", "?conversationIds=x", f"?conversationIds={'0dw,' * 11}"])
def test_deletes_that_name_no_records_are_400(org, query):
    """
    None, not an id, too many.
    """
    assert org.delete(f"{BASE}/conversations{query}").status_code == 400


def test_the_truth_tells_of_every_erasure(org):
    """
    What was requested, how it stands, and everything that goes with it.
    """
    found = session(org)
    told = {entry["identifier"] for entry in entries(org, found)}
    [log] = org.control("erasures", messagingEndUserIds=[found["MessagingEndUserId"]], seconds=60)[
        "conversationApiLogs"
    ]
    org.control("clock", advance_seconds=60)
    [mine] = [erasure for erasure in truth(org, "erasures") if erasure["conversation_api_log_id"] == log]

    assert (mine["status"], mine["completed_at"]) == ("Completed", "2026-11-19T18:01:00.000+0000")
    assert mine["conversation_identifiers"] == [found["Conversation"]["ConversationIdentifier"]]
    assert told <= set(mine["entry_identifiers"])
    assert {found["Id"], found["ConversationId"]} <= set(mine["record_ids"])


def test_erased_entries_are_no_longer_true(org):
    """
    /truth/entries forgets them at the same instant.
    """
    found = session(org)
    identifier = found["Conversation"]["ConversationIdentifier"]

    def said() -> list[dict]:
        days = [org.http.get("/simulator/truth/entries", params={"day": f"2026-11-{day}"}).json() for day in (17, 18)]
        return [e for day in days for e in day["entries"] if e["conversation_identifier"] == identifier]

    before = said()
    org.control("erasures", messagingEndUserIds=[found["MessagingEndUserId"]], seconds=0)

    assert before
    assert said() == []


def test_a_redaction_by_hand_takes_the_words_out_of_every_text(org):
    """
    Identifiers and times stay, the truth tells both texts.
    """
    found = session(org)
    before = {entry["identifier"]: entry["transcriptedTimestamp"] for entry in entries(org, found)}
    identifier = found["Conversation"]["ConversationIdentifier"]
    redacted = org.control("redactions", conversationIdentifier=identifier)["redacted"]
    after = {entry["identifier"]: entry for entry in entries(org, found)}
    told = {one["entry_identifier"]: one for one in truth(org, "redactions")}

    assert redacted
    assert {name: entry["transcriptedTimestamp"] for name, entry in after.items()} == before
    assert all(REMOVED in after[name]["entryPayload"] for name in redacted)
    assert set(told) == set(redacted)
    assert all(one["text"] == REMOVED != one["text_before"] for one in told.values())


@pytest.mark.parametrize("wrong", [{"conversationIdentifier": "nobody"}, {"identifiers": ["nobody"]}])
def test_redactions_of_nothing_are_refused(org, wrong):
    """
    An unknown conversation or entry: 400 with a sentence.
    """
    asked = {"conversationIdentifier": session(org)["Conversation"]["ConversationIdentifier"]} | wrong

    assert org.http.post("/simulator/redactions", json=asked).status_code == 400


def test_a_world_may_redact_and_erase_every_day(lasting):
    """
    So many a day by the switches; none unless switched on, none after they are switched off.
    """
    org = lasting

    def done() -> tuple[int, int]:
        """Redactions of two days, erasures with anything to erase."""
        found = [one for one in truth(org, "redactions") if one["transcripted_timestamp"] < 1_795_046_400_000]
        return len(found), len([one for one in truth(org, "erasures") if one["conversation_identifiers"]])

    org.control("clock", now="2026-11-20T23:00:00Z")
    counts = [done()]
    org.control("switches", redactions_per_day=1, erasures_per_day=1)
    counts.append(done())
    org.control("switches", redactions_per_day=0, erasures_per_day=0)
    counts.append(done())

    assert counts == [(0, 0), (2, 2), (0, 0)]


def of_day(world: World, customs: Customs) -> tuple[set, set]:
    world.adopt(customs)
    entries = {(entry.identifier, entry.text) for _, entry in world.entries_on(DAY, LATER)}
    return entries, {row["Id"] for row in world.rows("ConversationApiLog", LATER)}


def test_customs_of_a_day_depend_on_the_seed_and_its_date_alone():
    """
    However long before the world began.
    """
    early, late = World(Recipe(11, 12), FIRST), World(Recipe(11, 12), DAY)
    customs = Customs(redactions=2, erasures=2)

    assert of_day(early, customs)[0] == of_day(late, customs)[0]


def test_customs_take_hold_whether_days_are_built_before_or_after():
    """
    Adopted early or late, the day is the same.
    """
    before, after = World(Recipe(11, 12), FIRST), World(Recipe(11, 12), FIRST)
    after.reach(LATER)
    customs = Customs(redactions=2, erasures=2)

    assert of_day(before, customs) == of_day(after, customs)


def test_more_customs_only_add():
    """
    The redactions and erasures of one a day are among those of two a day.
    """
    world = World(Recipe(11, 12), FIRST)
    plain, _ = of_day(world, Customs())
    one, few = of_day(world, Customs(1, 1))
    two, many = of_day(world, Customs(2, 2))

    assert few < many
    assert plain - one < plain - two
