"""Coverage: what each entry road has told of a day, and what it lacks. Counts only, nothing of one customer's."""

from __future__ import annotations

import pyarrow as pa

from conversation_pipeline.schemas.dataset import Dataset, Group
from conversation_pipeline.schemas.fields import INSTANT, Field

BEYOND_REACH = pa.struct([("reason", pa.string()), ("entries", pa.int64())])


def _key(name: str, meaning: str) -> Field:
    return Field(name, pa.string(), meaning, required=True)


def _instant(name: str, meaning: str, *, required: bool = False) -> Field:
    return Field(name, INSTANT, meaning, required=required)


def _count(name: str, meaning: str) -> Field:
    return Field(name, pa.int64(), meaning)


def _flag(name: str, meaning: str) -> Field:
    return Field(name, pa.bool_(), meaning)


ROAD_COVERAGE = Dataset(
    name="road_coverage",
    grain="One row per UTC day and entry road in use: what it was expected to tell, what it told and what it lacks.",
    group=Group.MARTS,
    key=("road",),
    partition_by="coverage_date",
    fields=(
        _key("road", "Entry road, as CONVERSATION_ROADS names it."),
        _instant("coverage_date", "Midnight UTC at which the day begins.", required=True),
        _flag(
            "is_read", "Whether the road has been read for the day; an archive: whether one was taken since it began."
        ),
        _flag(
            "is_closed",
            "Whether the road has told what it will: conversation by conversation, once each has settled and was read "
            "since; Data Cloud, once it was read after the day and its lag; archives, once one was taken since.",
        ),
        _instant("visible_until", "Up to when the road can have told entries; null where it was not read."),
        _instant("newest_entry_at", "When the newest entry that it told was received."),
        _instant("closed_at", "Up to when it had been read when the day was first seen closed."),
        _count("conversations_expected", "Conversations on the day's work list (conversation_activity)."),
        _count("conversations_read", "Those of them that it told of, or that had nothing to tell."),
        _count("conversations_missing", "Those of them that it should have told of and did not."),
        _count("conversations_not_due", "Those of them that it cannot have told of yet, such as a call that goes on."),
        _count("conversations_silent", "Those of them of which no road tells an entry on the day."),
        _count("conversations_not_listed", "Conversations that it told of and that are not on the work list."),
        _count("entries", "Entries that it told."),
        _count("entries_of_all_roads", "Entries of the union (conversation_entries)."),
        _count("entries_missing", "Entries of the union that it should have told and did not."),
        _count("entries_not_yet_visible", "Entries of the union that came after it was read, or within its lag."),
        _count("entries_beyond_reach", "Entries of the union that it cannot have."),
        Field("beyond_reach", pa.list_(BEYOND_REACH), "Why it cannot have them, and how many of each."),
        _count("entries_conflicting", "Entries that it told otherwise than they are shown (entry_conflicts)."),
        _count("entries_at_close", "Entries that it had told when the day was first seen closed."),
        _count("entries_late", "Entries that it told after that; never below 0."),
    ),
)
