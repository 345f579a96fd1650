"""
Conversations: the on-platform record, the work list of the entry roads, entries, messages and transcripts.

Sources: Field Reference v66, Conversation; ConversationEntry payload schema 0.0.2 for everything about entries.
"""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from conversation_pipeline.schemas.dataset import LONGEST_SESSION_DAYS, Dataset, Group, Reference
from conversation_pipeline.schemas.fields import INSTANT, Field, flag, instant, record_id, text, whole_number

CONVERSATIONS = Dataset(
    name="conversations",
    grain="One row per conversation; it may hold many sessions over months, or several calls.",
    group=Group.ON_PLATFORM,
    key=("id",),
    partition_by="created_date",
    sobject="Conversation",
    cursor_field="LastModifiedDate",  # the object has no SystemModstamp
    fields=(
        record_id(),
        text("ConversationIdentifier", "Identifier of the conversation on every entry road."),
        text("Name", "Autonumber."),
        record_id("ConversationChannelId", "Messaging channel or call center."),
        instant("StartTime", "When it began, whole seconds."),
        whole_number("StartTimeMilliSecs", "Milliseconds to add to the start."),
        instant("EndTime", "When it ended, whole seconds; null while it is open."),
        whole_number("EndTimeMilliSecs", "Milliseconds to add to the end."),
        flag("IsDeleted", "True once soft-deleted."),
        instant("CreatedDate", "Creation; its UTC day is the partition."),
        record_id("CreatedById", "User who created the record."),
        instant("LastModifiedDate", "Last change."),
        record_id("LastModifiedById", "User who last changed the record."),
    ),
)


CONVERSATION_PARTICIPANTS = Dataset(
    name="conversation_participants",
    grain="One row each time someone joined a conversation; one agent may have several.",
    group=Group.ON_PLATFORM,
    key=("id",),
    partition_by="created_date",
    sobject="ConversationParticipant",
    cursor_field="LastModifiedDate",  # the object has no SystemModstamp
    fields=(
        record_id(),
        text("Name", "Autonumber."),
        record_id("ConversationId", "Conversation that was joined."),
        text("ParticipantRole", "Agent, EndUser, Chatbot, Supervisor, ...; the list is open."),
        text("AppType", "messaging, chatbot, agent, ..."),
        record_id("ParticipantEntityId", "User, contact or messaging end user behind the participant."),
        text("ParticipantKey", "Who entries name as their sender's subject."),
        text("ParticipantDisplayName", "Name that the others saw."),
        text("ParticipantContext", "Context of the channel, such as a page."),
        instant("JoinedTime", "When they joined, whole seconds."),
        whole_number("JoinedTimeMilliSecs", "Milliseconds to add to it."),
        instant("LastActiveTime", "When they were last active, whole seconds."),
        whole_number("LastActiveTimeMilliSecs", "Milliseconds to add to it."),
        instant("LeftTime", "When they left, whole seconds; null while they take part."),
        whole_number("LeftTimeMilliSecs", "Milliseconds to add to it."),
        flag("IsDeleted", "True once soft-deleted."),
        instant("CreatedDate", "Creation; its UTC day is the partition."),
        instant("LastModifiedDate", "Last change."),
    ),
    references=(Reference("conversation_id", ("conversations",)),),
)

CONVERSATION_API_LOG = Dataset(
    name="conversation_api_log",
    grain="One row per deletion asked for through the conversation APIs: the feed of erasures.",
    group=Group.ON_PLATFORM,
    key=("id",),
    partition_by="created_date",
    sobject="ConversationApiLog",
    cursor_field="SystemModstamp",
    fields=(
        record_id(),
        text("Name", "Autonumber."),
        text("Action", "Delete."),
        text("Operation", "Operation that was asked for."),
        text("RequestedEntityType", "MessagingEndUser."),
        record_id("RequestedEntityIdentifier", "Record to erase; Salesforce keeps 15 characters of it."),
        record_id("RequestedById", "User who asked."),
        instant("RequestedDate", "When it was asked for."),
        text("Status", "Requested, Enqueued, InProgress, Completed or Failed."),
        text("StatusHistory", "Earlier states."),
        record_id("OwnerId", "Owner of the record."),
        flag("IsDeleted", "True once soft-deleted."),
        instant("CreatedDate", "Creation; its UTC day is the partition."),
        instant("LastModifiedDate", "Last change by a user."),
        instant("SystemModstamp", "Last change by a user or by automation."),
    ),
)


def _key(name: str, meaning: str) -> Field:
    return Field(name, pa.string(), meaning, required=True)


def _text(name: str, meaning: str) -> Field:
    return Field(name, pa.string(), meaning)


def _instant(name: str, meaning: str) -> Field:
    return Field(name, INSTANT, meaning)


CONVERSATION_ACTIVITY = Dataset(
    name="conversation_activity",
    grain="One row per UTC day and conversation that had a messaging session or an ended voice call on that day.",
    group=Group.OFF_PLATFORM,
    key=("conversation_identifier",),
    partition_by="activity_date",
    fields=(
        _key("conversation_identifier", "Conversation to ask the entry roads for."),
        Field("activity_date", INSTANT, "Midnight UTC at which the day begins.", required=True),
        _text("conversation_id", "Record id of the conversation."),
        _text("modality", "Messaging, Voice, or both joined by a plus."),
        _text("channel_type", "EmbeddedMessaging, WhatsApp, Text, ...; Voice for calls."),
        _text("channel_name", "Name of the channel; the queue for calls."),
        _text("owner_name", "Agent who owned the latest session or call of the day."),
        Field("messaging_session_ids", pa.list_(pa.string()), "Sessions that overlap the day."),
        Field("voice_call_ids", pa.list_(pa.string()), "Ended calls that overlap the day."),
        _instant("first_activity", "Earliest start among them."),
        _instant("last_activity", "Latest end among them; null while one is still open."),
        _instant("changed_at", "Latest change to any of their records."),
        _instant("settled_at", "From when on the day's entries of this conversation no longer move."),
        Field("is_live", pa.bool_(), "True while entries may come without any change to a record: open, not inactive."),
    ),
    version=2,
    references=(Reference("conversation_identifier", ("conversations",), to_column="conversation_identifier"),),
)

OPTION = pa.struct([("option_identifier", pa.string()), ("title", pa.string())])
ATTACHMENT = pa.struct([("id", pa.string()), ("name", pa.string()), ("mime_type", pa.string()), ("url", pa.string())])
LINK = pa.struct([("title", pa.string()), ("url", pa.string())])

_ENTRY_FIELDS = (
    _key("conversation_identifier", "Conversation that the entry belongs to."),
    _key("entry_identifier", "Identifier of the entry; the same on every road."),
    _text("entry_type", "Message, ParticipantChanged, RoutingResult, ...; unknown ones are kept."),
    _text("message_type", "StaticContentMessage, ChoicesMessage, ...; null for entries that are no message."),
    _text("format_type", "Text, Attachments, RichLink, Buttons, ...; null for entries that are no message."),
    _text("text", "What a person reads, as far as the payload tells it."),
    _text("sender_role", "EndUser, Agent, Chatbot, Supervisor, System or Router."),
    _text("sender_app_type", "messaging, iamessage, agent, chatbot, telephony_integration, ..."),
    _text("sender_subject", "Who sent it, as the service names them; not a record id for end users."),
    _text("sender_display_name", "Name of the sender, where known."),
    _instant("client_timestamp", "When the sender's device made it; not in order."),
    Field("transcripted_timestamp", INSTANT, "When the server received it; orders a conversation.", required=True),
    Field("client_duration_ms", pa.int64(), "Length of an utterance, milliseconds; 0 for text."),
    _text("modality", "Messaging or Voice."),
    _text("visibility", "Default, or Internal for what the end user never sees."),
    Field("related_records", pa.list_(pa.string()), "18-character ids of sessions and calls, or entry identifiers."),
    _text("messaging_session_id", "Session that the entry belongs to."),
    _text("voice_call_id", "Call that the entry belongs to."),
    _text("in_reply_to_entry_identifier", "Entry that this one answers."),
    Field("options", pa.list_(OPTION), "Choices that were offered."),
    Field("selected_options", pa.list_(OPTION), "Choices that were taken."),
    Field("attachments", pa.list_(ATTACHMENT), "Files, by reference."),
    Field("links", pa.list_(LINK), "Links shown."),
    _text("payload", "The payload's JSON, untouched."),
    _text("road", "Road that this row was read from."),
)
_FETCHED_AT = _instant("fetched_at", "When the road was read.")

ENTRIES_CONVERSATION_DATA = Dataset(
    name="entries_conversation_data",
    grain="One row per conversation entry, as the Conversation Data API told it.",
    group=Group.OFF_PLATFORM,
    key=("conversation_identifier", "entry_identifier"),
    partition_by="transcripted_timestamp",
    fields=(*_ENTRY_FIELDS, _FETCHED_AT),
    references=(Reference("conversation_identifier", ("conversations",), to_column="conversation_identifier"),),
    source="Conversation Data API, `GET /conversation-entries`",
)

ENTRIES_CONNECT = Dataset(
    name="entries_connect",
    grain="One row per conversation entry, as the Connect REST API told it: text only, without payloads.",
    group=Group.OFF_PLATFORM,
    key=("conversation_identifier", "entry_identifier"),
    partition_by="transcripted_timestamp",
    fields=(*_ENTRY_FIELDS, _FETCHED_AT),
    references=(Reference("conversation_identifier", ("conversations",), to_column="conversation_identifier"),),
    source="Connect REST API, `GET /connect/conversation/{conversationIdentifier}/entries`",
)

_ARCHIVE_FIELDS = (
    _text("conversation_id", "Record id of the conversation, where the archive tells it."),
    _text("archive", "Name of the archive that it was read from."),
    _text("extra", "JSON object of the archive's columns that have no place here."),
)

ENTRIES_ARCHIVE = Dataset(
    name="entries_archive",
    grain="One row per conversation entry, as the newest export archive that has it told it.",
    group=Group.OFF_PLATFORM,
    key=("conversation_identifier", "entry_identifier"),
    partition_by="transcripted_timestamp",
    fields=(
        *_ENTRY_FIELDS,
        _FETCHED_AT,
        *_ARCHIVE_FIELDS,
        _instant("missing_since", "When the first complete archive was taken that does not have it any more."),
    ),
    references=(Reference("conversation_identifier", ("conversations",), to_column="conversation_identifier"),),
    source="transcript export archives in `CONVERSATION_ARCHIVES`",
)

ENTRIES_ARCHIVE_UNPLACED = Dataset(
    name="entries_archive_unplaced",
    grain="One row per row of an export archive that has no day or no conversation here, and so is not united.",
    group=Group.OFF_PLATFORM,
    key=("archive", "member", "member_row"),
    fields=(
        _key("archive", "Name of the archive that it was read from."),
        _key("member", "File in the archive."),
        Field("member_row", pa.int64(), "Which row of that file, counted from 1.", required=True),
        _text("reason", "What it lacks."),
        *(replace(field, required=False) for field in _ENTRY_FIELDS),
        _FETCHED_AT,
        *(field for field in _ARCHIVE_FIELDS if field.name != "archive"),
    ),
    source="transcript export archives in `CONVERSATION_ARCHIVES`",
)

MEMBER = pa.struct(
    [
        ("name", pa.string()),
        ("outcome", pa.string()),
        ("sha256", pa.string()),
        ("bytes", pa.int64()),
        ("format", pa.string()),
        ("encoding", pa.string()),
        ("rows", pa.int64()),
        ("quarantined_rows", pa.list_(pa.struct([("reason", pa.string()), ("rows", pa.int64())]))),
        ("reason", pa.string()),
    ]
)

TRANSCRIPT_ARCHIVES = Dataset(
    name="transcript_archives",
    grain="One row per file of an export archive that was landed: what was found in it and what became of it.",
    group=Group.OFF_PLATFORM,
    key=("archive", "sha256"),
    fields=(
        _key("archive", "Name of the file."),
        _key("sha256", "Its identity: the same content is landed once, whatever it is called."),
        _text("archive_set", "What the parts of the same export have in common."),
        Field("bytes", pa.int64(), "Size of the file."),
        _instant("snapshot_at", "When its content was taken: by its manifest, its name or its time of change."),
        _instant("landed_at", "When it was landed."),
        Field("is_complete", pa.bool_(), "Whether every part was there and was read, by the manifests; null without."),
        Field("rows", pa.int64(), "Entries that were read."),
        Field("rows_quarantined", pa.int64(), "Rows that were not."),
        Field("members_quarantined", pa.int64(), "Files in it that were not read, or not to their end."),
        Field("members", pa.list_(MEMBER), "Files in it."),
        _text("reason", "Why the whole of it was not read."),
        _text("run_id", "Run that landed it."),
        Field("rows_of_erased", pa.int64(), "Rows of erased people in it that were left out."),
    ),
    version=2,
    source="transcript export archives in `CONVERSATION_ARCHIVES`",
)

ENTRIES_DATA_CLOUD = Dataset(
    name="entries_data_cloud",
    grain="One row per conversation entry, as Data Cloud told it: in bulk, about an hour after it was made.",
    group=Group.OFF_PLATFORM,
    key=("conversation_identifier", "entry_identifier"),
    partition_by="transcripted_timestamp",
    fields=(*_ENTRY_FIELDS, _FETCHED_AT),
    references=(Reference("conversation_identifier", ("conversations",), to_column="conversation_identifier"),),
    source="Data Cloud, conversation entry objects",
)

CONVERSATION_ENTRIES = Dataset(
    name="conversation_entries",
    grain="One row per conversation entry, each entry once, whichever roads told it.",
    group=Group.CONVERSATIONS,
    key=("conversation_identifier", "entry_identifier"),
    partition_by="transcripted_timestamp",
    fields=(*_ENTRY_FIELDS, Field("roads_seen", pa.list_(pa.string()), "Roads that told it."), _FETCHED_AT),
    references=(
        Reference("conversation_identifier", ("conversations",), to_column="conversation_identifier"),
        Reference("messaging_session_id", ("messaging_sessions",), created_within=LONGEST_SESSION_DAYS),
        Reference("voice_call_id", ("voice_calls",), created_within=LONGEST_SESSION_DAYS),
    ),
)

FULLEST_FIRST = ("conversation_data", "data_cloud", "archive", "connect")
"""Entry roads in the order in which they are believed: of one entry the fuller road's telling is shown."""

ENTRY_CONFLICTS = Dataset(
    name="entry_conflicts",
    grain="One row per entry, road and column where that road told otherwise than what is shown.",
    group=Group.CONVERSATIONS,
    key=("conversation_identifier", "entry_identifier", "road", "column_name"),
    partition_by="transcripted_timestamp",
    fields=(
        _key("conversation_identifier", "Conversation that the entry belongs to."),
        _key("entry_identifier", "Entry, as conversation_entries knows it."),
        _key("road", "Road that told otherwise."),
        _key("column_name", "Column of conversation_entries in which they differ."),
        Field("transcripted_timestamp", INSTANT, "When the server received the entry that is shown.", required=True),
        _text("told", "What that road told, as text."),
        _text("shown", "What is shown, as text."),
        _text("shown_road", "Road that told what is shown."),
        _instant("fetched_at", "When the road that told otherwise was read."),
        _instant(
            "shown_fetched_at", "When the road that told what is shown was read; later, where a poorer road has it."
        ),
    ),
)

MESSAGES = Dataset(
    name="messages",
    grain="One row per entry that a person reads, as text.",
    group=Group.CONVERSATIONS,
    key=("conversation_identifier", "entry_identifier"),
    partition_by="sent_at",
    fields=(
        _key("conversation_identifier", "Conversation that the message belongs to."),
        _key("entry_identifier", "Entry behind the message."),
        Field("sent_at", INSTANT, "When the server received it.", required=True),
        _text("messaging_session_id", "Session that the message belongs to."),
        _text("voice_call_id", "Call that the message belongs to."),
        _text("sender_role", "EndUser, Agent, Chatbot, DigitalWorker (a bot as well), Supervisor, System or Router."),
        _text("sender_name", "Who said it, as a reader would name them."),
        _text(
            "text",
            "What was said or shown, choices, files and links included; what has no words is named, in brackets.",
        ),
        _text("kind", "text, choices, selection, form, attachment, link, template, note, ..."),
        _text("modality", "Messaging or Voice."),
        Field(
            "is_internal",
            pa.bool_(),
            "True for whispers and notes that the end user never sees; Connect and some archives do not tell it.",
        ),
        _text("in_reply_to_entry_identifier", "Message that this one answers."),
    ),
    references=(
        Reference("conversation_identifier", ("conversations",), to_column="conversation_identifier"),
        Reference("messaging_session_id", ("messaging_sessions",), created_within=LONGEST_SESSION_DAYS),
        Reference("voice_call_id", ("voice_calls",), created_within=LONGEST_SESSION_DAYS),
    ),
)

TURN = pa.struct(
    [
        ("sent_at", INSTANT),
        ("sender_role", pa.string()),
        ("sender_name", pa.string()),
        ("text", pa.string()),
        ("is_internal", pa.bool_()),
        ("entry_identifier", pa.string()),
    ]
)

TRANSCRIPTS = Dataset(
    name="transcripts",
    grain="One row per messaging session or voice call: what was said, in order.",
    group=Group.CONVERSATIONS,
    key=("interaction_id",),
    partition_by="created_date",
    fields=(
        _key("interaction_id", "Id of the messaging session or voice call."),
        _text("interaction_type", "MessagingSession or VoiceCall."),
        _text("conversation_identifier", "Conversation that it belongs to."),
        _text("channel_type", "EmbeddedMessaging, WhatsApp, Text, ...; Voice for calls."),
        _text("channel_name", "Name of the channel; the queue for calls."),
        _text("agent_name", "Agent or queue that owns it."),
        Field("created_date", INSTANT, "Creation of the session or call; its UTC day is the partition.", required=True),
        _instant("started_at", "When it began."),
        _instant("ended_at", "When it ended; null while it is open."),
        Field("message_count", pa.int64(), "Messages that the end user could see."),
        Field("turns", pa.list_(TURN), "What was said, in order."),
        _text("transcript", "The same as plain text, one line a turn: when, who, as what, and whether internal."),
    ),
    references=(Reference("interaction_id", ("messaging_sessions", "voice_calls"), created_within=0),),
)
