"""From a reply's bytes to the canonical entry columns."""

from __future__ import annotations

from conversation_pipeline.extract.entries.columns import CONNECT, ReadConversation, batches
from conversation_pipeline.extract.entries.drift import Drift
from conversation_pipeline.extract.entries.payload import ENTRY_TYPES

__all__ = ["CONNECT", "ENTRY_TYPES", "Drift", "ReadConversation", "batches"]
