"""What Data Cloud must have now, told without its spellings."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from conversation_pipeline.simulator.control.edits import utc_seconds
from conversation_pipeline.simulator.data_cloud.rows import created_ms, lag_ms
from conversation_pipeline.simulator.data_cloud.volume import ENTRIES_A_CONVERSATION, MOST_ENTRIES, Volume
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
        told = synced_entries(self._org, day)
        return json_response({"day": day.isoformat(), **told, "generated": generated_entries(self._org, day)})

    async def generate(self, request: Request) -> Response:
        """
        POST /simulator/data_cloud/generate {"count", "from", "to"}: so many plain text entries in Data Cloud alone.

        Columns are made, no object each. They lie evenly from `from` (inclusive) to `to` (exclusive), fifty to a
        conversation, and are synced with the longest lag.
        """
        try:
            asked = json.loads(await request.body())
            count, start, end = asked["count"], utc_seconds(asked["from"]), utc_seconds(asked["to"])
        except (ValueError, TypeError, KeyError):
            return json_response({"error": "give count, and from and to as date-times with a time zone"}, 400)
        if type(count) is not int or not 0 < count <= MOST_ENTRIES or start >= end:
            return json_response({"error": f"count is from 1 to {MOST_ENTRIES}, and `from` lies before `to`"}, 400)
        volumes = self._org.data_cloud.volumes
        volumes.append(Volume(len(volumes) + 1, count, start * 1000, end * 1000))
        return json_response({"generated": count, "conversations": -(-count // ENTRIES_A_CONVERSATION)})

    def load(self, _request: Request) -> Response:
        """GET /simulator/data_cloud: calls of the tenant host at once, now and at worst."""
        tenant = self._org.data_cloud
        return json_response({"calls": tenant.calls, "most_calls": tenant.most_calls, "refused_calls": tenant.refused,
                              "limit": self._org.limits.data_cloud_calls})  # fmt: skip


def generated_entries(org: Org, day: date) -> int:
    """How many entries of that UTC day were generated and are there now."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    start, end = (round(at.timestamp() * 1000) - 1 for at in (midnight, midnight + timedelta(days=1)))
    seen_at = org.clock.now_ms - int(float(org.switches["data_cloud_lag_minutes"]) * 60_000)
    return sum(volume.until(min(end, seen_at)) - volume.until(min(start, seen_at)) for volume in org.data_cloud.volumes)


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
