"""As much of S3 as ``pyarrow.fs`` uses, over real HTTP on loopback, keeping objects in memory."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree import ElementTree

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


class ObjectStore:
    """
    One bucket.

    Attributes:
        objects: Bodies by key.
        completed: Keys in the order in which they were put in place, by a PUT or a whole multipart upload.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.completed: list[str] = []
        self._uploads: dict[str, dict[int, bytes]] = {}
        self.port = 0

    def url(self, prefix: str) -> str:
        return (
            f"s3://made-up-key:made-up-secret@bucket/{prefix}"
            f"?endpoint_override=127.0.0.1:{self.port}&scheme=http&region=eu-central-1"
        )

    async def bucket(self, request: Request) -> Response:
        if request.method == "GET":
            return self._list(request)
        if request.method == "POST":
            for node in ElementTree.fromstring(await _body(request)).iter():
                if node.tag.rpartition("}")[2] == "Key":
                    self.objects.pop(node.text or "", None)
            return _xml("DeleteResult", "")
        return Response()

    async def object(self, request: Request) -> Response:
        key, upload = request.path_params["key"], request.query_params.get("uploadId")
        if request.method in {"GET", "HEAD"}:
            return self._get(key, request.headers.get("range"))
        if request.method == "DELETE":
            self.objects.pop(key, None)
            return Response(status_code=204)
        body = await _body(request)
        if request.method == "PUT" and upload:
            self._uploads[upload][int(request.query_params["partNumber"])] = body
            return Response(headers={"ETag": _etag(body)})
        if request.method == "POST" and upload is None:
            self._uploads[key] = {}
            return _xml("InitiateMultipartUploadResult", f"<UploadId>{key}</UploadId>")
        if upload:
            body = b"".join(body for _, body in sorted(self._uploads.pop(upload).items()))
        self.objects[key] = body
        self.completed.append(key)
        if upload:
            return _xml("CompleteMultipartUploadResult", f"<ETag>{_etag(body)}</ETag>")
        return Response(headers={"ETag": _etag(body)})

    def _get(self, key: str, wanted: str | None) -> Response:
        body = self.objects.get(key)
        if body is None:
            return Response(status_code=404)
        headers = {"ETag": _etag(body), "Last-Modified": "Sun, 01 Nov 2026 00:00:00 GMT"}
        if wanted is None:
            return Response(body, headers=headers)
        first, last = wanted.removeprefix("bytes=").split("-")
        part = body[int(first) : int(last) + 1]
        headers["Content-Range"] = f"bytes {first}-{int(first) + len(part) - 1}/{len(body)}"
        return Response(part, status_code=206, headers=headers)

    def _list(self, request: Request) -> Response:
        prefix = request.query_params.get("prefix", "")
        delimiter = request.query_params.get("delimiter", "")
        files, folders = [], set()
        for key in sorted(self.objects):
            if not key.startswith(prefix):
                continue
            head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            if found:
                folders.add(prefix + head + delimiter)
            else:
                files.append(key)
        return _xml(
            "ListBucketResult",
            "<IsTruncated>false</IsTruncated>"
            + "".join(
                f"<Contents><Key>{key}</Key><Size>{len(self.objects[key])}</Size>"
                "<LastModified>2026-11-01T00:00:00.000Z</LastModified></Contents>"
                for key in files
            )
            + "".join(f"<CommonPrefixes><Prefix>{it}</Prefix></CommonPrefixes>" for it in sorted(folders)),
        )


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """A store that serves on a free port for the time of the block."""
    store = ObjectStore()
    app = Starlette(
        routes=[
            Route("/bucket", store.bucket, methods=["GET", "HEAD", "POST"]),
            Route("/bucket/", store.bucket, methods=["GET", "HEAD", "POST"]),
            Route("/bucket/{key:path}", store.object, methods=["GET", "HEAD", "PUT", "POST", "DELETE"]),
        ]
    )
    listener = socket.create_server(("127.0.0.1", 0))
    store.port = listener.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield store
    finally:
        server.should_exit = True
        thread.join()


async def _body(request: Request) -> bytes:
    """The body; newer clients send it in chunks of their own, each behind its size in hexadecimal."""
    body = await request.body()
    if "aws-chunked" not in request.headers.get("content-encoding", ""):
        return body
    plain = b""
    while body:
        head, _, rest = body.partition(b"\r\n")
        size = int(head.partition(b";")[0], 16)
        if size == 0:
            break
        plain, body = plain + rest[:size], rest[size + 2 :]
    return plain


def _xml(root: str, inside: str) -> Response:
    text = f'<?xml version="1.0"?><{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inside}</{root}>'
    return Response(text, media_type="application/xml")


def _etag(body: bytes) -> str:
    return '"' + hashlib.md5(body, usedforsecurity=False).hexdigest() + '"'
