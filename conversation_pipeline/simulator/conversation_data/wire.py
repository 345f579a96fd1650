"""Conversation entries as JSON, and the errors `{code, message}` of this API."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from starlette.responses import Response

from conversation_pipeline.simulator.endpoint import json_response
from conversation_pipeline.simulator.world.entries import Entry


def refused(status: int, code: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """`{"code", "message"}`, the error object of the sibling Interaction Service API [assumed here]."""
    return json_response({"code": code, "message": message}, status, headers)


def accepted(logs: Iterable[tuple[str, str]]) -> Response:
    """202 with one item for each requested id [doc; the items' members assumed]: the log's id and the entity's."""
    items = [{"id": log, "requestedEntityIdentifier": entity[:15], "status": "REQUESTED"} for log, entity in logs]
    return json_response({"conversationApiLogs": items}, 202)


def page(entries: Sequence[Entry], next_token: str | None, payload_form: str) -> Response:
    """A page of entries; on the last page `nextPageToken` is missing."""
    body = '{"conversationEntries":[' + ",".join(_rendered(entry, payload_form) for entry in entries) + "]"
    if next_token is not None:
        body += f',"nextPageToken":{json.dumps(next_token)}'
    return Response((body + "}").encode(), media_type="application/json;charset=UTF-8")


def _rendered(entry: Entry, payload_form: str) -> str:
    if entry.verbatim is not None:
        return json.dumps(entry.verbatim, ensure_ascii=False, separators=(",", ":"))
    as_object = payload_form == "object" or (payload_form == "mixed" and entry.coin % 2 == 0)
    payload = entry.payload if as_object else json.dumps(entry.payload, ensure_ascii=False)
    return f'{_head(entry)},"entryPayload":{payload}}}'


def _head(entry: Entry) -> str:
    head: dict[str, Any] = {
        "identifier": entry.identifier, "entryType": entry.entry_type, "sender": entry.sender.wire(),
        "relatedRecords": list(entry.related_records), "clientTimestamp": entry.client_at,
        "clientDuration": entry.duration, "transcriptedTimestamp": entry.at,
    }  # fmt: skip
    # Optional members that are not set come as null or not at all; both occur in official samples [doc].
    optional = {"senderDisplayName": entry.display_name, "recipients": None, "modality": entry.modality,
                "visibilityStrategy": entry.visibility}  # fmt: skip
    head |= {name: value for name, value in optional.items() if value is not None or entry.coin % 3 == 0}
    return json.dumps(head, ensure_ascii=False, separators=(",", ":"))[:-1]
