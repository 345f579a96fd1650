"""
From rows of text cells, whichever format they came in, to entries in the canonical columns.

What a payload says (message type, options, attachments, ...) is left in the payload: the road that lands entries
reads it by the same rules as the Conversation Data API's (bulk-export 4.3).
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.archives import values
from conversation_pipeline.archives.aliases import meanings, unknown
from conversation_pipeline.archives.options import Options
from conversation_pipeline.archives.provenance import Member
from conversation_pipeline.schemas.conversations import ENTRIES_CONVERSATION_DATA
from conversation_pipeline.schemas.fields import INSTANT

ROAD = "archive"

_CANONICAL = tuple(field.arrow.with_nullable(True) for field in ENTRIES_CONVERSATION_DATA.fields)

ENTRIES = pa.schema(
    [
        *_CANONICAL,
        pa.field("conversation_id", pa.string()),
        pa.field("is_identifier_made_up", pa.bool_()),
        pa.field("extra", pa.string()),
        pa.field("archive", pa.dictionary(pa.int32(), pa.string())),
        pa.field("member", pa.dictionary(pa.int32(), pa.string())),
        pa.field("member_row", pa.int64()),
    ]
)
"""
Columns of what is handed on: the canonical entry columns, all nullable but ``entry_identifier`` never null, and

- ``conversation_id``: record id of the conversation (0dw...), where the archive tells that instead of the identifier;
- ``is_identifier_made_up``: the archive tells no identifier; it is a hash of what the entry says;
- ``extra``: JSON object of the member's columns that have no place here;
- ``archive``, ``member``, ``member_row``: where the row stands, rows counted from 1.

``transcripted_timestamp`` is null where the archive tells no time at all; it is the client's where it tells only that.
``fetched_at`` is when the archive's content was taken.
"""

ENTRY_TYPES = tuple(
    "Message MessageDeliveryFailed MessageUpdated ParticipantChanged RoutingResult RoutingWorkResult Note FlagRaise "
    "FlagLower EndUserConsentUpdated SessionStatusChanged SessionOwnerChanged SessionContext ConsultConversationInfo "
    "ConversationUpdated SendTranscriptRequestReceived ModalityConnection TransferProgress "
    "ParticipantsConferenced".split()
)
ROLES = ("EndUser", "Agent", "Chatbot", "Supervisor", "System", "Router")
VISIBILITIES = ("Default", "Internal")

NO_CONTENT = "row without entry type, payload and text"
NO_CONVERSATION = "row without a conversation"


class Converter:
    """
    Cells to entries, for one member.

    Args:
        archive: Name of the archive.
        member: What is known of the member; rows and oddities are counted in it.
        snapshot_at: When the archive's content was taken.
    """

    def __init__(self, archive: str, member: Member, snapshot_at: datetime | None, options: Options) -> None:
        self._archive = archive
        self._member = member
        self._snapshot_at = snapshot_at
        self._options = options
        self._seen = 0

    def batch(self, cells: pa.RecordBatch) -> pa.RecordBatch:
        """
        Entries of as many rows of cells as are entries.

        Args:
            cells: Text columns named as the member spells them; null is an empty cell.
        """
        columns = _Cells(cells)
        told = self._told(columns)
        placed = range(self._seen + 1, self._seen + 1 + cells.num_rows)
        self._seen += cells.num_rows
        told["member_row"] = pa.array(np.arange(placed.start, placed.stop))
        rows = self._kept(cells, told)
        rows = self._named(rows)
        self._member.rows += rows.num_rows
        return rows

    def _told(self, cells: _Cells) -> dict[str, pa.Array]:
        notes, zone = self._member.notes, self._options.time_zone
        client = values.instants(cells.first("client_timestamp"), "client_timestamp", zone, notes)
        server = values.instants(cells.first("transcripted_timestamp"), "transcripted_timestamp", zone, notes)
        told = {
            "entry_identifier": values.identifiers(cells.first("entry_identifier")),
            "entry_type": values.names(cells.first("entry_type"), ENTRY_TYPES),
            "sender_display_name": cells.first("sender_display_name"),
            "client_timestamp": client,
            "transcripted_timestamp": self._received(server, client),
            "client_duration_ms": self._duration(cells),
            "modality": cells.first("modality"),
            "visibility": values.names(cells.first("visibility"), VISIBILITIES),
            "related_records": values.record_lists(cells.first("related_records")),
            "messaging_session_id": values.identifiers(cells.first("messaging_session_id")),
            "voice_call_id": values.identifiers(cells.first("voice_call_id")),
            "extra": cells.unknown(),
        }
        return told | _conversation(cells) | _content(cells) | _sender(cells, notes)

    def _received(self, server: pa.Array, client: pa.Array) -> pa.Array:
        missing = server.null_count
        if not missing:
            return server
        found = pc.coalesce(server, client)
        self._member.notes["transcripted_timestamp missing, the client's taken"] += missing - found.null_count
        self._member.notes["entry without any time"] += found.null_count
        return found

    def _duration(self, cells: _Cells) -> pa.Array:
        notes = self._member.notes
        told = values.whole_numbers(cells.first("client_duration_ms"), "client_duration_ms", notes)
        if not cells.tells("client_duration_seconds"):
            return told
        seconds = values.whole_numbers(cells.first("client_duration_seconds"), "client_duration_seconds", notes)
        return pc.coalesce(told, pc.multiply(seconds, 1_000))

    def _kept(self, cells: pa.RecordBatch, told: dict[str, pa.Array]) -> pa.RecordBatch:
        length = cells.num_rows
        constants = {
            "road": pa.repeat(pa.scalar(ROAD), length),
            "fetched_at": pa.repeat(pa.scalar(self._snapshot_at, INSTANT), length),
            "is_identifier_made_up": told["entry_identifier"].is_null(),
            "archive": _constant(self._archive, length),
            "member": _constant(self._member.name, length),
        }
        columns = told | constants
        rows = pa.record_batch(
            [columns[f.name] if f.name in columns else pa.nulls(length, f.type) for f in ENTRIES], schema=ENTRIES
        )
        speaks = _any_of(rows, "entry_type", "payload", "text")
        belongs = _any_of(rows, "conversation_identifier", "conversation_id")
        self._member.quarantined_rows[NO_CONTENT] += length - _true(speaks)
        self._member.quarantined_rows[NO_CONVERSATION] += _true(speaks) - _true(pc.and_(speaks, belongs))
        good = pc.and_(speaks, belongs)
        return rows if _true(good) == length else rows.filter(good)

    def _named(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Every entry with an identifier: where the archive tells none, what it says gives one, the same each time."""
        missing = rows["entry_identifier"].null_count
        if not missing:
            return rows
        self._member.notes["entry without an identifier"] += missing
        mask = rows["entry_identifier"].is_null()
        unnamed = rows.filter(mask).select([*_IDENTIFYING]).to_pylist()
        made_up = pa.array([_made_up(row) for row in unnamed], pa.string())
        place = rows.schema.get_field_index("entry_identifier")
        return rows.set_column(
            place, ENTRIES.field(place), pc.replace_with_mask(rows["entry_identifier"], mask, made_up)
        )


_IDENTIFYING = (
    "conversation_identifier", "conversation_id", "client_timestamp", "transcripted_timestamp", "sender_subject",
    "entry_type", "text", "payload",
)  # fmt: skip


def _made_up(row: dict[str, object]) -> str:
    told = json.dumps([str(row[name]) for name in _IDENTIFYING])
    return "unnamed-" + hashlib.sha256(told.encode()).hexdigest()[:32]


class _Cells:
    """A batch of text cells, asked by meaning."""

    def __init__(self, cells: pa.RecordBatch) -> None:
        self._cells = cells
        self._places = meanings(cells.schema.names)

    def tells(self, name: str) -> bool:
        return name in self._places

    def first(self, name: str) -> pa.Array:
        """The first value in each row among the columns that mean it; all null where none does."""
        columns = [self._cells.column(place) for place in self._places.get(name, ())]
        if not columns:
            return pa.nulls(self._cells.num_rows, pa.string())
        return columns[0] if len(columns) == 1 else pc.coalesce(*columns)

    def unknown(self) -> pa.Array:
        """The cells without a meaning, as one JSON object a row."""
        places = unknown(self._cells.schema.names)
        if not places:
            return pa.nulls(self._cells.num_rows, pa.string())
        titles = [self._cells.schema.names[place] for place in places]
        rows = zip(*(self._cells.column(place).to_pylist() for place in places), strict=True)
        told = ({title: value for title, value in zip(titles, row, strict=True) if value is not None} for row in rows)
        return pa.array([json.dumps(one, ensure_ascii=False) if one else None for one in told], pa.string())


def _conversation(cells: _Cells) -> dict[str, pa.Array]:
    """A column called conversation id holds record ids (0dw...) or identifiers, by the spelling of the source."""
    named = values.identifiers(cells.first("conversation_identifier"))
    if not cells.tells("conversation"):
        return {"conversation_identifier": named}
    either = values.identifiers(cells.first("conversation"))
    is_record = pc.match_substring_regex(either, "^0dw[A-Za-z0-9]{15}$")
    nothing = pa.scalar(None, pa.string())
    return {
        "conversation_identifier": pc.coalesce(named, pc.if_else(is_record, nothing, either)),
        "conversation_id": pc.if_else(is_record, either, nothing),
    }


def _content(cells: _Cells) -> dict[str, pa.Array]:
    payload, text = values.payloads(cells.first("payload")), cells.first("text")
    if cells.tells("body"):
        body, nothing = cells.first("body"), pa.scalar(None, pa.string())
        is_json = pc.match_substring_regex(body, r"^\s*\{")
        payload = pc.coalesce(payload, pc.if_else(is_json, body, nothing))
        text = pc.coalesce(text, pc.if_else(is_json, nothing, body))
    return {"payload": payload, "text": text}


def _sender(cells: _Cells, notes: values.Notes) -> dict[str, pa.Array]:
    told = {name: cells.first(f"sender_{name}") for name in ("app_type", "role", "subject")}
    if cells.tells("sender"):
        parsed = values.senders(cells.first("sender"), notes)
        told = {name: pc.coalesce(told[name], parsed[name]) if cells.tells(f"sender_{name}") else parsed[name]
                for name in told}  # fmt: skip
    told["role"] = values.names(told["role"], ROLES)
    return {f"sender_{name}": column for name, column in told.items()}


def _constant(value: str, length: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(length, np.int32)), pa.array([value], pa.string()))


def _any_of(rows: pa.RecordBatch, *names: str) -> pa.Array:
    columns = [rows[name].is_valid() for name in names]
    found = columns[0]
    for column in columns[1:]:
        found = pc.or_(found, column)
    return found


def _true(mask: pa.Array) -> int:
    return mask.true_count if isinstance(mask, pa.BooleanArray) else 0
