"""Paths of Data Cloud: the token exchange and query-sql on the core host, the APIs of the tenant host."""

from __future__ import annotations

from collections.abc import Iterable

from conversation_pipeline.simulator.data_cloud.connect import Connect
from conversation_pipeline.simulator.data_cloud.exchange import Exchange
from conversation_pipeline.simulator.data_cloud.legacy import Legacy
from conversation_pipeline.simulator.data_cloud.metadata import Metadata
from conversation_pipeline.simulator.data_cloud.queries import Queries
from conversation_pipeline.simulator.data_cloud.rows import Tables
from conversation_pipeline.simulator.data_cloud.tenant import PROFILE_SCOPE, Tenant
from conversation_pipeline.simulator.data_cloud.truth import Truth
from conversation_pipeline.simulator.data_cloud.v3 import V3
from conversation_pipeline.simulator.endpoint import Endpoint, Handler
from conversation_pipeline.simulator.org import Org
from conversation_pipeline.simulator.rest.wire import DATA, authenticated


def endpoints(org: Org) -> Iterable[Endpoint]:
    """The Data Cloud room; one server answers for the core host and for the tenant host."""
    tables = Tables(org)
    tenant, queries = Tenant(org, tables), Queries(org, tables)
    yield Endpoint("data_cloud.token", "/services/a360/token", ("POST",), Exchange(tenant).token)
    yield from _v3(tenant, V3(tenant, queries))
    yield from _legacy(tenant, Legacy(tenant, queries))
    metadata = Metadata(tables)
    described = tenant.guarded(metadata.entities, scope=PROFILE_SCOPE)
    yield Endpoint("data_cloud.metadata", "/api/v1/metadata", ("GET",), described)
    yield from _core("model_objects", "/data-model-objects", "GET", authenticated(org, metadata.model_objects))
    yield from _core("lake_objects", "/data-lake-objects", "GET", authenticated(org, metadata.lake_objects))
    yield from _connect(Connect(org, queries))
    truth = Truth(org)
    yield Endpoint("control.truth/data_cloud", "/simulator/truth/data_cloud", ("GET",), truth.entries)
    yield Endpoint("control.data_cloud/generate", "/simulator/data_cloud/generate", ("POST",), truth.generate)
    yield Endpoint("control.data_cloud", "/simulator/data_cloud", ("GET",), truth.load)


def _v3(tenant: Tenant, room: V3) -> Iterable[Endpoint]:
    path = "/api/v3/query"
    yield Endpoint("data_cloud.v3_submit", path, ("POST",), tenant.guarded(room.submit))
    for name, tail, method, handler, patient in (
        ("status", "", "GET", room.status, True), ("cancel", "", "DELETE", room.cancel, False),
        ("rows", "/rows", "GET", room.rows, False), ("metadata", "/metadata", "GET", room.metadata, False),
        ("chunk", "/chunks/{chunk}", "GET", room.chunk, False),
    ):  # fmt: skip
        guarded = tenant.guarded(room.with_query(handler), patient=patient)
        yield Endpoint(f"data_cloud.v3_{name}", f"{path}/{{query}}{tail}", (method,), guarded)


def _legacy(tenant: Tenant, room: Legacy) -> Iterable[Endpoint]:
    yield Endpoint("data_cloud.v2_submit", "/api/v2/query", ("POST",), tenant.guarded(room.submit))
    yield Endpoint("data_cloud.v2_batch", "/api/v2/query/{batch}", ("GET",), tenant.guarded(room.next))
    yield Endpoint("data_cloud.v1_query", "/api/v1/query", ("POST",), tenant.guarded(room.at_once))


def _connect(room: Connect) -> Iterable[Endpoint]:
    yield from _core("connect_submit", "/query-sql", "POST", room.submission())
    yield from _core("connect_status", "/query-sql/{query}", "GET", room.reading(room.status))
    yield from _core("connect_rows", "/query-sql/{query}/rows", "GET", room.reading(room.rows))
    yield from _core("connect_cancel", "/query-sql/{query}", "DELETE", room.reading(room.cancel))


def _core(name: str, path: str, method: str, handler: Handler) -> Iterable[Endpoint]:
    for slash in ("", "/"):
        yield Endpoint(f"data_cloud.{name}", f"{DATA}/ssot{path}{slash}", (method,), handler)
