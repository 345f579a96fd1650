"""The core REST API: query pages, describe, limits and errors (sections 2.2 to 2.5 of the SOQL reference)."""

from __future__ import annotations

import re

import pytest

SESSIONS = "SELECT Id FROM MessagingSession"


def pages(org, first):
    """The ids of every page, and the URLs that led from one to the next."""
    ids, urls, page = [record["Id"] for record in first["records"]], [], first
    while not page["done"]:
        urls.append(page["nextRecordsUrl"])
        page = org.get(page["nextRecordsUrl"]).json()
        ids += [record["Id"] for record in page["records"]]
    return ids, urls


def test_versions_are_told_without_a_token(org):
    """
    Label, url and version of each.
    """
    versions = org.http.get("/services/data/").json()

    assert {"label": "Spring '26", "url": "/services/data/v66.0", "version": "66.0"} in versions


def test_a_record_carries_its_attributes_and_json_date_times(org):
    """
    type and url; `.000+0000`; null as null.
    """
    record = org.records("SELECT Id, StartTime, LeadId FROM MessagingSession LIMIT 1")[0]

    assert record["attributes"] == {
        "type": "MessagingSession",
        "url": f"/services/data/v66.0/sobjects/MessagingSession/{record['Id']}",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000\+0000", record["StartTime"])
    assert record["LeadId"] is None


def test_the_url_of_a_record_answers(org):
    """
    attributes.url leads to the row with all its columns; an unknown id is 404.
    """
    record = org.records("SELECT Id, Status FROM MessagingSession LIMIT 1")[0]
    whole = org.get(record["attributes"]["url"]).json()

    assert (whole["Id"], whole["Status"]) == (record["Id"], record["Status"])
    assert org.get("/services/data/v66.0/sobjects/MessagingSession/0MwAA0000000000").status_code == 404


def test_an_owner_is_told_by_type_and_name(org):
    """
    A polymorphic lookup answers for the object it points at.
    """
    owners = {record["Owner"]["Type"] for record in org.records("SELECT Owner.Type, Owner.Name FROM MessagingSession")}

    assert "User" in owners


@pytest.mark.parametrize("path", ["query", "query/", "queryAll", "queryAll/"])
def test_query_paths_answer_with_and_without_a_slash(org, path):
    """
    simple-salesforce asks with the slash, jsforce without.
    """
    assert org.get(f"/services/data/v66.0/{path}", params={"q": SESSIONS}).status_code == 200


def test_following_the_pages_gives_every_row_once(org):
    """
    A shrunken page size: totalSize repeats, the last page has no nextRecordsUrl.
    """
    everything = {record["Id"] for record in org.records(SESSIONS)}
    org.control("switches", query_page_rows=5)
    first = org.query(SESSIONS).json()
    ids, _ = pages(org, first)

    assert first["totalSize"] == len(everything)
    assert sorted(ids) == sorted(everything)


def test_the_next_page_of_query_all_is_below_query(org):
    """
    nextRecordsUrl says /query/ and goes on with deleted rows all the same.
    """
    everything = {record["Id"] for record in org.records(SESSIONS, all_rows=True)}
    org.control("switches", query_page_rows=5)
    ids, urls = pages(org, org.query(SESSIONS, all_rows=True).json())

    assert all(url.startswith("/services/data/v66.0/query/01g") for url in urls)
    assert set(ids) == everything


def test_the_batch_size_is_taken_from_200(org):
    """
    Sforce-Query-Options below 200 counts as 200 rows.
    """
    soql = "SELECT Id FROM MessagingSessionMetrics"
    first = org.query(soql, headers={"sforce-query-options": "batchSize=10"}).json()

    assert len(first["records"]) == min(200, first["totalSize"])


def test_a_locator_belongs_to_its_token(org):
    """
    Another session's token gets INVALID_SESSION_ID, so a query is restarted and not resumed.
    """
    org.control("switches", query_page_rows=5)
    url = org.query(SESSIONS).json()["nextRecordsUrl"]
    org.headers = {"authorization": f"Bearer {org.token()}"}
    answer = org.get(url)

    assert (answer.status_code, answer.json()[0]["errorCode"]) == (401, "INVALID_SESSION_ID")


@pytest.mark.parametrize(
    ("locator", "code"),
    [("01gAA0000000001AAA-2000", "INVALID_QUERY_LOCATOR"), ("nonsense", "INVALID_QUERY_LOCATOR_FORMAT")],
)
def test_an_unknown_locator_is_refused(org, locator, code):
    """
    400 with an array body.
    """
    answer = org.get(f"/services/data/v66.0/query/{locator}")

    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)


def test_a_locator_lives_two_days(org):
    """
    Afterwards it is as unknown as one that never was.
    """
    org.control("switches", query_page_rows=5, token_life_seconds=10**7)
    org.headers = {"authorization": f"Bearer {org.token()}"}
    url = org.query(SESSIONS).json()["nextRecordsUrl"]
    org.control("clock", advance_seconds=2 * 86_400 + 1)

    assert org.get(url).json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"


def test_query_errors_are_an_array_with_status_400(org):
    """
    message and errorCode, nothing else.
    """
    answer = org.query("SELECT Nothing FROM MessagingSession")

    assert answer.status_code == 400
    assert [set(error) for error in answer.json()] == [{"message", "errorCode"}]
    assert "No such column 'Nothing' on entity 'MessagingSession'" in answer.json()[0]["message"]


def test_a_uri_beyond_16384_bytes_is_414(org):
    """
    Long IN lists have to go another way.
    """
    ids = ",".join(f"'{'0' * 18}'" for _ in range(800))

    assert org.query(f"SELECT Id FROM User WHERE Id IN ({ids})").status_code == 414


def test_a_hidden_column_is_gone_from_describe_and_query(org):
    """
    Field-level security: absent in describe, INVALID_FIELD in a query.
    """
    org.control("hide", object="VoiceCall", fields=["FromPhoneNumber"])
    described = org.get("/services/data/v66.0/sobjects/VoiceCall/describe").json()

    assert "FromPhoneNumber" not in {field["name"] for field in described["fields"]}
    assert org.query("SELECT FromPhoneNumber FROM VoiceCall").json()[0]["errorCode"] == "INVALID_FIELD"


def test_an_absent_object_is_an_invalid_type(org):
    """
    An org without Voice: no describe, no list entry, INVALID_TYPE.
    """
    org.control("hide", object="VoiceCall", absent=True)
    listed = {sobject["name"] for sobject in org.get("/services/data/v66.0/sobjects").json()["sobjects"]}

    assert "VoiceCall" not in listed
    assert org.get("/services/data/v66.0/sobjects/VoiceCall/describe").status_code == 404
    assert org.query("SELECT Id FROM VoiceCall").json()[0]["errorCode"] == "INVALID_TYPE"


def test_describe_tells_the_keys_that_clients_rely_on(org):
    """
    The field keys of section 2.3, and lookups with their targets.
    """
    described = org.get("/services/data/v66.0/sobjects/MessagingSession/describe/").json()
    owner = next(field for field in described["fields"] if field["name"] == "OwnerId")
    keys = (
        "name label type soapType length byteLength precision scale digits nillable filterable sortable groupable "
        "aggregatable calculated calculatedFormula compoundFieldName custom createable updateable unique externalId "
        "idLookup referenceTo relationshipName namePointing polymorphicForeignKey picklistValues restrictedPicklist "
        "extraTypeInfo deprecatedAndHidden"
    )

    assert set(keys.split()) <= set(owner)
    assert (owner["referenceTo"], owner["relationshipName"]) == (["Group", "User"], "Owner")
    assert described["keyPrefix"] == "0Mw"


@pytest.mark.parametrize("sobject", ["Conversation", "ConversationParticipant"])
def test_conversations_have_no_system_modstamp(org, sobject):
    """
    LastModifiedDate is all there is, and the objects are not replicateable.
    """
    described = org.get(f"/services/data/v66.0/sobjects/{sobject}/describe").json()
    names = {field["name"] for field in described["fields"]}

    assert names & {"SystemModstamp", "LastModifiedDate"} == {"LastModifiedDate"}
    assert described["replicateable"] is False


def test_every_object_answers_a_query_for_all_its_columns(org):
    """
    What describe shows can be selected.
    """
    for sobject in org.get("/services/data/v66.0/sobjects").json()["sobjects"]:
        answer = org.query(f"SELECT FIELDS(STANDARD) FROM {sobject['name']} LIMIT 1")
        assert answer.status_code == 200, (sobject["name"], answer.text)


def test_calls_count_against_the_allocation(org):
    """
    Sforce-Limit-Info counts up, with the per-app tail by switch.
    """
    first = org.get("/services/data/v66.0/limits/").headers["sforce-limit-info"]
    org.control("switches", per_app_usage=True)
    second = org.get("/services/data/v66.0/limits/").headers["sforce-limit-info"]

    assert first == "api-usage=1/100000"
    assert second == "api-usage=2/100000; per-app-api-usage=2/250(appName=Integration)"


def test_a_used_up_allocation_is_403(org):
    """
    REQUEST_LIMIT_EXCEEDED, as the org answers it.
    """
    org.control("limits", daily_api_requests=1)
    org.get("/services/data/v66.0/limits")
    answer = org.get("/services/data/v66.0/limits")

    assert (answer.status_code, answer.json()[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")


def test_record_count_tells_the_rows(org):
    """
    /limits/recordCount agrees with COUNT().
    """
    counted = org.get("/services/data/v66.0/limits/recordCount", params={"sObjects": "VoiceCall"}).json()

    assert counted["sObjects"] == [
        {"count": org.query("SELECT COUNT() FROM VoiceCall").json()["totalSize"], "name": "VoiceCall"}
    ]


def test_the_date_header_is_the_worlds(org):
    """
    Clients cap their windows at the server's clock.
    """
    assert org.get("/services/data/v66.0/limits").headers["date"] == "Thu, 19 Nov 2026 18:00:00 GMT"


def test_unknown_paths_and_versions_are_not_found(org):
    """
    404 NOT_FOUND with an array body.
    """
    for path in ("/services/data/v66.0/nothing", "/services/data/v20.0/query?q=x"):
        answer = org.get(path)
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (404, "NOT_FOUND")


def test_a_session_changes_as_the_clock_moves(org):
    """
    A session that will end later is open now: no EndTime, no metrics; both appear in time.
    """
    soql = "SELECT Id, EndTime, CreatedDate FROM MessagingSession WHERE EndTime != null ORDER BY EndTime DESC LIMIT 1"
    last = org.records(soql)[0]
    one = f"SELECT Status, EndTime FROM MessagingSession WHERE Id = '{last['Id']}'"
    metrics = f"SELECT COUNT() FROM MessagingSessionMetrics WHERE MessagingSessionId = '{last['Id']}'"
    seen = []
    for at in (last["CreatedDate"], last["EndTime"]):
        org.control("clock", now=at.replace("+0000", "+00:00"))
        seen.append((org.records(one)[0]["EndTime"], org.query(metrics).json()["totalSize"]))
    org.control("clock", advance_seconds=60)
    seen.append((org.records(one)[0]["EndTime"], org.query(metrics).json()["totalSize"]))

    assert seen == [(None, 0), (last["EndTime"], 0), (last["EndTime"], 6)]


def test_a_soft_deleted_row_is_only_in_query_all(org):
    """
    Its metrics rows go with it, and SystemModstamp moves.
    """
    session = org.records("SELECT Id FROM MessagingSession WHERE Status = 'Ended' ORDER BY Id LIMIT 1")[0]["Id"]
    org.control("records", delete=[session])
    rows = f"FROM MessagingSessionMetrics WHERE MessagingSessionId = '{session}'"
    found = org.records(f"SELECT IsDeleted, SystemModstamp FROM MessagingSession WHERE Id = '{session}'", all_rows=True)

    assert org.records(f"SELECT Id FROM MessagingSession WHERE Id = '{session}'") == []
    assert (found[0]["IsDeleted"], found[0]["SystemModstamp"]) == (True, "2026-11-19T18:00:00.000+0000")
    assert len(org.records(f"SELECT Id {rows}")) == 0
    assert len(org.records(f"SELECT Id {rows}", all_rows=True)) == 6


def test_a_deleted_parent_is_hidden_from_a_plain_query(org):
    """
    The lookup is still there, the parent is null; queryAll shows it.
    """
    session = org.records("SELECT Id FROM MessagingSession WHERE Status = 'Ended' ORDER BY Id LIMIT 1")[0]["Id"]
    org.control("records", delete=[session])
    soql = f"SELECT WorkItemId, WorkItem.Name FROM AgentWork WHERE WorkItemId = '{session}' LIMIT 1"
    hidden, shown = org.records(soql)[0], org.records(soql, all_rows=True)[0]

    assert (hidden["WorkItemId"], hidden["WorkItem"]) == (session, None)
    assert shown["WorkItem"]["Name"]


def test_late_commits_carry_an_older_stamp(org):
    """
    With the switch, a row is seen some time after its SystemModstamp.
    """
    org.control("switches", commit_delay_seconds=120)
    org.control("records", insert=[{"sobject": "User", "Name": "Late", "LastName": "Late"}])
    soql = "SELECT SystemModstamp FROM User WHERE Name = 'Late'"
    before = org.records(soql)
    org.control("clock", advance_seconds=120)

    assert before == []
    assert org.records(soql)[0]["SystemModstamp"] == "2026-11-19T18:00:00.000+0000"


def test_an_update_by_hand_moves_the_stamps(org):
    """
    POST /simulator/records: the row has the new value and the clock's SystemModstamp.
    """
    session = org.records("SELECT Id FROM MessagingSession ORDER BY Id LIMIT 1")[0]["Id"]
    org.control("records", update=[{"Id": session, "CaseId": "500AA0000000001"}])
    row = org.records(f"SELECT CaseId, SystemModstamp FROM MessagingSession WHERE Id = '{session}'")[0]

    assert (row["CaseId"], row["SystemModstamp"]) == ("500AA0000000001YAA", "2026-11-19T18:00:00.000+0000")
