"""GET and PATCH /services/data/vXX.0/connect/conversation/{conversationIdentifier}/entries."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from conversation_pipeline.simulator.connect.model import MAX_RECORDS, Told, Window, select
from conversation_pipeline.simulator.connect.wire import page, update_results
from conversation_pipeline.simulator.control.counters import CONNECT
from conversation_pipeline.simulator.endpoint import Endpoint
from conversation_pipeline.simulator.oauth.model import Session
from conversation_pipeline.simulator.org import Org
from conversation_pipeline.simulator.rest.wire import DATA, authenticated, commanded, errors, not_found
from conversation_pipeline.simulator.world.ids import to_18
from conversation_pipeline.simulator.world.redaction import redact
from conversation_pipeline.simulator.world.script import Conversation

PATH = DATA + "/connect/conversation/{conversation_identifier}/entries"
_FOREVER = 2**63 - 1


def endpoints(org: Org) -> Iterable[Endpoint]:
    """The Connect room: one resource, also with a trailing slash as the rest of the API."""
    room = _Room(org)
    read = authenticated(org, room.entries, exhausted=room.exhausted)
    write = commanded(org, room.update, exhausted=room.exhausted)

    def handle(request: Request) -> Any:
        return write(request) if request.method == "PATCH" else read(request)

    for slash in ("", "/"):
        yield Endpoint(CONNECT, PATH + slash, ("GET", "PATCH"), handle)


class _Refused(Exception):
    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class _Room:
    def __init__(self, org: Org) -> None:
        self._org = org

    def exhausted(self) -> int:
        """The status of a call when the org's daily allocation is used up."""
        return int(self._org.switches["connect_daily_status"])

    def entries(self, request: Request, session: Session) -> Response:
        def answer(conversation: Conversation) -> Response:
            found = select(self._org.readable(conversation), self._window(request), self._told())
            encoding = request.headers.get("x-chatter-entity-encoding", "true")
            return page(found, encoded=encoding.strip().lower() != "false")

        return self._answered(request, session, answer)

    def update(self, request: Request, session: Session, body: dict[str, Any]) -> Response:
        """Redaction: other text under the same identifier and time, told entry by entry."""
        updates = body.get("conversationEntriesUpdates")

        def answer(conversation: Conversation) -> Response:
            if not isinstance(updates, list) or not all(isinstance(update, dict) for update in updates):
                return errors(400, "MISSING_ARGUMENT", "conversationEntriesUpdates is a list of entries")
            return update_results([self._updated(conversation, update) for update in updates])

        return self._answered(request, session, answer)

    def _answered(self, request: Request, session: Session, answer: Callable[[Conversation], Response]) -> Response:
        try:
            self._admit(session)
            response = answer(self._conversation(request))
        except _Refused as refused:
            response = refused.response
        response.headers["x-sfdc-request-id"] = str(uuid.uuid4())
        return response

    def _admit(self, session: Session) -> None:
        org, client = self._org, session.client
        wait = org.bucket("connect", client.client_id, client.user_id).take(org.clock.elapsed(), org.limits.connect)
        if wait is not None:
            headers = {"retry-after": str(max(1, math.ceil(wait)))} if org.switches["connect_retry_after"] else None
            message = "You have exceeded the number of requests allowed in an hour. Try again later."
            raise _Refused(errors(503, "REQUEST_LIMIT_EXCEEDED", message, headers))
        if not org.identities.reads_conversations(client):
            message = "This user isn't permitted to access conversation entries."
            raise _Refused(errors(403, "INSUFFICIENT_ACCESS", message))

    def _conversation(self, request: Request) -> Conversation:
        identifier = str(request.path_params["conversation_identifier"])
        if not identifier.strip() or _is_record_id(identifier):
            raise _Refused(errors(400, "INVALID_ID_FIELD", "The conversation identifier isn't valid"))
        conversation = self._org.conversation_for_api(identifier)
        if conversation is None:
            raise _Refused(not_found())
        return conversation

    def _told(self) -> Told:
        switches = self._org.switches
        return Told(
            bot_text=switches["connect_bot_text"],
            rich=switches["connect_rich_entries"] == "blank",
            filter_after_limit=switches["connect_filter_after_limit"],
        )

    def _window(self, request: Request) -> Window:
        """Parameters that do not exist, such as pageSize or pageToken, are passed over in silence."""
        limit = _whole(request, "recordLimit", self._org.switches["connect_page_size"])
        if not 1 <= limit <= MAX_RECORDS:
            raise _illegal("recordLimit", f"from 1 to {MAX_RECORDS}")
        direction = request.query_params.get("queryDirection", "FromEnd")
        if direction not in ("FromStart", "FromEnd"):
            raise _illegal("queryDirection", "FromStart or FromEnd")
        start, end = _whole(request, "startTimestamp", 0), _whole(request, "endTimestamp", _FOREVER)
        return Window(start, end, limit, direction == "FromStart")

    def _updated(self, conversation: Conversation, update: dict[str, Any]) -> tuple[str, str | None]:
        """The entry's identifier, and why it was not changed, None if it was."""
        org, identifier, words = self._org, str(update.get("identifier")), update.get("messageText")
        entry = next((entry for entry in org.kept(conversation) if entry.identifier == identifier), None)
        if entry is None:
            return identifier, "The conversation entry doesn't exist"
        if not isinstance(words, str):
            return identifier, "messageText is required"
        try:
            redact(entry, words, org.clock.now_ms, update.get("relatedRecords"))
        except ValueError as error:
            return identifier, str(error)
        org.edited = True
        return identifier, None


def _is_record_id(text: str) -> bool:
    """Such as `0dw...`, which callers confuse with the identifier [assumed to be refused]."""
    try:
        return to_18(text)[:1] == "0"
    except ValueError:
        return False


def _whole(request: Request, name: str, default: int) -> int:
    try:
        return int(request.query_params.get(name, default))
    except ValueError:
        raise _illegal(name, "a whole number") from None


def _illegal(name: str, allowed: str) -> _Refused:
    return _Refused(errors(400, "ILLEGAL_QUERY_PARAMETER_VALUE", f"{name} is {allowed}"))
