"""
Which objects and columns hold the entries in this org, by metadata.

Names have changed over the years and differ by how an org was set up (Data Cloud reference 2.1), so each business name
is looked for in the spellings known, and a setting may give another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from conversation_pipeline.salesforce.data_cloud import DataCloud
from conversation_pipeline.salesforce.errors import FieldUnavailable, ObjectUnavailable

ENTRY = "ConversationEntry"
CONVERSATION = "Conversation"
SESSION = "MessagingSession"
PARTICIPANT = "EngagementChannelParticipant"
APP_ROLE = "EngagementParticipantAppRole"

KEY_QUALIFIER = "KQ_Id"

_OBJECT_SPELLINGS = ("ssot__{}__dlm", "std__{}Dmo__dlm", "std__{}__dlm")
_COLUMN_SPELLINGS = ("ssot__{}__c", "std__{}__c", "{}__c")

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    ENTRY: (
        "Id",
        "ExternalRecordId",
        "ConversationId",
        "ClientDateTime",
        "TranscriptedDateTime",
        "CreatedDate",
        "LastModifiedDate",
        "ConversationEntryType",
        "ConversationEntryVisibilityType",
        "EngagementParticipantId",
        "PayloadText",
        "Modality",
        "DurationSecondsCount",
        "ParentEntryId",
        "SourceId",
        "SourceObject",
        KEY_QUALIFIER,
    ),
    CONVERSATION: ("Id", "ExternalRecordId", KEY_QUALIFIER),
    SESSION: ("Id", "ConversationId", KEY_QUALIFIER),
    PARTICIPANT: (
        "Id",
        "ParticipantDisplayName",
        "EngagementParticipantRole",
        "EngagementParticipantAppRoleId",
        KEY_QUALIFIER,
    ),
    APP_ROLE: ("Id", "SoftwareApplication", "EngagementParticipantRole", "SubjectName", KEY_QUALIFIER),
}
_NEEDED = {ENTRY: ("Id", "ConversationId", "CreatedDate"), SESSION: ("Id", "ConversationId")}


@dataclass(frozen=True)
class Table:
    """
    An object as this user sees it.

    Attributes:
        name: Its API name.
        columns: API names of the columns that are there, by business name.
    """

    name: str
    columns: Mapping[str, str]


@dataclass(frozen=True)
class Objects:
    """
    The objects that are there, by business name; the entries' always is.

    Attributes:
        missing: Business names of what is not there, ``Object`` or ``Object.Column``; their columns stay null.
        zone: The time zone whose wall time its instants are, however they are labelled; UTC where all is well.
    """

    tables: Mapping[str, Table]
    missing: tuple[str, ...]
    zone: tzinfo = UTC

    def utc(self, told: datetime) -> datetime:
        """An instant as it was told, in UTC."""
        return told.astimezone(UTC).replace(tzinfo=self.zone).astimezone(UTC)

    def column(self, table: str, column: str) -> str | None:
        """API name of a column, if it is there."""
        return self.tables[table].columns.get(column) if table in self.tables else None


def discover(client: DataCloud[Any], names: Mapping[str, str], zone: tzinfo = UTC) -> Objects:
    """
    Args:
        names: API names by business name, ``ConversationEntry`` or ``ConversationEntry.PayloadText``, where an org has
            its own.
        zone: See ``Objects``.

    Raises:
        ObjectUnavailable: there is no object of entries: the road is not there, which is not the same as no rows.
        FieldUnavailable: the entries have no id, conversation or creation.
    """
    tables, missing = {}, []
    for business in _COLUMNS:
        table = _table(client, business, names)
        if table is None:
            missing.append(business)
            continue
        tables[business] = table
        missing += [f"{business}.{column}" for column in _COLUMNS[business] if column not in table.columns]
    if ENTRY not in tables:
        raise ObjectUnavailable(
            "Data Cloud has no object of conversation entries for this user: switch on transcripts in Data Cloud and "
            "deploy the data streams of the Digital Engagement bundle, or name the object in "
            'CONVERSATION_DATA_CLOUD_NAMES, such as {"ConversationEntry": "ssot__ConversationEntry__dlm"}'
        )
    lacking = [column for column in _NEEDED[ENTRY] if column not in tables[ENTRY].columns]
    if lacking:
        raise FieldUnavailable(
            f"{tables[ENTRY].name} shows this user no {', '.join(lacking)}: grant the columns in Data Cloud's "
            "governance policies, or name them in CONVERSATION_DATA_CLOUD_NAMES"
        )
    return Objects(tables, tuple(missing), zone)


def _table(client: DataCloud[Any], business: str, names: Mapping[str, str]) -> Table | None:
    spellings = (
        [names[business]] if business in names else [spelling.format(business) for spelling in _OBJECT_SPELLINGS]
    )
    for name in spellings:
        try:
            there = set(client.columns(name))
        except ObjectUnavailable:
            continue
        columns = {}
        for column in _COLUMNS[business]:
            own = names.get(f"{business}.{column}")
            candidates = [own] if own else [spelling.format(column) for spelling in _COLUMN_SPELLINGS]
            found = next((candidate for candidate in candidates if candidate in there), None)
            if found is not None:
                columns[column] = found
        return Table(name, columns)
    return None
