"""The way in and out of every endpoint: network delay, the books, ordered faults, compression, the org's own Date."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import zlib
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from conversation_pipeline.simulator.control.counters import Request
from conversation_pipeline.simulator.endpoint import Endpoint, bearer
from conversation_pipeline.simulator.org import Org

Connections = dict[tuple[str, int], asyncio.Transport]
"""Open connections by the client's address, so that a fault can cut one."""

_LEAST_PACKED = 1024
"""Bytes from which an answer that is not streamed is compressed [assumed: `not guaranteed`, says the documentation]."""
_GZIP = 31
"""zlib's number for the gzip format."""
_HTML = b"<!DOCTYPE html><html><head><title>Maintenance</title></head><body>We will be right back</body></html>"


class Gate:
    """An ASGI application around one endpoint."""

    def __init__(self, org: Org, endpoint: Endpoint, connections: Connections) -> None:
        self._org = org
        self._endpoint = endpoint
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through; a client that is gone before its request has come is not answered."""
        with suppress(ClientDisconnect):
            await self._let_through(scope, receive, send)

    async def _let_through(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = HttpRequest(scope, receive)
        if self._endpoint.name.startswith("control."):
            response = await self._handled(request)
            self._stamp(response)
            await response(scope, receive, send)
            return
        await self._travel()
        noted = self._note(request)
        counters = self._org.counters
        effect = self._org.faults.strike(
            noted.route, noted.path, noted.method, noted.conversation_identifier, noted.user
        )
        if effect is None:
            response = self._packed(await self._handled(request), request)
            self._stamp(response)
            counters.answer(noted, response.status_code)
            await self._travel()
            await response(scope, receive, send)
            return
        await self._faulty(effect, request, noted, scope, receive, send)

    async def _handled(self, request: HttpRequest) -> Response:
        answer = self._endpoint.handler(request)
        response = answer if isinstance(answer, Response) else await answer
        ordered = request.method == "POST" and self._endpoint.name.startswith("control.")
        self._org.revision += ordered or request.method in ("PATCH", "DELETE")
        return response

    def _packed(self, response: Response, request: HttpRequest) -> Response:
        """The answer compressed, if the caller takes that and it is worth it (intro_rest_compression [doc])."""
        accepted = "gzip" in request.headers.get("accept-encoding", "")
        if not accepted or not self._org.switches["gzip"]:
            return response
        if isinstance(response, StreamingResponse):
            response.body_iterator = _gzipped(response.body_iterator)
        elif len(response.body) < _LEAST_PACKED:
            return response
        else:
            response.body = _gzip_of(bytes(response.body))
            response.headers["content-length"] = str(len(response.body))
        response.headers["content-encoding"] = "gzip"
        return response

    def _note(self, request: HttpRequest) -> Request:
        org = self._org
        session = org.identities.session(bearer(request) or "")
        if session is not None:
            org.identities.arrive(session.client)
        identifier = request.query_params.get("conversationIdentifier") or request.path_params.get(
            "conversation_identifier"
        )
        noted = Request(
            org.clock.iso(),
            self._endpoint.name,
            request.method,
            request.url.path,
            session.client.username if session else None,
            identifier,
            client_id=session.client.client_id if session else None,
        )
        org.counters.arrive(noted, org.clock.elapsed(), org.limits)
        return noted

    def _stamp(self, response: Response) -> None:
        # Clients cap their windows at the server's Date, so it has to be the world's.
        now = datetime.fromtimestamp(self._org.clock.now, UTC)
        response.headers["date"] = format_datetime(now, usegmt=True)

    async def _travel(self) -> None:
        switches = self._org.switches
        longest, rare = switches["network_delay_max_ms"], switches["network_delay_rare_ms"]
        if not longest and not rare:
            return
        shortest = switches["network_delay_min_ms"]
        delay = random.uniform(shortest, max(shortest, longest))
        if rare and random.random() < switches["network_delay_rare_share"]:
            delay = rare
        await asyncio.sleep(delay / 1000)

    async def _faulty(
        self, effect: dict[str, Any], request: HttpRequest, noted: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        counters = self._org.counters
        if effect.get("expire_token"):
            self._org.identities.expire(bearer(request) or "")
        if "stall_seconds" in effect and "stall_after_bytes" not in effect:
            await asyncio.sleep(effect["stall_seconds"])
        if effect.get("reset") == "before":
            counters.answer(noted, 0)
            await self._cut(scope)
            return
        response = self._packed(await self._altered(effect, request), request)
        self._stamp(response)
        counters.answer(noted, 0 if effect.get("reset") else response.status_code)
        await self._travel()
        if effect.get("reset") or "truncate" in effect or "stall_after_bytes" in effect:
            await self._broken(effect, response, scope, send)
        else:
            await response(scope, receive, send)

    async def _altered(self, effect: dict[str, Any], request: HttpRequest) -> Response:
        if effect.get("html"):
            return Response(_HTML, 200, media_type="text/html")
        if "status" in effect:
            body = effect.get("body", "")
            text = body if isinstance(body, str) else json.dumps(body)
            media = "application/json" if not isinstance(body, str) or (text[:1] in "[{" and text) else "text/plain"
            return Response(text.encode(), effect["status"], effect.get("headers"), media_type=media)
        response = await _whole(await self._handled(request))
        response.headers.update(effect.get("headers") or {})
        for name, key in (("drop_entry", "conversationEntries"), ("repeat_entry", "conversationEntries"),
                          ("drop_record", "records")):  # fmt: skip
            if name in effect and effect[name] is not False:
                _edit(response, key, 0 if effect[name] is True else int(effect[name]), repeat=name.startswith("repeat"))
        return response

    async def _broken(self, effect: dict[str, Any], response: Response, scope: Scope, send: Send) -> None:
        """Send part of the body, with a length that is right, wrong or not told."""
        body = bytes(response.body)
        truncate = effect.get("truncate") or {}
        cut = int(truncate.get("bytes", len(body) * truncate.get("fraction", 0.5)))
        told = truncate.get("content_length", "kept" if not effect.get("reset") else "full")
        headers = [(key, value) for key, value in response.raw_headers if key != b"content-length"]
        length = {"matching": cut, "absent": None}.get(told, len(body))
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        if "stall_after_bytes" in effect:
            first = body[: effect["stall_after_bytes"]]
            await send({"type": "http.response.body", "body": first, "more_body": True})
            await asyncio.sleep(effect["stall_seconds"])
            await send({"type": "http.response.body", "body": body[len(first) :], "more_body": False})
            return
        whole = told in ("matching", "absent")
        await send({"type": "http.response.body", "body": body[:cut], "more_body": not whole})
        if effect.get("reset"):
            await asyncio.sleep(0.05)
            await self._cut(scope)
        elif not whole:
            await self._cut(scope, politely=True)

    async def _cut(self, scope: Scope, *, politely: bool = False) -> None:
        transport = self._connections.get(tuple(scope["client"]))
        if transport is None:
            return
        if politely:
            transport.close()
        else:
            wire = transport.get_extra_info("socket")
            # Linger of zero makes closing send RST, as a dropped connection does.
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        while not transport.is_closing() or tuple(scope["client"]) in self._connections:
            await asyncio.sleep(0.001)


def _edit(response: Response, key: str, place: int, *, repeat: bool) -> None:
    body = bytes(response.body)
    if response.headers.get("content-type", "").startswith("text/csv"):
        response.body = _edited_csv(body, place) if key == "records" else body
    else:
        response.body = _edited_json(body, key, place, repeat=repeat)
    response.headers["content-length"] = str(len(response.body))


def _edited_json(body: bytes, key: str, place: int, *, repeat: bool) -> bytes:
    content = json.loads(body)
    rows = content.get(key) if isinstance(content, dict) else None
    if not rows or place >= len(rows):
        return body
    if repeat:
        rows.insert(place, rows[place])
    else:
        del rows[place]
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _edited_csv(body: bytes, place: int) -> bytes:
    """The CSV without one of its records; lines belong together until their quotes are closed."""
    records, record = [], b""
    for line in body.splitlines(keepends=True):
        record += line
        if record.count(b'"') % 2 == 0:
            records.append(record)
            record = b""
    del records[place + 1 : place + 2]
    return b"".join(records)


async def _whole(response: Response) -> Response:
    """The answer with all of its body at hand."""
    if not isinstance(response, StreamingResponse):
        return response
    body = b"".join([chunk.encode() if isinstance(chunk, str) else bytes(chunk) async for chunk in
                     response.body_iterator])  # fmt: skip
    return Response(body, response.status_code, dict(response.headers))


def _gzip_of(body: bytes) -> bytes:
    packer = zlib.compressobj(1, wbits=_GZIP)
    return packer.compress(body) + packer.flush()


async def _gzipped(chunks: AsyncIterable[str | bytes | memoryview]) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(1, wbits=_GZIP)
    async for chunk in chunks:
        piece = packer.compress(chunk.encode() if isinstance(chunk, str) else chunk)
        if piece:
            yield piece
    yield packer.flush()
