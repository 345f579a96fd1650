"""One line to a host: what is sent again, what is told, what never leaves (reliability, fault list T1 to T12)."""

from __future__ import annotations

import gzip
import logging
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import msgspec
import pytest

from conversation_pipeline.salesforce.auth import BearerAuth, ClientCredentials
from conversation_pipeline.salesforce.connection import Connection, readable
from conversation_pipeline.salesforce.errors import (
    ConfigurationError,
    IncompleteAnswer,
    RequestRefused,
    SalesforceError,
    Throttled,
    TransientError,
)
from conversation_pipeline.salesforce.query import Query
from conversation_pipeline.salesforce.quotas import SqliteQuotaStore
from conversation_pipeline_tests.salesforce.conftest import (
    IMPATIENT,
    SECRET,
    Behaviour,
    FaultServer,
    Org,
    Wire,
    answer,
    says,
)

GOOD = b'{"totalSize":1,"done":true,"records":[{"Id":"one"}]}'
WHOLE = answer(GOOD)
BODY = WHOLE.index(b"\r\n\r\n") + 4
PADDED = answer(GOOD + b" " * 200)
"""Good, and more than a second long when it drips."""
CUSTOMERS_WORDS = "my-card-is-4111"


def first(count: int, *, then: str) -> Behaviour:
    """The answer's first bytes, then the connection's end: by RST, or politely."""

    def behave(wire: Wire, asked: object) -> None:
        wire.send(WHOLE[:count])
        if then == "reset":
            wire.reset()

    return behave


def unlengthed(body: bytes, *headers: str) -> Behaviour:
    """A body that only the connection's end delimits."""
    head = "\r\n".join(["HTTP/1.1 200 OK", "Connection: close", "Content-Type: application/json", *headers])
    return lambda wire, asked: wire.send(head.encode() + b"\r\n\r\n" + body)


def chunked(body: bytes) -> Behaviour:
    """Chunked without the last chunk."""
    return unlengthed(f"{len(body):x}\r\n".encode() + body + b"\r\n", "Transfer-Encoding: chunked")


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


SPOILT = {
    "reset before headers": first(0, then="reset"),
    "reset in headers": first(20, then="reset"),
    "reset at the first byte of the body": first(BODY, then="reset"),
    "reset in the body": first(BODY + 20, then="reset"),
    "reset at the last byte": first(len(WHOLE) - 1, then="reset"),
    "shorter than Content-Length": first(len(WHOLE) - 5, then="close"),
    "chunked without end": chunked(GOOD),
    "cut and politely ended": unlengthed(GOOD[:-5]),
    "gzip cut": unlengthed(gzip.compress(GOOD)[:-12], "Content-Encoding: gzip"),
    "gzip flipped": unlengthed(flipped(gzip.compress(GOOD)), "Content-Encoding: gzip"),
    "gzip in two members": unlengthed(gzip.compress(GOOD[:20]) + gzip.compress(GOOD[20:]), "Content-Encoding: gzip"),
    "no byte at all": lambda wire, asked: wire.drip(b" ", 0.6),
    "one byte at a time": lambda wire, asked: wire.drip(PADDED, 0.005),
    "HTML with status 200": says(b"<html>Maintenance</html>", headers=["Content-Type: text/html"]),
    "empty with status 200": says(b""),
    "an error body with status 200": says(b'[{"errorCode":"UNKNOWN_EXCEPTION","message":"oops"}]'),
}


@pytest.mark.parametrize("fault", list(SPOILT))
def test_a_spoilt_answer_is_asked_for_again(fault: str, faults: FaultServer, line: Connection) -> None:
    """Whatever a network or a proxy makes of an answer, it is never used, and the next one is."""
    faults.script = [SPOILT[fault], says(GOOD)]

    pages = list(Query(line, retry=IMPATIENT).pages("SELECT Id FROM User", all_rows=False))

    assert [page.body for page in pages] == [GOOD]
    assert len(faults.asked) == 2


@pytest.mark.parametrize("status", [406, 408, 420, 500, 502, 503, 504])
def test_a_passing_fault_is_asked_again(org: Org, status: int) -> None:
    """Two bad gateways, then the answer; the meter tells of both."""
    org.control.post("faults", route="rest.describe", times=2, effect={"status": status})
    query = org.query()

    assert query.describe("User").name == "User"
    assert query.connection.meter.retries == 2


def test_a_lasting_fault_is_given_up_plainly(org: Org) -> None:
    """After its attempts the client gives up, naming the request and the status."""
    org.control.post("faults", route="rest.describe", effect={"status": 503})

    with pytest.raises(TransientError, match=r"^GET /services/data/v66\.0/sobjects/User/describe: 503$"):
        org.query().describe("User")

    assert org.seen().count("describe") == IMPATIENT.attempts


def test_a_refusal_is_not_asked_again(org: Org) -> None:
    """What the org calls wrong stays wrong."""
    with pytest.raises(RequestRefused):
        list(org.query().pages("SELECT Nonsense FROM", all_rows=False))

    assert org.seen() == ["token", "query"]


SERVER_NOW = "Thu, 19 Nov 2026 18:00:00 GMT"
IN_90_SECONDS = format_datetime(datetime(2026, 11, 19, 18, 1, 30, tzinfo=UTC), usegmt=True)
RETRY_AFTER = {
    "17": 17.0,
    "0": 0.0,
    IN_90_SECONDS: 90.0,
    "-1": None,
    "1000000000": 3600.0,
    "inf": 3600.0,
    "nan": None,
    "soon": None,
    "Thu, 19 Nov 2026 17:00:00 GMT": None,
    None: None,
}


@pytest.mark.parametrize("value", list(RETRY_AFTER))
def test_retry_after_is_read_as_the_service_can_mean_it(
    value: str | None, faults: FaultServer, line: Connection
) -> None:
    """Seconds, or a date by the service's clock; an hour at most; what nobody can mean is no wish at all."""
    told = [] if value is None else [f"Retry-After: {value}"]
    faults.script = [says(b"", status=429, headers=[f"Date: {SERVER_NOW}", *told])]

    with pytest.raises(Throttled) as raised:
        line.get("/services/data/")

    assert raised.value.retry_after == RETRY_AFTER[value]


def test_a_wish_to_wait_is_obeyed(faults: FaultServer, line: Connection) -> None:
    """The next try comes no sooner than the service asked."""
    faults.script = [says(b"", status=503, headers=["Retry-After: 0.2"]), says(GOOD)]
    began = datetime.now(UTC)

    list(Query(line, retry=IMPATIENT).pages("SELECT Id FROM User", all_rows=False))

    assert datetime.now(UTC) - began >= timedelta(seconds=0.2)


def test_a_host_that_is_not_there_is_named(store: SqliteQuotaStore) -> None:
    """The sentence says which host, and to look at the settings and the network."""
    grant = ClientCredentials("http://127.0.0.1:1", "integration-client", SECRET)
    line = Connection("http://127.0.0.1:1", BearerAuth(grant), store)

    with pytest.raises(TransientError, match=r"could not reach 127\.0\.0\.1: check the URL in the settings"):
        line.get("/services/data/")


@pytest.mark.parametrize("url", ["org.example", "ftp://org.example", "http://org.example:port"])
def test_what_is_no_url_is_told_as_a_setting(url: str, store: SqliteQuotaStore) -> None:
    """A host without https:// is no passing fault: it is told at once, as something to mend."""
    line = Connection(url, BearerAuth(ClientCredentials(url, "integration-client", SECRET)), store)

    with pytest.raises(ConfigurationError, match="give it whole, with https://"):
        line.get("/services/data/")


def test_credentials_do_not_follow_a_redirect(faults: FaultServer, line: Connection) -> None:
    """An answer that points to another host is refused; that host is not asked, so it gets no token."""
    elsewhere = FaultServer([says(GOOD)])
    faults.script = [says(b"", status=302, headers=[f"Location: {elsewhere.url}/services/data/"])]

    with pytest.raises(RequestRefused, match="set SALESFORCE_INSTANCE_URL to the org's own My Domain URL"):
        line.get("/services/data/")

    elsewhere.close()
    assert elsewhere.asked == []


@pytest.mark.parametrize(
    "body", [b'[{"errorCode":"SOME_CODE","message":"no"}]', b'{"code":"SOME_CODE","message":"no"}']
)
def test_both_shapes_of_errors_are_read(body: bytes, faults: FaultServer, line: Connection) -> None:
    """The core API answers a list of errorCode, the platform API an object with code."""
    faults.script = [says(body, status=400)]

    with pytest.raises(RequestRefused) as raised:
        line.get("/services/data/")

    assert (raised.value.code, raised.value.status) == ("SOME_CODE", 400)


def test_bytes_and_requests_are_metered(faults: FaultServer, line: Connection) -> None:
    """Token requests count; bytes are those of the answers, decompressed."""
    faults.script = [unlengthed(gzip.compress(GOOD), "Content-Encoding: gzip")]

    line.get("/services/data/")

    assert (line.meter.requests, line.meter.received_bytes) == (2, len(GOOD))


def test_the_server_s_clock_is_told(faults: FaultServer, line: Connection) -> None:
    """Windows are capped at the service's own clock, so every answer carries it."""
    faults.script = [says(GOOD, headers=[f"Date: {SERVER_NOW}"])]

    assert line.get("/services/data/").server_time == datetime(2026, 11, 19, 18, tzinfo=UTC)


def test_token_requests_take_a_lease(org: Org) -> None:
    """Logins are limited too, per user and hour."""
    org.connection().get("/services/data/v66.0/limits")

    host = httpx.URL(org.url).host
    held = {key: org.store.usage(key).held for key in sorted(org.store.keys())}
    assert held == {f"{host}/client integrat...ient/logins": 1}


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (rb'{"a":"half \ud83d"}', '{"a":"half \ufffd"}'),
        (rb'{"a":"half \ude00 b"}', '{"a":"half \ufffd b"}'),
        (rb'{"a":"whole \ud83d\ude00"}', '{"a":"whole \U0001f600"}'),
        (rb'{"a":"twice \uD83D\uD83D\uDE00"}', '{"a":"twice \ufffd\U0001f600"}'),
        (rb'{"a":"no escape \\ud83d"}', '{"a":"no escape \\\\ud83d"}'),
        (b'{"a":"\xff"}', '{"a":"\ufffd"}'),
    ],
)
def test_halves_of_characters_do_not_spoil_an_answer(body: bytes, read: str) -> None:
    """A text that was cut inside an emoji is still read; all else in the answer stays as it was."""
    assert msgspec.json.decode(readable(body)) == msgspec.json.decode(read.encode())


def test_half_a_character_does_not_make_an_answer_incomplete(faults: FaultServer, line: Connection) -> None:
    """Such an answer is not asked for again and again: it will not come otherwise."""
    faults.script = [says(rb'{"totalSize":1,"done":true,"records":[{"Name":"Ann \ud83d"}]}')]

    [page] = Query(line, retry=IMPATIENT).pages("SELECT Name FROM User", all_rows=False)

    assert msgspec.json.decode(page.body)["records"] == [{"Name": "Ann \ufffd"}]


@pytest.mark.parametrize(
    "reply",
    [
        says(f'[{{"errorCode":"INVALID_FIELD","message":"{CUSTOMERS_WORDS}"}}]'.encode(), status=400),
        says(f'{{"code":"{CUSTOMERS_WORDS}","message":"{CUSTOMERS_WORDS}"}}'.encode(), status=403),
        says(f'[{{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"{CUSTOMERS_WORDS}"}}]'.encode(), status=403),
        says(CUSTOMERS_WORDS.encode(), status=503, headers=[f"Set-Cookie: sid={CUSTOMERS_WORDS}"]),
        says(f'{{"totalSize":"{CUSTOMERS_WORDS}","done":true,"records":[]}}'.encode()),
        says(f'{{"{CUSTOMERS_WORDS}":'.encode()),
        first(20, then="reset"),
    ],
    ids=["400", "403", "limit", "503", "wrong shape", "cut", "reset"],
)
def test_nothing_private_is_logged_or_told(
    reply: Behaviour, faults: FaultServer, line: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """With every logger at DEBUG: no secret, token, query or customer's word in logs, errors or tracebacks."""
    caplog.set_level(logging.DEBUG)
    faults.script = [reply]
    query = f"SELECT Id FROM User WHERE Email = '{CUSTOMERS_WORDS}@example.com'"

    with pytest.raises(SalesforceError) as raised:
        list(Query(line, retry=IMPATIENT).pages(query, all_rows=True))

    told = "".join(traceback.format_exception(raised.value))
    logged = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert not [word for word in (SECRET, "a.b.c", "SELECT", CUSTOMERS_WORDS) if word in told + logged]


def test_a_refused_login_tells_nothing_private(org: Org, caplog: pytest.LogCaptureFixture) -> None:
    """Nor does a wrong secret show up anywhere."""
    caplog.set_level(logging.DEBUG)

    with pytest.raises(SalesforceError) as raised:
        org.query(grant=ClientCredentials(org.url, "integration-client", SECRET)).describe("User")

    assert SECRET not in "".join(traceback.format_exception(raised.value)) + caplog.text


def test_an_answer_that_is_no_json_names_its_request(faults: FaultServer, line: Connection) -> None:
    """The error says which request it was and how long the answer."""
    faults.script = [says(b"<html>")]

    with pytest.raises(IncompleteAnswer, match=r"GET /services/data/: the answer of 6 bytes"):
        line.get("/services/data/").json()
