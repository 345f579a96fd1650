"""Paths below /simulator."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from conversation_pipeline.simulator.control.drift import alter
from conversation_pipeline.simulator.control.edits import edit_records, erase, hide, put_entries, redact_entries
from conversation_pipeline.simulator.control.generate import generate, generate_entries, tie_entries
from conversation_pipeline.simulator.control.truth import entries_of, erasures_of, records_of, redactions_of
from conversation_pipeline.simulator.endpoint import Endpoint, json_response
from conversation_pipeline.simulator.oauth.model import Client, load_public_key
from conversation_pipeline.simulator.org import Org
from conversation_pipeline.simulator.world.ids import record_id

_FIRST_FREE_USER = 1_000
_MOST_CUSTOMERS = 100_000
Command = Callable[[dict[str, Any]], Any]


def endpoints(org: Org, served: Sequence[Endpoint]) -> list[Endpoint]:
    """The control plane, which also tells of the endpoints that the rooms serve."""
    return list(_Room(org, served).endpoints())


class _Room:
    def __init__(self, org: Org, served: Sequence[Endpoint]) -> None:
        self._org = org
        self._served = served

    def endpoints(self) -> Iterable[Endpoint]:
        def get(name: str, handler: Callable[[Request], Response], path: str | None = None) -> Endpoint:
            return Endpoint(f"control.{name}", path or f"/simulator/{name}", ("GET",), handler)

        def post(name: str, command: Command) -> Endpoint:
            return Endpoint(f"control.{name}", f"/simulator/{name}", ("POST",), _commanded(command))

        yield get("index", self._index, "/simulator")
        yield get("index", self._index, "/simulator/")
        yield get("credentials", self._credentials)
        yield post("clients", self._register)
        yield get("clock", lambda _: json_response(self._clock()))
        yield post("clock", self._set_clock)
        yield get("switches", lambda _: json_response(self._org.switches.described()))
        yield post("switches", self._set_switches)
        yield get("limits", lambda _: json_response(asdict(self._org.limits)))
        yield post("limits", self._set_limits)
        yield get("counters", lambda _: json_response(self._counters()))
        yield get("requests", self._requests)
        yield post("counters/reset", self._reset_counters)
        yield post("tokens/expire", lambda asked: {"expired": self._org.identities.expire(asked.get("access_token"))})
        yield get("truth/entries", self._truth_entries)
        yield get("truth/records", self._truth_records)
        yield get("truth/redactions", lambda _: json_response({"redactions": redactions_of(self._org)}))
        yield get("truth/erasures", lambda _: json_response({"erasures": erasures_of(self._org)}))
        yield post("reset", self._reset)
        yield get("faults", lambda _: json_response(self._faults()))
        yield post("faults", self._add_fault)
        yield Endpoint("control.faults", "/simulator/faults", ("DELETE",), self._clear_faults)
        yield post("schema", lambda asked: alter(self._org, asked))
        yield post("hide", lambda asked: hide(self._org, asked))
        yield get("users", lambda _: json_response(self._users()))
        yield post("users", self._set_user)
        yield post("customers", self._customers)
        yield post("redactions", lambda asked: redact_entries(self._org, asked))
        yield post("erasures", lambda asked: erase(self._org, asked))
        yield post("entries", lambda asked: put_entries(self._org, asked))
        yield post("entries/generate", lambda asked: generate_entries(self._org, asked))
        yield post("entries/tie", lambda asked: tie_entries(self._org, asked))
        yield post("records", lambda asked: edit_records(self._org, asked))
        yield post("records/generate", lambda asked: generate(self._org, asked))

    def _index(self, _request: Request) -> Response:
        org = self._org
        routes = sorted({(e.name, e.path, ",".join(e.methods)) for e in (*self._served, *self.endpoints())})
        return json_response({
            "about": "A simulated Salesforce org of conversation data: nothing here is real.",
            "seed": org.seed.seed, "first_day": org.world.first_day.isoformat(),
            "conversations_per_day": org.seed.conversations_per_day, "now": org.clock.iso(),
            "routes": [{"name": name, "path": path, "methods": methods} for name, path, methods in routes],
        })  # fmt: skip

    def _credentials(self, request: Request) -> Response:
        instance = str(request.base_url).rstrip("/")
        return json_response({
            "instance_url": instance, "conversation_data_url": f"{instance}/platform/engagement/v1.0",
            "clients": [client.shown() for client in self._org.identities.clients],
        })  # fmt: skip

    def _register(self, asked: dict[str, Any]) -> Any:
        secret, pem = asked.get("client_secret"), asked.get("public_key")
        if not asked.get("client_id") or not (secret or pem):
            raise ValueError("a client has a client_id and a client_secret or a public_key (PEM)")
        username = asked.get("username") or f"{asked['client_id']}@northpine.example"
        client = Client(asked["client_id"], secret, username, asked.get("user_id") or self._user_of(username),
                        tuple(asked.get("scopes") or ("api", "sfap_api")),
                        load_public_key(pem) if pem else None)  # fmt: skip
        self._org.identities.register(client)
        return client.shown()

    def _user_of(self, username: str) -> str:
        """The user that has this name already, so that two apps can share a run-as user; else a new id."""
        known = {client.username: client.user_id for client in self._org.identities.clients}
        return known.get(username) or record_id("005", _FIRST_FREE_USER + len(known))

    def _clock(self) -> dict[str, Any]:
        return {"now": self._org.clock.iso(), "frozen": self._org.clock.frozen}

    def _set_clock(self, asked: dict[str, Any]) -> Any:
        clock = self._org.clock
        if asked.get("real"):
            clock.release()
        elif "now" in asked:
            clock.set(datetime.fromisoformat(asked["now"]))
        elif "advance_seconds" in asked:
            clock.advance(float(asked["advance_seconds"]))
        else:
            raise ValueError('give {"now": iso}, {"advance_seconds": n} or {"real": true}')
        return self._clock()

    def _set_switches(self, asked: dict[str, Any]) -> Any:
        self._org.switch(asked)
        return self._org.switches.described()

    def _set_limits(self, asked: dict[str, Any]) -> Any:
        self._org.limits = self._org.limits.changed(asked)
        return asdict(self._org.limits)

    def _counters(self) -> dict[str, Any]:
        org = self._org
        return org.counters.shown(org.clock.elapsed(), org.limits) | {"api_requests": org.api_requests}

    def _users(self) -> dict[str, Any]:
        identities = self._org.identities
        return {"users": {client.username: identities.state(client) for client in identities.clients}}

    def _set_user(self, asked: dict[str, Any]) -> Any:
        """`{"username", "state", "after_requests"}`: at once, or once the user has made so many requests more."""
        username, state = str(asked.get("username")), str(asked.get("state"))
        self._org.identities.set_state(username, state, asked.get("after_requests", 0))
        return self._users()

    def _customers(self, asked: dict[str, Any]) -> Any:
        """So many customers want to begin a conversation now, in an org that APIs may have filled."""
        org, count = self._org, asked.get("count", 1)
        if isinstance(count, bool) or not isinstance(count, int) or not 0 < count <= _MOST_CUSTOMERS:
            raise ValueError(f"count is a number from 1 to {_MOST_CUSTOMERS}")
        names = [f"customer/{uuid.uuid4()}" for _ in range(count)]
        welcome = org.counters.active.customers(names, org.clock.elapsed(), org.limits)
        return {"begun": welcome, "turned_away": count - welcome}

    def _requests(self, _request: Request) -> Response:
        return json_response({"requests": [asdict(noted) for noted in self._org.counters.requests]})

    def _reset_counters(self, _asked: dict[str, Any]) -> Any:
        self._org.counters = type(self._org.counters)()
        return self._counters()

    def _truth_entries(self, request: Request) -> Response:
        day = _day(request.query_params.get("day"))
        if day is None:
            return _wrong("give ?day=YYYY-MM-DD")
        return json_response({"day": day.isoformat(), "entries": entries_of(self._org, day)})

    def _truth_records(self, request: Request) -> Response:
        sobject, day = request.query_params.get("sobject", ""), request.query_params.get("day")
        if sobject not in {found.name for found in self._org.tables().sobjects()} or (day and _day(day) is None):
            return _wrong("give ?sobject=<object of this org>[&day=YYYY-MM-DD]")
        return json_response({"sobject": sobject, "records": records_of(self._org, sobject, _day(day))})

    def _faults(self) -> dict[str, Any]:
        return {"faults": [asdict(rule) for rule in self._org.faults.rules]}

    def _add_fault(self, asked: dict[str, Any]) -> Any:
        return asdict(self._org.faults.add(asked))

    def _clear_faults(self, _request: Request) -> Response:
        self._org.faults.clear()
        return json_response(self._faults())

    def _reset(self, _asked: dict[str, Any]) -> Any:
        self._org.reset()
        return {"now": self._org.clock.iso()}


def _commanded(command: Command) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        body = await request.body()
        try:
            asked = json.loads(body) if body else {}
            if not isinstance(asked, dict):
                raise ValueError("the body is a JSON object")
            return json_response(command(asked))
        except (ValueError, TypeError) as error:
            return _wrong(str(error))

    return handle


def _wrong(message: str) -> Response:
    return json_response({"error": message}, 400)


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None
