"""A pull is the reading of one partition from its first request to its published file; a killed one is resumed."""

from __future__ import annotations

from datetime import datetime

from conversation_pipeline.extract.bulk import RESUME_WITHIN
from conversation_pipeline.storage import Pull, Staging


def open_pull(staging: Staging, dataset: str, day: str, now: datetime) -> Pull:
    """The pull that a killed run left open, if it is still fresh; else a new one."""
    pull = staging.open_pull(dataset, day, now)
    if pull.resumed and now - pull.started_at > RESUME_WITHIN:
        staging.close_pull(pull)
        return staging.open_pull(dataset, day, now)
    return pull
