"""
What assets are given: the org, the lake, the staging area and the warehouse, made from the settings.

Nothing here sends a request or reads a secret before an asset asks for it, so that the UI opens whatever is missing.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.parse import urlsplit

import dagster as dg
import httpx
import pyarrow as pa

from conversation_pipeline.extract.data_cloud import arrow_stream, json_page, v2_batch
from conversation_pipeline.salesforce.allocation import Allocation, AllocationTransport, Tally
from conversation_pipeline.salesforce.auth import BearerAuth, ClientCredentials, Grant, JwtBearer
from conversation_pipeline.salesforce.bulk import Bulk
from conversation_pipeline.salesforce.connect import Connect
from conversation_pipeline.salesforce.connection import Connection, Retry, Timeouts
from conversation_pipeline.salesforce.conversation_data import ConversationData
from conversation_pipeline.salesforce.data_cloud import V2, V3, DataCloud, QuerySql, TenantAuth
from conversation_pipeline.salesforce.data_cloud.calls import Calls
from conversation_pipeline.salesforce.data_cloud.refusals import refused
from conversation_pipeline.salesforce.entry_api import ExecutionUser
from conversation_pipeline.salesforce.limits import ACTIVE_CONVERSATIONS, CONVERSATION_DATA, DATA_CLOUD, Limit
from conversation_pipeline.salesforce.network import NetworkTransport
from conversation_pipeline.salesforce.query import Query
from conversation_pipeline.salesforce.quotas import Claim, QuotaStore, open_quota_store
from conversation_pipeline.salesforce.transport import Meter
from conversation_pipeline.settings import Settings, SettingsError
from conversation_pipeline.storage import Lake, Staging
from conversation_pipeline.storage.store import Store
from conversation_pipeline.storage.warehouse import Warehouse

T = TypeVar("T")


_LONGEST_ANSWER = 1200.0
"""Seconds that Salesforce allows for reading one page of a bulk result (Bulk API 2.0 limits)."""


@dataclass
class Org:
    """
    The org that the settings name, with one client for each road; clients are made when first asked for.

    Attributes:
        meter: What all of them have asked for so far.
        run_id: The run whose share of the org's allocation this is part of, in whichever of its processes; by default
            this process has a share of its own.
        rate: Allowance of one execution user; replaced where Salesforce granted another, or scaled.
        bulk_from_rows: Rows from which a bulk job is used: it costs seven calls or so, a REST query one for each
            2,000 rows.
    """

    settings: Settings
    retry: Retry = field(default_factory=Retry)
    rate: Limit = CONVERSATION_DATA
    bulk_from_rows: int = 10_000
    meter: Meter = field(default_factory=Meter)
    run_id: str = ""
    _open: list[Callable[[], None]] = field(default_factory=list, init=False, repr=False)

    @property
    def settle(self) -> timedelta:
        return timedelta(minutes=self.settings.conversation_settle_minutes)

    @cached_property
    def query(self) -> Query:
        return Query(self._org_connection, self.settings.salesforce_api_version, self.retry)

    @cached_property
    def bulk(self) -> Bulk:
        return Bulk(self._org_connection, self.settings.salesforce_api_version, self.retry)

    @cached_property
    def allocation(self) -> Allocation:
        """The org's 24-hour allocation, as the latest answer told it."""
        tally = Tally(_beside_quotas(self.settings) / "runs" / self.run_id if self.run_id else None)
        return Allocation(self.settings.conversation_api_reserve, self.settings.conversation_api_share, tally=tally)

    @cached_property
    def _org_connection(self) -> Connection:
        transport = AllocationTransport(NetworkTransport(), self.allocation)
        connection = Connection(
            self.settings.salesforce_instance_url,
            self._org_auth,
            self._store,
            self.meter,
            timeouts=Timeouts(body=_LONGEST_ANSWER),
            transport=transport,
        )
        self._open.append(connection.close)
        return connection

    @cached_property
    def conversation_data(self) -> ConversationData:
        url = self.settings.conversation_data_url
        auths = {f"entry {place} of CONVERSATION_DATA_USERS": auth for place, auth in enumerate(self._user_auths(), 1)}
        users = [
            ExecutionUser(self._connection(url, auth), f"{self._name}/{auth.name}/conversation_data", setting)
            for setting, auth in (auths or {"SALESFORCE_CLIENT_ID": self._org_auth}).items()
        ]
        return ConversationData(
            users, self._store, self._name, self.rate, self._active, self.retry, self.settings.quiet_hours
        )

    @cached_property
    def connect(self) -> Connect:
        user = ExecutionUser(self._org_connection, f"{self._name}/{self._org_auth.name}/connect")
        return Connect(
            [user],
            self._store,
            self._name,
            active=self._active,
            retry=self.retry,
            quiet=self.settings.quiet_hours,
            version=self.settings.salesforce_api_version,
        )

    @cached_property
    def data_cloud(self) -> DataCloud[pa.Table]:
        settings = self.settings
        if settings.conversation_data_cloud_mode == "query_sql":
            counted = AllocationTransport(NetworkTransport(), self.allocation)
            core = Calls(self._data_cloud_connection(self._org_auth, counted), retry=self.retry)
            return QuerySql(
                core, json_page, settings.salesforce_api_version, settings.conversation_data_cloud_dataspace
            )
        auth = TenantAuth(self._org_auth, settings.salesforce_instance_url, settings.conversation_data_cloud_dataspace)
        tenant = Calls(self._data_cloud_connection(auth), [Claim(f"{self._name}/data_cloud", DATA_CLOUD)], self.retry)
        return V2(tenant, v2_batch) if settings.conversation_data_cloud_mode == "v2" else V3(tenant, arrow_stream)

    def _data_cloud_connection(self, auth: BearerAuth, transport: httpx.BaseTransport | None = None) -> Connection:
        """To the org's host, or by the exchange to the tenant's, whose calls are no part of the org's allocation."""
        connection = Connection(
            self.settings.salesforce_instance_url,
            auth,
            self._store,
            self.meter,
            timeouts=Timeouts(body=_LONGEST_ANSWER),
            transport=transport,
            refused=refused,
        )
        self._open.append(connection.close)
        return connection

    @property
    def active_conversations(self) -> int:
        """Distinct conversations that this instance's reads hold active now."""
        return self._store.usage(f"{self._name}/active_conversations").held

    @property
    def _active(self) -> Limit:
        return ACTIVE_CONVERSATIONS.with_count(self.settings.conversation_active_budget)

    def close(self) -> None:
        while self._open:
            self._open.pop()()

    @cached_property
    def _name(self) -> str:
        return urlsplit(self.settings.salesforce_instance_url).netloc

    @cached_property
    def _store(self) -> QuotaStore:
        store = open_quota_store(self.settings.conversation_quotas)
        self._open.append(store.close)
        return store

    @cached_property
    def _org_auth(self) -> BearerAuth:
        return BearerAuth(self._org_grant())

    def _org_grant(self) -> Grant:
        settings = self.settings
        settings.require_org()
        if settings.salesforce_jwt_key_file is not None:
            return JwtBearer(
                settings.salesforce_instance_url,
                settings.salesforce_client_id,
                settings.salesforce_username,
                settings.salesforce_jwt_key_file,
                settings.salesforce_login_url,
            )
        secret = settings.salesforce_client_secret.get_secret_value()
        return ClientCredentials(settings.salesforce_instance_url, settings.salesforce_client_id, secret)

    def _user_auths(self) -> list[BearerAuth]:
        self.settings.require_org()
        url = self.settings.salesforce_instance_url
        return [
            BearerAuth(ClientCredentials(url, user.client_id, user.client_secret.get_secret_value()))
            for user in self.settings.execution_users()
        ]

    def _connection(self, url: str, auth: BearerAuth) -> Connection:
        connection = Connection(url, auth, self._store, self.meter)
        self._open.append(connection.close)
        return connection


def _beside_quotas(settings: Settings) -> Path:
    """The folder of the quota store: what all processes of an instance share."""
    scheme, separator, rest = settings.conversation_quotas.partition("://")
    if separator and scheme != "sqlite":
        return Path(tempfile.gettempdir()) / "conversation-pipeline"
    return Path(rest[1:] if separator else settings.conversation_quotas).parent


class Unready:
    """
    Stands for a resource whose settings are missing or wrong: whoever uses it gets the sentence to act on.

    Raised by the resource itself, that sentence would end up below Dagster's own about resources.
    """

    def __init__(self, error: SettingsError) -> None:
        self._error = error

    def __getattr__(self, name: str) -> NoReturn:
        raise self._error


def resources(settings: Callable[[], Settings], retry: Retry, rate: Limit) -> dict[str, dg.ResourceDefinition]:
    """
    Resources by name. They are made anew for each run, in the process that runs it.

    Args:
        settings: Read when a run begins, so that a wrong one is told by the run.
    """

    def made(make: Callable[[Settings], T]) -> T | Unready:
        try:
            ready = settings()
            ready.require_start_date()
            return make(ready)
        except SettingsError as error:
            return Unready(error)

    @dg.resource(description="The Salesforce org, its execution users and their shared allowances.")
    def salesforce(context: dg.InitResourceContext) -> Iterator[Org | Unready]:
        run_id = context.run.run_id if context.run else ""
        org = made(lambda ready: Org(ready, retry, rate, run_id=run_id))
        try:
            yield org
        finally:
            if isinstance(org, Org):
                org.close()

    @dg.resource(description="Parquet datasets, one file a partition.")
    def lake(_: dg.InitResourceContext) -> Lake | Unready:
        return made(lambda ready: Lake(ready.conversation_lake))

    @dg.resource(description="Raw answers of the roads, kept until their retention ends.")
    def staging(_: dg.InitResourceContext) -> Staging | Unready:
        return made(lambda ready: Staging(ready.conversation_staging))

    @dg.resource(description="The DuckDB file that people open.")
    def warehouse(_: dg.InitResourceContext) -> Warehouse | Unready:
        return made(lambda ready: Warehouse(ready.conversation_warehouse))

    @dg.resource(description="The folder or prefix where export archives arrive.")
    def archives(_: dg.InitResourceContext) -> Store | Unready:
        return made(lambda ready: Store(ready.conversation_archives))

    @dg.resource(description="Where reports lie: beside the datasets of the lake.")
    def reports(_: dg.InitResourceContext) -> Store | Unready:
        return made(lambda ready: Store(ready.conversation_lake))

    return {
        "salesforce": salesforce,
        "lake": lake,
        "staging": staging,
        "warehouse": warehouse,
        "archives": archives,
        "reports": reports,
    }
