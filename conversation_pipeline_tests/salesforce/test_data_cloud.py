"""Data Cloud: the exchange, and three APIs behind one interface (Data Cloud reference 3 to 5)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pyarrow as pa
import pytest

from conversation_pipeline.extract.data_cloud import arrow_stream, json_page, v2_batch
from conversation_pipeline.salesforce.auth import BearerAuth
from conversation_pipeline.salesforce.connection import Connection
from conversation_pipeline.salesforce.data_cloud import V2, V3, DataCloud, Page, QuerySql, TenantAuth
from conversation_pipeline.salesforce.data_cloud.calls import Calls
from conversation_pipeline.salesforce.data_cloud.refusals import refused
from conversation_pipeline.salesforce.errors import (
    AuthenticationError,
    FieldUnavailable,
    IncompleteAnswer,
    JobFailed,
    LimitReached,
    LocatorLost,
    ObjectUnavailable,
    PagingLoop,
    PermissionDenied,
    RequestRefused,
    Throttled,
    TransientError,
)
from conversation_pipeline.salesforce.limits import DATA_CLOUD
from conversation_pipeline.salesforce.quotas import Claim, SqliteQuotaStore
from conversation_pipeline_tests.salesforce.conftest import (
    IMPATIENT,
    SECRET,
    Asked,
    Behaviour,
    FaultServer,
    Org,
    Wire,
    answer,
    says,
    transport,
)

Cloud = DataCloud[pa.Table]
IDS = 'SELECT "ssot__Id__c" AS "id" FROM "ssot__ConversationEntry__dlm"'
MODES = ("v3", "query_sql", "v2")


class Opened:
    """Clients of one org, each on lines of its own that are closed in the end."""

    def __init__(self, url: str, auth: Callable[[], BearerAuth], store: SqliteQuotaStore) -> None:
        self.url, self.auth, self.store = url, auth, store
        self.lines: list[Connection] = []

    def line(self, auth: BearerAuth | None = None) -> Connection:
        line = Connection(self.url, auth or self.tenant(), self.store, transport=transport(), refused=refused)
        self.lines.append(line)
        return line

    def tenant(self, clock: Callable[[], float] = time.monotonic) -> TenantAuth:
        return TenantAuth(self.auth(), self.url, clock=clock)

    def v3(self, *, ahead: int = 4, auth: BearerAuth | None = None) -> V3[pa.Table]:
        return V3(Calls(self.line(auth), [Claim("org/data_cloud", DATA_CLOUD)], IMPATIENT), arrow_stream, ahead=ahead)

    def query_sql(self) -> QuerySql[pa.Table]:
        return QuerySql(Calls(self.line(self.auth()), retry=IMPATIENT), json_page)

    def v2(self) -> V2[pa.Table]:
        return V2(Calls(self.line(), [Claim("org/data_cloud", DATA_CLOUD)], IMPATIENT), v2_batch)

    def by(self, mode: str) -> Cloud:
        if mode == "v3":
            return self.v3()
        return self.v2() if mode == "v2" else self.query_sql()

    def close(self) -> None:
        for line in self.lines:
            line.close()


@pytest.fixture
def opened(org: Org, store: SqliteQuotaStore) -> Iterator[Opened]:
    """Clients of the simulated org."""
    clients = Opened(org.url, lambda: BearerAuth(org.grant()), store)
    yield clients
    clients.close()


@pytest.fixture
def at_fault(faults: FaultServer, store: SqliteQuotaStore) -> Iterator[Opened]:
    """Clients of a server that answers by a script."""
    clients = Opened(faults.url, lambda: BearerAuth(faults.grant()), store)
    yield clients
    clients.close()


def switch(org: Org, **values: object) -> None:
    org.control.post("switches", **{f"data_cloud_{name}": value for name, value in values.items()})


def ids(client: Cloud, sql: str = IDS) -> list[str]:
    return [row["id"] for page in client.pages(client.query(sql)) for row in page.decoded.to_pylist()]


def exchanges(org: Org) -> int:
    return sum(request["route"] == "data_cloud.token" for request in org.control.get("requests")["requests"])


def later(org: Org, **time: float) -> None:
    org.control.post("clock", advance_seconds=timedelta(**time).total_seconds())


# The exchange


def test_a_token_is_exchanged_once_for_all_queries(org: Org, opened: Opened) -> None:
    """One exchange serves queries, chunks and metadata."""
    client = opened.v3()

    ids(client)
    ids(client)

    assert exchanges(org) == 1


def test_a_token_is_renewed_shortly_before_its_end(org: Org, opened: Opened) -> None:
    """After four fifths of its life a token is exchanged anew, without a refusal."""
    now = [0.0]
    client = opened.v3(auth=opened.tenant(clock=lambda: now[0]))
    ids(client)

    now[0] = 7190 * 0.81
    ids(client)

    assert exchanges(org) == 2


def test_a_refused_token_is_renewed_once(org: Org, opened: Opened) -> None:
    """A 401 of the tenant leads to one exchange, and the request is sent again."""
    switch(org, token_life_seconds=60)
    client = opened.v3()
    ids(client)

    later(org, minutes=5)

    assert ids(client)
    assert exchanges(org) == 2


def test_a_login_page_in_place_of_a_token_costs_a_new_core_token(org: Org, opened: Opened) -> None:
    """A core token that was exchanged before is answered with HTML: a new one is asked for and exchanged."""
    switch(org, token_single_use=True)
    core = BearerAuth(org.grant())
    first, second = (TenantAuth(core, org.url) for _ in range(2))
    ids(opened.v3(auth=first))

    assert ids(opened.v3(auth=second))
    assert exchanges(org) == 3


def test_login_pages_for_ever_end_with_a_sentence(faults: FaultServer, at_fault: Opened) -> None:
    """HTML twice in a row is an error that says which flow to use, after two exchanges and no more."""
    faults.script = [says(b"<html>log in</html>", headers=["Content-Type: text/html"])]

    with pytest.raises(AuthenticationError, match="login page in place of a token, twice: use the client credentials"):
        at_fault.v3().query(IDS)

    assert [asked.path for asked in faults.asked] == ["/services/a360/token"] * 2


def test_a_refused_exchange_names_scopes_and_data_space(faults: FaultServer, at_fault: Opened) -> None:
    """invalid_client is for the person who set the app up; the secret is in no message."""
    faults.script = [says(b'{"error":"invalid_client","error_description":"no"}', status=401)]

    with pytest.raises(AuthenticationError, match=r"invalid_client.*cdp_query_api.*data space default") as told:
        at_fault.v3().query(IDS)

    assert SECRET not in str(told.value)


def test_a_core_token_that_is_refused_is_replaced_once(faults: FaultServer, at_fault: Opened) -> None:
    """`invalid_grant` speaks of the core token: a new one is asked for, and exchanged."""
    grant = b'{"error":"invalid_grant","error_description":"expired authorization code"}'
    faults.script = [says(grant, status=400), exchanged(faults.url), says(stated("FINISHED")), says(stream("a", "b"))]

    assert ids(at_fault.v3()) == ["a", "b"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_exchange_is_tried_again(faults: FaultServer, at_fault: Opened, status: int) -> None:
    """Throttling and outages of the exchange pass, whatever they answer."""
    busy = says(b"<html>busy</html>", status=status, headers=["Content-Type: text/html", "Retry-After: 0"])
    faults.script = [busy, exchanged(faults.url), says(stated("FINISHED")), says(stream("a", "b"))]

    assert ids(at_fault.v3()) == ["a", "b"]


@pytest.mark.parametrize("mode", ["v3", "v2"])
def test_a_token_that_expires_in_mid_result_costs_an_exchange(org: Org, opened: Opened, mode: str) -> None:
    """The result goes on with a new token: no row is asked for twice, none is lost."""
    switch(org, token_life_seconds=60, chunk_rows=50, v2_page_bytes=3000)
    client = opened.v3(ahead=1) if mode == "v3" else opened.v2()
    result = client.query(IDS)
    pages: Iterator[Page[pa.Table]] = iter(client.pages(result))
    rows = next(pages).decoded.num_rows

    later(org, seconds=90)
    rows += sum(page.decoded.num_rows for page in pages)

    assert rows == len(ids(opened.query_sql()))
    assert exchanges(org) == 2


@pytest.mark.parametrize("form", ["host", "url"])
def test_the_tenant_may_be_told_with_a_scheme_or_without(org: Org, opened: Opened, form: str) -> None:
    """Either form of instance_url leads to the tenant."""
    switch(org, instance_url="url" if form == "url" else "auto")

    assert ids(opened.v3())


# Every API


@pytest.mark.parametrize("mode", MODES)
def test_every_api_tells_the_same_rows(org: Org, opened: Opened, mode: str) -> None:
    """Small pages and chunks: all rows, each once, by whichever API."""
    switch(org, chunk_rows=50, connect_page_bytes=2000, v2_page_bytes=3000)

    told = ids(opened.by(mode))

    assert len(told) == len(set(told))
    assert set(told) == set(ids(opened.v3()))
    assert len(told) > 100


@pytest.mark.parametrize("mode", MODES)
def test_an_object_that_is_not_there_is_named(opened: Opened, mode: str) -> None:
    """The object's name and the data stream, and not the query."""
    with pytest.raises(ObjectUnavailable, match=r"ssot__No__dlm.*deploy its data stream"):
        opened.by(mode).query('SELECT "x" AS "x" FROM "ssot__No__dlm"')


@pytest.mark.parametrize("mode", MODES)
def test_a_column_that_is_not_there_is_an_error_of_its_own(opened: Opened, mode: str) -> None:
    """So that nobody looks for a data stream."""
    with pytest.raises(FieldUnavailable):
        opened.by(mode).query(IDS.replace("ssot__Id__c", "ssot__Nix__c"))


@pytest.mark.parametrize("mode", MODES)
def test_columns_are_told(opened: Opened, mode: str) -> None:
    """By metadata, or by the schema of a query without rows."""
    columns = opened.by(mode).columns("ssot__Conversation__dlm")

    assert {"ssot__Id__c", "ssot__ExternalRecordId__c", "KQ_Id__c"} <= set(columns)


@pytest.mark.parametrize("mode", MODES)
def test_columns_of_no_object_are_an_error(opened: Opened, mode: str) -> None:
    """No object is not the same as an object without columns."""
    with pytest.raises(ObjectUnavailable):
        opened.by(mode).columns("ssot__No__dlm")


@pytest.mark.parametrize("mode", ["v3", "query_sql"])
def test_withheld_rows_are_missed(org: Org, opened: Opened, mode: str) -> None:
    """Rows that the service counts and does not hand out are an error, however the pages end."""
    switch(org, withheld_rows=3)

    with pytest.raises(IncompleteAnswer, match="nothing of it is used"):
        ids(opened.by(mode))


@pytest.mark.parametrize("mode", ["v3", "query_sql"])
def test_an_expired_query_is_lost(org: Org, opened: Opened, mode: str) -> None:
    """A result that is asked for after its life has to be asked for anew."""
    client = opened.by(mode)
    result = client.query(IDS)

    later(org, hours=25)

    with pytest.raises(LocatorLost, match="expired; ask again"):
        list(client.pages(result))


@pytest.mark.parametrize("mode", ["v3", "query_sql"])
def test_an_empty_result_has_no_pages(org: Org, opened: Opened, mode: str) -> None:
    """Also where empty results lack their data."""
    switch(org, empty_without_data=True)

    assert ids(opened.by(mode), IDS + " WHERE 1 = 0") == []


@pytest.mark.parametrize("mode", ["v3", "query_sql"])
def test_pages_that_are_held_are_not_asked_for(org: Org, opened: Opened, mode: str) -> None:
    """A run that goes on reads what is missing, and counts what it holds."""
    switch(org, chunk_rows=50, connect_page_bytes=2000)
    client = opened.by(mode)
    result = client.query(IDS)
    pages = list(client.pages(result))
    held = {page.number: page.decoded.num_rows for page in pages if page is not pages[1]}

    again = list(client.pages(result, held=held))

    assert [page.number for page in again] == [pages[1].number]


@pytest.mark.parametrize("mode", ["v3", "query_sql", "v2"])
def test_a_passing_fault_is_tried_again(org: Org, opened: Opened, mode: str) -> None:
    """`no healthy upstream` while the query is sent: the next try gets it."""
    org.control.post("faults", route="data_cloud.*", times=1, effect={"status": 500})

    assert ids(opened.by(mode))


def test_no_more_than_fifteen_calls_are_under_way(org: Org, opened: Opened) -> None:
    """Two clients that would each fetch fifteen chunks at once share the org's fifteen places: nobody is refused."""
    switch(org, chunk_rows=10, call_ms=20)

    with ThreadPoolExecutor(2) as threads:
        told = list(threads.map(lambda client: len(ids(client)), [opened.v3(ahead=15), opened.v3(ahead=15)]))

    assert told[0] == told[1] > 200
    assert sum(line.meter.refused for line in opened.lines) == 0


# What the tenant and the core host refuse

_TENANT = {"timestamp": "2026-11-18T12:00:00Z", "path": "/api/v3/query", "tenantId": "a360/prod/t", "details": {}}


_ENGINE = {"sqlState": "42601", "primaryMessage": "Ann", "position": "1"}


def _core(code: str, message: object) -> bytes:
    return json.dumps(
        [{"errorCode": code, "message": message if isinstance(message, str) else json.dumps(message)}]
    ).encode()


@pytest.mark.parametrize(
    ("mode", "status", "body", "error", "words"),
    [
        ("v3", 400, {"message": "42601: syntax error at Ann"}, RequestRefused, "SQLSTATE 42601"),
        (
            "v3",
            400,
            {"message": "Ann is no query", "internalErrorCode": "COMMON_ERROR_GENERIC"},
            RequestRefused,
            "wrong",
        ),
        ("v3", 401, {"error": "Unauthorized"}, AuthenticationError, "scopes"),
        ("v3", 403, {"error": "Forbidden"}, PermissionDenied, "permission set and the data space"),
        ("v3", 404, {"error": "Not Found", "message": "query of Ann"}, LocatorLost, "expired; ask again"),
        ("v2", 422, {"message": "unknown attribute ssot__Nix__c of Ann"}, FieldUnavailable, "no ssot__Nix__c for"),
        ("v3", 429, {"error": "Too Many Requests"}, Throttled, "too many requests"),
        ("v3", 500, {"error": "Internal", "internalErrorCode": "COMMON_ERROR_GENERIC"}, TransientError, "500"),
        ("v3", 500, b"no healthy upstream", TransientError, "500"),
        ("v3", 502, b"<html>Ann</html>", TransientError, "502"),
        ("v3", 200, b"<html>Ann</html>", IncompleteAnswer, "no status of the query"),
        ("query_sql", 400, _core("INVALID_ARGUMENT", _ENGINE), RequestRefused, "42601"),
        ("query_sql", 400, _core("QUERY_SYNTAX", "Ann"), RequestRefused, "calls this query wrong"),
        ("query_sql", 400, _core("NOT_FOUND", "ssot__No__dlm does not exist"), ObjectUnavailable, "ssot__No__dlm"),
        ("query_sql", 401, _core("INVALID_SESSION_ID", "Ann"), AuthenticationError, "takes no token"),
        ("query_sql", 403, _core("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), LimitReached, "24 hours"),
        ("query_sql", 429, _core("TOO_MANY", "Ann"), Throttled, "too many requests"),
        ("query_sql", 200, b"<html>Ann</html>", IncompleteAnswer, "not the JSON that was expected"),
    ],
)
def test_a_refusal_is_an_error_of_its_kind(
    faults: FaultServer, at_fault: Opened, mode: str, status: int, body: object, error: type[Exception], words: str
) -> None:
    """Whatever its shape: by status and SQLSTATE, never quoting what the service said."""
    told = body if isinstance(body, bytes) else json.dumps(_TENANT | dict(body)).encode()  # type: ignore[call-overload]
    answers = [says(told, status=status, headers=["Retry-After: 0"])]
    faults.script = answers if mode == "query_sql" else [_exchange_or(faults, answers[0])]

    with pytest.raises(error, match=words) as raised:
        at_fault.by(mode).query(IDS)

    assert "Ann" not in str(raised.value)


def _exchange_or(faults: FaultServer, otherwise: Behaviour) -> Behaviour:
    """Tokens are exchanged as often as asked; everything else is answered like this."""

    def behave(wire: Wire, asked: Asked) -> None:
        (exchanged(faults.url) if asked.path == "/services/a360/token" else otherwise)(wire, asked)

    return behave


@pytest.mark.parametrize(
    "passing", [says(b"", status=429, headers=["Retry-After: 0"]), says(b"no healthy upstream", status=500)]
)
def test_a_chunk_that_is_refused_in_passing_is_asked_for_again(
    faults: FaultServer, at_fault: Opened, passing: Behaviour
) -> None:
    """One place too many, or an outage: the next try gets it, and the query is not sent again."""
    faults.script = [exchanged(faults.url), says(stated("FINISHED")), passing, says(stream("a", "b"))]

    assert ids(at_fault.v3()) == ["a", "b"]


# v3 by script


def exchanged(url: str) -> Behaviour:
    return says(json.dumps({"access_token": "d.e.f", "instance_url": url, "expires_in": 7000}).encode())


def stated(status: str, rows: int = 2, chunks: int = 1) -> bytes:
    return json.dumps({"queryId": "q/1", "completionStatus": status, "rowCount": rows, "chunkCount": chunks}).encode()


def stream(*values: str) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"id": list(values)})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def test_the_status_is_read_from_the_header_as_well(faults: FaultServer, at_fault: Opened) -> None:
    """The answer to a POST tells it in its header and rows in its body."""
    header = "x-hyperdb-status: " + stated("FINISHED").decode()
    faults.script = [exchanged(faults.url), says(b'{"data":null}', headers=[header]), says(stream("a", "b"))]

    assert ids(at_fault.v3()) == ["a", "b"]


def test_the_query_id_is_encoded_once(faults: FaultServer, at_fault: Opened) -> None:
    """Ids may hold a slash."""
    faults.script = [exchanged(faults.url), says(stated("FINISHED")), says(stream("a", "b"))]

    ids(at_fault.v3())

    assert "/q%2F1/chunks/0" in faults.asked[-1].head


def test_a_chunk_that_is_cut_is_asked_for_again(faults: FaultServer, at_fault: Opened) -> None:
    """Half an Arrow stream is no chunk."""
    whole = stream("a", "b")
    faults.script = [exchanged(faults.url), says(stated("FINISHED")), says(whole[: len(whole) // 2]), says(whole)]

    assert ids(at_fault.v3()) == ["a", "b"]


def test_a_chunk_with_less_rows_than_counted_is_no_result(faults: FaultServer, at_fault: Opened) -> None:
    """Rows are held against what the service said."""
    faults.script = [exchanged(faults.url), says(stated("FINISHED", rows=3)), says(stream("a", "b"))]

    with pytest.raises(IncompleteAnswer, match="has 3 rows and its chunks 2"):
        ids(at_fault.v3())


def test_a_query_that_failed_says_so(faults: FaultServer, at_fault: Opened) -> None:
    """A state that nobody published is no reason to wait for ever."""
    faults.script = [exchanged(faults.url), says(stated("FAILED"))]

    with pytest.raises(JobFailed, match="is FAILED"):
        at_fault.v3().query(IDS)


def test_an_upstream_that_stays_unhealthy_is_told(faults: FaultServer, at_fault: Opened) -> None:
    """Plain text in place of JSON is a passing fault, until patience ends."""
    faults.script = [exchanged(faults.url), says(b"no healthy upstream", status=503)]

    with pytest.raises(TransientError):
        at_fault.v3().query(IDS)


# query-sql


@pytest.mark.parametrize("status", ["flat", "wrapped"])
def test_a_core_query_tells_its_status_in_either_shape(org: Org, opened: Opened, status: str) -> None:
    """Flat as documented, or below `status` as seen."""
    switch(org, connect_status=status, after_polls=2)

    assert ids(opened.query_sql())


def test_rows_from_beyond_the_last_are_the_end(faults: FaultServer, at_fault: Opened) -> None:
    """The service refuses an offset past the end: there is no more, and what is missing of its count is told."""
    page = {"metadata": [{"name": "id", "type": "Varchar"}], "data": [["a"], ["b"]], "returnedRows": 2}
    past = [{"errorCode": "INVALID_ARGUMENT", "message": "offset 2 is out of range"}]
    faults.script = [
        says(stated("Finished", rows=5)),
        says(json.dumps(page).encode()),
        says(json.dumps(past).encode(), status=400),
    ]

    with pytest.raises(IncompleteAnswer, match="has 5 rows and its pages 2"):
        ids(at_fault.query_sql())


def test_an_empty_page_before_the_end_is_an_error(faults: FaultServer, at_fault: Opened) -> None:
    """Short pages are normal, empty ones are not."""
    faults.script = [says(stated("Finished")), says(b'{"data":[],"returnedRows":0,"metadata":[]}')]

    with pytest.raises(IncompleteAnswer):
        ids(at_fault.query_sql())


# v2


def test_a_last_batch_without_done_is_the_last(org: Org, opened: Opened) -> None:
    """Where `done` is missing, no next batch is the end."""
    switch(org, v2_done_missing=True, v2_leftover_batch_id=False, v2_page_bytes=3000)

    assert len(ids(opened.v2())) == len(ids(opened.v3()))


def test_a_left_over_batch_id_is_not_followed(org: Org, opened: Opened) -> None:
    """`done` is the service's word."""
    switch(org, v2_leftover_batch_id=True, v2_page_bytes=3000)

    assert len(ids(opened.v2())) == len(ids(opened.v3()))


def test_a_batch_that_waited_too_long_is_lost(org: Org, opened: Opened) -> None:
    """Three minutes between two batches are the most."""
    switch(org, v2_page_bytes=3000)
    client = opened.v2()
    pages: Iterator[Page[pa.Table]] = iter(client.pages(client.query(IDS)))
    next(pages)

    later(org, minutes=4)

    with pytest.raises(LocatorLost):
        list(pages)


def test_a_batch_that_broke_off_is_not_asked_for_again(faults: FaultServer, at_fault: Opened) -> None:
    """Each can be had once: nobody knows whether it was."""
    first = {"queryId": "q", "data": [["a"]], "metadata": {"id": {"type": "VARCHAR"}}, "nextBatchId": "b1"}

    def broken(wire: Wire, _: Asked) -> None:
        wire.reset()

    faults.script = [exchanged(faults.url), says(json.dumps(first).encode()), broken]

    with pytest.raises(LocatorLost, match="send the query again"):
        ids(at_fault.v2())

    assert len(faults.asked) == 3


def test_a_batch_that_was_had_before_is_lost(faults: FaultServer, at_fault: Opened) -> None:
    """Its second use is a 404: the query has to be sent again."""
    first = {"queryId": "q", "data": [["a"]], "metadata": {"id": {"type": "VARCHAR"}}, "nextBatchId": "b1"}
    faults.script = [
        exchanged(faults.url),
        says(json.dumps(first).encode()),
        says(b'{"error":"Not Found"}', status=404),
    ]

    with pytest.raises(LocatorLost, match="expired; ask again"):
        ids(at_fault.v2())


def test_batches_that_go_round_are_noticed(faults: FaultServer, at_fault: Opened) -> None:
    """The same next batch twice is a loop."""
    batch = {"queryId": "q", "data": [["a"]], "metadata": {"id": {"type": "VARCHAR"}}, "nextBatchId": "b1"}
    faults.script = [exchanged(faults.url), lambda wire, _: wire.send(answer(json.dumps(batch).encode()))]

    with pytest.raises(PagingLoop):
        ids(at_fault.v2())


def test_a_batch_with_less_rows_than_it_says_is_no_batch(faults: FaultServer, at_fault: Opened) -> None:
    """rowCount is of the batch."""
    batch = {"queryId": "q", "rowCount": 2, "data": [["a"]], "metadata": {"id": {"type": "VARCHAR"}}, "done": True}
    faults.script = [exchanged(faults.url), says(json.dumps(batch).encode())]

    with pytest.raises(IncompleteAnswer, match="1 rows where it says 2"):
        ids(at_fault.v2())
