"""POST /composite/batch: up to 25 requests in one (REST, Composite Batch [doc])."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from conversation_pipeline.simulator.endpoint import Endpoint, json_response
from conversation_pipeline.simulator.oauth.model import Session
from conversation_pipeline.simulator.rest.wire import errors, not_found

MOST_REQUESTS = 25


class Batch:
    """Answers a batch from GET endpoints that answer at once."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._handlers = [(Route(e.path, _never, methods=["GET"]), e.handler) for e in endpoints if "GET" in e.methods]

    def answer(self, request: Request, _session: Session, asked: dict[str, Any]) -> Response:
        """Each request's status and result, in order; `haltOnError` skips what follows a failure."""
        asks = asked.get("batchRequests")
        if not isinstance(asks, list) or not all(isinstance(ask, dict) for ask in asks):
            return errors(400, "JSON_PARSER_ERROR", "batchRequests has to be a list of objects")
        if len(asks) > MOST_REQUESTS:
            return errors(400, "LIMIT_EXCEEDED", f"A batch has at most {MOST_REQUESTS} requests")
        results: list[dict[str, Any]] = []
        failed = False
        for ask in asks:
            response = _skipped() if failed and asked.get("haltOnError") else self._one(request, ask)
            failed = failed or response.status_code >= 400
            body = bytes(response.body)
            results.append({"statusCode": response.status_code, "result": json.loads(body) if body else None})
        return json_response({"hasErrors": failed, "results": results})

    def _one(self, request: Request, ask: dict[str, Any]) -> Response:
        if ask.get("method", "GET") != "GET":
            return errors(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{ask.get('method')}' not allowed")
        url = urlsplit(str(ask.get("url", "")))
        path = "/services/data/" + url.path.removeprefix("/services/data/").lstrip("/")
        headers = [pair for pair in request.scope["headers"] if pair[0] not in (b"if-modified-since", b"content-type")]
        scope = {**request.scope, "method": "GET", "path": path, "raw_path": path.encode(), "headers": headers,
                 "query_string": url.query.encode(), "root_path": ""}  # fmt: skip
        for route, handler in self._handlers:
            match, found = route.matches(scope)
            if match is Match.FULL:
                answer = handler(Request({**scope, **found}))
                if isinstance(answer, Response):
                    return answer
        return not_found()


def _skipped() -> Response:
    return errors(412, "BATCH_PROCESSING_HALTED", "The batch was halted at an earlier request")


_never: Callable[..., Response] = not_found
