"""Query API v2 and v1 (sections 4.2 and 4.3 of the Data Cloud reference)."""

from __future__ import annotations

import base64
import uuid

import pytest

from conversation_pipeline_tests.simulator.data_cloud import ENTRIES, IDS, Cloud, table

V2 = "/api/v2/query"


@pytest.fixture
def cloud(lasting):
    """The tenant, with a token that outlives hours and batches of a few rows."""
    lasting.control("switches", data_cloud_token_life_seconds=10**6, data_cloud_v2_page_bytes=8_000)
    return Cloud(lasting)


def batches(cloud, **headers):
    """Every batch, up to the one that is the last by `done` or by its missing nextBatchId."""
    found = [cloud.post(V2, {"sql": IDS}, **headers).json()]
    while not found[-1].get("done") and "nextBatchId" in found[-1]:
        found.append(cloud.get(f"{V2}/{found[-1]['nextBatchId']}", headers=headers).json())
    return found


def ids(found):
    return [row[0] for batch in found for row in batch["data"]]


def test_batches_add_up(cloud):
    """
    Forward, by nextBatchId, until done.
    """
    found = batches(cloud)

    assert len(found) > 3
    assert ids(found) == [row[0] for row in cloud.rows(IDS)]
    assert [batch["rowCount"] for batch in found] == [len(batch["data"]) for batch in found]
    assert len({batch["queryId"] for batch in found}) == 1


def test_a_batch_id_works_once(cloud):
    """
    There is no way back.
    """
    following = f"{V2}/{cloud.post(V2, {'sql': IDS}).json()['nextBatchId']}"

    assert [cloud.get(following).status_code for _ in range(2)] == [200, 404]


@pytest.mark.parametrize(("seconds", "expected"), [(179, 200), (181, 404)])
def test_a_pause_between_batches_may_not_be_long(cloud, seconds, expected):
    """
    Three minutes at most.
    """
    following = f"{V2}/{cloud.post(V2, {'sql': IDS}).json()['nextBatchId']}"
    cloud.org.control("clock", advance_seconds=seconds)

    assert cloud.get(following).status_code == expected


def test_a_result_lives_one_hour(cloud):
    """
    However often it is read.
    """
    cloud.org.control("switches", data_cloud_v2_page_bytes=500)
    answer = cloud.post(V2, {"sql": IDS})
    statuses = []
    for _ in range(25):
        cloud.org.control("clock", advance_seconds=150)
        answer = cloud.get(f"{V2}/{answer.json().get('nextBatchId')}")
        statuses.append(answer.status_code)

    assert statuses.index(404) == 23


@pytest.mark.parametrize("leftover", [True, False])
def test_the_last_batch_may_have_a_left_over_id(cloud, leftover):
    """
    That leads nowhere.
    """
    cloud.org.control("switches", data_cloud_v2_leftover_batch_id=leftover)
    last = batches(cloud)[-1]

    assert (last["done"], "nextBatchId" in last) == (True, leftover)
    if leftover:
        assert cloud.get(f"{V2}/{last['nextBatchId']}").status_code == 404


def test_done_may_be_missing(cloud):
    """
    Then the missing nextBatchId is the end.
    """
    cloud.org.control("switches", data_cloud_v2_done_missing=True)
    found = batches(cloud)

    assert not any("done" in batch for batch in found)
    assert ids(found) == [row[0] for row in cloud.rows(IDS)]


def test_batch_ids_may_be_uuids(cloud):
    """
    As they were until August 2026; since then they name query and chunk.
    """
    named = cloud.post(V2, {"sql": IDS}).json()
    cloud.org.control("switches", data_cloud_v2_batch_id="uuid")

    assert named["nextBatchId"] == f"{named['queryId']}_1"
    assert uuid.UUID(cloud.post(V2, {"sql": IDS}).json()["nextBatchId"])


def test_columns_are_told_without_order(cloud):
    """
    placeInOrder says where a column stands.
    """
    told = cloud.post(V2, {"sql": "SELECT 'x' AS b, 2 AS a, TIMESTAMPTZ '2026-01-02T03:04:05Z' AS c"}).json()
    in_order = sorted(told["metadata"], key=lambda name: told["metadata"][name]["placeInOrder"])

    assert in_order == ["b", "a", "c"]
    assert told["metadata"]["c"] == {"type": "TIMESTAMP WITH TIME ZONE", "placeInOrder": 2, "typeCode": 2014}
    assert told["data"] == [["x", 2, "2026-01-02 03:04:05.000 UTC"]]


def test_decimals_are_texts_with_18_places(cloud):
    """
    Counts are numbers.
    """
    sql = f'SELECT "ssot__SequenceNumber__c", count(*) OVER () FROM {ENTRIES} ORDER BY 1 LIMIT 1'
    [[number, total]] = cloud.post(V2, {"sql": sql}).json()["data"]

    assert number == "1.000000000000000000"
    assert isinstance(total, int)


def test_limit_and_offset_of_the_body_are_honoured(cloud):
    """
    As the Help sample sends them.
    """
    told = cloud.post(V2, {"sql": IDS, "limit": 2, "offset": 1}).json()

    assert told["data"] == cloud.rows(IDS)[1:3]


def test_batches_may_be_arrow_in_base64(cloud):
    """
    By a header, in the place of data.
    """
    found = batches(cloud, **{"enable-arrow-stream": "true"})
    rows = [value for batch in found
            for value in table(base64.b64decode(batch["arrowStream"]))["id"].to_pylist()]  # fmt: skip

    assert len(found) > 1
    assert all(len(batch["arrowStream"]) <= 8_000 and "data" not in batch for batch in found)
    assert rows == [row[0] for row in cloud.rows(IDS)]


def test_an_unknown_column_is_422(cloud):
    """
    In the tenant's shape.
    """
    answer = cloud.post(V2, {"sql": f"SELECT nope FROM {ENTRIES}"})

    assert (answer.status_code, answer.json()["details"]["sqlState"]) == (422, "42703")


def test_v1_gives_rows_as_objects_at_once(cloud):
    """
    With limit, offset and order in the query string.
    """
    answer = cloud.org.http.post(
        "/api/v1/query", params={"limit": 2, "offset": 1, "orderby": '"id" DESC'}, json={"sql": IDS},
        headers=cloud.headers,
    )  # fmt: skip

    assert answer.json()["data"] == [{"id": row[0]} for row in cloud.rows(IDS)[::-1][1:3]]
