"""
Every object of the simulated org, declared once: describe, SOQL and the bulk room derive from this table.

Names, types and lengths follow the Object Reference and the Field Reference of API v66 [doc]. Key prefixes that the
documentation does not tell are the simulator's own [assumed]; describe shows them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

NUMERIC = frozenset({"int", "double"})
TEXTUAL = frozenset({"string", "picklist", "textarea", "email", "phone", "url", "reference", "id"})


@dataclass(frozen=True, slots=True)
class Field:
    """
    One column of an object, in the terms of describe.

    `type` is a describe type (`id`, `reference`, `string`, `picklist`, `datetime`, `int`, ...); `length` counts
    characters, for `int` digits; `reference_to` names the objects a lookup may point at, more than one for a
    polymorphic one; `system` marks columns that nobody can set.
    """

    name: str
    type: str
    length: int = 0
    nillable: bool = True
    filterable: bool = True
    calculated: bool = False
    reference_to: tuple[str, ...] = ()
    relationship_name: str | None = None
    picklist: tuple[str, ...] = ()
    restricted: bool = False
    system: bool = False
    auto_number: bool = False
    id_lookup: bool = False

    @property
    def polymorphic(self) -> bool:
        """True when the lookup may point at records of several objects."""
        return len(self.reference_to) > 1


@dataclass(frozen=True, slots=True)
class SObject:
    """One object: its name, labels, key prefix, columns, and what the org can do with it."""

    name: str
    label: str
    key_prefix: str
    fields: tuple[Field, ...]
    replicateable: bool = True
    queryable: bool = True
    updateable: bool = True
    undeletable: bool = True
    name_field: str | None = "Name"

    def field(self, name: str) -> Field | None:
        """The column of that name, in any case of letters, or None."""
        wanted = name.lower()
        return next((field for field in self.fields if field.name.lower() == wanted), None)

    def relationship(self, name: str) -> Field | None:
        """The lookup whose relationship has that name, in any case of letters, or None."""
        wanted = name.lower()
        return next((f for f in self.fields if f.relationship_name and f.relationship_name.lower() == wanted), None)


def _text(name: str, length: int = 255, **more: Any) -> Field:
    return Field(name, "string", length, **more)


def _area(name: str, length: int, **more: Any) -> Field:
    return Field(name, "textarea", length, **{"filterable": False, **more})


def _pick(name: str, *values: str, length: int = 255, **more: Any) -> Field:
    return Field(name, "picklist", length, picklist=values, **more)


def _instant(name: str, **more: Any) -> Field:
    return Field(name, "datetime", **more)


def _whole(name: str, digits: int = 9, **more: Any) -> Field:
    return Field(name, "int", digits, **more)


def _number(name: str) -> Field:
    return Field(name, "double", 18)


def _flag(name: str, **more: Any) -> Field:
    return Field(name, "boolean", nillable=False, **more)


def _lookup(name: str, *targets: str, **more: Any) -> Field:
    relationship = name.removesuffix("Id") if name.endswith("Id") else None
    return Field(name, "reference", 18, reference_to=targets, relationship_name=relationship, **more)


def _auto(length: int = 255) -> Field:
    return Field("Name", "string", length, nillable=False, system=True, auto_number=True, id_lookup=True)


ID = Field("Id", "id", 18, nillable=False, system=True, id_lookup=True)
IS_DELETED = _flag("IsDeleted", system=True)
AUDIT = (
    _lookup("CreatedById", "User", nillable=False, system=True),
    _instant("CreatedDate", nillable=False, system=True),
    _lookup("LastModifiedById", "User", nillable=False, system=True),
    _instant("LastModifiedDate", nillable=False, system=True),
)
MODSTAMP = _instant("SystemModstamp", nillable=False, system=True)
VIEWED = (_instant("LastReferencedDate", system=True), _instant("LastViewedDate", system=True))

_CHANNEL_TYPES = (
    "Alexa", "AppleBusinessChat", "Custom", "EmbeddedMessaging", "Facebook", "GoogleHome", "Line", "Omega", "Phone",
    "Text", "Voice", "WeChat", "WebChat", "WhatsApp",
)  # fmt: skip
_MESSAGE_TYPES = ("AppleBusinessChat", "Custom", "EmbeddedMessaging", "Facebook", "Phone", "Text", "Voice", "WhatsApp")
_OWNER = _lookup("OwnerId", "Group", "User", nillable=False)
_USER_OWNER = _lookup("OwnerId", "User", nillable=False)

METRIC_TYPES = (
    "AgentMessageCount", "EndUserMessageCount", "AverageAgentResponseTime", "MaxAgentResponseTime",
    "AverageEndUserResponseTime", "MaxEndUserResponseTime",
)  # fmt: skip

SOBJECTS: dict[str, SObject] = {
    sobject.name: sobject
    for sobject in (
        SObject("MessagingSession", "Messaging Session", "0Mw", (
            ID, _OWNER, IS_DELETED, _auto(), *AUDIT, MODSTAMP, *VIEWED,
            _lookup("MessagingChannelId", "MessagingChannel", nillable=False),
            _lookup("MessagingEndUserId", "MessagingEndUser", nillable=False),
            _lookup("ConversationId", "Conversation"),
            _pick("Status", "New", "Active", "Waiting", "Ended", "Consent", "Paused", "Inactive", "Error"),
            _pick("Origin", "AgentInitiated", "ConversationClose", "ConversationControlLost", "Help",
                  "InboundInitiated", "OptIn", "OptOut", "TriggeredOutbound"),
            _pick("AgentType", "Agent", "Bot", "BotToAgent", "System"),
            _pick("ChannelType", *_CHANNEL_TYPES),
            _pick("EndedByType", "Agent", "Bot", "EndUser", "System"),
            _instant("StartTime"), _instant("AcceptTime"), _instant("EndTime"),
            _whole("AgentMessageCount", filterable=False), _whole("EndUserMessageCount", filterable=False),
            _lookup("TargetUserId", "User"), _lookup("CaseId", "Case"), _lookup("LeadId", "Lead"),
            _lookup("OpportunityId", "Opportunity"), _lookup("EndUserAccountId", "Account", calculated=True),
            _lookup("EndUserContactId", "Contact", calculated=True), _lookup("CampaignId", "Campaign"),
            _text("ChannelKey", 150), _text("ChannelName", 80), _text("ChannelGroup"), _text("ChannelIntent"),
            _text("ChannelLocale"), _text("ChannelEndUserFormula", 50, calculated=True),
            _pick("EndUserLanguage", "de", "en_US", "es"), _text("SessionKey", 36),
            _text("PreviewDetails", 255, filterable=False),
        )),
        SObject("MessagingSessionMetrics", "Messaging Session Metrics", "1Em", (
            ID, IS_DELETED, _auto(), *AUDIT, MODSTAMP,
            _lookup("MessagingSessionId", "MessagingSession", nillable=False),
            _pick("MessagingSessionMetricType", *METRIC_TYPES, restricted=True),
            _whole("MessagingSessionMetricValue"),
        ), updateable=False, undeletable=False),
        SObject("MessagingEndUser", "Messaging User", "0PA", (
            ID, _OWNER, IS_DELETED, _text("Name", nillable=False), *AUDIT, MODSTAMP, *VIEWED,
            _lookup("MessagingChannelId", "MessagingChannel", nillable=False),
            _text("MessagingPlatformKey", nillable=False), _pick("MessageType", *_MESSAGE_TYPES),
            _pick("MessagingConsentStatus", "DoublyOptedIn", "ExplicitlyOptedIn", "ImplicitlyOptedIn", "OptedOut"),
            _flag("IsFullyOptedIn", calculated=True), _flag("HasInitialResponseSent"),
            _lookup("AccountId", "Account"), _lookup("ContactId", "Contact"), _lookup("LeadId", "Lead"),
            _lookup("AuthenticatedEndUserId", "User"), _pick("Language", "de", "en_US", "es"),
            _text("Locale", 20), _text("IsoCountryCode", 2), Field("ProfilePictureUrl", "url", 255),
        )),
        SObject("MessagingChannel", "Messaging Channel", "0Mj", (
            ID, IS_DELETED, _text("DeveloperName", 80, nillable=False), _text("MasterLabel", 80, nillable=False),
            _pick("Language", "de", "en_US", "es", length=40), *AUDIT, MODSTAMP, _area("Description", 1000),
            _pick("MessageType", *_MESSAGE_TYPES, "PSTNVoice"), _text("MessagingPlatformKey", 150),
            _text("ChannelAddressIdentifier", 36), _pick("PlatformType", "Standard", "Enhanced"),
            _pick("RoutingType", "OmniQueue", "OmniSkills"),
            _pick("ConsentType", "ImplicitOptIn", "ExplicitOptIn", "DoubleOptIn"),
            _flag("IsActive"), _flag("IsRequireDoubleOptIn"), _flag("IsRestrictedToBusinessHours"),
            _flag("IsLinkedRecordOpenedAsSubTab"), _text("IsoCountryCode", 2), _pick("LinkingPreference"),
            _lookup("TargetQueueId", "Group"), _lookup("FallbackQueueId", "Group"),
            _lookup("BusinessHoursId", "BusinessHours"),
        ), replicateable=False, undeletable=False, name_field="DeveloperName"),
        SObject("MessagingDeliveryError", "Messaging Delivery Error", "0V1", (
            ID, _OWNER, IS_DELETED, _auto(), *AUDIT, MODSTAMP, _pick("Type", "Error", "Warning"),
            _text("CorrelationIdentifier", 36), _text("DestinationPhoneNumber", 64), _area("FailureReason", 65536),
            _area("FullMessage", 65536), _text("FlowEntity", 18), _lookup("MessagingChannelId", "MessagingChannel"),
            _lookup("MessagingEndUserId", "MessagingEndUser"), _lookup("MessagingTemplateId", "MessagingTemplate"),
        )),
        SObject("Conversation", "Conversation", "0dw", (
            ID, IS_DELETED, _auto(30), *AUDIT,
            Field("ConversationIdentifier", "string", 255, nillable=False, id_lookup=True),
            _lookup("ConversationChannelId", "CallCenter", "MessagingChannel"),
            _instant("StartTime"), _whole("StartTimeMilliSecs"), _instant("EndTime"), _whole("EndTimeMilliSecs"),
        ), replicateable=False, updateable=False, undeletable=False),
        SObject("ConversationParticipant", "Conversation Participant", "0dx", (
            ID, IS_DELETED, _auto(30), *AUDIT, _lookup("ConversationId", "Conversation"),
            _text("ParticipantRole", 36), _text("AppType"),
            _lookup("ParticipantEntityId", "Contact", "MessagingEndUser", "User"),
            Field("ParticipantKey", "string", 120, nillable=False, id_lookup=True),
            _text("ParticipantDisplayName"), _text("ParticipantContext"),
            _instant("JoinedTime", nillable=False), _whole("JoinedTimeMilliSecs"),
            _instant("LastActiveTime", nillable=False), _whole("LastActiveTimeMilliSecs"),
            _instant("LeftTime"), _whole("LeftTimeMilliSecs"),
        ), replicateable=False, updateable=False, undeletable=False),
        SObject("VoiceCall", "Voice Call", "0LQ", (
            ID, _OWNER, IS_DELETED, _auto(30), *AUDIT, MODSTAMP, *VIEWED,
            _pick("CallType", "Callback", "Consult", "Inbound", "InternalCall", "Outbound", "Transfer", length=40),
            _text("CallDisposition"), _pick("CallOrigin", "Preview", "Progressive", "Voicemail", length=40),
            _pick("CallSubtype", "PSTN", "WebRTC"), _instant("CallStartDateTime", nillable=False),
            _instant("CallEndDateTime", nillable=False), _instant("CallQueuedDateTime"),
            _instant("CallAcceptDateTime"), _instant("CallConnectDateTime"), _whole("CallDurationInSeconds", 8),
            _whole("CustomerHoldDuration"), _whole("LongestHoldDuration"), _whole("NumberOfHolds"),
            _whole("IvrDuration"), Field("FromPhoneNumber", "phone", 40), Field("ToPhoneNumber", "phone", 40),
            _lookup("ConversationId", "Conversation"), _lookup("CallerId", "ConversationParticipant"),
            _lookup("RecipientId", "ConversationParticipant"), _lookup("EndUserId", "MessagingEndUser"),
            _lookup("UserId", "User"), _lookup("RelatedRecordId", "Account", "Case", "Contact", "Lead", "Opportunity"),
            _lookup("CallCenterId", "CallCenter"), _lookup("PreviousCallId", "VoiceCall"),
            _lookup("NextCallId", "VoiceCall"), _lookup("CallRecordingId", "VoiceCallRecording"), _flag("IsRecorded"),
            _flag("IsDiarizationOptIn"), _text("QueueName"), _text("DisconnectReason"),
            _text("TranscribedLanguage", 10), _text("CallResolution"), _pick("SourceType", "Sales", "Service"),
            _pick("VendorType", "ContactCenter"), _text("VendorCallKey"), _text("VendorParentCallKey"),
            _number("AgentSentimentScore"), _number("CustomerSentimentScore"), _number("QualityScore"),
            _area("Description", 32000),
        ), undeletable=False),
        SObject("VoiceCallRecording", "Voice Call Recording", "0vr", (
            ID, _USER_OWNER, IS_DELETED, _text("Name", nillable=False), *AUDIT, MODSTAMP,
            _lookup("VoiceCallId", "VoiceCall", nillable=False), _lookup("MediaContentId", "ContentDocument"),
            _whole("DurationInSeconds", 8), _instant("UploadDateTime"), _flag("IsConsented"),
        )),
        SObject("AgentWork", "Agent Work", "0Bz", (
            ID, _OWNER, IS_DELETED, _auto(), *AUDIT, MODSTAMP,
            _lookup("WorkItemId", "Case", "MessagingSession", "VoiceCall", nillable=False),
            _lookup("UserId", "User"), _lookup("ServiceChannelId", "ServiceChannel"),
            _lookup("OriginalGroupId", "Group"), _lookup("TransferRequesterId", "User"),
            _lookup("BotId", "BotDefinition"), _pick("BotType", "Bot", "ExternalCopilot"),
            _pick("Status", "Assigned", "Opened", "Closed", "Declined", "DeclinedOnPushTimeout", "Canceled",
                  "Transferred", "Unavailable"),
            _instant("RequestDateTime"), _instant("AssignedDateTime"), _instant("AcceptDateTime"),
            _instant("CloseDateTime"), _instant("CancelDateTime"), _instant("DeclineDateTime"),
            _instant("AbandonedDateTime"), _instant("PushTimeoutDateTime"), _whole("SpeedToAnswer"),
            _whole("HandleTime"), _whole("ActiveTime"), _whole("AfterConversationActualTime"),
            _whole("AcwExtensionCount"), _whole("AcwExtensionDuration"), _whole("PushTimeout"),
            _text("DeclineReason", 200), _pick("RoutingModel", "ExternalRouting", "LeastActive", "MostAvailable"),
            _pick("RoutingType", "QueueBased", "SkillsBased"), _whole("RoutingPriority"),
            _pick("CapacityModel", "StatusBased", "TabBased"), _number("CapacityWeight"),
            _number("CapacityPercentage"), _flag("IsInterruptible"), _flag("IsPreferredUserRequired"),
            _flag("IsOwnerChangeInitiated"), _flag("IsStatusChangeInitiated"), _flag("ShouldSkipCapacityCheck"),
        ), updateable=False, undeletable=False),
        SObject("ConversationApiLog", "Conversation API Log", "1CL", (
            ID, _USER_OWNER, IS_DELETED, _auto(), *AUDIT, MODSTAMP, _pick("Action", "Delete"),
            _text("Operation", 100), _area("Parameter", 4000), _area("Context", 4000),
            _lookup("RequestedById", "User"), _instant("RequestedDate"), _text("RequestedEntityIdentifier", 15),
            _pick("RequestedEntityType", "MessagingEndUser", "Conversation"),
            _pick("Status", "Requested", "Enqueued", "InProgress", "Completed", "Failed"),
            _area("StatusHistory", 4000),
        ), updateable=False),
        SObject("User", "User", "005", (
            ID, Field("Name", "string", 121, nillable=False, system=True), *AUDIT, MODSTAMP,
            Field("Username", "string", 80, nillable=False, id_lookup=True), _text("Alias", 8),
            Field("Email", "email", 128, nillable=False), _text("FirstName", 40), _text("LastName", 80, nillable=False),
            _flag("IsActive"), _pick("UserType", "AutomatedProcess", "Standard"), _lookup("UserRoleId", "UserRole"),
            _lookup("ProfileId", "Profile", nillable=False), _lookup("ManagerId", "User"), _text("Department", 80),
            _text("Division", 80), _text("Title", 80), _pick("TimeZoneSidKey"), _pick("LocaleSidKey"),
            _pick("LanguageLocaleKey"), _text("FederationIdentifier", 512), _lookup("CallCenterId", "CallCenter"),
            _lookup("ContactId", "Contact"), _instant("LastLoginDate"),
        ), undeletable=False),
        SObject("Group", "Group", "00G", (
            ID, Field("Name", "string", 40, nillable=False), _text("DeveloperName", 80), *AUDIT, MODSTAMP,
            _pick("Type", "Queue", "Regular", "Role", length=40), _lookup("RelatedId", "User", "UserRole"),
            Field("Email", "email", 255), _lookup("OwnerId", "Organization", "User"),
            _lookup("QueueRoutingConfigId", "QueueRoutingConfig"), _flag("DoesIncludeBosses"),
            _flag("DoesSendEmailToMembers"), _area("Description", 1000),
        ), undeletable=False),
        SObject("Organization", "Organization", "00D", (
            ID, Field("Name", "string", 80, nillable=False), *AUDIT, MODSTAMP, _text("Country", 80),
            _pick("LanguageLocaleKey"), _pick("TimeZoneSidKey"), _text("OrganizationType", 40), _flag("IsSandbox"),
            _text("InstanceName", 5), _text("NamespacePrefix", 15),
        ), replicateable=False, undeletable=False),
    )
}  # fmt: skip

# What a path through a polymorphic lookup may ask for (the Name object of SOQL).
NAME_OBJECT = SObject("Name", "Name", "", (
    ID, _text("Name", 121), Field("Type", "picklist", 40), _text("Alias", 8), Field("Email", "email", 128),
    _text("FirstName", 40), _text("LastName", 80), _text("Username", 80), _flag("IsActive"), _text("Title", 80),
))  # fmt: skip

PREFIXES: dict[str, str] = {sobject.key_prefix: sobject.name for sobject in SOBJECTS.values()}

# Objects that records point at and that this org does not show: only their ids occur.
POINTED_AT = {
    "Case": "500", "Contact": "003", "Account": "001", "CallCenter": "04v", "BotDefinition": "0Xx",
    "ServiceChannel": "0N9", "PendingServiceRouting": "0JR", "Profile": "00e", "QueueRoutingConfig": "0K9",
}  # fmt: skip


def without(sobject: SObject, hidden: frozenset[str]) -> SObject:
    """The object as a user sees it from whom field-level security hides the columns `hidden`."""
    return replace(sobject, fields=tuple(field for field in sobject.fields if field.name not in hidden))
