"""
An org that has one query job, whose result is files: as little server as can be, in a process of its own.

Answers token requests, job creation, status, results by locator, abort and delete; of Bulk API 1.0, which dlt's source
speaks, a describe, a job with one batch, and its results as JSON. A page goes out by ``sendfile``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from benchmarks.bulk.pages import COUNTS, FLAGS, INSTANTS, OWN_COLUMNS, Result

JOB = "750000000000001AAA"
BATCH = "751000000000001AAA"


class Org:
    """Serves one result to every job."""

    def __init__(self, result: Result) -> None:
        self._result = result
        self._pages = result.pages

    async def serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = head.split("\r\n")
                length = next((line.partition(":")[2] for line in lines if line.lower().startswith("content-l")), "0")
                await reader.readexactly(int(length))
                method, target, _ = lines[0].split(" ")
                await self._answered(method, target, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answered(self, method: str, target: str, writer: asyncio.StreamWriter) -> None:
        url = urlsplit(target)
        path = url.path.rstrip("/")
        if path.endswith("/results"):
            await self._page(int(parse_qs(url.query).get("locator", ["0"])[0]), writer)
        elif method == "DELETE":
            _send(writer, 204, b"")
        elif path.endswith("/token"):
            _send(writer, 200, b'{"access_token":"a.b.c"}')
        elif path.endswith("/describe"):
            _send(writer, 200, json.dumps(_described()).encode())
        elif path.startswith("/services/async/"):
            await self._bulk_1(path, writer)
        else:
            state = "UploadComplete" if method == "POST" else "JobComplete"
            _send(writer, 200, json.dumps(self._job(state)).encode())
        await writer.drain()

    def _job(self, state: str) -> dict[str, object]:
        return {
            "id": JOB,
            "operation": "queryAll",
            "object": "MessagingSession",
            "state": state,
            "contentType": "CSV",
            "apiVersion": 66.0,
            "lineEnding": "LF",
            "columnDelimiter": "COMMA",
            "numberRecordsProcessed": self._result.rows,
        }

    async def _bulk_1(self, path: str, writer: asyncio.StreamWriter) -> None:
        """A job has one batch, done at once, and the batch a result for each page."""
        *_, before, last = path.split("/")
        if before == "result":
            await self._file(self._result.json_pages[int(last)], "application/json", (), writer)
        elif last == "result":
            _send(writer, 200, json.dumps([str(number) for number in range(len(self._pages))]).encode())
        elif "batch" in (before, last):
            _send(writer, 200, json.dumps({"id": BATCH, "jobId": JOB, "state": "Completed"}).encode())
        else:
            _send(writer, 200, json.dumps({"id": JOB, "state": "Open" if last == "job" else "Closed"}).encode())

    async def _page(self, number: int, writer: asyncio.StreamWriter) -> None:
        page = self._pages[number]
        locator = "null" if number + 1 == len(self._pages) else str(number + 1)
        headers = (f"Sforce-Locator: {locator}", f"Sforce-NumberOfRecords: {self._result.records(number)}")
        await self._file(page, "text/csv", headers, writer)

    async def _file(self, page: Path, kind: str, headers: Sequence[str], writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, page.stat().st_size, kind, headers))
        await writer.drain()
        with page.open("rb") as file:
            await asyncio.get_running_loop().sendfile(writer.transport, file)


def _described() -> dict[str, object]:
    kinds = dict.fromkeys(INSTANTS, "datetime") | dict.fromkeys(COUNTS, "int") | dict.fromkeys(FLAGS, "boolean")
    return {
        "name": "MessagingSession",
        "fields": [
            {"name": name, "type": kinds.get(name, "string"), "compoundFieldName": None} for name in OWN_COLUMNS
        ],
    }


def _send(writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
    writer.write(_head(status, len(body), "application/json") + body)


def _head(status: int, length: int, kind: str, more: Sequence[str] = ()) -> bytes:
    lines = (f"HTTP/1.1 {status} Whatever", f"Content-Length: {length}", f"Content-Type: {kind}", *more)
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("rows", type=int)
    parser.add_argument("page_rows", type=int)
    given = parser.parse_args()
    asyncio.run(Org(Result(given.folder, given.rows, given.page_rows)).serve())
