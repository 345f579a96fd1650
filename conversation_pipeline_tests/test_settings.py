"""Settings: each wrong one is a sentence that names it, says what to do, and repeats nothing of a secret."""

from __future__ import annotations

import json
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest

from conversation_pipeline.salesforce.limits import QuietHours
from conversation_pipeline.settings import Settings, SettingsError, load_settings

ORG = {
    "salesforce_instance_url": "https://company.my.salesforce.com",
    "salesforce_client_id": "client",
    "salesforce_client_secret": "canary-secret",
    "conversation_start_date": "2026-01-01",
}


def settings(**values: Any) -> Settings:
    return load_settings(_env_file=None, **{**ORG, **values})


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting is read from the variable of its name, whatever the case."""
    monkeypatch.setenv("CONVERSATION_START_DATE", "2026-02-03")

    assert load_settings(_env_file=None).conversation_start_date == date(2026, 2, 3)


def test_settings_come_from_the_env_file(tmp_path: Path) -> None:
    """Settings stand in ``.env`` as well, beside names of other programs."""
    file = tmp_path / ".env"
    file.write_text("CONVERSATION_START_DATE='2026-02-03'\nANOTHER_PROGRAMS_SETTING=1\n")

    assert load_settings(_env_file=file).conversation_start_date == date(2026, 2, 3)


def test_a_trailing_slash_of_a_url_does_not_matter() -> None:
    """A URL that was copied with its last slash is the same URL."""
    url = settings(salesforce_instance_url="https://company.my.salesforce.com/").salesforce_instance_url

    assert url == "https://company.my.salesforce.com"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "salesforce_instance_url",
            "company.my.salesforce.com",
            "SALESFORCE_INSTANCE_URL is wrong: must begin with https://",
        ),
        ("conversation_data_url", "ftp://company", "CONVERSATION_DATA_URL is wrong: must begin with https://"),
        ("salesforce_api_version", "66", "SALESFORCE_API_VERSION is wrong: "),
        ("conversation_start_date", "soon", "CONVERSATION_START_DATE is wrong: "),
        ("conversation_active_budget", "0", "CONVERSATION_ACTIVE_BUDGET is wrong: "),
        ("conversation_executor", "celery", "CONVERSATION_EXECUTOR is wrong: "),
        ("conversation_data_cloud_time_zone", "Denver", "CONVERSATION_DATA_CLOUD_TIME_ZONE is wrong: "),
        ("conversation_data_cloud_time_zone", "", "CONVERSATION_DATA_CLOUD_TIME_ZONE is wrong: "),
        ("conversation_roads", "pigeon", "CONVERSATION_ROADS names pigeon; this release knows "),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str, sentence: str) -> None:
    """A value that can not be meant is refused by the setting's name."""
    with pytest.raises(SettingsError) as refused:
        settings(**{name: value})

    assert str(refused.value).startswith(sentence)


def test_all_wrong_values_are_named_at_once() -> None:
    """Whoever mends settings need not find them one by one."""
    with pytest.raises(SettingsError, match=r"SALESFORCE_API_VERSION is wrong.*CONVERSATION_START_DATE is wrong"):
        settings(salesforce_api_version="66", conversation_start_date="soon")


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("salesforce_instance_url", "SALESFORCE_INSTANCE_URL is not set: put your My Domain URL"),
        ("salesforce_client_id", "SALESFORCE_CLIENT_ID is not set: put the consumer key"),
        ("salesforce_client_secret", "SALESFORCE_CLIENT_SECRET is not set: put the app's secret"),
    ],
)
def test_what_reaching_the_org_needs(missing: str, sentence: str) -> None:
    """What is missing to reach the org is named, with what to put there and where."""
    with pytest.raises(SettingsError) as refused:
        settings(**{missing: ""}).require_org()

    assert str(refused.value).startswith(sentence)
    assert str(refused.value).endswith("into the environment or into .env (see .env.example)")


def test_a_jwt_key_stands_for_the_secret(tmp_path: Path) -> None:
    """With a key file and a user name no secret is needed."""
    key = tmp_path / "key.pem"
    key.touch()

    settings(salesforce_client_secret="", salesforce_jwt_key_file=key, salesforce_username="a@b.example").require_org()


def test_a_jwt_key_that_is_not_there(tmp_path: Path) -> None:
    """A key file that is none is named."""
    with pytest.raises(SettingsError, match=r"SALESFORCE_JWT_KEY_FILE names .*no-key\.pem, which is no file"):
        settings(salesforce_jwt_key_file=tmp_path / "no-key.pem").require_org()


def test_a_jwt_key_without_its_user(tmp_path: Path) -> None:
    """The JWT bearer flow needs to know whom to act as."""
    key = tmp_path / "key.pem"
    key.touch()

    with pytest.raises(SettingsError, match="SALESFORCE_USERNAME is not set: put the user that the JWT bearer flow"):
        settings(salesforce_jwt_key_file=key).require_org()


def test_the_start_date_is_required() -> None:
    """Partitions begin somewhere, and only the user knows where."""
    with pytest.raises(SettingsError, match="CONVERSATION_START_DATE is not set: put the first day to load"):
        settings(conversation_start_date=None).require_start_date()


def test_execution_users_in_place_or_in_a_file(tmp_path: Path) -> None:
    """CONVERSATION_DATA_USERS is the list itself, or a file of it."""
    users = json.dumps([{"client_id": "one", "client_secret": "1"}, {"client_id": "two", "client_secret": "2"}])
    file = tmp_path / "users.json"
    file.write_text(users)

    read = [settings(conversation_data_users=given).execution_users() for given in (users, str(file))]

    assert read[0] == read[1]
    assert [user.client_id for user in read[0]] == ["one", "two"]


@pytest.mark.parametrize("given", ["[{", "{}", '[{"client": "canary"}]', '["canary"]', "no/such/file.json"])
def test_execution_users_that_can_not_be_read(given: str) -> None:
    """A list that can not be read is shown how it should look, and not what stands in it."""
    with pytest.raises(SettingsError) as refused:
        settings(conversation_data_users=given).execution_users()

    assert str(refused.value).startswith("CONVERSATION_DATA_USERS is not read: give [{")
    assert "canary" not in str(refused.value)


def test_quiet_hours_have_a_budget_of_their_own() -> None:
    """Hours and budget make one value; without hours there is none."""
    given = settings(conversation_quiet_hours="22:00-06:00", conversation_quiet_budget=8000)

    assert given.quiet_hours == QuietHours(time(22), time(6), 8000)
    assert settings().quiet_hours is None


@pytest.mark.parametrize(
    ("hours", "budget", "sentence"),
    [
        ("at night", 8000, "CONVERSATION_QUIET_HOURS is wrong: give begin and end in UTC, such as 22:00-06:00"),
        ("22:00-22:30", 8000, "CONVERSATION_QUIET_HOURS is wrong: give more than the 30 minutes that a mark lasts"),
        ("22:00-06:00", 2699, "CONVERSATION_QUIET_BUDGET is smaller than CONVERSATION_ACTIVE_BUDGET: give it as many"),
    ],
)
def test_quiet_hours_that_can_not_be_meant(hours: str, budget: int, sentence: str) -> None:
    """Hours of no form, too short for a mark to end within them, or with less room than by day."""
    with pytest.raises(SettingsError) as refused:
        settings(conversation_quiet_hours=hours, conversation_quiet_budget=budget)

    assert str(refused.value).startswith(sentence)


def test_no_secret_is_shown() -> None:
    """Neither settings nor execution users show a secret when they are printed."""
    users = json.dumps([{"client_id": "one", "client_secret": "canary-of-one"}])
    shown = settings(conversation_data_users=users)

    assert "canary" not in f"{shown!r} {shown} {shown.execution_users()!r}"


def test_a_refused_value_is_not_repeated() -> None:
    """A wrong value may be a secret that was pasted into the wrong line."""
    with pytest.raises(SettingsError) as refused:
        settings(salesforce_instance_url="canary", salesforce_api_version="canary", conversation_executor="canary")

    assert "canary" not in str(refused.value)


def test_every_setting_says_what_it_is_for() -> None:
    """The descriptions are the documentation."""
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
