"""The Connect resource query-sql (section 5 of the Data Cloud reference)."""

from __future__ import annotations

import json

import pytest

from conversation_pipeline_tests.simulator.data_cloud import COUNT, ENTRIES, IDS, QUERY_SQL, Cloud


def submit(org, sql=IDS, **more):
    """A submission with a core token."""
    return org.post(QUERY_SQL, {"sql": sql} | more)


def finished(org, sql=IDS):
    """The path of an asynchronous query whose results are there."""
    path = f"{QUERY_SQL}/{submit(org, sql, adaptiveTimeout=0).json()['status']['queryId']}"
    while org.get(path).json()["completionStatus"] == "Running":
        pass
    return path


def ids(answer):
    return [row[0] for row in answer.json()["data"]]


def test_a_quick_query_brings_rows_columns_and_status(org):
    """
    In one reply.
    """
    told = submit(org, f'SELECT "ssot__Id__c" AS "id", 1.5::numeric(4,1) AS "n" FROM {ENTRIES} LIMIT 3').json()

    assert told["returnedRows"] == len(told["data"]) == told["status"]["rowCount"] == 3
    assert told["status"]["completionStatus"] == "Finished"
    assert [(column["name"], column["type"], column["scale"]) for column in told["metadata"]] == [
        ("id", "Varchar", None), ("n", "Numeric", 1),
    ]  # fmt: skip


def test_it_is_the_same_engine_as_v3(org):
    """
    The same rows by both roads.
    """
    assert ids(submit(org)) == [row[0] for row in Cloud(org).rows(IDS)]


def test_without_patience_no_rows_come(org):
    """
    adaptiveTimeout of 0: the query's id, status and columns.
    """
    told = submit(org, adaptiveTimeout=0).json()

    assert set(told) == {"metadata", "status"}
    assert told["status"]["completionStatus"] == "Running"


def test_a_query_runs_then_produces_then_finishes(org):
    """
    By polls.
    """
    path = f"{QUERY_SQL}/{submit(org, adaptiveTimeout=0).json()['status']['queryId']}"

    told = [org.get(path).json()["completionStatus"] for _ in range(3)]
    assert told == ["Running", "ResultsProduced", "Finished"]


@pytest.mark.parametrize("form", ["flat", "wrapped"])
def test_the_status_is_flat_or_wrapped(org, form):
    """
    Both were seen.
    """
    org.control("switches", data_cloud_connect_status=form)
    told = org.get(f"{QUERY_SQL}/{submit(org).json()['status']['queryId']}").json()

    assert "queryId" in (told["status"] if form == "wrapped" else told)


def test_pages_that_the_server_cuts_add_up(org):
    """
    From the offset of the rows so far, until rowCount.
    """
    org.control("switches", data_cloud_connect_page_bytes=6_000)
    path = finished(org)
    total, found, pages = org.get(path).json()["rowCount"], [], 0
    while len(found) < total:
        found += ids(org.get(f"{path}/rows", params={"offset": len(found)}))
        pages += 1

    assert pages > 3
    assert found == [row[0] for row in Cloud(org).rows(IDS)]


def test_the_first_reply_is_cut_too(org):
    """
    A reply with fewer rows than rowCount is nothing odd.
    """
    org.control("switches", data_cloud_connect_page_bytes=6_000)
    told = submit(org).json()

    assert told["returnedRows"] < told["status"]["rowCount"]


@pytest.mark.parametrize(("parameters", "rows"), [({"rowLimit": 5}, 5), ({"offset": 3, "rowLimit": 2}, 2)])
def test_rows_are_limited(org, parameters, rows):
    """
    offset and rowLimit.
    """
    told = org.get(f"{finished(org)}/rows", params=parameters | {"omitSchema": "true"}).json()

    assert told["returnedRows"] == rows
    assert "metadata" not in told


def test_an_offset_past_the_end_is_400(org):
    """
    It must be below the total.
    """
    path = finished(org)
    answer = org.get(f"{path}/rows", params={"offset": org.get(path).json()["rowCount"]})

    assert answer.status_code == 400
    assert "out of range" in answer.json()[0]["message"]


def test_results_expire(lasting):
    """
    After 24 hours.
    """
    path = finished(lasting)
    lasting.control("clock", advance_seconds=86_401)

    assert lasting.get(f"{path}/rows").status_code == 404


def test_a_query_is_deleted(org):
    """
    204, then 404.
    """
    path = finished(org)

    assert org.delete(path).status_code == 204
    assert org.get(path).status_code == 404


def test_an_empty_result_may_lack_data_and_count(org):
    """
    By the switch.
    """
    org.control("switches", data_cloud_empty_without_data=True)
    told = submit(org, f'SELECT "ssot__Id__c" FROM {ENTRIES} WHERE false').json()

    assert not {"data", "returnedRows"} & set(told)
    assert told["status"]["rowCount"] == 0


@pytest.mark.parametrize(("sql", "state"), [("SELEC", "42601"), ("SELECT * FROM nope", "42P01")])
def test_an_error_is_an_array_whose_message_is_json(org, sql, state):
    """
    With the engine's details.
    """
    answer = submit(org, sql)
    [error] = answer.json()

    assert answer.status_code == 400
    assert set(error) == {"errorCode", "message"}
    assert json.loads(error["message"])["sqlState"] == state


def test_parameters_are_named(org):
    """
    sqlParameters, by :name.
    """
    told = submit(org, "SELECT :x", sqlParameters=[{"name": "x", "type": "Integer", "value": "7"}]).json()

    assert told["data"] == [[7]]


@pytest.mark.parametrize("name", ["dataspace", "dataspaceName"])
def test_an_unknown_data_space_is_400(org, name):
    """
    However it is named.
    """
    parameters = {name: "elsewhere"}

    assert org.http.post(QUERY_SQL, params=parameters, json={"sql": COUNT}, headers=org.headers).status_code == 400


def test_each_call_uses_up_the_orgs_allocation(org):
    """
    Told in Sforce-Limit-Info, enforced with 403.
    """
    first = submit(org).headers["sforce-limit-info"]
    second = submit(org).headers["sforce-limit-info"]
    org.control("limits", daily_api_requests=2)
    refused = submit(org)

    assert first != second
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")


def test_a_tenant_token_is_no_session(org):
    """
    401 INVALID_SESSION_ID.
    """
    answer = Cloud(org).post(QUERY_SQL, {"sql": COUNT})

    assert (answer.status_code, answer.json()[0]["errorCode"]) == (401, "INVALID_SESSION_ID")
