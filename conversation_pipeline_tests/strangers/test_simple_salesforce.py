"""simple-salesforce against the simulator, as its users call it (it insists on HTTPS)."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytestmark = pytest.mark.strangers

simple_salesforce = pytest.importorskip(
    "simple_salesforce", reason="install conversation_pipeline_tests/strangers/requirements.txt"
)
requests = pytest.importorskip("requests")

SESSIONS = "SELECT Id, Status, StartTime, PreviewDetails FROM MessagingSession"


class Elsewhere(requests.adapters.HTTPAdapter):
    """What DNS does for a real org: a name that leads to the server."""

    def __init__(self, name: str, address: str) -> None:
        super().__init__()
        self._name, self._address = name, address

    def send(self, request, *args, **more):
        """Send to the address."""
        request.url = request.url.replace(self._name, self._address, 1)
        return super().send(request, *args, **more)


def trusting(certificate):
    """A session that trusts the org's certificate."""
    session = requests.Session()
    # Else REQUESTS_CA_BUNDLE of this machine would win over the certificate.
    session.trust_env = False
    session.verify = str(certificate.certificate_file)
    return session


@pytest.fixture(scope="module")
def client(secure, certificate):
    """A client by session id, the way an orchestrator hands it a token."""
    return simple_salesforce.Salesforce(
        instance_url=secure.url, session_id=secure.token, session=trusting(certificate), version="66.0"
    )


def ids_of(text: str) -> list[str]:
    """The first column of a CSV text with a header."""
    return [row[0] for row in list(csv.reader(io.StringIO(text, newline="")))[1:]]


def test_it_logs_in_by_client_credentials(secure, certificate):
    """
    HTTP Basic at the org's own domain; the token's instance_url is where it goes on.
    """
    session = trusting(certificate)
    session.mount("https://northpine.my.salesforce.com/", Elsewhere("https://northpine.my.salesforce.com", secure.url))
    client = simple_salesforce.Salesforce(
        consumer_key=secure.client["client_id"], consumer_secret=secure.client["client_secret"],
        domain="northpine.my", session=session,
    )  # fmt: skip

    assert client.query("SELECT COUNT() FROM Organization")["totalSize"] == 1


def test_a_query_answers_its_first_page(client, secure):
    """
    totalSize is of all rows, the page is not.
    """
    page = client.query(SESSIONS)

    assert (page["totalSize"], len(page["records"]), page["done"]) == (len(secure.ids("MessagingSession")), 2000, False)


def test_query_all_follows_every_page(client, secure):
    """
    Its query_all is paging, not queryAll.
    """
    records = client.query_all(SESSIONS)["records"]

    assert sorted(record["Id"] for record in records) == secure.ids("MessagingSession")


def test_query_all_iter_follows_every_page(client, secure):
    """
    Lazily, with the same rows.
    """
    assert sorted(r["Id"] for r in client.query_all_iter(SESSIONS)) == secure.ids("MessagingSession")


def test_deleted_rows_come_with_include_deleted(client, secure):
    """
    queryAll, whose next pages are below /query.
    """
    records = client.query_all(SESSIONS, include_deleted=True)["records"]

    assert sorted(r["Id"] for r in records) == secure.ids("MessagingSession", deleted=True)


def test_limits_are_read(client):
    """
    With the trailing slash that it sends.
    """
    assert client.limits()["DailyApiRequests"]["Max"] == 100_000


@pytest.mark.parametrize("tail", [False, True])
def test_usage_is_read_from_every_answer(client, secure, tail):
    """
    Sforce-Limit-Info with and without the per-app tail.
    """
    secure.control("switches", per_app_usage=tail)
    client.query("SELECT Id FROM Organization")

    assert client.api_usage["api-usage"].total == 100_000
    assert ("per-app-api-usage" in client.api_usage) is tail


def test_an_object_describes_itself(client):
    """
    Columns and flags.
    """
    described = client.MessagingSession.describe()

    assert {"Id", "Status", "SystemModstamp"} <= {field["name"] for field in described["fields"]}
    assert client.describe()["encoding"] == "UTF-8"


def test_a_record_is_read_by_its_id(client, secure):
    """
    The row's own URL.
    """
    identifier = secure.ids("MessagingSession")[0]

    assert client.MessagingSession.get(identifier)["Id"] == identifier


def test_changes_and_deletions_are_asked_for(client):
    """
    Its updated() and deleted(), with the times it writes.
    """
    span = (datetime(2026, 11, 19, 17, tzinfo=UTC), datetime(2026, 11, 19, 18, 30, tzinfo=UTC))

    assert len(client.MessagingSession.deleted(*span)["deletedRecords"]) == 3
    assert "ids" in client.MessagingSession.updated(*span)


def test_bulk_pages_are_read(client, secure):
    """
    bulk2 query, page by page.
    """
    pages = list(client.bulk2.MessagingSession.query(SESSIONS, max_records=2000, wait=0.01))

    assert len(pages) == 3
    assert sorted(i for page in pages for i in ids_of(page)) == secure.ids("MessagingSession")


def test_bulk_query_all_brings_deleted_rows(client, secure):
    """
    Operation queryAll.
    """
    pages = client.bulk2.MessagingSession.query_all(SESSIONS, wait=0.01)

    assert sorted(i for page in pages for i in ids_of(page)) == secure.ids("MessagingSession", deleted=True)


@pytest.mark.parametrize("delimiter", ["COMMA", "PIPE"])
def test_bulk_results_are_downloaded_as_files(client, secure, delimiter, tmp_path: Path):
    """
    Streamed to disk, several pages, each with a header row and its own count.
    """
    files = client.bulk2.MessagingSession.download(
        SESSIONS, path=str(tmp_path), max_records=1500, wait=0.01,
        column_delimiter=getattr(simple_salesforce.bulk2.ColumnDelimiter, delimiter),
    )  # fmt: skip
    separator = {"COMMA": ",", "PIPE": "|"}[delimiter]
    ids = []
    for page in files:
        with Path(page["file"]).open(newline="", encoding="utf-8") as lines:
            rows = list(csv.reader(lines, delimiter=separator))[1:]
        assert len(rows) == page["number_of_records"]
        ids += [row[0] for row in rows]

    assert sorted(ids) == secure.ids("MessagingSession")


def test_a_refused_query_is_its_malformed_request(client):
    """
    Error bodies are arrays that it can read.
    """
    with pytest.raises(simple_salesforce.exceptions.SalesforceMalformedRequest) as refused:
        client.query("SELECT Nothing FROM MessagingSession")

    assert refused.value.content[0]["errorCode"] == "INVALID_FIELD"


def test_an_expired_token_is_its_expired_session(secure, certificate):
    """
    401 with INVALID_SESSION_ID.
    """
    stale = simple_salesforce.Salesforce(instance_url=secure.url, session_id="stale", session=trusting(certificate))

    with pytest.raises(simple_salesforce.exceptions.SalesforceExpiredSession):
        stale.query("SELECT Id FROM Organization")
