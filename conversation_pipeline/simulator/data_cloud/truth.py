"""What Data Cloud must have now, told without its spellings."""

from __future__ import annotations

from datetime import date
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from conversation_pipeline.simulator.data_cloud.rows import created_ms, lag_ms
from conversation_pipeline.simulator.endpoint import json_response
from conversation_pipeline.simulator.org import Org


class Truth:
    """Control endpoints of this room."""

    def __init__(self, org: Org) -> None:
        self._org = org

    def entries(self, request: Request) -> Response:
        """GET /simulator/truth/data_cloud?day=YYYY-MM-DD: by transcripted timestamp."""
        try:
            day = date.fromisoformat(request.query_params.get("day", ""))
        except ValueError:
            return json_response({"error": "give ?day=YYYY-MM-DD"}, 400)
        return json_response({"day": day.isoformat(), **synced_entries(self._org, day)})

    def load(self, _request: Request) -> Response:
        """GET /simulator/data_cloud: calls of the tenant host at once, now and at worst."""
        tenant = self._org.data_cloud
        return json_response({"calls": tenant.calls, "most_calls": tenant.most_calls, "refused_calls": tenant.refused,
                              "limit": self._org.limits.data_cloud_calls})  # fmt: skip


def synced_entries(org: Org, day: date) -> dict[str, list[dict[str, Any]]]:
    """
    Entries of a UTC day: `entries` are there now, `awaited` have been said and come later.

    Times are UTC epoch milliseconds; `synced_at` is when Data Cloud has the entry as it was first said.
    """
    org.world.reach(org.clock.now)
    now = org.clock.now_ms
    there: list[dict[str, Any]] = []
    awaited: list[dict[str, Any]] = []
    for conversation, original in org.world.entries_on(day, 0):
        created, lag = created_ms(org, original), lag_ms(org, original)
        seen_at = now - lag
        erased = conversation.erased_at
        if erased is not None and erased <= seen_at and original.at < erased:
            continue
        entry = original.as_of(seen_at)
        told = {
            "conversation_identifier": conversation.identifier, "conversation_id": conversation.record_id,
            "entry_identifier": entry.identifier, "entry_type": entry.entry_type, "text": entry.text,
            "transcripted_timestamp": entry.at, "created": created, "synced_at": created + lag,
            "voice_call_id": entry.record_id if (entry.record_id or "").startswith("0LQ") else None,
        }  # fmt: skip
        if created + lag <= now:
            there.append(told)
        elif created <= now:
            awaited.append(told)
    key = ("transcripted_timestamp", "entry_identifier")
    for found in (there, awaited):
        found.sort(key=lambda row: [row[name] for name in key])
    return {"entries": there, "awaited": awaited}
