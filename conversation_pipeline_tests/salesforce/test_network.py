"""The proxy that the environment names, by host, and certificates (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY)."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator

import pytest

from conversation_pipeline.salesforce.auth import BearerAuth, ClientCredentials
from conversation_pipeline.salesforce.connection import Connection
from conversation_pipeline.salesforce.errors import ConfigurationError, SalesforceError, TransientError
from conversation_pipeline.salesforce.quotas import SqliteQuotaStore
from conversation_pipeline_tests.salesforce.conftest import SECRET, FaultServer, says

ORG = "acme.my.salesforce.example"
"""A host that no name server knows: whoever asks for it directly gets no answer."""
PASSWORD = "the-proxy-s-password"
_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.fixture
def proxy(faults: FaultServer) -> str:
    """A proxy that answers in everybody's name, with a user and a password in its URL."""
    faults.script = [says(b'{"from":"the proxy"}')]
    return faults.url.replace("http://", f"http://operator:{PASSWORD}@")


class Lines:
    """Connections as the pipeline opens them: without a transport of the test's own."""

    def __init__(self, store: SqliteQuotaStore) -> None:
        self._store = store
        self.open: list[Connection] = []

    def to(self, url: str) -> Connection:
        line = Connection(url, BearerAuth(ClientCredentials(url, "integration-client", SECRET)), self._store)
        self.open.append(line)
        return line


@pytest.fixture
def lines(store: SqliteQuotaStore) -> Iterator[Lines]:
    opened = Lines(store)
    yield opened
    for line in opened.open:
        line.close()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_requests_go_through_the_proxy_that_the_environment_names(
    variable: str, environment: pytest.MonkeyPatch, proxy: str, lines: Lines, faults: FaultServer
) -> None:
    """Token requests and all others, with the proxy's own login."""
    environment.setenv(variable, proxy)

    answer = lines.to(f"http://{ORG}").get("/services/data/")

    assert answer.json() == {"from": "the proxy"}
    assert f"GET http://{ORG}/services/data/ " in faults.asked[0].head
    assert "Proxy-Authorization: Basic " in faults.asked[0].head


def test_a_proxy_may_be_named_without_a_scheme(
    environment: pytest.MonkeyPatch, proxy: str, lines: Lines, faults: FaultServer
) -> None:
    """As host:port, which every other program takes too."""
    environment.setenv("HTTP_PROXY", faults.url.removeprefix("http://"))

    assert lines.to(f"http://{ORG}").get("/services/data/").json() == {"from": "the proxy"}


@pytest.mark.parametrize("excepted", [ORG, ".salesforce.example", "salesforce.example", "*", f"else.example,{ORG}:80"])
def test_hosts_of_no_proxy_are_asked_directly(
    excepted: str, environment: pytest.MonkeyPatch, proxy: str, lines: Lines, faults: FaultServer
) -> None:
    """By name or by domain; the proxy hears nothing of them."""
    environment.setenv("HTTP_PROXY", proxy)
    environment.setenv("NO_PROXY", excepted)

    with pytest.raises(TransientError, match=f"^could not reach {ORG}: "):
        lines.to(f"http://{ORG}:80").get("/services/data/")

    assert not faults.asked


def test_one_client_asks_hosts_by_different_roads(
    environment: pytest.MonkeyPatch, proxy: str, lines: Lines, faults: FaultServer
) -> None:
    """The org's host through the proxy, the API's host not, or the other way round."""
    environment.setenv("HTTP_PROXY", proxy)
    environment.setenv("NO_PROXY", "api.example")

    lines.to(f"http://{ORG}").get("/services/data/")
    with pytest.raises(TransientError, match=r"could not reach api\.example: "):
        lines.to("http://api.example").get("/conversation-entries")

    assert [asked.path for asked in faults.asked] == ["/services/data/"]


def test_this_machine_is_asked_directly(environment: pytest.MonkeyPatch, lines: Lines, faults: FaultServer) -> None:
    """No proxy reaches it; the simulated org is here."""
    faults.script = [says(b"{}")]
    environment.setenv("ALL_PROXY", "http://proxy.example:3128")

    lines.to(faults.url).get("/services/data/")

    assert "GET /services/data/ " in faults.asked[0].head


def test_https_is_tunnelled_and_a_refused_login_says_what_to_do(
    environment: pytest.MonkeyPatch, proxy: str, lines: Lines, faults: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The proxy is asked for a tunnel; its refusal names the variable and the proxy, and neither password nor user."""
    caplog.set_level(logging.DEBUG)
    faults.script = [says(b"", status=407)]
    environment.setenv("HTTPS_PROXY", proxy)
    where = faults.url.removeprefix("http://")

    with pytest.raises(ConfigurationError, match=f"through the proxy {where} of HTTPS_PROXY: it wants a user") as it:
        lines.to(f"https://{ORG}").get("/services/data/")

    assert faults.asked[0].head.startswith(f"CONNECT {ORG}:443 ")
    assert PASSWORD not in "".join(traceback.format_exception(it.value)) + caplog.text


@pytest.mark.parametrize("url", [f"http://{ORG}", f"https://{ORG}"])
@pytest.mark.parametrize("proxy", [f"http://operator:{PASSWORD}@127.0.0.1:9", f"http://{PASSWORD}@127.0.0.1:9"])
def test_a_proxy_that_does_not_answer_is_named_without_its_password(
    url: str, proxy: str, environment: pytest.MonkeyPatch, lines: Lines
) -> None:
    """The host, the proxy, its variable; a passing fault, as a host that does not answer is."""
    environment.setenv("ALL_PROXY", proxy)

    with pytest.raises(TransientError, match=f"could not reach {ORG} through the proxy 127.0.0.1:9 of ALL_PROXY") as it:
        lines.to(url).get("/services/data/")

    assert PASSWORD not in "".join(traceback.format_exception(it.value))


@pytest.mark.parametrize(
    "wrong",
    [
        f"{kind}://operator:{PASSWORD}@proxy.example{port}"
        for kind, port in (("ftp", ""), ("socks5", ""), ("http", ":x"))
    ],
)
def test_a_proxy_that_can_not_be_used_is_a_wrong_setting(
    wrong: str, environment: pytest.MonkeyPatch, lines: Lines
) -> None:
    """It is told by its name, never by its value."""
    environment.setenv("HTTPS_PROXY", wrong)

    with pytest.raises(SalesforceError, match=r"^HTTPS_PROXY names no proxy that can be used") as it:
        lines.to(f"https://{ORG}").get("/services/data/")

    assert isinstance(it.value, ConfigurationError)
    assert PASSWORD not in "".join(traceback.format_exception(it.value))


def test_certificates_are_read_once_a_process(environment: pytest.MonkeyPatch, lines: Lines) -> None:
    """However many clients there are: once read, their file is not looked at again, by whichever road they ask."""
    with pytest.raises(TransientError):
        lines.to(f"https://{ORG}").get("/")
    environment.setenv("SSL_CERT_FILE", "there-is-no-such-file.pem")
    environment.setenv("HTTPS_PROXY", "https://127.0.0.1:9")
    environment.setenv("NO_PROXY", "direct.example")

    for url in ("https://direct.example", f"https://{ORG}"):
        with pytest.raises(TransientError, match="could not reach "):
            lines.to(url).get("/")
