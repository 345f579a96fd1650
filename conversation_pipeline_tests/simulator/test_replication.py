"""Deleted and updated rows, the recycle bin, and commits that show late (section 1.6 of the SOQL reference)."""

from __future__ import annotations

import pytest

SESSION = "/services/data/v66.0/sobjects/MessagingSession"
DAY = 86_400
TODAY = {"start": "2026-11-19T10:00:00Z", "end": "2026-11-19T18:00:00Z"}


def some_session(org):
    """The id of a session that has ended."""
    return org.records("SELECT Id FROM MessagingSession WHERE Status = 'Ended' ORDER BY Id LIMIT 1")[0]["Id"]


def deleted(org, sobject="MessagingSession", **span):
    """The answer of /deleted."""
    return org.get(f"/services/data/v66.0/sobjects/{sobject}/deleted/", params=TODAY | span)


def updated(org, **span):
    """The answer of /updated."""
    return org.get(f"{SESSION}/updated/", params=TODAY | span)


def ids(answer):
    """The ids of an answer of /deleted."""
    return [record["id"] for record in answer.json()["deletedRecords"]]


def code(answer):
    """Status and errorCode of a refusal."""
    return answer.status_code, answer.json()[0]["errorCode"]


def everywhere(org, identifier):
    """Whether queryAll still has the row."""
    return bool(org.records(f"SELECT Id FROM MessagingSession WHERE Id = '{identifier}'", all_rows=True))


def test_a_soft_deleted_row_is_told_with_its_time(org):
    """
    id and deletedDate, and what the answer covers.
    """
    session = some_session(org)
    org.control("records", delete=[session], at="2026-11-19T12:30:00Z")
    answer = deleted(org).json()

    assert {"id": session, "deletedDate": "2026-11-19T12:30:00.000+0000"} in answer["deletedRecords"]
    assert answer["latestDateCovered"] == "2026-11-19T18:00:00.000+0000"
    assert answer["earliestDateAvailable"] == "2026-11-04T18:00:00.000+0000"


def test_a_purged_row_is_told_too(org):
    """
    What queryAll no longer shows, /deleted does.
    """
    session = some_session(org)
    org.control("records", purge=[session], at="2026-11-19T12:30:00Z")

    assert not everywhere(org, session)
    assert session in ids(deleted(org))


def test_details_are_deleted_with_their_session(org):
    """
    Master-detail: six metrics rows go too.
    """
    session = some_session(org)
    soql = f"SELECT Id FROM MessagingSessionMetrics WHERE MessagingSessionId = '{session}'"
    metrics = {record["Id"] for record in org.records(soql)}
    org.control("records", delete=[session], at="2026-11-19T12:30:00Z")

    assert len(metrics) == 6
    assert metrics <= set(ids(deleted(org, "MessagingSessionMetrics")))


def test_an_undeleted_row_is_no_longer_told(org):
    """
    It is back in plain queries.
    """
    session = some_session(org)
    org.control("records", delete=[session], at="2026-11-19T12:30:00Z")
    org.control("records", undelete=[session], at="2026-11-19T13:30:00Z")

    assert session not in ids(deleted(org))
    assert org.records(f"SELECT Id FROM MessagingSession WHERE Id = '{session}'")


def test_spans_are_half_open_and_seconds_do_not_count(org):
    """
    The start belongs to it, the end does not; both are cut to the minute.
    """
    session = some_session(org)
    org.control("records", delete=[session], at="2026-11-19T12:30:00Z")

    assert session in ids(deleted(org, start="2026-11-19T12:30:59Z"))
    assert session not in ids(deleted(org, end="2026-11-19T12:30:59Z"))


def test_the_recycle_bin_is_emptied_after_fifteen_days(lasting):
    """
    queryAll shows the row until then.
    """
    session = some_session(lasting)
    lasting.control("records", delete=[session])
    lasting.control("clock", advance_seconds=15 * DAY - 1)
    before = everywhere(lasting, session)
    lasting.control("clock", advance_seconds=1)

    assert (before, everywhere(lasting, session)) == (True, False)


@pytest.mark.parametrize("sobject", ["Conversation", "ConversationParticipant", "MessagingChannel"])
def test_objects_that_are_not_replicateable_are_refused(org, sobject):
    """
    As describe says beforehand.
    """
    assert code(deleted(org, sobject)) == (400, "INVALID_TYPE_FOR_OPERATION")


@pytest.mark.parametrize(
    "span",
    [
        {"start": "2026-11-19T18:00:00Z", "end": "2026-11-19T10:00:00Z"},
        {"start": "2026-11-19T17:59:00Z"},
        {"start": "2026-11-04T17:00:00Z"},
        {"start": "yesterday"},
        {"start": "2026-11-19T10:00:00"},
    ],
    ids=["backward", "a minute", "too far back", "no date", "no offset"],
)
def test_spans_that_make_no_sense_are_refused(org, span):
    """
    INVALID_REPLICATION_DATE: then a full pull is due.
    """
    assert code(deleted(org, **span)) == (400, "INVALID_REPLICATION_DATE")


def test_changes_reach_back_further_than_deletions(org):
    """
    30 days instead of 15.
    """
    assert updated(org, start="2026-10-25T00:00:00Z").status_code == 200
    assert code(updated(org, start="2026-10-15T00:00:00Z")) == (400, "INVALID_REPLICATION_DATE")


def test_a_trimmed_log_refuses_what_it_no_longer_knows(org):
    """
    delete_log_seconds: purged before the call.
    """
    org.control("switches", delete_log_seconds=3600)

    assert code(deleted(org)) == (400, "INVALID_REPLICATION_DATE")


def test_what_is_covered_can_be_held_back(org):
    """
    Transactions that are still open: the next call starts where this one was sure.
    """
    org.control("switches", replication_held_back_seconds=600)

    assert updated(org).json()["latestDateCovered"] == "2026-11-19T17:50:00.000+0000"


def test_too_many_ids_are_refused(org):
    """
    EXCEEDED_ID_LIMIT, scaled down.
    """
    org.control("limits", replication_ids=1)

    assert code(updated(org, start="2026-11-10T00:00:00Z")) == (400, "EXCEEDED_ID_LIMIT")


def test_changed_rows_are_told_by_system_modstamp(org):
    """
    Agreeing with the query for the same span.
    """
    soql = "SELECT Id FROM MessagingSession WHERE SystemModstamp >= {start} AND SystemModstamp < {end}"

    assert sorted(updated(org).json()["ids"]) == sorted(record["Id"] for record in org.records(soql.format(**TODAY)))


def test_a_late_commit_shows_with_an_older_stamp(org):
    """
    A reader whose cursor stands at now misses it; one that looks back does not.
    """
    org.control("switches", commit_delay_seconds=300)
    inserted = org.control("records", insert=[{"sobject": "MessagingSession"}])["inserted"][0]
    soql = f"SELECT SystemModstamp FROM MessagingSession WHERE Id = '{inserted}'"
    before = org.records(soql)
    org.control("clock", advance_seconds=300)

    assert (before, org.records(soql)[0]["SystemModstamp"]) == ([], "2026-11-19T18:00:00.000+0000")


def test_automation_moves_the_stamp_and_not_the_date(org):
    """
    LastModifiedDate is of users alone; without SystemModstamp nothing tells that the row changed.
    """
    conversation = org.records("SELECT Id, LastModifiedDate FROM Conversation ORDER BY Id LIMIT 1")[0]
    session = some_session(org)
    updates = [{"Id": conversation["Id"], "Name": "changed"}, {"Id": session, "ChannelName": "changed"}]
    org.control("records", update=updates, automation=True, at="2026-11-19T17:00:00Z")

    found = org.records(f"SELECT Name, LastModifiedDate FROM Conversation WHERE Id = '{conversation['Id']}'")[0]
    stamps = org.records(f"SELECT SystemModstamp, LastModifiedDate FROM MessagingSession WHERE Id = '{session}'")[0]
    assert (found["Name"], found["LastModifiedDate"]) == ("changed", conversation["LastModifiedDate"])
    assert stamps["SystemModstamp"] == "2026-11-19T17:00:00.000+0000" > stamps["LastModifiedDate"]


def test_records_that_are_not_shared_are_hidden_without_an_error(org):
    """
    Queries see a part of them, the org's own count all.
    """
    before = len(org.records("SELECT Id FROM MessagingSession"))
    org.control("hide", object="MessagingSession", unshared=0.5)

    after = len(org.records("SELECT Id FROM MessagingSession"))
    counted = org.get("/services/data/v66.0/limits/recordCount", params={"sObjects": "MessagingSession"}).json()
    assert 0 < after < before
    assert counted == {"sObjects": [{"count": before, "name": "MessagingSession"}]}
