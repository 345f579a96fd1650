"""Changes to the world by hand: rows and entries that tests need, columns and objects that they hide."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import Any

from conversation_pipeline.simulator.org import Org, Visibility
from conversation_pipeline.simulator.world.afterlife import REMOVED
from conversation_pipeline.simulator.world.entries import Entry, Speaker, text_of
from conversation_pipeline.simulator.world.erasure import CONVERSATION, PERSON
from conversation_pipeline.simulator.world.ids import record_id, to_18
from conversation_pipeline.simulator.world.records import Change, Record, Row, Value
from conversation_pipeline.simulator.world.redaction import redact
from conversation_pipeline.simulator.world.schema import SObject
from conversation_pipeline.simulator.world.script import Conversation

_METRICS = "MessagingSessionMetrics"


def hide(org: Org, asked: dict[str, Any]) -> dict[str, Any]:
    """
    Hide columns by field-level security, an object as a whole, or records that are not shared with the user:
    `{"object", "fields": [...]}`, `{"object", "absent": true}` or `{"object", "unshared": 0.5}` (that share of its
    records, 0 to 1); an empty list, false or 0 shows them again.

    Raises:
      ValueError: no such object or column, or a share that is none.
    """
    sobject = sobject_of(org, asked.get("object"))
    hidden, absent = dict(org.visibility.hidden), set(org.visibility.absent)
    if "fields" in asked:
        unknown = [name for name in asked["fields"] if sobject.field(name) is None]
        if unknown:
            raise ValueError(f"{sobject.name} has no column {unknown[0]}")
        hidden[sobject.name] = frozenset(asked["fields"])
    if "absent" in asked:
        absent = absent | {sobject.name} if asked["absent"] else absent - {sobject.name}
    unshared = dict(org.visibility.unshared)
    if "unshared" in asked:
        unshared[sobject.name] = float(asked["unshared"])
        if not 0 <= unshared[sobject.name] <= 1:
            raise ValueError("`unshared` is a share, 0 to 1")
    org.visibility = Visibility(hidden, frozenset(absent), unshared)
    shown = {name: sorted(fields) for name, fields in hidden.items() if fields}
    return {"hidden": shown, "absent": sorted(absent), "unshared": unshared}


def put_entries(org: Org, asked: dict[str, Any]) -> dict[str, Any]:
    """
    Put entries into a conversation: `{"conversationIdentifier", "entries": [entry, ...]}`.

    An entry is the JSON that the API shall return, of any type and shape; `identifier`, `transcriptedTimestamp`
    (now), `entryType`, `sender` and `entryPayload` are filled in where missing. An identifier that is there already
    is replaced, as a redaction does.

    Raises:
      ValueError: no such conversation, or an entry that is not an object.
    """
    identifier = str(asked.get("conversationIdentifier"))
    conversation = org.world.conversation(identifier, org.clock.now)
    if conversation is None:
        raise ValueError("no such conversation now; POST /simulator/records can insert a Conversation")
    org.edited = True
    put = []
    for given in asked.get("entries") or []:
        if not isinstance(given, dict):
            raise ValueError("an entry is a JSON object")
        entry = _entry(org, given)
        conversation.entries[:] = [e for e in conversation.entries if e.identifier != entry.identifier] + [entry]
        put.append(entry.identifier)
    conversation.entries.sort(key=lambda entry: entry.at)
    return {"identifiers": put}


def redact_entries(org: Org, asked: dict[str, Any]) -> dict[str, Any]:
    """
    Redact texts now: `{"conversationIdentifier", "identifiers": [...], "text"}`.

    Without identifiers every entry of the conversation that has a text of its own is redacted; without a text it
    reads `[removed]`. Identifiers and times stay.

    Raises:
      ValueError: no such conversation or entry, or one without text.
    """
    conversation = org.world.conversation(str(asked.get("conversationIdentifier")), org.clock.now)
    if conversation is None:
        raise ValueError("no such conversation now")
    kept = {entry.identifier: entry for entry in org.kept(conversation)}
    wanted = asked.get("identifiers")
    unknown = [name for name in wanted or () if name not in kept]
    if unknown:
        raise ValueError(f"no entry {unknown[0]} in that conversation now")
    org.edited = True
    words = str(asked.get("text", REMOVED))
    redacted = []
    for name in kept if wanted is None else wanted:
        try:
            redact(kept[name], words, org.clock.now_ms)
        except ValueError:
            if wanted is not None:
                raise
        else:
            redacted.append(name)
    return {"redacted": redacted}


def erase(org: Org, asked: dict[str, Any]) -> dict[str, Any]:
    """
    Request erasures now: `{"messagingEndUserIds": [...], "conversationIds": [...], "seconds", "failing"}`.

    Ids have 15 or 18 characters; each becomes a row of ConversationApiLog that is Completed after `seconds` (the
    switch `erasure_seconds` unless given), or Failed if it is to fail. Then rows and entries are gone.

    Raises:
      ValueError: an id that is none, or none given.
    """
    given = {PERSON: asked.get("messagingEndUserIds") or [], CONVERSATION: asked.get("conversationIds") or []}
    if not any(given.values()):
        raise ValueError("give messagingEndUserIds or conversationIds")
    seconds, failing = asked.get("seconds"), bool(asked.get("failing"))
    logs = [log for kind, ids in given.items() if ids for log in org.erase(kind, ids, seconds=seconds, failing=failing)]
    return {"conversationApiLogs": logs}


def _entry(org: Org, given: dict[str, Any]) -> Entry:
    identifier = str(given.get("identifier") or uuid.uuid4())
    at = int(given.get("transcriptedTimestamp") or org.clock.now_ms)
    sender = given.get("sender") or {"appType": "conversation", "subject": "system", "role": "System"}
    kind = given.get("entryType") or "Message"
    payload = given.get("entryPayload", {"entryType": kind, "id": identifier})
    if not isinstance(payload, str) and org.switches["payload_form"] == "string":
        payload = json.dumps(payload, ensure_ascii=False)
    wire = {"identifier": identifier, "entryType": kind, "sender": sender, "relatedRecords": [],
            "clientTimestamp": at, "clientDuration": 0, "transcriptedTimestamp": at,
            **given, "entryPayload": payload}  # fmt: skip
    related = [str(record) for record in wire["relatedRecords"] or []]
    speaker = Speaker(sender.get("appType", ""), sender.get("subject", ""), sender.get("role", ""))
    return Entry(
        identifier, kind, payload if isinstance(payload, str) else json.dumps(payload), speaker,
        wire.get("senderDisplayName"), at, int(wire["clientTimestamp"]), int(wire["clientDuration"]),
        wire.get("modality"), wire.get("visibilityStrategy"), tuple(related),
        to_18(related[0]) if related and len(related[0]) in (15, 18) else None, None,
        *text_of(_parsed(payload)), verbatim=wire,
    )  # fmt: skip


def _parsed(payload: Any) -> dict[str, Any]:
    try:
        parsed = json.loads(payload) if isinstance(payload, str) else payload
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def edit_records(org: Org, asked: dict[str, Any]) -> dict[str, Any]:
    """
    Change rows: `{"insert": [{"sobject", ...}], "update": [{"Id", ...}], "delete": [id], "undelete": [id],
    "purge": [id], "at": iso, "automation": bool}`.

    With `automation`, updates move SystemModstamp and leave LastModifiedDate; an object that has no SystemModstamp
    then shows nothing of it. Each is one commit at the clock's now, or at `at`; `delete` is soft, `purge` leaves
    nothing, of a Conversation not even the entries. Date-times are ISO
    texts. A `SystemModstamp` among the values is kept as given, so that a late commit can be staged.

    Raises:
      ValueError: no such object, column or record.
    """
    at = utc_seconds(asked["at"]) if "at" in asked else org.clock.now
    org.world.reach(at)
    org.edited = True
    inserted = [_insert(org, dict(values), at) for values in asked.get("insert") or []]
    for values in asked.get("update") or []:
        record = _record(org, values.get("Id"))
        record.change(at, _row(org.schema[record.sobject], values), by_user=not asked.get("automation"))
    for deleted, ids in ((True, asked.get("delete")), (False, asked.get("undelete"))):
        for record in _with_details(org, ids or []):
            record.change(at, {"IsDeleted": deleted})
    for record in _with_details(org, asked.get("purge") or []):
        record.gone_at = at
        if record.sobject == "Conversation":
            org.world.forget_entries(record.id)
    return {"inserted": inserted}


def _insert(org: Org, values: dict[str, Any], at: int) -> str:
    sobject = sobject_of(org, values.pop("sobject", None))
    number = org.world.numbers_by_hand()
    identifier = to_18(str(values["Id"])) if "Id" in values else record_id(sobject.key_prefix, number)
    row: Row = {"Name": f"{number % 100_000_000:08d}"} if sobject.field("Name") else {}
    row |= _row(sobject, values)
    record = Record(sobject.name, identifier, [Change(at, row)], org.world.cast.integration_user_id)
    org.world.add_record(record)
    if sobject.name == "Conversation" and row.get("ConversationIdentifier"):
        found = Conversation(str(row["ConversationIdentifier"]), identifier)
        org.world.conversations.setdefault(found.identifier, found)
    return identifier


def _with_details(org: Org, ids: list[str]) -> list[Record]:
    """The records of those ids, a session with its metrics rows: master-detail deletes cascade."""
    masters = [_record(org, identifier) for identifier in ids]
    named = {record.id for record in masters}
    details = [record for record in org.world.records_of(_METRICS) if record.first("MessagingSessionId") in named]
    return masters + details


def _record(org: Org, identifier: Any) -> Record:
    record = org.world.record(to_18(str(identifier)))
    if record is None:
        raise ValueError(f"no record {identifier}")
    return record


def sobject_of(org: Org, name: Any) -> SObject:
    """
    The object of that name as this org has it.

    Raises:
      ValueError: there is none.
    """
    if name not in org.schema:
        raise ValueError(f"no object {name!r}; there are {', '.join(org.schema)}")
    return org.schema[name]


def _row(sobject: SObject, values: dict[str, Any]) -> Row:
    row: Row = {}
    for name, value in values.items():
        field = sobject.field(name)
        if field is None:
            raise ValueError(f"{sobject.name} has no column {name}")
        row[field.name] = typed(field.type, value)
    row.pop("Id", None)
    return row


def typed(type_: str, value: Any) -> Value:
    """
    A JSON value as rows hold it for a describe type: date-times as epoch seconds, ids with 18 characters.

    Raises:
      ValueError: a date-time or an id that is none.
    """
    if value is None:
        return None
    if type_ == "datetime":
        return utc_seconds(value)
    return to_18(value) if type_ == "reference" else value


def utc_seconds(iso: str) -> int:
    """
    An ISO date-time as UTC epoch seconds.

    Raises:
      ValueError: it is none, or has no time zone.
    """
    instant = datetime.fromisoformat(iso)
    if instant.tzinfo is None:
        raise ValueError("a date-time needs a time zone, such as 2026-11-20T12:00:00Z")
    return int(instant.timestamp())
