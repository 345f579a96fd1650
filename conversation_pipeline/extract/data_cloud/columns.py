"""
From a page of Data Cloud to the canonical entry columns; this road's spellings become those of the others.

Source: Data Cloud reference 2.2 and 2.8. What this road does not tell stays null.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime, tzinfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.extract.data_cloud.clock import FirstEntries
from conversation_pipeline.extract.data_cloud.payloads import from_payloads
from conversation_pipeline.extract.entries.drift import Drift, Notes
from conversation_pipeline.extract.entries.payload import ENTRY_TYPES
from conversation_pipeline.schemas import INSTANT, Dataset
from conversation_pipeline.schemas.identifiers import record_id_18

ROAD = "data_cloud"

_ROWS_A_BATCH = 65_536
_UUID = r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$"


Identifiers = Callable[[Collection[str]], Mapping[str, str]]
"""Of record ids, the conversation identifiers of those that are known."""


class Entries:
    """
    Turns pages into rows of the dataset.

    Args:
        fetched_at: When the query was sent.
        erased: Identifiers of whom the org has erased: rows that hold one are left out.
        identifiers: Asked for conversation identifiers by record id (of a conversation or session), where Data Cloud
            does not have the conversation.
        zone: The time zone whose wall time its instants are, however they are labelled.

    Attributes:
        first: When conversations began, by these entries.
        resolved: Entries whose conversation Data Cloud does not have (yet), and ``identifiers`` knew.
        unresolved: Those whose conversation nobody knew: they go by its record id.
        left_out: Entries of whom the org has erased.
    """

    def __init__(
        self,
        dataset: Dataset,
        fetched_at: datetime,
        drift: Drift,
        erased: Collection[str] = (),
        identifiers: Identifiers = lambda _: {},
        zone: tzinfo = UTC,
    ) -> None:
        self._dataset = dataset
        self._fetched_at = fetched_at
        self.drift = drift
        self._erased = pa.array(sorted(erased), pa.string())
        self._identifiers = identifiers
        self._identifier_of: dict[str, str | None] = {}
        self._zone = zone
        self.first = FirstEntries()
        self.resolved = 0
        self.unresolved = 0
        self.left_out = 0

    def batches(self, page: pa.Table) -> Iterator[pa.RecordBatch]:
        """The page's rows, a batch at a time."""
        for batch in page.combine_chunks().to_batches(_ROWS_A_BATCH):
            if batch.num_rows:
                kept = self._kept(self._typed(_Told(batch, self._zone)))
                self.first.add(kept)
                yield kept

    def _typed(self, told: _Told) -> pa.RecordBatch:
        notes: Notes = []
        payload = from_payloads(told.text("payload_text"), _mapped(told.text("entry_type"), _entry_type), notes)
        replies = pc.coalesce(payload.pop("in_reply_to_entry_identifier"), told.text("parent_entry_id"))
        conversation_ids = _record_ids(told.text("conversation_id"))
        conversations = self._resolved(told.text("conversation_identifier"), conversation_ids)
        sources, sessions = _record_ids(told.text("source_id")), _record_ids(told.text("session_id"))
        is_call = pc.or_kleene(pc.equal(told.text("source_object"), "VoiceCall"), pc.starts_with(sources, "0LQ"))
        columns = {
            "conversation_identifier": _uuids(pc.coalesce(conversations, conversation_ids)),
            "entry_identifier": _named(_uuids(told.text("id")), told),
            "sender_role": _mapped(told.text("sender_role"), _role),
            "sender_app_type": told.text("sender_app_type"),
            "sender_subject": told.text("sender_subject"),
            "sender_display_name": told.text("sender_display_name"),
            "client_timestamp": told.instant("client_timestamp"),
            "transcripted_timestamp": pc.coalesce(told.instant("transcripted_timestamp"), told.instant("created_date")),
            "client_duration_ms": _milliseconds(told.number("duration_seconds")),
            "modality": told.text("modality"),
            "visibility": _mapped(told.text("visibility"), _visibility),
            "related_records": _lists(sessions, sources),
            "messaging_session_id": sessions,
            "voice_call_id": pc.if_else(pc.fill_null(is_call, False), sources, None),
            "in_reply_to_entry_identifier": _uuids(replies),
            "road": pa.repeat(ROAD, told.rows),
            "fetched_at": pa.repeat(pa.scalar(self._fetched_at, INSTANT), told.rows),
            **payload,
        }
        self.drift.seen.update(notes)
        return pa.RecordBatch.from_arrays(
            [_fitting(columns[field.name], field.type) for field in self._dataset.fields],
            schema=self._dataset.schema,
        )

    def _resolved(self, identifiers: pa.Array, conversation_ids: pa.Array) -> pa.Array:
        """Conversations that are not in Data Cloud, by what else is known of them."""
        if not identifiers.null_count:
            return identifiers
        asked = conversation_ids.filter(pc.is_null(identifiers)).unique().drop_null().to_pylist()
        if new := [one for one in asked if one not in self._identifier_of]:
            self._identifier_of |= {**dict.fromkeys(new), **self._identifiers(new)}
        found = pc.coalesce(identifiers, _mapped(conversation_ids, self._identifier_of.get))
        self.resolved += identifiers.null_count - found.null_count
        self.unresolved += found.null_count
        return found

    def _kept(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not len(self._erased):
            return batch
        gone = pc.is_in(batch["conversation_identifier"], self._erased)
        for column in ("messaging_session_id", "voice_call_id"):
            gone = pc.or_(gone, pc.is_in(batch[column], self._erased))
        kept = batch.filter(pc.invert(gone))
        self.left_out += batch.num_rows - kept.num_rows
        return kept


class _Told:
    """A batch as Data Cloud told it, by column; what it did not tell is null."""

    def __init__(self, batch: pa.RecordBatch, zone: tzinfo) -> None:
        self._batch = batch
        self._zone = zone
        self.rows = batch.num_rows

    def text(self, name: str) -> pa.Array:
        """Empty text is as good as none."""
        array = self._column(name, pa.string())
        return pc.if_else(pc.equal(array, ""), None, array) if pc.any(pc.equal(array, "")).as_py() else array

    def instant(self, name: str) -> pa.Array:
        told = self._column(name, INSTANT)
        if self._zone is UTC:
            return told
        wall = told.cast(pa.timestamp(INSTANT.unit))
        return pc.assume_timezone(wall, str(self._zone), ambiguous="earliest", nonexistent="earliest").cast(INSTANT)

    def number(self, name: str) -> pa.Array:
        return self._column(name, pa.float64())

    def _column(self, name: str, kind: pa.DataType) -> pa.Array:
        place = self._batch.schema.get_field_index(name)
        if place < 0:
            return pa.nulls(self.rows, kind)
        array = self._batch.column(place)
        return array if array.type == kind else array.cast(kind, safe=False)


_TYPE_BY_FOLDED = {name.lower(): name for name in ENTRY_TYPES} | {"text": "Message"}
_ROLE_BY_FOLDED = {name.lower(): name for name in ("EndUser", "Agent", "Chatbot", "Supervisor", "System", "Router")}
_VISIBILITY = {"visible": "Default", "notvisible": "Internal", "default": "Default", "internal": "Internal"}


def _entry_type(told: str) -> str:
    """``PARTICIPANT_CHANGED`` and ``ParticipantChanged`` are one; ``text`` is how older pages write a message."""
    known = _TYPE_BY_FOLDED.get(told.replace("_", "").lower())
    if known or not told.isupper():
        return known or told
    return "".join(part.capitalize() for part in told.split("_"))


def _role(told: str) -> str:
    """``END_USER`` and ``End User`` are ``EndUser``."""
    return _ROLE_BY_FOLDED.get(told.replace("_", "").replace(" ", "").lower(), told)


def _visibility(told: str) -> str:
    return _VISIBILITY.get(told.replace("_", "").replace(" ", "").lower(), told)


def _mapped(array: pa.Array, convert: Callable[[str], str | None]) -> pa.Array:
    """Each different value converted once."""
    encoded = array.dictionary_encode()
    values = pa.array([convert(value) for value in encoded.dictionary.to_pylist()], pa.string())
    return values.take(encoded.indices)


def _record_ids(array: pa.Array) -> pa.Array:
    """In 18 characters."""
    if array.null_count == len(array) or not pc.any(pc.equal(pc.utf8_length(array), 15)).as_py():
        return array
    return _mapped(array, record_id_18)


def _uuids(array: pa.Array) -> pa.Array:
    """In lower case; record ids, whose case counts, stay as they are."""
    lower = pc.utf8_lower(array)
    if lower.equals(array):
        return array
    return pc.if_else(pc.match_substring_regex(lower, _UUID), lower, array)


def _named(identifiers: pa.Array, told: _Told) -> pa.Array:
    """An entry without an id is named by what it says, so that it is the same one the next time."""
    if not identifiers.null_count:
        return identifiers
    words = zip(
        identifiers.to_pylist(),
        told.text("conversation_id").to_pylist(),
        told.instant("created_date").to_pylist(),
        told.text("payload_text").to_pylist(),
        strict=True,
    )
    return pa.array(
        [known or "unnamed-" + hashlib.sha256(repr(rest).encode()).hexdigest()[:32] for known, *rest in words],
        pa.string(),
    )


def _milliseconds(seconds: pa.Array) -> pa.Array:
    return pc.round(pc.multiply(seconds, 1000.0)).cast(pa.int64(), safe=False)


def _lists(*columns: pa.Array) -> pa.Array:
    """The values of each row, as a list; where one column has any, without a look at every row."""
    told = [column for column in columns if column.null_count < len(column)] or [columns[0]]
    if len(told) == 1:
        values = told[0].drop_null()
        lengths = np.asarray(told[0].is_valid().to_numpy(zero_copy_only=False), dtype=np.int32)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), values)
    rows = zip(*(column.to_pylist() for column in told), strict=True)
    return pa.array([[value for value in dict.fromkeys(row) if value] for row in rows], pa.list_(pa.string()))


def _fitting(array: pa.Array, kind: pa.DataType) -> pa.Array:
    return array if array.type == kind else array.cast(kind)
