"""The roads that are asked conversation by conversation, each with its dataset and its client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from conversation_pipeline.defs.resources import Org
from conversation_pipeline.extract import entry_roads
from conversation_pipeline.extract.entry_roads import EntryClient
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.conversations import ENTRIES_CONNECT, ENTRIES_CONVERSATION_DATA

DAYS_A_RUN = 7
"""A run asks for a conversation once, however many of its days it spans."""


@dataclass(frozen=True)
class EntryRoad:
    """
    Attributes:
        name: As ``CONVERSATION_ROADS`` and the column ``road`` write it.
        api: What Salesforce calls it.
        requests_a_conversation: As a rule; long conversations take more.
        look_at: Settings and places to check when it knows none of the org's conversations.
    """

    name: str
    api: str
    dataset: Dataset
    client: Callable[[Org], EntryClient]
    requests_a_conversation: int
    look_at: str


ENTRY_ROADS = (
    EntryRoad(
        entry_roads.CONVERSATION_DATA,
        "Conversation Data API",
        ENTRIES_CONVERSATION_DATA,
        lambda org: org.conversation_data,
        1,
        "CONVERSATION_DATA_URL, Conversation Service API in Setup and the execution users' permissions",
    ),
    EntryRoad(
        entry_roads.CONNECT,
        "Connect REST API",
        ENTRIES_CONNECT,
        lambda org: org.connect,
        2,  # what tells the end is a page that brings nothing new
        "the integration user's permission Access Conversation Entries",
    ),
)
