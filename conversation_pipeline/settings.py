"""
Every setting, once: name, type, default and what it is for. ``.env.example`` and the README's table are derived.

Values come from the environment and from ``.env`` in the working directory. Production never falls back on the
simulator: what is required and missing stops with a sentence.
"""

from __future__ import annotations

import json
from datetime import UTC, date, timedelta, tzinfo
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from conversation_pipeline.salesforce.limits import ACTIVE_CONVERSATIONS, QuietHours
from conversation_pipeline.schemas.catalogue import DATASETS
from conversation_pipeline.schemas.custom import with_custom_fields

ROADS = ("conversation_data", "data_cloud", "archive", "connect")
"""Entry roads by the name that ``CONVERSATION_ROADS`` gives them, the fullest first."""


class SettingsError(ValueError):
    """A setting is missing or wrong; the message names it and says what to do."""


def _without_trailing_slash(url: str) -> str:
    if url and not url.startswith(("https://", "http://")):
        raise ValueError("must begin with https://")
    return url.rstrip("/")


Url = Annotated[str, AfterValidator(_without_trailing_slash)]


class ExecutionUserSetting(BaseModel):
    """One execution user of the Conversation Data API: the client whose run-as user it is."""

    client_id: str
    client_secret: SecretStr


class Settings(BaseSettings):
    """Settings of one instance. Field descriptions are the documentation."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True)

    salesforce_instance_url: Url = Field("", description="My Domain URL, https://company.my.salesforce.com. Required.")
    salesforce_client_id: str = Field("", description="Consumer key of the External Client App. Required.")
    salesforce_client_secret: SecretStr = Field(
        SecretStr(""), description="Its secret, for the client credentials flow. Required unless a JWT key is set."
    )
    salesforce_username: str = Field("", description="User to act as, for the JWT bearer flow.")
    salesforce_jwt_key_file: Path | None = Field(None, description="Private key (PEM) of the JWT bearer flow.")
    salesforce_login_url: Url = Field(
        "https://login.salesforce.com",
        description="Audience of JWT assertions; https://test.salesforce.com for sandboxes.",
    )
    salesforce_api_version: str = Field("66.0", pattern=r"^\d\d\.0$", description="REST API version.")
    conversation_data_url: Url = Field(
        "https://api.salesforce.com/platform/engagement/v1.0", description="Base URL of the Conversation Data API."
    )
    conversation_data_users: SecretStr = Field(
        SecretStr(""),
        description="Execution users: a JSON list, or a file of it, of objects with client_id and client_secret. "
        "Each adds 90 requests a minute. Default: the org's own client.",
    )
    conversation_roads: str = Field(
        "conversation_data", description=f"Entry roads in use, separated by commas, of {', '.join(ROADS)}."
    )
    conversation_start_date: date | None = Field(
        None, description="First partition, YYYY-MM-DD, UTC. Required; choose it once, it names the partitions."
    )
    conversation_lake: str = Field("data/lake", description="Where Parquet lives: a folder, or s3://, gs://, az://.")
    conversation_staging: str = Field("data/staging", description="Where raw answers are kept.")
    conversation_staging_days: int = Field(
        30, ge=1, description="Days that raw answers are kept: so long, days are typed anew without one request."
    )
    conversation_warehouse: Path = Field(Path("data/warehouse.duckdb"), description="DuckDB file that people open.")
    conversation_archives: str = Field(
        "data/archives", description="Where export archives arrive: a folder, or s3://, gs://, az://."
    )
    conversation_archive_age_days: int = Field(
        30, ge=7, description="Days after which the newest export archive counts as old; seven is the least."
    )
    conversation_archive_keep_days: int | None = Field(
        None,
        ge=0,
        description="Days after which the files of an export archive that was landed whole are removed; 0: at "
        "once. Default: they stay, since they are yours and Salesforce gives no other before seven days have passed. "
        "An archive that is known to hold words of erased people is removed in any case, once it is landed.",
    )
    conversation_quotas: str = Field(
        "data/quotas.sqlite", description="Quota store, the same for all processes of an instance."
    )
    conversation_active_budget: int = Field(
        2700, ge=1, description="Distinct conversations that may be touched in any 30 minutes."
    )
    conversation_quiet_hours: str = Field(
        "",
        description="Hours of the day, UTC, such as 22:00-06:00, in which CONVERSATION_QUIET_BUDGET holds. It ends 30 "
        "minutes before they do, because a mark lasts as long. Default: none.",
    )
    conversation_quiet_budget: int = Field(
        5400, ge=1, description="Distinct conversations that may be touched in any 30 minutes of the quiet hours."
    )
    conversation_settle_minutes: int = Field(
        30, ge=0, description="How long after a session or call has ended its entries still move."
    )
    conversation_data_cloud_mode: Literal["v3", "query_sql", "v2"] = Field(
        "v3",
        description="How Data Cloud is queried: v3 (tenant host, Arrow), query_sql (core host, costs API calls), or v2 "
        "for orgs that have neither.",
    )
    conversation_data_cloud_dataspace: str = Field(
        "default", description="API name of the data space that holds the transcripts."
    )
    conversation_data_cloud_names: str = Field(
        "",
        description='API names in Data Cloud where an org has its own, as JSON: {"ConversationEntry": '
        '"My_Entry__dlm", "ConversationEntry.PayloadText": "Body__c"}. Default: what its metadata shows.',
    )
    conversation_data_cloud_lag_minutes: int = Field(
        60, ge=0, description="How long after it has ended a day is asked for: entries reach Data Cloud by then."
    )
    conversation_data_cloud_time_zone: str = Field(
        "UTC",
        description="Time zone whose wall time Data Cloud's times are, such as America/Denver. They are UTC; some orgs "
        "see their own wall time labelled UTC, and a run then says so.",
    )
    conversation_reread_days: str = Field(
        "7",
        description="Days after which a settled conversation is read once more, separated by commas, so that text "
        "which was redacted upstream is found; empty for never.",
    )
    conversation_custom_fields: str = Field(
        "",
        description="Custom fields to load as well, separated by commas: MessagingSession.Region__c, or with a type "
        "(text, integer, number, flag, date, instant): VoiceCall.Score__c:number.",
    )
    conversation_api_reserve: float = Field(
        0.2, ge=0, lt=1, description="Share of the org's 24-hour API allocation that is left to others."
    )
    conversation_api_share: float = Field(
        0.25, gt=0, le=1, description="Share of the org's 24-hour API allocation that one run may use."
    )
    conversation_executor: Literal["in_process", "multiprocess"] = Field(
        "in_process", description="Dagster executor: in_process, or multiprocess for wide machines."
    )

    @model_validator(mode="after")
    def _roads_are_known(self) -> Settings:
        unknown = sorted(set(self.roads) - set(ROADS))
        if unknown:
            raise ValueError(f"CONVERSATION_ROADS names {', '.join(unknown)}; this release knows {', '.join(ROADS)}")
        return self

    @model_validator(mode="after")
    def _data_cloud_names_are_names(self) -> Settings:
        try:
            msgspec.json.decode(self.conversation_data_cloud_names or "{}", type=dict[str, str])
        except msgspec.DecodeError:
            raise ValueError(
                'CONVERSATION_DATA_CLOUD_NAMES is wrong: give JSON such as {"ConversationEntry": "My_Entry__dlm"}'
            ) from None
        return self

    @model_validator(mode="after")
    def _data_clouds_zone_is_one(self) -> Settings:
        try:
            _ = self.data_cloud_zone
        except (KeyError, ValueError, OSError):
            raise ValueError(
                "CONVERSATION_DATA_CLOUD_TIME_ZONE is wrong: give a name such as America/Denver, or none for UTC"
            ) from None
        return self

    @model_validator(mode="after")
    def _reread_days_are_days(self) -> Settings:
        if any(not age.strip().isdecimal() or int(age) < 1 for age in self.conversation_reread_days.split(",") if age):
            raise ValueError("CONVERSATION_REREAD_DAYS is wrong: give whole days, such as 7 or 1,7,30")
        return self

    @model_validator(mode="after")
    def _custom_fields_are_named(self) -> Settings:
        with_custom_fields(DATASETS, self.custom_fields)
        return self

    @model_validator(mode="after")
    def _quiet_hours_are_quieter(self) -> Settings:
        try:
            quiet = self.quiet_hours
        except ValueError as error:
            raise ValueError(f"CONVERSATION_QUIET_HOURS is wrong: {error}") from None
        if quiet is not None and quiet.length_for(ACTIVE_CONVERSATIONS) <= timedelta(0):
            raise ValueError("CONVERSATION_QUIET_HOURS is wrong: give more than the 30 minutes that a mark lasts")
        if quiet is not None and quiet.budget < self.conversation_active_budget:
            raise ValueError(
                "CONVERSATION_QUIET_BUDGET is smaller than CONVERSATION_ACTIVE_BUDGET: give it as many or more, or set "
                "no CONVERSATION_QUIET_HOURS"
            )
        return self

    @property
    def archive_keep(self) -> timedelta | None:
        """How long the files of a landed archive stay; None for good."""
        days = self.conversation_archive_keep_days
        return None if days is None else timedelta(days=days)

    @property
    def quiet_hours(self) -> QuietHours | None:
        """The hours in which more conversations may be held active; None where none are set."""
        hours = self.conversation_quiet_hours.strip()
        return QuietHours.parse(hours, self.conversation_quiet_budget) if hours else None

    @property
    def custom_fields(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.conversation_custom_fields.split(",") if name.strip())

    @property
    def data_cloud_names(self) -> dict[str, str]:
        """API names in Data Cloud by business name."""
        return msgspec.json.decode(self.conversation_data_cloud_names or "{}", type=dict[str, str])

    @property
    def data_cloud_zone(self) -> tzinfo:
        """The time zone whose wall time Data Cloud's instants are."""
        name = self.conversation_data_cloud_time_zone
        return UTC if name.upper() == "UTC" else ZoneInfo(name)

    @property
    def reread_ages(self) -> tuple[int, ...]:
        """Days, rising."""
        return tuple(sorted({int(age) for age in self.conversation_reread_days.split(",") if age.strip()}))

    @property
    def roads(self) -> tuple[str, ...]:
        return tuple(road.strip() for road in self.conversation_roads.split(",") if road.strip())

    def require_org(self) -> None:
        """
        Raises:
            SettingsError: what is needed to reach the org is missing.
        """
        if not self.salesforce_instance_url:
            raise _missing("SALESFORCE_INSTANCE_URL", "your My Domain URL, such as https://company.my.salesforce.com")
        if not self.salesforce_client_id:
            raise _missing("SALESFORCE_CLIENT_ID", "the consumer key of your External Client App")
        key_file = self.salesforce_jwt_key_file
        if key_file is None and not self.salesforce_client_secret.get_secret_value():
            raise _missing("SALESFORCE_CLIENT_SECRET", "the app's secret (or SALESFORCE_JWT_KEY_FILE for JWT bearer)")
        if key_file is not None and not key_file.is_file():
            raise SettingsError(f"SALESFORCE_JWT_KEY_FILE names {key_file}, which is no file: give the key's path")
        if key_file is not None and not self.salesforce_username:
            raise _missing("SALESFORCE_USERNAME", "the user that the JWT bearer flow acts as")

    def require_start_date(self) -> date:
        if self.conversation_start_date is None:
            raise _missing("CONVERSATION_START_DATE", "the first day to load, such as 2026-01-01")
        return self.conversation_start_date

    def execution_users(self) -> list[ExecutionUserSetting]:
        """
        Execution users of the Conversation Data API; empty where the org's own client serves.

        Raises:
            SettingsError: the list can not be read.
        """
        given = self.conversation_data_users.get_secret_value().strip()
        if not given:
            return []
        try:
            text = given if given.startswith("[") else Path(given).read_text()
            return [ExecutionUserSetting.model_validate(user) for user in json.loads(text)]
        except (OSError, ValueError, TypeError):
            raise SettingsError(
                'CONVERSATION_DATA_USERS is not read: give [{"client_id": "...", "client_secret": "..."}, ...] '
                "as JSON, or the path of a file that holds it"
            ) from None


def load_settings(**overrides: Any) -> Settings:
    """
    Settings from the environment and ``.env``.

    Raises:
        SettingsError: one sentence for each value that is wrong, without the value itself.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(dict(one)) for one in error.errors())) from None


def _missing(name: str, what: str) -> SettingsError:
    return SettingsError(f"{name} is not set: put {what} into the environment or into .env (see .env.example)")


def _sentence(error: dict[str, Any]) -> str:
    name = "_".join(str(part) for part in error["loc"]).upper()
    reason = str(error["msg"]).removeprefix("Value error, ")
    return f"{name} is wrong: {reason}" if name else reason
