"""The export tool's page and JSON below /setup and /sim, its outbox, its downloads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from conversation_pipeline.simulator.control.truth import entries_of
from conversation_pipeline.simulator.endpoint import Endpoint, bearer, json_response
from conversation_pipeline.simulator.exports import wire
from conversation_pipeline.simulator.exports.model import Export, Layout, held
from conversation_pipeline.simulator.oauth.model import Session
from conversation_pipeline.simulator.org import Org
from conversation_pipeline.simulator.rest.wire import errors, not_found

PAGE = "/setup/conversationTranscriptExport"
EXPORTS = "/sim/transcript-exports"
OUTBOX = "/sim/outbox"
Handler = Callable[[Request, Session], Response]


def endpoints(org: Org) -> Iterable[Endpoint]:
    """The room of the export tool."""
    room = _Room(org)

    def at(name: str, path: str, method: str, handler: Handler) -> Endpoint:
        return Endpoint(f"exports.{name}", path, (method,), room.allowed(handler))

    yield at("page", PAGE, "GET", room.page)
    yield at("page", PAGE, "POST", room.submit)
    yield at("request", EXPORTS, "POST", room.request)
    yield at("list", EXPORTS, "GET", room.index)
    yield at("get", f"{EXPORTS}/{{export}}", "GET", room.get)
    yield at("download", f"{EXPORTS}/{{export}}/files/{{name}}", "GET", room.download)
    yield at("outbox", OUTBOX, "GET", room.outbox)
    yield Endpoint("control.truth_exports", "/simulator/truth/exports/{export}", ("GET",), room.truth)


class _Room:
    def __init__(self, org: Org) -> None:
        self._org = org

    def allowed(self, handler: Handler) -> Callable[[Request], Response]:
        """A handler for sessions of users with the permission `Export Conversation Transcripts` [invented here]."""

        def handle(request: Request) -> Response:
            session = self._org.identities.session(bearer(request) or "", self._org.switches["token_life_seconds"])
            if session is None:
                return errors(401, "INVALID_SESSION_ID", "Session expired or invalid")
            names = {name.strip() for name in str(self._org.switches["export_users"]).split(",")}
            if session.client.username not in names:
                return errors(403, "INSUFFICIENT_ACCESS", "This needs the permission Export Conversation Transcripts")
            return handler(request, session)

        return handle

    def page(self, request: Request, _session: Session) -> Response:
        """What an administrator sees in Setup."""
        rows = "".join(
            f"<tr><td>{escape(shown['id'])}</td><td>{shown['state']}</td><td>"
            + " ".join(f'<a class="actionLink" href="{escape(one["url"])}">{escape(one["name"])}</a>'
                       for one in shown["files"])
            + "</td></tr>"
            for shown in self._shown(request)
        )  # fmt: skip
        return HTMLResponse(
            f"<!DOCTYPE html><html><head><title>Export Conversation Transcripts</title></head><body><h1>Export "
            f'Conversation Transcripts</h1><form method="post" action="{PAGE}"><button>Export Now</button></form>'
            f"<table>{rows}</table></body></html>"
        )

    def submit(self, request: Request, session: Session) -> Response:
        """The page's button."""
        if self._too_soon():
            return HTMLResponse("<!DOCTYPE html><html><body><p>The next export is not available yet.</p></body></html>",
                                400)  # fmt: skip
        self._open(session)
        return self.page(request, session)

    def request(self, request: Request, session: Session) -> Response:
        """The same as JSON."""
        if self._too_soon():
            at = self._org.exports.available_at(self._interval())
            message = f"Conversation transcripts can be exported again after {_iso(at)}"
            return errors(400, "EXPORT_NOT_AVAILABLE_YET", message)
        return json_response(self._one(request, self._open(session)), 202)

    def index(self, request: Request, _session: Session) -> Response:
        return json_response({"exports": self._shown(request)})

    def get(self, request: Request, _session: Session) -> Response:
        export = self._org.exports.find(request.path_params["export"])
        return not_found() if export is None else json_response(self._one(request, export))

    def download(self, request: Request, _session: Session) -> Response:
        """A part; 404 once its link has died."""
        export = self._org.exports.find(request.path_params["export"])
        content = None if export is None else self._files(export).get(request.path_params["name"])
        return not_found() if content is None else Response(content, media_type="application/zip")

    def outbox(self, request: Request, _session: Session) -> Response:
        """The notices that were sent, one for each export that has completed."""
        mails = [
            {"to": export.requested_by, "subject": "Your conversation transcript export is ready",
             "sentAt": _iso(export.completes_at), "linksExpireAt": _iso(export.expires_at),
             "links": [one["url"] for one in self._one(request, export)["files"]]}
            for export in self._org.exports.all
            if self._org.clock.now >= export.completes_at
        ]  # fmt: skip
        return json_response({"mails": mails})

    def truth(self, request: Request) -> Response:
        """What that export has to hold, as the other truths tell it."""
        export = self._org.exports.find(request.path_params["export"])
        if export is None or self._org.clock.now < export.completes_at:
            return not_found()
        self._build(export)
        wanted = {entry.identifier for _, entries in export.content for entry in entries}
        days = sorted({datetime.fromtimestamp(entry.at / 1000, UTC).date() for _, told in export.content
                       for entry in told})  # fmt: skip
        entries = [row for day in days for row in entries_of(self._org, day) if row["entry_identifier"] in wanted]
        return json_response({"export": export.id, "entries": entries})

    def _too_soon(self) -> bool:
        return self._org.clock.now < self._org.exports.available_at(self._interval())

    def _interval(self) -> int:
        return int(self._org.switches["export_interval_seconds"])

    def _open(self, session: Session) -> Export:
        org, now = self._org, self._org.clock.now
        switches = org.switches
        completes = now + int(switches["export_seconds"])
        layout = Layout(
            switches["export_layout"], switches["export_encoding"], wire.DELIMITERS[switches["export_delimiter"]],
            wire.LINE_ENDS[switches["export_line_ending"]], int(switches["export_part_bytes"]),
            switches["export_corruption"],
        )  # fmt: skip
        export = Export(
            org.exports.next_id(), session.client.username, now, now + (completes - now) // 2, completes,
            completes + int(switches["export_link_seconds"]), layout,
        )  # fmt: skip
        org.exports.open(export)
        return export

    def _shown(self, request: Request) -> list[dict[str, Any]]:
        return [self._one(request, export) for export in self._org.exports.all]

    def _one(self, request: Request, export: Export) -> dict[str, Any]:
        base = f"{str(request.base_url).rstrip('/')}{EXPORTS}/{export.id}/files/"
        return {
            "id": export.id, "state": export.state(self._org.clock.now), "requestedBy": export.requested_by,
            "requestedAt": _iso(export.requested_at), "completesAt": _iso(export.completes_at),
            "files": [{"name": name, "bytes": len(content), "url": base + name}
                      for name, content in self._files(export).items()],
        }  # fmt: skip

    def _files(self, export: Export) -> dict[str, bytes]:
        """The parts, made when somebody looks first; gone when their links have died."""
        if export.state(self._org.clock.now) != "Completed":
            export.files.clear()
            return {}
        self._build(export)
        return export.files

    def _build(self, export: Export) -> None:
        if export.built:
            return
        org = self._org
        org.world.reach(org.clock.now)
        export.content = held(org.world.conversations.values(), export.completes_at * 1000, org.voice_settle_ms())
        export.files = wire.files(export, org.world.cast.organization_id)
        export.built = True


def _iso(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.000Z"
