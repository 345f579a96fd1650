"""Bulk API 2.0 query jobs: states, pages, the CSV dialect and refusals (section 3 of the SOQL reference)."""

from __future__ import annotations

import csv
import io
import re

import httpx
import pytest

JOBS = "/services/data/v66.0/jobs/query"
SESSIONS = "SELECT Id, Status, CreatedDate FROM MessagingSession"
DAY = 86_400


@pytest.fixture
def bulk(lasting):
    """The org, with jobs that are complete as soon as they are created."""
    lasting.control("switches", bulk_after_polls=0)
    return lasting


def create(org, soql=SESSIONS, **more):
    """The answer to a creating call."""
    return org.post(JOBS, {"operation": "query", "query": soql} | more)


def job(org, soql=SESSIONS, **more):
    """The path of a new job."""
    answer = create(org, soql, **more)
    assert answer.status_code == 200, answer.text
    return f"{JOBS}/{answer.json()['id']}"


def poll(org, path):
    """The job as it is now."""
    return org.get(path).json()


def page(org, path, **parameters):
    """One page of results."""
    return org.get(f"{path}/results", params=parameters)


def table(text, **dialect):
    """Header and rows of a CSV text."""
    header, *rows = csv.reader(io.StringIO(text, newline=""), **dialect)
    return header, rows


def code(answer):
    """Status and errorCode of a refusal."""
    return answer.status_code, answer.json()[0]["errorCode"]


def note(org, text, **more):
    """A session put in by hand whose preview is that text; the SOQL that finds it."""
    identifier = org.control("records", insert=[{"sobject": "MessagingSession", "PreviewDetails": text, **more}])
    return f"SELECT PreviewDetails FROM MessagingSession WHERE Id = '{identifier['inserted'][0]}'"


def test_a_job_is_created_with_two_members(org):
    """
    operation and query are enough; the rest is told back as it was assumed.
    """
    created = create(org).json()

    assert re.fullmatch(r"750\w{15}", created.pop("id"))
    assert created == {
        "operation": "query", "object": "MessagingSession", "createdById": org.clients[0]["user_id"],
        "createdDate": "2026-11-19T18:00:00.000+0000", "systemModstamp": "2026-11-19T18:00:00.000+0000",
        "state": "UploadComplete", "concurrencyMode": "Parallel", "contentType": "CSV", "apiVersion": 66.0,
        "lineEnding": "LF", "columnDelimiter": "COMMA",
    }  # fmt: skip


def test_a_job_is_created_with_five_members(org):
    """
    Delimiter and line ending are taken.
    """
    created = create(org, contentType="CSV", columnDelimiter="PIPE", lineEnding="CRLF").json()

    assert (created["columnDelimiter"], created["lineEnding"]) == ("PIPE", "CRLF")


def test_states_follow_each_other_by_polls(org):
    """
    As many polls as the switch says find the job unfinished.
    """
    org.control("switches", bulk_after_polls=3)
    path = job(org)

    assert [poll(org, path)["state"] for _ in range(5)] == [
        "UploadComplete", "InProgress", "InProgress", "JobComplete", "JobComplete",
    ]  # fmt: skip


def test_states_follow_each_other_by_seconds(org):
    """
    Seconds of the org's clock: a test moves it instead of waiting.
    """
    org.control("switches", bulk_after_polls=0, bulk_after_seconds=300)
    path = job(org)
    before = poll(org, path)["state"]
    org.control("clock", advance_seconds=300)

    assert (before, poll(org, path)["state"]) == ("InProgress", "JobComplete")


def test_a_complete_job_tells_its_numbers(bulk):
    """
    Type, rows, retries, time and whether chunking was possible.
    """
    told = poll(bulk, job(bulk, operation="queryAll"))

    assert told["numberRecordsProcessed"] == bulk.query(SESSIONS, all_rows=True).json()["totalSize"]
    assert (told["jobType"], told["retries"], told["isPkChunkingSupported"]) == ("V2Query", 0, True)
    assert told["totalProcessingTime"] > 0


@pytest.mark.parametrize("tail", ["LIMIT 3", "ORDER BY Id"])
def test_limit_and_order_by_are_accepted_and_switch_chunking_off(bulk, tail):
    """
    The job completes all the same.
    """
    told = poll(bulk, job(bulk, f"{SESSIONS} {tail}"))

    assert (told["state"], told["isPkChunkingSupported"]) == ("JobComplete", False)


def test_conversations_are_taken_without_chunking(bulk):
    """
    The object is not on the list.
    """
    assert poll(bulk, job(bulk, "SELECT Id FROM Conversation"))["isPkChunkingSupported"] is False


def test_query_all_brings_deleted_rows(bulk):
    """
    operation queryAll, as in REST.
    """
    session = bulk.records("SELECT Id FROM MessagingSession LIMIT 1")[0]["Id"]
    bulk.control("records", delete=[session])
    found = {operation: page(bulk, job(bulk, operation=operation)).text for operation in ("query", "queryAll")}

    assert (session in found["query"], session in found["queryAll"]) == (False, True)


def test_pages_carry_every_row_once(bulk):
    """
    maxRecords and Sforce-Locator, to the literal `null`; each page has the header row and its own count.
    """
    path, locators, ids, counts = job(bulk), [""], [], []
    while locators[-1] != "null":
        answer = page(bulk, path, maxRecords=5, locator=locators[-1])
        header, rows = table(answer.text)
        assert header == ["Id", "Status", "CreatedDate"]
        ids += [row[0] for row in rows]
        counts.append((int(answer.headers["sforce-numberofrecords"]), len(rows)))
        assert answer.headers["sforce-locator"] not in locators
        locators.append(answer.headers["sforce-locator"])

    assert sorted(ids) == sorted(record["Id"] for record in bulk.records(SESSIONS))
    assert all(told == read for told, read in counts)


def test_a_page_can_be_read_again(bulk):
    """
    Locators stay good while the job exists.
    """
    path = job(bulk)
    locator = page(bulk, path, maxRecords=2).headers["sforce-locator"]

    assert page(bulk, path, locator=locator).text == page(bulk, path, locator=locator).text


def test_the_org_may_give_smaller_pages_than_asked(bulk):
    """
    bulk_page_rows is the most, so that a small result has pages.
    """
    bulk.control("switches", bulk_page_rows=4)

    assert page(bulk, job(bulk), maxRecords=50_000).headers["sforce-numberofrecords"] == "4"


def test_a_result_is_a_snapshot(bulk):
    """
    What changes after completion does not show.
    """
    path = job(bulk, "SELECT Id, Owner.Name FROM MessagingSession")
    before = page(bulk, path).text
    owner = bulk.records("SELECT OwnerId FROM MessagingSession LIMIT 1")[0]["OwnerId"]
    bulk.control("records", insert=[{"sobject": "MessagingSession"}], update=[{"Id": owner, "Name": "Renamed"}])

    assert page(bulk, path).text == before


def test_rows_are_in_no_order_without_order_by(bulk):
    """
    Shuffled by the seed, the same for the same org.
    """
    ids = [row[0] for row in table(page(bulk, job(bulk)).text)[1]]

    assert ids != sorted(ids)


def test_rows_are_in_order_with_order_by(bulk):
    """
    ORDER BY is obeyed.
    """
    ids = [row[0] for row in table(page(bulk, job(bulk, "SELECT Id FROM MessagingSession ORDER BY Id")).text)[1]]

    assert ids == sorted(ids)


def test_values_are_quoted_and_typed(bulk):
    """
    Null is empty, booleans are words, date-times end in Z, paths are dotted.
    """
    soql = "SELECT Id, IsDeleted, LeadId, Owner.Name, StartTime FROM MessagingSession WHERE StartTime != null LIMIT 1"
    header, row = page(bulk, job(bulk, soql)).text.splitlines()

    assert header == '"Id","IsDeleted","LeadId","Owner.Name","StartTime"'
    assert re.fullmatch(r'"0Mw\w{15}","false","","[^"]+","\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z"', row)


@pytest.mark.parametrize(
    "text",
    ["two\nlines", "three\r\nlines", 'a "quote"', '"', "NA", "null", "\ufeffmarked", "n\x00l", "a,b|c;d\te^f`g", "😀"],
    ids=["lf", "crlf", "quotes", "one quote", "NA", "null", "bom", "nul", "delimiters", "emoji"],
)
@pytest.mark.parametrize("quoted", [True, False], ids=["null quoted", "null bare"])
def test_any_text_survives_the_csv(bulk, text, quoted):
    """
    A CSV reader gets back what was put in.
    """
    bulk.control("switches", bulk_null_quoted=quoted)
    body = page(bulk, job(bulk, note(bulk, text))).content.decode()

    assert table(body)[1] == [[text]]


@pytest.mark.parametrize(
    ("name", "delimiter"),
    [("BACKQUOTE", "`"), ("CARET", "^"), ("COMMA", ","), ("PIPE", "|"), ("SEMICOLON", ";"), ("TAB", "\t")],
)
def test_columns_are_delimited_as_asked(bulk, name, delimiter):
    """
    Header and rows alike.
    """
    text = page(bulk, job(bulk, columnDelimiter=name)).text

    assert {line.count(delimiter) for line in text.splitlines()} == {2}


def test_rows_end_as_asked(bulk):
    """
    CRLF at each row's end.
    """
    text = page(bulk, job(bulk, lineEnding="CRLF")).content.decode()

    assert text.count("\r\n") == text.count("\n") > 1


@pytest.mark.parametrize(
    ("switch", "expected"),
    [
        ({}, '"7","","2026-11-19T08:00:00.000Z"'),
        ({"bulk_int_with_point": True}, '"7.0","","2026-11-19T08:00:00.000Z"'),
        ({"bulk_datetime_zone": "+0000"}, '"7","","2026-11-19T08:00:00.000+0000"'),
        ({"bulk_null_quoted": False}, '"7",,"2026-11-19T08:00:00.000Z"'),
    ],
)
def test_what_orgs_spell_differently_is_a_switch(bulk, switch, expected):
    """
    Integers, zones and null.
    """
    bulk.control("switches", **switch)
    where = note(bulk, "x", AgentMessageCount=7, StartTime="2026-11-19T08:00:00Z").partition("WHERE")[2]
    text = page(bulk, job(bulk, f"SELECT AgentMessageCount, LeadId, StartTime FROM MessagingSession WHERE {where}"))

    assert text.text.splitlines()[1] == expected


@pytest.mark.parametrize(("header", "expected"), [(True, '"Id"\n'), (False, "")])
def test_an_empty_result_is_a_header_or_nothing(bulk, header, expected):
    """
    Zero rows are told in the header line of the answer either way.
    """
    bulk.control("switches", bulk_empty_header=header)
    answer = page(bulk, job(bulk, "SELECT Id FROM MessagingSession WHERE Name = 'nobody'"))

    assert (answer.text, answer.headers["sforce-numberofrecords"], answer.headers["sforce-locator"]) == (
        expected, "0", "null",
    )  # fmt: skip


@pytest.mark.parametrize(("accepts", "expected"), [("gzip", "gzip"), ("identity", None)])
def test_results_are_compressed_for_who_asks(bulk, accepts, expected):
    """
    Accept-Encoding decides.
    """
    answer = bulk.get(f"{job(bulk)}/results", headers={"accept-encoding": accepts})

    assert answer.headers.get("content-encoding") == expected
    assert table(answer.text)[0] == ["Id", "Status", "CreatedDate"]


@pytest.mark.parametrize(
    ("shape", "pages", "link"),
    [
        ("resultChunks", "resultChunks", "resultLink"),
        ("resultPages", "resultPages", "resultUrl"),
        ("resultpages", "resultpages", "resultUrl"),
    ],
)
def test_result_pages_lead_to_every_row(bulk, shape, pages, link):
    """
    Five links an answer, in the observed and in the documented shape.
    """
    bulk.control("switches", bulk_result_pages=shape)
    path, ids = job(bulk), []
    url, answers = f"{path}/resultPages?maxRecords=2", 0
    while url:
        told = bulk.get(url).json()
        answers += 1
        assert len(told[pages]) <= 5
        for found in told[pages]:
            target = found[link]
            text = bulk.get(target if target.startswith("/services") else f"/services/data/v66.0{target}").text
            ids += [row[0] for row in table(text)[1]]
        url = told.get("nextRecordsUrl") or told.get("nextRecordUrl")
        assert told["done"] is (url is None)

    assert answers > 1
    assert sorted(ids) == sorted(record["Id"] for record in bulk.records(SESSIONS))


@pytest.mark.parametrize("switch", [{"bulk_result_pages": "absent"}, {"bulk_result_pages_absent": "MessagingSession"}])
def test_result_pages_may_be_absent(bulk, switch):
    """
    In an org, or for an object.
    """
    bulk.control("switches", **switch)

    assert bulk.get(f"{job(bulk)}/resultPages").status_code == 404


def test_results_are_read_with_the_version_of_the_job(bulk):
    """
    Another version is 409.
    """
    assert page(bulk, job(bulk).replace("v66.0", "v65.0")).status_code == 409


def test_results_are_only_there_when_complete(org):
    """
    Before, the state is refused.
    """
    assert code(page(org, job(org))) == (400, "INVALIDJOBSTATE")


def test_a_running_job_can_be_aborted(org):
    """
    PATCH Aborted answers with the job.
    """
    path = job(org)
    answer = org.patch(path, {"state": "Aborted"})

    assert (answer.status_code, answer.json()["state"], poll(org, path)["state"]) == (200, "Aborted", "Aborted")


def test_a_complete_job_cannot_be_aborted(bulk):
    """
    INVALIDJOBSTATE.
    """
    assert code(bulk.patch(job(bulk), {"state": "Aborted"})) == (400, "INVALIDJOBSTATE")


def test_a_job_that_ended_can_be_deleted(bulk):
    """
    204 without a body, then 404.
    """
    path = job(bulk)
    answer = bulk.delete(path)

    assert (answer.status_code, answer.content) == (204, b"")
    assert code(bulk.get(path)) == (404, "NOT_FOUND")


def test_a_running_job_cannot_be_deleted(org):
    """
    API_ERROR: it is not terminated.
    """
    assert code(org.delete(job(org))) == (400, "API_ERROR")


def test_results_are_kept_for_seven_days(bulk):
    """
    By the clock; then the job is gone.
    """
    path = job(bulk)
    bulk.control("clock", advance_seconds=7 * DAY - 60)
    kept = bulk.get(path).status_code
    bulk.control("clock", advance_seconds=120)

    assert (kept, bulk.get(path).status_code) == (200, 404)


@pytest.mark.parametrize(
    ("soql", "error"),
    [
        ("SELECT Status FROM MessagingSession GROUP BY Status", "API_ERROR"),
        ("SELECT COUNT() FROM MessagingSession", "API_ERROR"),
        ("SELECT MAX(StartTime) FROM MessagingSession", "API_ERROR"),
        ("SELECT Id FROM MessagingSession LIMIT 5 OFFSET 5", "API_ERROR"),
        ("SELECT FIELDS(ALL) FROM MessagingSession LIMIT 5", "API_ERROR"),
        ("SELECT TYPEOF Owner WHEN User THEN Name END FROM MessagingSession", "MALFORMED_QUERY"),
        ("SELECT Id, (SELECT Id FROM Cases) FROM MessagingSession", "MALFORMED_QUERY"),
        ("SELECT Nothing FROM MessagingSession", "INVALID_FIELD"),
        ("SELECT Id FROM Nothing", "INVALID_TYPE"),
        ("SELECT Id FROM MessagingSession WHERE PreviewDetails = 'x'", "INVALID_FIELD"),
    ],
)
def test_queries_that_bulk_does_not_take_are_refused_at_once(org, soql, error):
    """
    400 with the code, before there is a job.
    """
    assert code(create(org, soql)) == (400, error)
    assert org.get(JOBS).json()["records"] == []


def test_compound_columns_are_refused(org):
    """
    Their components can be selected instead.
    """
    org.control("schema", object="User", add={"name": "Address", "type": "address"})

    assert code(create(org, "SELECT Address FROM User")) == (400, "API_ERROR")


def test_an_object_may_not_be_supported(org):
    """
    INVALIDENTITY by switch, so that a client falls back on REST.
    """
    org.control("switches", bulk_unsupported_objects="Conversation, ConversationParticipant")

    assert code(create(org, "SELECT Id FROM Conversation")) == (400, "INVALIDENTITY")
    assert create(org).status_code == 200


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"operation": "query"}, "INVALIDJOB"),
        ({"operation": "insert", "query": SESSIONS}, "INVALIDJOB"),
        ({"operation": "query", "query": SESSIONS, "columnDelimiter": "DOT"}, "INVALIDJOB"),
        ({"operation": "query", "query": SESSIONS, "colour": "red"}, "JSON_PARSER_ERROR"),
    ],
)
def test_job_descriptions_that_make_no_sense_are_refused(org, body, error):
    """
    400 with an array body.
    """
    assert code(org.post(JOBS, body)) == (400, error)


def test_a_wide_window_times_out(bulk):
    """
    More rows than the switch says: Failed with QUERY_TIMEOUT after 15 retries; half of it succeeds.
    """
    bulk.control("switches", bulk_timeout_rows=20)
    wide = poll(bulk, job(bulk))
    narrow = poll(bulk, job(bulk, f"{SESSIONS} WHERE CreatedDate >= 2026-11-19T00:00:00Z"))

    assert (wide["state"], wide["retries"], wide["errorMessage"].partition(":")[0]) == ("Failed", 15, "QUERY_TIMEOUT")
    assert narrow["state"] == "JobComplete"


def test_a_column_that_went_away_fails_the_job(org):
    """
    What is found out at run time is a state, not a refusal.
    """
    path = job(org)
    org.control("schema", object="MessagingSession", remove="Status")
    poll(org, path)
    told = poll(org, path)

    assert told["state"] == "Failed"
    assert told["errorMessage"].startswith("InvalidBatch : Failed to process query: INVALID_FIELD")


def test_jobs_have_a_daily_quota(bulk):
    """
    LIMIT_EXCEEDED, deleted jobs count, and after 24 hours there is room again.
    """
    bulk.control("limits", bulk_query_jobs=1)
    bulk.delete(job(bulk))
    refused = code(create(bulk))
    left = bulk.get("/services/data/v66.0/limits").json()["DailyBulkV2QueryJobs"]
    bulk.control("clock", advance_seconds=DAY)

    assert refused == (400, "LIMIT_EXCEEDED")
    assert left == {"Max": 1, "Remaining": 0}
    assert create(bulk).status_code == 200


def test_every_call_counts_against_the_allocation(bulk):
    """
    Creation, polls, pages and deletion.
    """
    path = job(bulk)
    poll(bulk, path)
    used = page(bulk, path).headers["sforce-limit-info"]

    assert used == "api-usage=3/100000"
    assert bulk.delete(path).headers["sforce-limit-info"] == "api-usage=4/100000"


def test_jobs_are_listed_page_by_page(bulk):
    """
    nextRecordsUrl leads on as the documentation's sample does, to /jobs/ingest.
    """
    made = {job(bulk).rpartition("/")[2] for _ in range(3)}
    bulk.control("switches", bulk_list_rows=2)
    first = bulk.get(JOBS, params={"jobType": "V2Query"}).json()
    second = bulk.get(first["nextRecordsUrl"]).json()

    assert first["nextRecordsUrl"].startswith("/services/data/v66.0/jobs/ingest?queryLocator=")
    assert {record["id"] for record in first["records"] + second["records"]} == made
    assert (first["done"], second["done"], second["nextRecordsUrl"]) == (False, True, None)


def test_the_list_can_be_filtered(bulk):
    """
    jobType and isPkChunkingEnabled.
    """
    job(bulk)
    listed = {
        name: len(bulk.get(JOBS, params=asked).json()["records"])
        for name, asked in {
            "v1": {"jobType": "Classic"}, "v2": {"jobType": "V2Query"}, "unchunked": {"isPkChunkingEnabled": "false"},
        }.items()
    }  # fmt: skip

    assert listed == {"v1": 0, "v2": 1, "unchunked": 0}


def test_a_locator_that_never_was_is_refused(bulk):
    """
    400 with an array body.
    """
    assert code(page(bulk, job(bulk), locator="!!!")) == (400, "INVALID_QUERY_LOCATOR")


def test_a_record_can_be_dropped_from_a_page(bulk):
    """
    The fault that most clients do not notice: the count says one more.
    """
    bulk.control("faults", route="bulk_jobs.results", effect={"drop_record": 0}, times=1)
    answer = page(bulk, job(bulk))

    assert len(table(answer.text)[1]) == int(answer.headers["sforce-numberofrecords"]) - 1


def test_a_page_can_be_cut(bulk):
    """
    Truncation meets streamed pages too.
    """
    bulk.control("faults", route="bulk_jobs.results", effect={"truncate": {"fraction": 0.5}}, times=1)

    with pytest.raises(httpx.RemoteProtocolError):
        page(bulk, job(bulk))


def test_many_rows_are_made_and_read_quickly(bulk):
    """
    Equal seeds give equal rows; a page holds its maximum.
    """
    asked = {"sobject": "MessagingSession", "count": 5_000, "from": "2026-11-01T00:00:00Z", "seed": 5,
             "to": "2026-11-02T00:00:00Z"}  # fmt: skip
    bulk.control("records/generate", **asked)
    day = f"{SESSIONS} WHERE CreatedDate >= 2026-11-01T00:00:00Z AND CreatedDate < 2026-11-02T00:00:00Z"
    path = job(bulk, day)
    first = page(bulk, path, maxRecords=2_000)
    told = poll(bulk, path)["numberRecordsProcessed"]
    bulk.control("reset")
    bulk.headers = {"authorization": f"Bearer {bulk.token()}"}
    bulk.control("switches", bulk_after_polls=0)
    bulk.control("records/generate", **asked)

    assert (told, first.headers["sforce-numberofrecords"]) == (5_000, "2000")
    assert page(bulk, job(bulk, day), maxRecords=2_000).text == first.text
