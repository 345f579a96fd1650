"""
Erasures: whom the org was asked to forget, what was removed here, and whose conversations there are.

Source: ``ConversationApiLog`` (API 63 and later) and the deletions of the Conversation Data API [doc]. Identifiers and
counts only, never a word.
"""

from __future__ import annotations

import pyarrow as pa

from conversation_pipeline.schemas.dataset import Dataset, Group
from conversation_pipeline.schemas.fields import INSTANT, Field

REMOVED = pa.struct([("dataset", pa.string()), ("count", pa.int64())])

ERASURES = Dataset(
    name="erasures",
    grain="One row per completed deletion of the org that is replayed here: whom it was about and what was removed.",
    group=Group.CONVERSATIONS,
    key=("id",),
    fields=(
        Field("id", pa.string(), "Record id of the row of conversation_api_log.", required=True),
        Field("requested_entity_type", pa.string(), "MessagingEndUser, or Conversation."),
        Field("requested_entity_id", pa.string(), "Record id that was erased, 18 characters."),
        Field("requested_date", INSTANT, "When the org was asked for it."),
        Field("completed_date", INSTANT, "When the org had done it, as far as its log tells."),
        Field("conversation_identifiers", pa.list_(pa.string()), "Conversations that went with it."),
        Field("record_ids", pa.list_(pa.string()), "Their records: end user, conversations, sessions and calls."),
        Field("rows_removed", pa.list_(REMOVED), "Rows that were removed from the lake, by dataset."),
        Field("answers_removed", pa.list_(REMOVED), "Staged raw answers that were removed, by dataset."),
        Field("replayed_at", INSTANT, "When all of it was last removed here; null while that is not done."),
        Field("run_id", pa.string(), "Run that did it."),
    ),
    source="`conversation_api_log`, and what was removed for it",
)

REMEMBERED_END_USERS = Dataset(
    name="remembered_end_users",
    grain="One row per messaging session or voice call that was ever landed: whose it was.",
    group=Group.CONVERSATIONS,
    key=("id",),
    partition_by="created_date",
    fields=(
        Field("id", pa.string(), "Id of the messaging session or voice call.", required=True),
        Field("end_user_id", pa.string(), "Customer, as the channel knows them."),
        Field("conversation_id", pa.string(), "Conversation that it belongs to."),
        Field("conversation_identifier", pa.string(), "Identifier of that conversation on every entry road."),
        Field("created_date", INSTANT, "Creation of the session or call; its UTC day is the partition.", required=True),
    ),
)
"""
Bookkeeping beside the catalogue's datasets: no asset, no table.

The org's deletion takes the session along; once that day is read again, nothing else tells whose the entries were.
"""
