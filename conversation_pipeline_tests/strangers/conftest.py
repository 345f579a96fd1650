"""One simulated org over HTTPS and one over HTTP, for clients that others wrote: they come unchanged."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from conversation_pipeline.simulator import Certificate, Running, Simulator

GENERATED = 4_500
"""Rows beside the world's own: more than two REST pages of them."""


def pytest_configure(config: pytest.Config) -> None:
    """The mark of this folder's tests."""
    config.addinivalue_line("markers", "strangers: clients that others wrote, run against the simulator")


@dataclass(frozen=True)
class Org:
    """A served org as a stranger finds it: a URL, a token, and what is true there."""

    url: str
    token: str = field(repr=False)
    client: dict[str, Any] = field(repr=False)
    http: httpx.Client

    def ids(self, sobject: str, *, deleted: bool = False) -> list[str]:
        """The ids of an object's rows, sorted."""
        records = self.http.get("/simulator/truth/records", params={"sobject": sobject}).json()["records"]
        return sorted(record["Id"] for record in records if deleted or not record["IsDeleted"])

    def control(self, name: str, **body: Any) -> Any:
        """POST to the control plane."""
        return self.http.post(f"/simulator/{name}", json=body).raise_for_status().json()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for 127.0.0.1 that signs itself."""
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    made.certificate_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    made.key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made


@pytest.fixture(scope="session")
def secure(certificate: Certificate) -> Iterator[Org]:
    """The org over HTTPS."""
    context = ssl.create_default_context(cafile=certificate.certificate_file)
    with _simulator().serve(certificate=certificate) as running, _client(running, verify=context) as http:
        yield _org(running, http)


@pytest.fixture(scope="session")
def plain() -> Iterator[Org]:
    """The org over HTTP."""
    with _simulator().serve() as running, _client(running) as http:
        yield _org(running, http)


@pytest.fixture(scope="session")
def home() -> Path:
    """The folder of these tests."""
    return Path(__file__).parent


def _simulator() -> Simulator:
    return Simulator(
        seed=5, first_day=date(2026, 11, 17), conversations_per_day=8, now=datetime(2026, 11, 19, 18, tzinfo=UTC)
    )


def _client(running: Running, **more: Any) -> httpx.Client:
    return httpx.Client(base_url=running.url, timeout=30, **more)


def _org(running: Running, http: httpx.Client) -> Org:
    client = http.get("/simulator/credentials").json()["clients"][0]
    form = {"grant_type": "client_credentials"} | {key: client[key] for key in ("client_id", "client_secret")}
    token = http.post("/services/oauth2/token", data=form).json()["access_token"]
    org = Org(running.url, token, client, http)
    org.control("records/generate", sobject="MessagingSession", count=GENERATED, seed=1,
                **{"from": "2026-11-17T00:00:00Z", "to": "2026-11-19T00:00:00Z"})  # fmt: skip
    deleted = http.get("/simulator/truth/records", params={"sobject": "MessagingSession"}).json()["records"][:3]
    org.control("records", delete=[record["Id"] for record in deleted])
    return org
