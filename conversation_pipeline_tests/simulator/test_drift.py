"""Describe that changes, answers that are compressed, batches, and requests that run long."""

from __future__ import annotations

import threading
import time

import httpx
import pytest

DATA = "/services/data/v66.0"
DESCRIBE = f"{DATA}/sobjects/MessagingSession/describe"


def columns(org):
    """The columns of MessagingSession by name."""
    return {field["name"]: field for field in org.get(DESCRIBE).json()["fields"]}


def stamps(org):
    """What SystemModstamp says of every session."""
    return [r["SystemModstamp"] for r in org.records("SELECT SystemModstamp FROM MessagingSession ORDER BY Id")]


def test_a_column_can_be_added_with_values(lasting):
    """
    Described as custom, in rows that are there and in rows to come, without a new SystemModstamp.
    """
    before = stamps(lasting)
    added = {"name": "Mood__c", "type": "picklist", "picklist": ["Good", "Bad"], "values": ["Good", "Bad"]}
    lasting.control("schema", object="MessagingSession", add=added)
    described = columns(lasting)["Mood__c"]
    moods = {record["Mood__c"] for record in lasting.records("SELECT Mood__c FROM MessagingSession")}
    after = stamps(lasting)
    lasting.control("clock", now="2026-11-20T18:00:00Z")
    late = lasting.records("SELECT Mood__c FROM MessagingSession WHERE CreatedDate >= 2026-11-20T00:00:00Z")

    assert (described["custom"], described["type"], moods, after) == (True, "picklist", {"Good", "Bad"}, before)
    assert late
    assert {record["Mood__c"] for record in late} <= {"Good", "Bad"}


def test_a_column_without_values_is_empty_until_it_is_set(org):
    """
    Old rows have no value until somebody writes one.
    """
    org.control("schema", object="MessagingSession", add={"name": "Score__c", "type": "double"})
    session = org.records("SELECT Id, Score__c FROM MessagingSession ORDER BY Id LIMIT 1")[0]
    org.control("records", update=[{"Id": session["Id"], "Score__c": 2}])

    assert session["Score__c"] is None
    assert org.records(f"SELECT Score__c FROM MessagingSession WHERE Id = '{session['Id']}'")[0]["Score__c"] == 2.0


def test_a_custom_lookup_can_be_followed(org):
    """
    Expert__c leads to Expert__r.
    """
    user = org.records("SELECT Id, Name FROM User ORDER BY Id LIMIT 1")[0]
    added = {"name": "Expert__c", "type": "reference", "referenceTo": ["User"], "values": [user["Id"]]}
    org.control("schema", object="MessagingSession", add=added)

    assert org.records("SELECT Expert__r.Name FROM MessagingSession LIMIT 1")[0]["Expert__r"]["Name"] == user["Name"]


def test_a_column_can_be_removed(org):
    """
    Gone from describe, INVALID_FIELD in a query.
    """
    org.control("schema", object="MessagingSession", remove="Origin")

    assert "Origin" not in columns(org)
    assert org.query("SELECT Origin FROM MessagingSession").json()[0]["errorCode"] == "INVALID_FIELD"


def test_a_column_can_change_its_type(org):
    """
    The rows' values change with it.
    """
    soql = "SELECT MessagingSessionMetricValue FROM MessagingSessionMetrics ORDER BY Id LIMIT 1"
    before = org.records(soql)[0]["MessagingSessionMetricValue"]
    changed = {"name": "MessagingSessionMetricValue", "type": "string"}
    org.control("schema", object="MessagingSessionMetrics", change=changed)

    assert org.records(soql)[0]["MessagingSessionMetricValue"] == str(before)


def test_a_picklist_can_have_a_new_value(org):
    """
    Described, and rows may hold it.
    """
    org.control("schema", object="MessagingSession", picklist={"name": "ChannelType", "values": ["Hologram"]})

    assert "Hologram" in {value["value"] for value in columns(org)["ChannelType"]["picklistValues"]}


def test_reset_takes_the_schema_back(org):
    """
    Columns and values are as at first.
    """
    before = set(columns(org))
    org.control("schema", object="MessagingSession", remove="Origin", add={"name": "X__c", "type": "string"})
    org.control("reset")
    org.headers = {"authorization": f"Bearer {org.token()}"}

    assert set(columns(org)) == before


@pytest.mark.parametrize(
    "body",
    [
        {"object": "Nothing", "remove": "X"},
        {"object": "User"},
        {"object": "User", "add": {"name": "Name", "type": "string"}},
        {"object": "User", "add": {"name": "X__c", "type": "hologram"}},
        {"object": "User", "remove": "SystemModstamp"},
        {"object": "User", "rename": "Name"},
        {"object": "User", "add": "X__c"},
    ],
)
def test_schema_changes_that_make_no_sense_are_refused(org, body):
    """
    400 with a sentence.
    """
    answer = org.http.post("/simulator/schema", json=body)

    assert (answer.status_code, bool(answer.json()["error"])) == (400, True)


def test_describe_is_only_told_when_it_is_new(org):
    """
    If-Modified-Since: 304 until a column is added.
    """
    known = org.get(DESCRIBE).headers["last-modified"]
    unchanged = org.get(DESCRIBE, headers={"if-modified-since": known})
    org.control("schema", object="MessagingSession", add={"name": "X__c", "type": "string"})
    changed = org.get(DESCRIBE, headers={"if-modified-since": known})

    assert (unchanged.status_code, unchanged.content, changed.status_code) == (304, b"", 200)


@pytest.mark.parametrize(("accepts", "expected"), [("gzip", "gzip"), ("identity", None)])
def test_json_is_compressed_for_who_asks(org, accepts, expected):
    """
    Accept-Encoding decides, and the content is the same.
    """
    answer = org.get(DESCRIBE, headers={"accept-encoding": accepts})

    assert answer.headers.get("content-encoding") == expected
    assert answer.json()["name"] == "MessagingSession"


def test_compression_is_not_guaranteed(org):
    """
    The switch turns it off.
    """
    org.control("switches", gzip=False)

    assert "content-encoding" not in org.get(DESCRIBE, headers={"accept-encoding": "gzip"}).headers


def test_a_batch_answers_each_request(org):
    """
    Status and result one by one; each counts against the allocation.
    """
    urls = ["v66.0/sobjects/User/describe", "/services/data/v66.0/query?q=SELECT+COUNT()+FROM+User", "v66.0/nothing"]
    asked = {"batchRequests": [{"method": "GET", "url": url} for url in urls]}
    answer = org.post(f"{DATA}/composite/batch", asked)
    told = answer.json()

    assert [result["statusCode"] for result in told["results"]] == [200, 200, 404]
    assert (told["results"][0]["result"]["name"], told["hasErrors"]) == ("User", True)
    assert answer.headers["sforce-limit-info"] == "api-usage=2/100000"


def test_a_batch_can_halt_on_the_first_error(org):
    """
    What follows is not tried.
    """
    requests = [{"method": "GET", "url": f"v66.0/{path}"} for path in ("nothing", "limits")]
    told = org.post(f"{DATA}/composite/batch", {"batchRequests": requests, "haltOnError": True}).json()

    assert [result["statusCode"] for result in told["results"]] == [404, 412]


def test_a_batch_has_at_most_25_requests(org):
    """
    One more is refused.
    """
    requests = [{"method": "GET", "url": "v66.0/limits"}] * 26

    assert org.post(f"{DATA}/composite/batch", {"batchRequests": requests}).status_code == 400


def test_requests_that_run_long_block_others(org):
    """
    REQUEST_LIMIT_EXCEEDED while as many as allowed are open, scaled down; short ones never count.
    """
    org.control("limits", concurrent_requests=1, long_request_seconds=0.05)
    org.control("faults", route="rest.limits", effect={"stall_seconds": 0.4}, times=1)
    slow = threading.Thread(target=lambda: httpx.get(f"{org.http.base_url}{DATA}/limits", headers=org.headers))
    slow.start()
    answers = []
    while slow.is_alive():
        answers.append(org.query("SELECT Id FROM Organization"))
        time.sleep(0.02)
    refused = next(answer for answer in answers if answer.status_code == 403)

    assert refused.json()[0]["errorCode"] == "REQUEST_LIMIT_EXCEEDED"
    assert refused.json()[0]["message"].startswith("ConcurrentRequests")
    assert org.query("SELECT Id FROM Organization").status_code == 200
