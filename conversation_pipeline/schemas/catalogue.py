"""Every dataset there is, in the order in which they are made."""

from __future__ import annotations

from conversation_pipeline.schemas.conversations import (
    CONVERSATION_ACTIVITY,
    CONVERSATION_API_LOG,
    CONVERSATION_ENTRIES,
    CONVERSATION_PARTICIPANTS,
    CONVERSATIONS,
    ENTRIES_ARCHIVE,
    ENTRIES_ARCHIVE_UNPLACED,
    ENTRIES_CONNECT,
    ENTRIES_CONVERSATION_DATA,
    ENTRIES_DATA_CLOUD,
    ENTRY_CONFLICTS,
    MESSAGES,
    TRANSCRIPT_ARCHIVES,
    TRANSCRIPTS,
)
from conversation_pipeline.schemas.coverage import ROAD_COVERAGE
from conversation_pipeline.schemas.dataset import Dataset
from conversation_pipeline.schemas.erasures import ERASURES
from conversation_pipeline.schemas.marts import AGENT_DAILY_KPIS, CHANNEL_DAILY_KPIS, QUEUE_DAILY_KPIS, SESSION_KPIS
from conversation_pipeline.schemas.messaging import (
    MESSAGING_CHANNELS,
    MESSAGING_DELIVERY_ERRORS,
    MESSAGING_END_USERS,
    MESSAGING_SESSION_METRICS,
    MESSAGING_SESSIONS,
)
from conversation_pipeline.schemas.people import AGENT_WORK, QUEUES, USERS
from conversation_pipeline.schemas.voice import VOICE_CALL_RECORDINGS, VOICE_CALLS

DATASETS: tuple[Dataset, ...] = (
    MESSAGING_SESSIONS,
    MESSAGING_SESSION_METRICS,
    MESSAGING_END_USERS,
    MESSAGING_DELIVERY_ERRORS,
    CONVERSATIONS,
    CONVERSATION_PARTICIPANTS,
    VOICE_CALLS,
    VOICE_CALL_RECORDINGS,
    AGENT_WORK,
    CONVERSATION_API_LOG,
    MESSAGING_CHANNELS,
    USERS,
    QUEUES,
    CONVERSATION_ACTIVITY,
    ENTRIES_CONVERSATION_DATA,
    ENTRIES_DATA_CLOUD,
    TRANSCRIPT_ARCHIVES,
    ENTRIES_ARCHIVE,
    ENTRIES_ARCHIVE_UNPLACED,
    ENTRIES_CONNECT,
    CONVERSATION_ENTRIES,
    ENTRY_CONFLICTS,
    MESSAGES,
    TRANSCRIPTS,
    SESSION_KPIS,
    AGENT_DAILY_KPIS,
    QUEUE_DAILY_KPIS,
    CHANNEL_DAILY_KPIS,
    ROAD_COVERAGE,
    ERASURES,
)
