"""
A tenant that has one result, which is files: as little server as can be, in a process of its own.

Answers tokens, the exchange, metadata, a look (counts by day) and the query of entries, by v3, query-sql and v2. A page
goes out by ``sendfile``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa

from benchmarks.data_cloud.pages import Result, json_page

_STATUS = "x-hyperdb-status"
_OBJECTS = {
    "ssot__ConversationEntry__dlm": [
        "Id", "ConversationId", "ClientDateTime", "TranscriptedDateTime", "CreatedDate", "LastModifiedDate",
        "ConversationEntryType", "ConversationEntryVisibilityType", "EngagementParticipantId", "PayloadText",
        "Modality", "DurationSecondsCount", "ParentEntryId", "SourceId", "SourceObject",
    ],
    "ssot__Conversation__dlm": ["Id", "ExternalRecordId"],
    "ssot__EngagementChannelParticipant__dlm": ["Id", "ParticipantDisplayName", "EngagementParticipantRole"],
}  # fmt: skip


class Tenant:
    """Serves one result to every query of entries."""

    def __init__(self, result: Result) -> None:
        self._result = result

    async def serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        print(self._port, flush=True)
        await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = head.split("\r\n")
                length = next((line.partition(":")[2] for line in lines if line.lower().startswith("content-l")), "0")
                body = await reader.readexactly(int(length))
                await self._answered(lines[0].split(" ")[1], body.decode(), writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answered(self, target: str, body: str, writer: asyncio.StreamWriter) -> None:
        url = urlsplit(target)
        kind, number = self._asked(url.path, parse_qs(url.query), body)
        if kind == "entries":
            await self._page(number, writer)
        elif kind == "look":
            look = self._look()
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, look.schema) as stream:
                stream.write_table(look)
            _send(writer, sink.getvalue().to_pybytes() if self._result.mode == "v3" else self._ended(look))
        elif kind == "status":
            _send(writer, json.dumps(self._status("COUNT(" in body or "/look" in url.path)).encode())
        else:
            _send(writer, json.dumps(self._else(url.path, body)).encode())

    def _asked(self, path: str, params: dict[str, list[str]], body: str) -> tuple[str, int]:
        """What is asked for: a page of entries, the look, a status, or anything else."""
        if "/query" not in path:
            return "", 0
        if "/chunks/" in path:
            return ("look" if "/look/" in path else "entries"), int(path.rpartition("/")[2])
        if path.endswith("/rows"):
            return ("look" if "/look/" in path else "entries"), int(params["offset"][0]) // self._result.page_rows
        if "/v2/" in path:
            if "COUNT(" in body:
                return "look", 0
            return "entries", 0 if body else int(path.rpartition("_")[2])
        return ("" if "LIMIT 0" in body or "/columns" in path else "status"), 0

    def _else(self, path: str, body: str) -> object:
        if path.endswith("/a360/token"):
            url = f"http://127.0.0.1:{self._port}"
            return {"access_token": "d.e.f", "instance_url": url, "expires_in": 7190}
        if path.endswith("/token"):
            return {"access_token": "a.b.c"}
        if path == "/services/data/":
            return []
        if "LIMIT 0" in body:
            columns = next((columns for name, columns in _OBJECTS.items() if name in body), [])
            status = {"queryId": "columns", "completionStatus": "Finished", "rowCount": 0}
            return {"status": status, "metadata": [{"name": f"ssot__{name}__c"} for name in columns]}
        fields = {name: [{"name": f"ssot__{column}__c"} for column in columns] for name, columns in _OBJECTS.items()}
        return {"metadata": [{"name": name, "fields": columns} for name, columns in fields.items()]}

    def _status(self, of_look: bool) -> dict[str, object]:
        rows = len(self._result.days) + 1 if of_look else self._result.rows
        return {
            "queryId": "look" if of_look else "entries",
            "completionStatus": "FINISHED",
            "rowCount": rows,
            "chunkCount": 1 if of_look else self._result.pages,
            "executionStats": {"rowsProcessed": rows},
        }

    def _look(self) -> pa.Table:
        count, rest = divmod(self._result.rows, len(self._result.days))
        counts = [count + (place < rest) for place in range(len(self._result.days))]
        newest = pa.array([None] * (len(counts) + 1), pa.timestamp("us", "UTC"))
        return pa.table(
            {
                "day": [*self._result.days, "newest"],
                "entries": [*counts, 0],
                "ids": [*counts, 0],
                "changed": newest,
                "newest": newest,
            }
        )

    def _ended(self, look: pa.Table) -> bytes:
        page = json.loads(json_page(look, self._result.mode))
        return json.dumps(page | ({"done": True} if self._result.mode == "v2" else {})).encode()

    async def _page(self, number: int, writer: asyncio.StreamWriter) -> None:
        path = self._result.page(number)
        last = number + 1 == self._result.pages
        tail = b""
        if self._result.mode == "v2":  # the same JSON, and where the next batch is
            following = {"done": last} if last else {"done": False, "nextBatchId": f"entries_{number + 1}"}
            tail = b"," + json.dumps(following).encode()[1:]
        size = path.stat().st_size - (1 if tail else 0)
        _head(writer, size + len(tail))
        await writer.drain()
        with path.open("rb") as file:
            await asyncio.get_running_loop().sendfile(writer.transport, file, 0, size)
        writer.write(tail)


def _send(writer: asyncio.StreamWriter, body: bytes) -> None:
    _head(writer, len(body))
    writer.write(body)


def _head(writer: asyncio.StreamWriter, length: int) -> None:
    date = format_datetime(datetime.now(UTC), usegmt=True)
    writer.write(
        f"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nDate: {date}\r\n"
        f"Content-Length: {length}\r\n\r\n".encode()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("rows", type=int)
    parser.add_argument("days", type=int)
    parser.add_argument("mode")
    given = parser.parse_args()
    asyncio.run(Tenant(Result(given.folder, given.rows, given.days, given.mode)).serve())


if __name__ == "__main__":
    main()
