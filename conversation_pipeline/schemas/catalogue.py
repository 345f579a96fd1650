"""Every dataset there is, in the order in which they are made."""

from __future__ import annotations

from conversation_pipeline.schemas.conversations import (
    CONVERSATION_ACTIVITY,
    CONVERSATION_ENTRIES,
    CONVERSATIONS,
    ENTRIES_CONVERSATION_DATA,
    MESSAGES,
    TRANSCRIPTS,
)
from conversation_pipeline.schemas.dataset import Dataset
from conversation_pipeline.schemas.messaging import MESSAGING_CHANNELS, MESSAGING_SESSIONS
from conversation_pipeline.schemas.people import USERS
from conversation_pipeline.schemas.voice import VOICE_CALLS

DATASETS: tuple[Dataset, ...] = (
    MESSAGING_SESSIONS,
    VOICE_CALLS,
    CONVERSATIONS,
    MESSAGING_CHANNELS,
    USERS,
    CONVERSATION_ACTIVITY,
    ENTRIES_CONVERSATION_DATA,
    CONVERSATION_ENTRIES,
    MESSAGES,
    TRANSCRIPTS,
)
