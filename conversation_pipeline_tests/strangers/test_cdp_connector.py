"""salesforce-cdp-connector, Salesforce's own client of Data Cloud, against the simulator, as its users call it."""

from __future__ import annotations

import math
from datetime import datetime

import pytest

pytestmark = [
    pytest.mark.strangers,
    # It does not check the tenant's certificate, and says so on every request.
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),
]

connector = pytest.importorskip(
    "salesforcecdpconnector.connection", reason="install conversation_pipeline_tests/strangers/requirements.txt"
)

ENTRIES = '"ssot__ConversationEntry__dlm"'
IDS = f'SELECT "ssot__Id__c" AS "id" FROM {ENTRIES} ORDER BY 1'


@pytest.fixture(scope="module")
def trusted(certificate):
    """Requests trusts the org's certificate, as it trusts Salesforce's elsewhere."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("REQUESTS_CA_BUNDLE", str(certificate.certificate_file))
        yield


@pytest.fixture(scope="module")
def connection(secure, trusted):
    """A connection by client credentials; batches are small, so that there are several."""
    secure.control("switches", data_cloud_v2_page_bytes=20_000)
    client = {key: secure.client[key] for key in ("client_id", "client_secret")}
    return connector.SalesforceCDPConnection(secure.url, **client)


@pytest.fixture(scope="module")
def ids(secure):
    """What Data Cloud must have: everything that was said before today, and what is synced of today."""
    days = [f"2026-11-{day}" for day in range(10, 20)]
    told = [secure.http.get("/simulator/truth/data_cloud", params={"day": day}).json()["entries"] for day in days]
    return sorted(entry["entry_identifier"] for entries in told for entry in entries)


def test_a_cursor_fetches_every_row(connection, ids):
    """
    Batch after batch by nextBatchId, each row once.
    """
    cursor = connection.cursor()
    cursor.execute(IDS)

    assert [row[0] for row in cursor.fetchall()] == ids


def test_rows_are_fetched_some_at_a_time(connection, ids):
    """
    fetchmany and fetchone, across batches.
    """
    cursor = connection.cursor()
    cursor.execute(IDS)
    found = cursor.fetchmany(700)
    while (row := cursor.fetchone()) is not None:
        found.append(row)

    assert [row[0] for row in found] == ids


def test_columns_come_in_order_and_typed(connection):
    """
    Instants as datetimes, decimals as floats.
    """
    cursor = connection.cursor()
    cursor.execute(
        'SELECT "ssot__TranscriptedDateTime__c" AS "said", "ssot__DurationSecondsCount__c" AS "seconds", '
        f'"ssot__PayloadText__c" AS "payload" FROM {ENTRIES} WHERE "ssot__Modality__c" = \'Voice\' LIMIT 1'
    )
    [[said, seconds, payload]] = cursor.fetchall()

    assert [column[0] for column in cursor.description] == ["said", "seconds", "payload"]
    assert (type(said), type(seconds), payload[0]) == (datetime, float, "{")


def test_a_data_frame_has_every_row(connection, ids):
    """
    Arrow streams in base64, put together.
    """
    frame = connection.get_pandas_dataframe(IDS)

    assert frame["id"].tolist() == ids


def test_a_data_frame_is_typed(connection):
    """
    Instants in UTC, decimals as floats.
    """
    frame = connection.get_pandas_dataframe(
        f'SELECT "ssot__CreatedDate__c" AS "created", "ssot__DurationSecondsCount__c" AS "seconds" FROM {ENTRIES}'
    )

    assert str(frame["created"].dt.tz) == "UTC"
    assert math.isclose(frame["seconds"].min(), 0.0)


def test_tables_are_listed_with_their_columns(connection):
    """
    By its metadata call.
    """
    tables = {table.name: table for table in connection.list_tables(table_type="DataModelObject")}

    assert "ssot__Conversation__dlm" in tables
    assert "ssot__PayloadText__c" in {field.name for field in tables["ssot__ConversationEntry__dlm"].fields}


def test_a_refused_query_is_its_error(connection):
    """
    With the service's message.
    """
    with pytest.raises(connector.Error, match="does not exist"):
        connection.cursor().execute("SELECT 1 FROM nope")
