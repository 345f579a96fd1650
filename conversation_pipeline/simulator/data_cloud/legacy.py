"""Query API v2, forward only, and v1, all at once (Data Cloud, sections 4.2 and 4.3)."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response

from conversation_pipeline.simulator.data_cloud import wire
from conversation_pipeline.simulator.data_cloud.model import Batches
from conversation_pipeline.simulator.data_cloud.queries import Queries, whole
from conversation_pipeline.simulator.data_cloud.tenant import Tenant
from conversation_pipeline.simulator.endpoint import json_response

V1_ROWS = 49_999
"""Most rows of a v1 answer, and how many without a limit [doc]."""


class Legacy:
    """The handlers of v2 and v1."""

    def __init__(self, tenant: Tenant, queries: Queries) -> None:
        self._tenant = tenant
        self._queries = queries

    def submit(self, request: Request, asked: dict[str, Any]) -> Response:
        """POST /api/v2/query."""
        org = self._tenant.org
        table = self._queries.run(asked).table
        offset, limit = asked.get("offset") or 0, asked.get("limit")
        table = table.slice(int(offset), None if limit is None else int(limit))
        number, tail = org.data_cloud.identify()
        at = org.clock.elapsed()
        started = f"{datetime.fromtimestamp(org.clock.now, UTC):%Y%m%d_%H%M%S}"
        batches = Batches(f"{started}_{number:05d}_{tail[:5]}", table, at, at, org.clock.now_ms)
        return self._batch(request, batches)

    def next(self, request: Request, _asked: dict[str, Any]) -> Response:
        """GET /api/v2/query/{nextBatchId}: each id works once."""
        org = self._tenant.org
        batches = org.data_cloud.take(request.path_params["batch"], org.clock.elapsed())
        if batches is None:
            return self._tenant.refused(
                request, 404, "Not Found", "the batch does not exist, was read already, or has expired"
            )
        return self._batch(request, batches)

    def _batch(self, request: Request, batches: Batches) -> Response:
        org, switches = self._tenant.org, self._tenant.org.switches
        left = batches.table.slice(batches.place)
        data, told, count = self._rows(request, left)
        batches.place += count
        batches.served += 1
        done = batches.place >= batches.table.num_rows
        content: dict[str, Any] = {
            "startTime": _microseconds(batches.started_ms), "endTime": _microseconds(org.clock.now_ms),
            "rowCount": count, "queryId": batches.id, "metadata": wire.v2_columns(batches.table), **told,
        }  # fmt: skip
        missing = bool(switches["data_cloud_v2_done_missing"])
        if not missing:
            content["done"] = done
        if not done or (switches["data_cloud_v2_leftover_batch_id"] and not missing):
            name = str(uuid.uuid4()) if switches["data_cloud_v2_batch_id"] == "uuid" else (
                f"{batches.id}_{batches.served}"
            )  # fmt: skip
            content["nextBatchId"] = name
            if not done:
                org.data_cloud.offer(name, batches)
        return wire.json_page(content, data)

    def _rows(self, request: Request, left: pa.Table) -> tuple[list[str] | None, dict[str, Any], int]:
        """Data as JSON texts or as an Arrow stream in base64, and how many rows that is."""
        most = int(self._tenant.org.switches["data_cloud_v2_page_bytes"])
        if request.headers.get("enable-arrow-stream", "").lower() == "true":
            # Base64 makes four bytes of three.
            stream = wire.arrow_page(left, most * 3 // 4)
            count = pa.ipc.open_stream(stream).read_all().num_rows
            return None, {"arrowStream": base64.b64encode(stream).decode()}, count
        data = wire.rows(left, wire.V2, most)
        return data, {}, len(data)

    def at_once(self, request: Request, asked: dict[str, Any]) -> Response:
        """POST /api/v1/query: rows as objects."""
        query = request.query_params
        order = query.get("orderby")
        if order and isinstance(asked.get("sql"), str):
            asked = asked | {"sql": f"SELECT * FROM ({asked['sql']}) ORDER BY {order}"}  # noqa: S608  (the caller's own)
        table = self._queries.run(asked).table
        limit = min(V1_ROWS, whole(query.get("limit"), "limit", least=1, default=V1_ROWS) or V1_ROWS)
        page = table.slice(whole(query.get("offset"), "offset", least=0, default=0) or 0, limit)
        rows = [json.loads(row) for row in wire.rows(page, wire.V2, 2**62)]
        return json_response({
            "data": [dict(zip(page.column_names, row, strict=True)) for row in rows],
            "metadata": wire.v2_columns(page), "rowCount": page.num_rows, "done": True,
            "startTime": _microseconds(self._tenant.org.clock.now_ms),
            "endTime": _microseconds(self._tenant.org.clock.now_ms),
        })  # fmt: skip


def _microseconds(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
