"""Query API v3 (sections 4.1 and 4.5 of the Data Cloud reference)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from conversation_pipeline_tests.simulator.data_cloud import ARROW, COUNT, ENTRIES, IDS, Cloud, status, table

TYPED = (
    "SELECT 'a' AS v, 1.5::numeric(10,2) AS n, true AS b, DATE '2026-01-02' AS d, 7 AS i, 7::bigint AS l, "
    "0.5::double AS f, TIMESTAMPTZ '2026-01-02T03:04:05.678Z' AS t, TIMESTAMP '2026-01-02 03:04:05' AS w"
)


@pytest.fixture
def cloud(org):
    """The tenant, with a token."""
    return Cloud(org)


def columns(answer):
    """Name to type of an answer's metadata."""
    return {column["name"]: column["type"] for column in answer.json()["metadata"]["columns"]}


def ids(rows):
    return [row[0] for row in rows]


# States.


def test_an_asynchronous_query_runs_then_produces_then_finishes(cloud):
    """
    completionStatus of submission and of every poll.
    """
    submitted = cloud.submit(transferMode="ASYNC")
    path = f"/api/v3/query/{status(submitted)['queryId']}"
    told = [status(submitted)["completionStatus"], *(cloud.get(path).json()["completionStatus"] for _ in range(3))]

    assert told == ["RUNNING_OR_UNSPECIFIED", "RUNNING_OR_UNSPECIFIED", "RESULTS_PRODUCED", "FINISHED"]
    assert submitted.json()["data"] is None


@pytest.mark.parametrize("polls", [0, 4])
def test_a_slow_query_is_found_running_so_often(cloud, polls):
    """
    As the switch says.
    """
    cloud.org.control("switches", data_cloud_after_polls=polls)
    path = f"/api/v3/query/{status(cloud.submit(transferMode='ASYNC'))['queryId']}"
    told = [cloud.get(path).json()["completionStatus"] for _ in range(polls + 1)]

    assert told[:polls] == ["RUNNING_OR_UNSPECIFIED"] * polls
    assert told[-1] != "RUNNING_OR_UNSPECIFIED"


def test_a_long_poll_waits_for_its_query(cloud):
    """
    Until the results are there, not as long as it may.
    """
    cloud.org.control("switches", data_cloud_after_polls=0, data_cloud_after_seconds=0.3)
    path = f"/api/v3/query/{status(cloud.submit())['queryId']}"
    began = time.monotonic()
    at_once = cloud.get(path, params={"waitTimeMs": 0}).json()["completionStatus"]
    patient = cloud.get(path).json()["completionStatus"]

    assert (at_once, patient) == ("RUNNING_OR_UNSPECIFIED", "RESULTS_PRODUCED")
    assert 0.2 < time.monotonic() - began < 5


def test_an_adaptive_query_brings_its_first_rows(cloud):
    """
    The default transfer mode, when the query is quick.
    """
    answer = cloud.submit()

    assert status(answer)["completionStatus"] == "FINISHED"
    assert answer.json()["returnedRows"] == len(answer.json()["data"]) == status(answer)["rowCount"]


def test_an_adaptive_query_that_is_slow_brings_none(cloud):
    """
    Then it is one like any other.
    """
    cloud.org.control("switches", data_cloud_after_seconds=60)
    answer = cloud.submit()

    assert answer.json()["data"] is None
    assert status(answer)["completionStatus"] == "RUNNING_OR_UNSPECIFIED"


def test_the_first_rows_are_as_many_as_asked(cloud):
    """
    resultRange bounds what comes inline, not the result.
    """
    answer = cloud.submit(resultRange={"rowLimit": 3})

    assert len(answer.json()["data"]) == 3
    assert status(answer)["rowCount"] > 100


def test_the_status_is_told_in_body_and_header(cloud):
    """
    A client may read either.
    """
    answer = cloud.get(cloud.finished())

    assert answer.json() == status(answer)
    assert {"queryId", "chunkCount", "rowCount", "progress", "expirationTime"} <= set(answer.json())


def test_rows_processed_are_told(cloud):
    """
    What a query is billed by: rows scanned, not rows returned.
    """
    [[total]] = cloud.rows(COUNT)
    told = status(cloud.submit(f"SELECT 1 FROM {ENTRIES} LIMIT 1"))

    assert told["executionStats"]["rowsProcessed"] == total


def test_rows_of_a_running_query_cannot_be_read(cloud):
    """
    400.
    """
    path = f"/api/v3/query/{status(cloud.submit(transferMode='ASYNC'))['queryId']}"

    assert cloud.get(f"{path}/rows", params={"offset": 0}).status_code == 400


def test_a_cancelled_query_is_gone(cloud):
    """
    DELETE answers 204, and from then on it is unknown.
    """
    path = cloud.finished()

    assert cloud.delete(path).status_code == 204
    assert cloud.get(path).status_code == 404


@pytest.mark.parametrize("tail", ["", "/rows?offset=0", "/chunks/0", "/metadata"])
def test_an_expired_query_is_404(lasting, tail):
    """
    At its expirationTime, whatever is asked of it.
    """
    lasting.control("switches", data_cloud_token_life_seconds=10**6)
    cloud = Cloud(lasting)
    path = cloud.finished()
    cloud.org.control("clock", advance_seconds=86_399)
    before = cloud.get(path + tail).status_code
    cloud.org.control("clock", advance_seconds=2)

    assert (before, cloud.get(path + tail).status_code) == (200, 404)


# Rows and chunks.


def test_rows_are_read_from_any_offset(cloud):
    """
    And again, in any order.
    """
    path, everything = cloud.finished(), ids(cloud.rows(IDS))

    def page(offset):
        return ids(cloud.get(f"{path}/rows", params={"offset": offset, "limit": 50}).json()["data"])

    assert page(100) == page(100) == everything[100:150]
    assert page(0) == everything[:50]


@pytest.mark.parametrize("accept", ["application/json", ARROW])
def test_short_pages_add_up(cloud, accept):
    """
    A page holds so many bytes; the next begins where it ended.
    """
    cloud.org.control("switches", data_cloud_page_bytes=8_000)
    path, total = cloud.finished(), cloud.rows(COUNT)[0][0]
    found, pages = [], 0
    while len(found) < total:
        answer = cloud.get(f"{path}/rows", params={"offset": len(found)}, headers={"accept": accept})
        assert len(answer.content) < 9_000
        found += table(answer.content)["id"].to_pylist() if accept == ARROW else ids(answer.json()["data"])
        pages += 1

    assert found == sorted(set(found))
    assert pages > 3


def test_an_offset_past_the_end_is_out_of_range(cloud):
    """
    400 that says so: the end of the data, no failure.
    """
    path, total = cloud.finished(), cloud.rows(COUNT)[0][0]
    answer = cloud.get(f"{path}/rows", params={"offset": total})

    assert answer.status_code == 400
    assert "out of range" in answer.json()["message"]


@pytest.mark.parametrize("parameters", [{}, {"offset": "x"}, {"offset": 0, "limit": 0}, {"offset": 0, "byteLimit": 9}])
def test_wrong_paging_is_400(cloud, parameters):
    """
    offset is required; limits are positive, bytes at least 1,024.
    """
    assert cloud.get(f"{cloud.finished()}/rows", params=parameters).status_code == 400


@pytest.mark.parametrize("accept", ["application/json", ARROW])
def test_chunks_are_the_whole_result_once(cloud, accept):
    """
    0 to chunkCount - 1, the last one shorter.
    """
    cloud.org.control("switches", data_cloud_chunk_rows=100)
    path = cloud.finished()
    told = cloud.get(path).json()
    found = []
    for place in range(told["chunkCount"]):
        answer = cloud.get(f"{path}/chunks/{place}", headers={"accept": accept})
        found += table(answer.content)["id"].to_pylist() if accept == ARROW else ids(answer.json()["data"])

    assert told["chunkCount"] > 2
    assert found == ids(cloud.rows(IDS))


def test_chunks_are_read_at_the_same_time_and_again(cloud):
    """
    Re-readable and parallel.
    """
    cloud.org.control("switches", data_cloud_chunk_rows=200, data_cloud_call_ms=20)
    path = cloud.finished()
    places = list(range(cloud.get(path).json()["chunkCount"])) * 2
    with ThreadPoolExecutor(4) as pool:
        bodies = list(pool.map(lambda place: cloud.get(f"{path}/chunks/{place}").content, places))

    half = len(places) // 2
    assert bodies[:half] == bodies[half:]
    assert cloud.org.http.get("/simulator/data_cloud").json()["most_calls"] > 1


def test_a_chunk_past_the_last_is_out_of_range(cloud):
    """
    400.
    """
    assert "out of range" in cloud.get(f"{cloud.finished()}/chunks/9").json()["message"]


def test_a_result_does_not_change_while_it_is_read(cloud):
    """
    It is of the moment of submission.
    """
    path = cloud.finished()
    total = cloud.get(path).json()["rowCount"]
    cloud.org.control("clock", advance_seconds=1800)

    assert cloud.get(path).json()["rowCount"] == total < cloud.rows(COUNT)[0][0]


def test_withheld_rows_are_counted_and_never_come(cloud):
    """
    An empty page before rowCount.
    """
    cloud.org.control("switches", data_cloud_withheld_rows=5)
    path = cloud.finished()
    total = cloud.get(path).json()["rowCount"]
    last = cloud.get(f"{path}/rows", params={"offset": total - 5})

    assert (last.status_code, last.json()["data"]) == (200, [])


@pytest.mark.parametrize("lacking", [False, True])
def test_an_empty_result_may_lack_its_data(cloud, lacking):
    """
    As the switch says; its columns are told anyway.
    """
    cloud.org.control("switches", data_cloud_empty_without_data=lacking)
    answer = cloud.submit(f'SELECT "ssot__Id__c" AS "id" FROM {ENTRIES} WHERE false')

    assert ("data" in answer.json(), "returnedRows" in answer.json()) == (not lacking, not lacking)
    assert columns(answer) == {"id": "varchar"}


# Formats.


def test_types_are_told_in_lower_case(cloud):
    """
    By SQL's names.
    """
    answer = cloud.submit(TYPED)

    assert columns(answer) == {"v": "varchar", "n": "numeric", "b": "bool", "d": "date", "i": "int", "l": "bigint",
                               "f": "double", "t": "timestamptz", "w": "timestamp"}  # fmt: skip


@pytest.mark.parametrize(
    ("form", "instant", "wall"),
    [
        ("iso", "2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.000"),
        ("sql", "2026-01-02 03:04:05.678+00", "2026-01-02 03:04:05.000"),
    ],
)
def test_json_cells(cloud, form, instant, wall):
    """
    Numbers as numbers, instants by the switch.
    """
    cloud.org.control("switches", data_cloud_instants=form)

    assert cloud.rows(TYPED) == [["a", 1.5, True, "2026-01-02", 7, 7, 0.5, instant, wall]]


def test_an_arrow_stream_is_typed(cloud):
    """
    The same rows with nothing to be cast.
    """
    answer = cloud.submit(TYPED, headers={"accept": ARROW})
    found = table(answer.content)

    assert answer.headers["content-type"] == ARROW
    assert found.schema.field("t").type == pa.timestamp("us", "UTC")
    assert found.schema.field("n").type == pa.decimal128(10, 2)
    assert found.schema.names == ["v", "n", "b", "d", "i", "l", "f", "t", "w"]


def test_an_arrow_stream_carries_its_schema_even_when_nothing_came_yet(cloud):
    """
    Of a running query, of an empty result, and when the schema is to be omitted.
    """
    running = cloud.submit(headers={"accept": ARROW}, transferMode="ASYNC")
    omitted = cloud.get(f"{cloud.finished()}/chunks/0", params={"omitSchema": "true"}, headers={"accept": ARROW})

    assert table(running.content).schema.names == table(omitted.content).schema.names == ["id"]


def test_the_schema_is_omitted_from_json_when_asked(cloud):
    """
    And told by /metadata.
    """
    path = cloud.finished()
    page = cloud.get(f"{path}/rows", params={"offset": 0, "omitSchema": "true"}).json()

    assert set(page) == {"data", "returnedRows"}
    assert cloud.get(f"{path}/metadata").json()["columns"][0]["name"] == "id"


# SQL.


@pytest.mark.parametrize(
    ("sql", "state", "words"),
    [
        ("SELEC 1", "42601", "syntax error"),
        ("SELECT 1; SELECT 2", "42601", "one statement"),
        ("SELECT * FROM nope", "42P01", "does not exist"),
        (f"SELECT nope FROM {ENTRIES}", "42703", "does not exist"),
        ("SELECT nope(1)", "42883", "does not exist"),
        ("DROP TABLE x", "0A000", "only SELECT"),
        ("COPY (SELECT 1) TO 'file'", "0A000", "only SELECT"),
        ("SELECT * FROM read_text('/etc/hostname')", "42501", "disabled"),
        ("SELECT 'a'::int", "22000", "Could not convert"),
    ],
)
def test_a_refused_statement_says_why(cloud, sql, state, words):
    """
    400 with SQLSTATE, in the tenant's shape.
    """
    answer = cloud.submit(sql)
    body = answer.json()

    assert answer.status_code == 400
    assert (body["details"]["sqlState"], words in body["message"]) == (state, True)
    assert {"timestamp", "error", "path", "tenantId", "internalErrorCode"} <= set(body)


@pytest.mark.parametrize("body", [{}, {"sql": ""}, {"sql": "SELECT 1", "transferMode": "SYNC"},
                                  {"sql": "SELECT 1", "settings": {"a": 1}},
                                  {"sql": "SELECT 1", "paramStyle": "OTHER"}])  # fmt: skip
def test_a_wrong_submission_is_400(cloud, body):
    """
    sql is required, modes and styles are known, settings are texts.
    """
    assert cloud.post("/api/v3/query", body).status_code == 400


@pytest.mark.parametrize(
    ("style", "sql", "parameters"),
    [
        ("QUESTION_MARK", "SELECT ?, ?", [{"type": "int", "value": 1}, {"type": "varchar", "value": "a"}]),
        ("DOLLARED", "SELECT $1, $2", [{"type": "int", "value": 1}, {"type": "varchar", "value": "a"}]),
        ("NAMED", "SELECT :n::int, :t", [{"name": "n", "type": "int", "value": 1},
                                         {"name": "t", "type": "varchar", "value": "a"}]),
    ],
)  # fmt: skip
def test_parameters_are_bound_in_every_style(cloud, style, sql, parameters):
    """
    With their types.
    """
    assert cloud.rows(sql, paramStyle=style, parameters=parameters) == [[1, "a"]]


def test_named_parameters_need_the_named_style(cloud):
    """
    400.
    """
    answer = cloud.submit("SELECT ?", parameters=[{"name": "n", "type": "int", "value": 1}])

    assert answer.status_code == 400


def test_instants_compare_with_text_and_with_literals(cloud):
    """
    Both ways to write a window.
    """
    window = "SELECT count(*) FROM " + ENTRIES + ' WHERE "ssot__CreatedDate__c" >= {}'

    as_text = cloud.rows(window.format("'2026-11-18T12:00:00Z'"))
    assert as_text == cloud.rows(window.format("TIMESTAMPTZ '2026-11-18T12:00:00Z'"))
    assert 0 < as_text[0][0] < cloud.rows(COUNT)[0][0]


def test_the_time_zone_is_a_setting(cloud):
    """
    UTC without it.
    """
    sql = "SELECT hour(TIMESTAMPTZ '2026-01-02T03:00:00Z')"

    assert cloud.rows(sql) == [[3]]
    assert cloud.rows(sql, settings={"time_zone": "America/Denver"}) == [[20]]


@pytest.mark.parametrize("limit", [0, 2])
def test_a_row_limit_cuts_the_result(cloud, limit):
    """
    0 for the columns alone.
    """
    answer = cloud.submit(queryRowLimit=limit)

    assert (status(answer)["rowCount"], columns(answer)) == (limit, {"id": "varchar"})


def test_an_earlier_result_is_a_table_function(cloud):
    """
    result_scan by query id.
    """
    identifier = cloud.finished().rpartition("/")[2]

    assert cloud.rows(f"SELECT count(*) FROM result_scan('{identifier}')") == cloud.rows(COUNT)


def test_an_unknown_data_space_is_400(cloud):
    """
    There is only the default one.
    """
    assert cloud.submit(headers={"ctx-dataspace-ds_name": "elsewhere"}).status_code == 400
    assert cloud.submit(headers={"ctx-dataspace-ds_name": "default"}).status_code == 200


# Limits and failures.


@pytest.mark.parametrize("told", [True, False])
def test_more_calls_at_once_than_15_are_429(cloud, told):
    """
    The sixteenth, with or without Retry-After.
    """
    cloud.org.control("switches", data_cloud_call_ms=400, data_cloud_retry_after=told)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: cloud.submit("SELECT 1"), range(20)))
    refused = [answer for answer in answers if answer.status_code == 429]

    assert refused
    assert all(answer.headers.get("retry-after") == ("5" if told else None) for answer in refused)
    seen = cloud.org.http.get("/simulator/data_cloud").json()
    assert (seen["most_calls"], seen["refused_calls"]) == (15, len(refused))


def test_an_outage_may_be_plain_text(cloud):
    """
    500 `no healthy upstream`, by a fault.
    """
    cloud.org.control("faults", route="data_cloud.v3_*", times=1, effect={"status": 500, "body": "no healthy upstream"})
    answer = cloud.submit()

    assert (answer.status_code, answer.text) == (500, "no healthy upstream")
    assert cloud.submit().status_code == 200


def test_reading_twice_shows_in_the_journal(cloud):
    """
    Every chunk that was asked for is on record by its path.
    """
    path = cloud.finished()
    cloud.get(f"{path}/chunks/0")
    cloud.get(f"{path}/chunks/0")
    journal = cloud.org.http.get("/simulator/requests").json()["requests"]

    assert [noted["path"] for noted in journal].count(f"{path}/chunks/0") == 2
