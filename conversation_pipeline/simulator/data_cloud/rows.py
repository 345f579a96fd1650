"""The org's world as Data Cloud holds it: what the last sync brought, in Data Cloud's columns and spellings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.simulator.data_cloud.objects import (
    ARROW,
    DATETIME,
    LAKE_ONLY,
    OBJECTS,
    TEXT,
    DataObject,
    Spelling,
    lake_columns,
    lake_object,
)
from conversation_pipeline.simulator.org import Org
from conversation_pipeline.simulator.world.entries import Entry
from conversation_pipeline.simulator.world.ids import to_18
from conversation_pipeline.simulator.world.records import Row
from conversation_pipeline.simulator.world.script import Conversation

Cells = dict[str, Any]
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_FROM, _UNTIL = "from", "until"
_FOREVER = 2**62
_ORG_ZONE = ZoneInfo("America/Denver")
"""The time zone of the simulated Organization."""
_ROLES = {"EndUser": "End User"}
_MESSAGES = frozenset({"Message", "MessageUpdated"})
_DAY_MS = 86_400_000


class Tables:
    """
    Every DMO and DLO by API name, filled when somebody asks for it.

    What was made is kept until an order to the control plane, or the clock, makes it stale.
    """

    def __init__(self, org: Org) -> None:
        self._org = org
        self._entries: tuple[Any, pa.Table] | None = None
        self._made: dict[str, pa.Table] = {}
        self._made_at: Any = None

    def names(self) -> dict[str, tuple[DataObject, bool]]:
        """API name to the object and whether it is the lake object; objects that the switch removes are missing."""
        absent = _listed(self._org.switches["data_cloud_absent_objects"])
        spelling = self.spelling
        found = {spelling.model_object(name): (declared, False) for name, declared in OBJECTS.items()}
        found |= {lake_object(declared): (declared, True) for declared in OBJECTS.values()}
        return {name: which for name, which in found.items() if not absent & {name, which[0].name}}

    @property
    def spelling(self) -> Spelling:
        """How this org spells API names now."""
        return Spelling(self._org.switches["data_cloud_names"] == "std")

    def columns(self, declared: DataObject, *, lake: bool) -> dict[str, str]:
        """Column's API name to its type, without those that a policy hides."""
        if lake:
            every = {name: column.source_type or column.type for name, column in lake_columns(declared).items()}
            every |= LAKE_ONLY
        else:
            every = {self.spelling.column(column.name): column.type for column in declared.every_column}
        hidden = _listed(self._org.switches["data_cloud_hidden_columns"])
        return {name: type_ for name, type_ in every.items() if name not in hidden}

    def empty(self, name: str) -> pa.Table:
        """The object without rows."""
        declared, lake = self.names()[name]
        return pa.schema(
            [(column, ARROW[type_]) for column, type_ in self.columns(declared, lake=lake).items()]
        ).empty_table()

    def filled(self, name: str) -> pa.Table:
        """The object with the rows that Data Cloud has now."""
        org = self._org
        stamp = (org.revision, org.clock.now_ms)
        if stamp != self._made_at:
            self._made, self._made_at = {}, stamp
        if name not in self._made:
            declared, lake = self.names()[name]
            table = self._model_table(declared)
            self._made[name] = self._lake_table(declared, table) if lake else self._published(declared, table)
        return self._made[name]

    def _model_table(self, declared: DataObject) -> pa.Table:
        """The DMO by business names."""
        if declared.name == "ConversationEntry":
            table = self._synced_entries()
        else:
            table = _table(declared, [self._lineage(declared, cells) for cells in self._records(declared.name)])
        longest = int(float(self._org.switches["data_cloud_lag_minutes"]) * 60_000)
        made = (
            volume.table(declared.name, self._org.clock.now_ms - longest) for volume in self._org.data_cloud.volumes
        )
        table = pa.concat_tables([table, *(more for more in made if more is not None)])
        if _listed(self._org.switches["data_cloud_empty_objects"]) & {declared.name}:
            table = table.slice(0, 0)
        return _local_times(table) if self._org.switches["data_cloud_local_times"] else table

    def _published(self, declared: DataObject, table: pa.Table) -> pa.Table:
        spelled = table.rename_columns([self.spelling.column(name) for name in table.column_names])
        return spelled.select(list(self.columns(declared, lake=False)))

    def _lake_table(self, declared: DataObject, table: pa.Table) -> pa.Table:
        found: dict[str, pa.ChunkedArray] = {}
        for name, column in lake_columns(declared).items():
            values = table[column.name]
            is_text = column.source_type == TEXT and column.type == DATETIME
            found[name] = pc.strftime(values, format="%Y-%m-%dT%H:%M:%SZ") if is_text else values
        found |= {name: pa.nulls(table.num_rows, ARROW[type_]) for name, type_ in LAKE_ONLY.items()}
        return pa.table({name: found[name] for name in self.columns(declared, lake=True)})

    # Entries: every version of each with the time at which a sync brings it and the time at which one removes it.

    def _synced_entries(self) -> pa.Table:
        org = self._org
        now = org.clock.now_ms
        stamp = (org.revision, now // _DAY_MS)
        if self._entries is None or self._entries[0] != stamp:
            org.world.reach(org.clock.now)
            self._entries = (stamp, self._every_version())
        table = self._entries[1]
        synced = pc.and_(pc.less_equal(table[_FROM], now), pc.greater(table[_UNTIL], now))
        return table.filter(synced).drop_columns([_FROM, _UNTIL])

    def _every_version(self) -> pa.Table:
        declared = OBJECTS["ConversationEntry"]
        participants = {
            (str(record.first("ConversationId")), _comparable(str(record.first("ParticipantKey")))): record.id
            for record in self._org.world.records_of("ConversationParticipant")
        }
        rows = [
            self._lineage(declared, cells)
            for conversation in self._org.world.conversations.values()
            for place, entry in enumerate(conversation.entries, start=1)
            for cells in self._versions(conversation, entry, place, participants)
        ]
        table = _table(declared, rows)
        for name in (_FROM, _UNTIL):
            table = table.append_column(name, pa.array([row[name] for row in rows], pa.int64()))
        return table

    def _versions(
        self, conversation: Conversation, entry: Entry, place: int, participants: dict[tuple[str, str], str]
    ) -> Iterator[Cells]:
        created = created_ms(self._org, entry)
        lag = lag_ms(self._org, entry)
        erased = conversation.erased_at
        ends = erased + lag if erased is not None and entry.at < erased else _FOREVER
        redaction = entry.redaction
        first = self._entry(conversation, entry, place, participants)
        if redaction is None:
            yield first | {_FROM: created + lag, _UNTIL: ends}
            return
        changed = max(redaction.at, created)
        yield first | {_FROM: created + lag, _UNTIL: min(ends, changed + lag)}
        redacted = self._entry(conversation, entry.as_of(redaction.at), place, participants)
        yield redacted | {"LastModifiedDate": changed, _FROM: changed + lag, _UNTIL: ends}

    def _entry(
        self, conversation: Conversation, entry: Entry, place: int, participants: dict[tuple[str, str], str]
    ) -> Cells:
        org, switches = self._org, self._org.switches
        call = entry.record_id if (entry.record_id or "").startswith("0LQ") else None
        in_session = switches["data_cloud_conversation_id"] == "session" and call is None
        internal = entry.visibility == "Internal"
        created = created_ms(org, entry)
        return {
            "Id": entry.identifier, "ExternalRecordId": entry.identifier,
            "ConversationId": entry.record_id if in_session else conversation.record_id,
            "ClientDateTime": entry.client_at, "TranscriptedDateTime": entry.at, "CreatedDate": created,
            "LastModifiedDate": created, "ConversationEntrySequenceNumber": str(place), "SequenceNumber": place,
            "ConversationEntryStatus": _status(entry),
            "ConversationEntryType": entry_type(entry.entry_type, switches["data_cloud_entry_types"]),
            "ConversationEntryVisibilityType": "Not Visible" if internal else "Visible",
            "EngagementParticipantId": participants.get((conversation.record_id, _comparable(entry.sender.subject))),
            "PayloadText": entry.text if switches["data_cloud_payload"] == "text" and entry.text else entry.payload,
            "Modality": entry.modality, "DurationSecondsCount": Decimal(entry.duration) / 1000,
            "IsExternallyVisible": not internal, "SourceId": call, "SourceObject": "VoiceCall" if call else None,
            "VersionNumber": "1", "KQ_Id": None if entry.coin % 2 else "",
        }  # fmt: skip

    # Records, as the last sync saw them.

    def _records(self, name: str) -> Iterator[Cells]:
        rows = {
            "Conversation": self._conversations, "EngagementChannelParticipant": self._participants,
            "EngagementParticipantAppRole": self._roles, "MessagingSession": self._sessions, "VoiceCall": self._calls,
        }  # fmt: skip
        return rows[name]()

    def _rows(self, sobject: str) -> Iterator[Row]:
        """Rows as the stream found them a lag ago: soft-deleted ones are gone."""
        seen_at = self._org.clock.now - int(float(self._org.switches["data_cloud_lag_minutes"]) * 60)
        self._org.world.reach(self._org.clock.now)
        return (row for row in self._org.world.rows(sobject, seen_at) if not row["IsDeleted"])

    def _conversations(self) -> Iterator[Cells]:
        for row in self._rows("Conversation"):
            ended = row.get("EndTime")
            yield _audit(row) | {
                "Id": row["Id"], "ExternalRecordId": row["ConversationIdentifier"],
                "StartDateTime": _ms(row.get("StartTime"), row.get("StartTimeMilliSecs")),
                "EndDateTime": _ms(ended, row.get("EndTimeMilliSecs")), "SystemModstamp": _ms(row["SystemModstamp"]),
            }  # fmt: skip

    def _participants(self) -> Iterator[Cells]:
        linked = self._org.switches["data_cloud_participant_links"]
        for row in self._rows("ConversationParticipant"):
            cells = _audit(row) | {
                "Id": row["Id"], "ConversationId": row["ConversationId"], "ExternalRecordId": _uuid_of(str(row["Id"])),
                "ParticipantDisplayName": row.get("ParticipantDisplayName"),
                "JoinedDateTime": _ms(row.get("JoinedTime"), row.get("JoinedTimeMilliSecs")),
                "LeftDateTime": _ms(row.get("LeftTime"), row.get("LeftTimeMilliSecs")),
                "SystemModstamp": _ms(row["SystemModstamp"]),
            }  # fmt: skip
            if linked:
                role = str(row.get("ParticipantRole"))
                cells |= {"EngagementParticipantAppRoleId": _role_id(row),
                          "EngagementParticipantRole": _ROLES.get(role, role)}  # fmt: skip
            yield cells

    def _roles(self) -> Iterator[Cells]:
        for row in self._rows("ConversationParticipant"):
            role = str(row.get("ParticipantRole"))
            yield {
                "Id": _role_id(row), "SoftwareApplication": row.get("AppType"),
                "EngagementParticipantRole": _ROLES.get(role, role), "SubjectName": row.get("ParticipantKey"),
                "SystemModstamp": _ms(row["SystemModstamp"]),
            }  # fmt: skip

    def _sessions(self) -> Iterator[Cells]:
        for row in self._rows("MessagingSession"):
            yield {
                "Id": row["Id"], "ConversationId": row.get("ConversationId"),
                "AcceptedDateTime": _ms(row.get("AcceptTime")), "MessagingSessionStartTime": _ms(row.get("StartTime")),
                "MessagingSessionEndTime": _ms(row.get("EndTime")), "MessagingSessionStatus": row.get("Status"),
                "Origin": row.get("Origin"), "OwnerId": row.get("OwnerId"),
                "EngagementChannelId": row.get("MessagingChannelId"), "EngagementChannelType": row.get("ChannelType"),
                "AgentType": row.get("AgentType"), "PreviewDetailsText": row.get("PreviewDetails"),
                "LastReferencedDateTime": _ms(row.get("LastReferencedDate")),
                "LastViewedDateTime": _ms(row.get("LastViewedDate")),
            }  # fmt: skip

    def _calls(self) -> Iterator[Cells]:
        for row in self._rows("VoiceCall"):
            yield {
                "Id": row["Id"], "ConversationId": row.get("ConversationId"), "CallType": row.get("CallType"),
                "OwnerId": row.get("OwnerId"), "CallDurationInSeconds": row.get("CallDurationInSeconds"),
            } | {
                name: _ms(row.get(name))
                for name in ("CallStartDateTime", "CallEndDateTime", "CreatedDate", "LastModifiedDate",
                             "SystemModstamp")
            }  # fmt: skip

    def _lineage(self, declared: DataObject, cells: Cells) -> Cells:
        return {
            "DataSourceId": f"Salesforce_{self._org.world.cast.organization_id}",
            "DataSourceObjectId": declared.stream, "InternalOrganizationId": "", **cells,
        }  # fmt: skip


def lag_ms(org: Org, entry: Entry) -> int:
    """From an entry's creation until Data Cloud has it: its own share of the longest lag [assumed: up to an hour]."""
    longest = float(org.switches["data_cloud_lag_minutes"]) * 60_000
    return round(longest * (1 + entry.coin) / 256)


def created_ms(org: Org, entry: Entry) -> int:
    """When the entry's row was created: as soon as it was there to be read, for voice after the call [assumed]."""
    return entry.visible_from(org.voice_settle_ms())


def entry_type(name: str, form: str) -> str:
    """The entry type in the off-core spelling (PARTICIPANT_CHANGED) or in that of the DMO's page (text) [doc]."""
    if form == "off_core":
        return _WORDS.sub("_", name).upper()
    return "text" if name == "Message" else name


def _table(declared: DataObject, rows: list[Cells]) -> pa.Table:
    return pa.table({
        column.name: pa.array([row.get(column.name) for row in rows], ARROW[column.type])
        for column in declared.every_column
    })  # fmt: skip


def _local_times(table: pa.Table) -> pa.Table:
    """Wall time of the org, labelled UTC: what one production user found (Data Cloud, trap 7 [seen])."""
    for place, field in enumerate(table.schema):
        if field.type == ARROW[DATETIME]:
            local = table[place].cast(pa.timestamp("ms", _ORG_ZONE.key))
            table = table.set_column(place, field, pc.assume_timezone(pc.local_timestamp(local), "UTC"))
    return table


def _status(entry: Entry) -> str | None:
    if entry.entry_type == "MessageDeliveryFailed":
        return "Error"
    return ("Sent", "Delivered", "Read")[entry.coin % 3] if entry.entry_type in _MESSAGES else None


def _audit(row: Row) -> Cells:
    return {
        "CreatedById": row["CreatedById"], "CreatedDate": _ms(row["CreatedDate"]),
        "LastModifiedById": row["LastModifiedById"], "LastModifiedDate": _ms(row["LastModifiedDate"]),
    }  # fmt: skip


def _ms(seconds: Any, milliseconds: Any = 0) -> int | None:
    return None if seconds is None else int(seconds) * 1000 + int(milliseconds or 0)


def _comparable(subject: str) -> str:
    """Subjects that are ids come with 15 or 18 characters."""
    return to_18(subject) if len(subject) == 15 and subject.isalnum() and subject.isascii() else subject


def _uuid_of(record_id: str) -> str:
    digits = record_id.encode().hex()[-32:].rjust(32, "0")
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _role_id(row: Row) -> str:
    """The participant's role row: an id of its own, from the same number."""
    return to_18("0JZ" + str(row["Id"])[3:15])


def _listed(names: Any) -> set[str]:
    return {name.strip() for name in str(names).split(",") if name.strip()}
