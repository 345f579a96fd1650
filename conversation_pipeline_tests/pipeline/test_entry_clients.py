"""The clients of the entry roads, as the settings make them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import time
from pathlib import Path

import pytest

from conversation_pipeline.defs.resources import Org
from conversation_pipeline.salesforce.limits import QuietHours
from conversation_pipeline.settings import load_settings

USERS = [{"client_id": f"client-{number}", "client_secret": "canary"} for number in (1, 2)]


def made(folder: Path, **values: object) -> Org:
    given = {
        "salesforce_instance_url": "https://company.my.salesforce.com",
        "salesforce_client_id": "integration",
        "salesforce_client_secret": "canary",
        "conversation_quotas": str(folder / "quotas.sqlite"),
        "conversation_active_budget": 3000,
        "conversation_quiet_hours": "22:00-06:00",
        "conversation_quiet_budget": 8000,
    }
    return Org(load_settings(_env_file=None, **{**given, **values}))


@pytest.fixture
def org(tmp_path: Path) -> Iterator[Org]:
    found = made(tmp_path, conversation_data_users=json.dumps(USERS))
    yield found
    found.close()


def test_each_execution_user_is_known_by_its_entry(org: Org) -> None:
    """Whoever is set aside can be found in the setting, and by whose allowance it was counted."""
    assert [(user.setting, user.key) for user in org.conversation_data.users] == [
        (
            f"entry {number} of CONVERSATION_DATA_USERS",
            f"company.my.salesforce.com/client client-{number}/conversation_data",
        )
        for number in (1, 2)
    ]


def test_without_execution_users_the_org_s_own_client_asks(tmp_path: Path) -> None:
    """The setting to mend is then that of the org."""
    org = made(tmp_path)

    [user] = org.conversation_data.users

    assert user.setting == "SALESFORCE_CLIENT_ID"
    org.close()


def test_connect_is_asked_through_the_org_s_own_line(org: Org) -> None:
    """The line whose allocation is watched, with an allowance of its own and the API version of the settings."""
    [user] = org.connect.users

    assert user.connection is org.query.connection
    assert user.key == "company.my.salesforce.com/client integration/connect"
    assert org.connect.version == org.settings.salesforce_api_version


def test_both_clients_spend_one_budget(org: Org) -> None:
    """The same key in the same store, with the same hours."""
    quiet = QuietHours(time(22), time(6), 8000)
    budgets = [(api.store, api.org, api.active.count, api.quiet) for api in (org.conversation_data, org.connect)]

    assert budgets[0] == budgets[1] == (org.connect.store, "company.my.salesforce.com", 3000, quiet)
