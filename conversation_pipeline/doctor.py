"""``conversation-pipeline doctor``: one line for each thing that has to be right, and what to do where it is not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from rich.console import Console

from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract.data_cloud import ROAD as DATA_CLOUD
from conversation_pipeline.extract.data_cloud import discover, look
from conversation_pipeline.extract.data_cloud.objects import ENTRY
from conversation_pipeline.extract.entry_roads import CONNECT, CONVERSATION_DATA
from conversation_pipeline.extract.on_platform import select
from conversation_pipeline.salesforce.connect import Connect
from conversation_pipeline.salesforce.connection import Retry
from conversation_pipeline.salesforce.conversation_data import ConversationData
from conversation_pipeline.salesforce.errors import (
    ConversationUnreadable,
    NoUserLeft,
    RecordUnavailable,
    SalesforceError,
)
from conversation_pipeline.salesforce.quotas import QuotaStoreError
from conversation_pipeline.schemas import Dataset, Group
from conversation_pipeline.schemas.catalogue import DATASETS
from conversation_pipeline.schemas.custom import with_custom_fields
from conversation_pipeline.settings import Settings, SettingsError, load_settings

_NO_CONVERSATION = "00000000-0000-0000-0000-000000000000"


def examine(console: Console) -> int:
    """Prints the findings; returns the number of those that need a hand."""
    logging.getLogger(__package__).addHandler(logging.NullHandler())  # what it would warn of is a finding
    try:
        settings = load_settings()
        settings.require_org()
        settings.require_start_date()
        settings.execution_users()
    except SettingsError as error:
        console.print(f"[red]settings[/red]  {error}")
        return 1
    console.print(
        f"[green]settings[/green]  {settings.salesforce_instance_url}, from {settings.conversation_start_date}"
    )
    return sum(not _told(console, what, check) for what, check in _checks(settings))


def _checks(settings: Settings) -> Iterator[tuple[str, Callable[[], str]]]:
    with closing(Org(settings, Retry(attempts=2, timeout=30.0))) as org:
        yield "org clock", lambda: _clock(org)
        for dataset in with_custom_fields(DATASETS, settings.custom_fields):
            if dataset.group is Group.ON_PLATFORM:
                yield str(dataset.sobject), partial(_columns, org, dataset)
        for api, client in _entry_apis(org):
            for user in client.users:  # asked together, a user who is let in would hide one who is not
                yield f"{api}, {user.setting}", partial(_let_in, replace(client, users=[user]))
        if DATA_CLOUD in settings.roads:
            yield f"Data Cloud, {settings.conversation_data_cloud_mode}", lambda: _data_cloud(org)


def _told(console: Console, what: str, check: Callable[[], str]) -> bool:
    try:
        console.print(f"[green]{what}[/green]  {check()}", highlight=False)
    except (SalesforceError, SettingsError, QuotaStoreError) as error:
        console.print(f"[red]{what}[/red]  {error}", highlight=False)
        return False
    return True


def _clock(org: Org) -> str:
    apart = abs(org.query.server_time() - datetime.now(UTC))
    return "the org answers" if apart < timedelta(minutes=5) else f"the org answers; its clock is {apart} from ours"


def _columns(org: Org, dataset: Dataset) -> str:
    selection = select(org.query, dataset)
    found = "".join(f"; {', '.join(names)}: {reason}" for reason, names in selection.findings.items())
    return f"{len(selection.fields)} columns{found}"


def _data_cloud(org: Org) -> str:
    """Exchanges a token, finds the objects and asks for the newest entry, which reads two days of creations."""
    settings = org.settings
    objects = discover(org.data_cloud, settings.data_cloud_names, settings.data_cloud_zone)
    now = org.query.server_time()
    newest = look(org.data_cloud, objects, [], now).newest
    age = "of the last two days there is none" if newest is None else f"{(now - newest) / timedelta(hours=1):.1f} h old"
    missing = f"; not there: {', '.join(objects.missing)}" if objects.missing else ""
    return f"{objects.tables[ENTRY].name}; the newest entry: {age}{missing}"


def _entry_apis(org: Org) -> Iterator[tuple[str, ConversationData | Connect]]:
    """Of the roads in use."""
    if CONVERSATION_DATA in org.settings.roads:
        yield "Conversation Data API", org.conversation_data
    if CONNECT in org.settings.roads:
        yield "Connect REST API", org.connect


def _let_in(client: ConversationData | Connect) -> str:
    """Asks for a conversation that can not exist: whatever else is wrong is told, and nobody is marked active."""
    now = datetime.now(UTC)
    try:
        client.read(_NO_CONVERSATION, now - timedelta(minutes=1), now)
    except RecordUnavailable:
        pass
    except ConversationUnreadable as error:  # nothing is wrong with a conversation that is none
        raise error.__cause__ or error from None
    except NoUserLeft as error:
        [reason] = client.set_aside.values()
        raise NoUserLeft(reason.partition(" is set aside: ")[2]) from error
    return "is let in"
