"""GET /platform/engagement/v1.0/conversation-entries."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Iterable

from starlette.requests import Request
from starlette.responses import Response

from conversation_pipeline.simulator.control.counters import ENTRIES
from conversation_pipeline.simulator.control.limits import Allowance
from conversation_pipeline.simulator.conversation_data.model import MAX_RECORDS, Selection, place_of, select
from conversation_pipeline.simulator.conversation_data.wire import accepted, page, refused
from conversation_pipeline.simulator.endpoint import Endpoint, bearer
from conversation_pipeline.simulator.org import Org
from conversation_pipeline.simulator.world.erasure import CONVERSATION, PERSON
from conversation_pipeline.simulator.world.ids import to_18

BASE = "/platform/engagement/v1.0"
_FOREVER = 2**63 - 1
MOST_DELETED = 10
"""Ids in one DELETE [assumed]."""


def endpoints(org: Org) -> Iterable[Endpoint]:
    """The Conversation Data room."""
    room = _Room(org)
    yield Endpoint(ENTRIES, f"{BASE}/conversation-entries", ("GET",), room.entries)
    for name, parameter, kind in (
        ("conversation-participants", "participantEntityIds", PERSON),
        ("conversations", "conversationIds", CONVERSATION),
    ):
        path, route = f"{BASE}/{name}", f"conversation_data.delete_{name.replace('-', '_')}"
        yield Endpoint(route, path, ("DELETE",), room.deleting(parameter, kind))


class _BadParameter(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class _Room:
    def __init__(self, org: Org) -> None:
        self._org = org

    def entries(self, request: Request) -> Response:
        org = self._org
        refusal = self._refusal(request, "entries", org.limits.entries)
        if refusal is not None:
            return refusal
        try:
            identifier, selection = self._asked(request)
        except _BadParameter as error:
            return refused(400, error.code, error.message)
        conversation = org.conversation_for_api(identifier)
        if conversation is None:
            return refused(404, 10018, "The conversation identifier isn't valid")
        entries, token = select(org.readable(conversation), selection)
        if org.switches["entry_order"] == "shuffled":
            entries.sort(key=lambda entry: entry.coin)
        return page(entries, token if org.switches["page_tokens"] else None, org.switches["payload_form"])

    def deleting(self, parameter: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
        """DELETE of the records named by that parameter, in the query or as a list in a JSON body [assumed]."""

        async def handle(request: Request) -> Response:
            body = await request.body()
            refusal = self._refusal(request, kind, self._org.limits.deletes)
            if refusal is not None:
                return refusal
            try:
                ids = _ids(request.query_params.get(parameter), body, parameter)
                logs = self._org.erase(kind, ids)
            except ValueError as error:
                return refused(400, 400, str(error))
            return accepted(zip(logs, ids, strict=True))

        return handle

    def _refusal(self, request: Request, operation: str, allowance: Allowance) -> Response | None:
        """Why this request is not served, if it is not: token, toggle, permission, allowance."""
        org = self._org
        session = org.identities.session(bearer(request) or "", org.switches["token_life_seconds"])
        if session is None or session.token.count(".") != 2 or "sfap_api" not in session.client.scopes:
            return refused(401, 401, "The access token is missing, expired, or not a JWT with scope sfap_api")
        if org.switches["conversation_service"] != "on":
            return _switched_off(org.switches["conversation_service"])
        if not org.identities.reads_conversations(session.client):
            return refused(403, 403, "The execution user isn't permitted to access conversation entries")
        wait = org.bucket(operation, session.client.user_id).take(org.clock.elapsed(), allowance)
        if wait is None:
            return None
        headers = {"retry-after": str(max(1, math.ceil(wait)))} if org.switches["retry_after"] else None
        return refused(429, 429, "Too many requests for this execution user", headers)

    def _asked(self, request: Request) -> tuple[str, Selection]:
        asked = request.query_params
        identifier = asked.get("conversationIdentifier")
        if not identifier:
            raise _BadParameter(10018, "conversationIdentifier is required")
        limit = _whole(asked.get("recordLimit"), self._org.switches["entry_page_size"], "recordLimit", 10092)
        if not 1 <= limit <= MAX_RECORDS:
            raise _BadParameter(10092, f"recordLimit is from 1 to {MAX_RECORDS}")
        direction = asked.get("queryDirection")
        if direction not in (None, "FromStart", "FromEnd"):
            raise _BadParameter(400, "queryDirection is FromStart or FromEnd")
        try:
            after = place_of(asked["pageToken"]) if "pageToken" in asked else 0
        except ValueError:
            raise _BadParameter(400, "pageToken isn't valid") from None
        newest_first = (
            self._org.switches["entry_order"] != "oldest_first" if direction is None else direction == "FromEnd"
        )
        return identifier, Selection(
            _whole(asked.get("startTimestamp"), 0, "startTimestamp", 10090),
            _whole(asked.get("endTimestamp"), _FOREVER, "endTimestamp", 10091),
            limit,
            newest_first,
            after,
        )


def _ids(asked: str | None, body: bytes, parameter: str) -> list[str]:
    """
    The ids of a DELETE, at most ten.

    Raises:
      ValueError: none, too many, or not a list of texts.
    """
    content = json.loads(body) if body else None
    listed = content.get(parameter) if isinstance(content, dict) else None
    found = asked.split(",") if asked else listed
    if not isinstance(found, list) or not 0 < len(found) <= MOST_DELETED:
        raise ValueError(f"{parameter} are 1 to {MOST_DELETED} ids")
    return [to_18(str(one)) for one in found]


def _switched_off(how: str) -> Response:
    """The toggle is off: nobody published how that looks; 403 or 404 are assumed."""
    if how == "off_as_404":
        return refused(404, 404, "Not found")
    return refused(403, 403, "The Conversation Service API isn't enabled for this org")


def _whole(value: str | None, default: int, name: str, code: int) -> int:
    if value is None:
        return default
    try:
        return int(value)
    except ValueError:
        raise _BadParameter(code, f"{name} is a whole number") from None
