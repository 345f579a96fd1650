"""
The objects of Data Cloud, declared once: tables, metadata and lake objects derive from this (Data Cloud, section 2).

Names are business names; `Spelling` makes API names of them. Which columns there are, and which of them the CRM
connector fills, is the published mapping [doc]; types without one are by name [assumed].
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

TEXT, NUMBER, DATETIME, DATE, BOOLEAN = "TEXT", "NUMBER", "DATETIME", "DATE", "BOOLEAN"
ARROW = {
    TEXT: pa.string(),
    NUMBER: pa.decimal128(38, 18),
    DATETIME: pa.timestamp("ms", "UTC"),
    DATE: pa.date32(),
    BOOLEAN: pa.bool_(),
}
METADATA = {TEXT: "STRING", NUMBER: "NUMBER", DATETIME: "DATE_TIME", DATE: "DATE_TIME", BOOLEAN: "BOOLEAN"}
"""What the metadata service calls the types [doc]."""


@dataclass(frozen=True, slots=True)
class Column:
    """
    One column of a data model object.

    Attributes:
      name: the business name, such as `ClientDateTime`.
      type: TEXT, NUMBER, DATETIME or BOOLEAN.
      source: the column of the lake object that it is mapped from, without suffix; None if it is mapped from none.
      source_type: that column's own type where it is another.
    """

    name: str
    type: str = TEXT
    source: str | None = None
    source_type: str | None = None


@dataclass(frozen=True, slots=True)
class DataObject:
    """
    A data model object (DMO) with the lake object (DLO) that feeds it.

    Attributes:
      name: the business name of the DMO, such as `ConversationEntry`.
      label: how people call it.
      stream: the data stream's object, which names the DLO.
      category: Profile, Engagement or Related.
      columns: without key qualifier and lineage, which every object has.
      links: column to the object whose Id it holds.
    """

    name: str
    label: str
    stream: str
    category: str
    columns: tuple[Column, ...]
    links: tuple[tuple[str, str], ...] = ()

    @property
    def every_column(self) -> tuple[Column, ...]:
        """All columns of the DMO, key qualifier and lineage included."""
        return self.columns + LINEAGE


KEY_QUALIFIER = "KQ_Id"
CURRENCY = "cdp_sys_record_currency"
LINEAGE = (
    Column("DataSourceId", source="DataSource"), Column("DataSourceObjectId", source="DataSourceObject"),
    Column("InternalOrganizationId", source="InternalOrganization"), Column(CURRENCY),
    Column(KEY_QUALIFIER, source=KEY_QUALIFIER),
)  # fmt: skip


def _text(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, TEXT, name) for name in names)


def _unmapped(*names: str, kind: str = TEXT) -> tuple[Column, ...]:
    return tuple(Column(name, kind) for name in names)


def _instants(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, DATETIME, name) for name in names)


AUDIT = (
    *_text("CreatedById"), *_instants("CreatedDate"), *_text("LastModifiedById"),
    *_instants("LastModifiedDate", "SystemModstamp"),
)  # fmt: skip

OBJECTS: dict[str, DataObject] = {
    declared.name: declared
    for declared in (
        DataObject("ConversationEntry", "Conversation Entry", "ConversationEntry", "Engagement", (
            *_text("Id", "ExternalRecordId", "ConversationId"),
            *_instants("ClientDateTime", "TranscriptedDateTime", "CreatedDate", "LastModifiedDate"),
            *_text("ConversationEntrySequenceNumber"), Column("SequenceNumber", NUMBER, "SequenceNumber"),
            *_text("ConversationEntryStatus", "ConversationEntryType", "ConversationEntryVisibilityType",
                   "EngagementParticipantId", "PayloadText", "Language", "Modality"),
            Column("DurationSecondsCount", NUMBER, "DurationSecondsCount"),
            Column("IsExternallyVisible", BOOLEAN, "IsExternallyVisible"),
            *_text("ParentEntryId", "SourceId", "SourceObject", "VersionNumber", "DataSourceApplicationName"),
        ), (("EngagementParticipantId", "EngagementChannelParticipant"), ("ConversationId", "Conversation"),
            ("SourceId", "VoiceCall"), ("ParentEntryId", "ConversationEntry"))),
        DataObject("Conversation", "Conversation", "Conversation", "Related", (
            *_text("Id"), Column("ExternalRecordId", TEXT, "ConversationIdentifier"), *_unmapped("ConversationState"),
            Column("StartDateTime", DATETIME, "StartTime", TEXT), Column("EndDateTime", DATETIME, "EndTime"),
            *_unmapped("ConversationExpirationDateTime", kind=DATETIME), *AUDIT,
            *_unmapped("IsUserInitiated", kind=BOOLEAN),
            *_unmapped("MessageDeliveryShortCodeText", "NameInterfaceField"),
        )),
        DataObject("EngagementChannelParticipant", "Engagement Channel Participant", "ConversationParticipant",
                   "Related", (
            *_text("Id", "ConversationId"), Column("ExternalRecordId", TEXT, "Uuid"),
            *_text("ParticipantDisplayName"), Column("JoinedDateTime", DATETIME, "JoinedTime"),
            Column("LeftDateTime", DATETIME, "LeftTime"), *AUDIT,
            *_unmapped("ParticipantId", "ParticipantObject", "EngagementParticipantAppRoleId",
                       "EngagementParticipantRole", "AccountId", "ContactPointId", "ContactPointObject", "Description",
                       "EngagementChannelId", "MessagingSessionId"),
            *_unmapped("IsMessageEchoDisabled", "IsOrganizer", kind=BOOLEAN),
            *_unmapped("NotificationDelaySecondsQuantity", kind=NUMBER),
        ), (("ConversationId", "Conversation"),
            ("EngagementParticipantAppRoleId", "EngagementParticipantAppRole"))),
        DataObject("EngagementParticipantAppRole", "Engagement Participant App Role", "Participant", "Related", (
            *_text("Id"), Column("SoftwareApplication", TEXT, "ParticipantAppType"),
            Column("EngagementParticipantRole", TEXT, "ParticipantRole"),
            Column("SubjectName", TEXT, "ParticipantSubject"), *_unmapped("ParticipantId", "ParticipantObject"),
            *_unmapped("SystemModstamp", kind=DATETIME),
        )),
        DataObject("MessagingSession", "Messaging Session", "MessagingSession", "Engagement", (
            *_text("Id", "ConversationId"), Column("AcceptedDateTime", DATETIME, "AcceptTime"),
            Column("MessagingSessionStartTime", DATETIME, "StartTime"),
            Column("MessagingSessionEndTime", DATETIME, "EndTime"), Column("MessagingSessionStatus", TEXT, "Status"),
            *_text("Origin", "OwnerId"), Column("EngagementChannelId", TEXT, "MessagingChannelId"),
            Column("EngagementChannelType", TEXT, "ChannelType"), *_unmapped("AgentType"),
            Column("PreviewDetailsText", TEXT, "PreviewDetails"),
            Column("LastReferencedDateTime", DATETIME, "LastReferencedDate"),
            Column("LastViewedDateTime", DATETIME, "LastViewedDate"), *_unmapped("SoftwareApplicationId"),
        ), (("ConversationId", "Conversation"),)),
        DataObject("VoiceCall", "Voice Call", "VoiceCall", "Engagement", (
            *_text("Id", "ConversationId"), *_instants("CallStartDateTime", "CallEndDateTime"),
            Column("CallDurationInSeconds", NUMBER, "CallDurationInSeconds"), *_text("CallType", "OwnerId"),
            *_instants("CreatedDate", "LastModifiedDate", "SystemModstamp"),
        ), (("ConversationId", "Conversation"),)),
    )
}  # fmt: skip

LAKE_ONLY = {"cdp_sys_PartitionDate__c": DATE, "cdp_sys_SourceVersion__c": TEXT}
"""System columns of lake objects alone; empty here."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """How API names are made: the `ssot__` prefix of today, or the `std__` names of older pages [doc]."""

    older: bool = False

    def model_object(self, name: str) -> str:
        """The DMO's API name."""
        return f"std__{name}Dmo__dlm" if self.older else f"ssot__{name}__dlm"

    def column(self, name: str) -> str:
        """The API name of a DMO's column."""
        if name in (KEY_QUALIFIER, CURRENCY):
            return f"{name}__c"
        return f"{'std' if self.older else 'ssot'}__{name}__c"


def lake_object(declared: DataObject) -> str:
    """The DLO's API name; the suffix of the connection is the simulator's own [assumed]."""
    return f"{declared.stream}_Home__dll"


def lake_columns(declared: DataObject) -> dict[str, Column]:
    """Column of the DLO, with its suffix, to the DMO's column that is mapped from it."""
    return {f"{column.source}__c": column for column in declared.every_column if column.source}
