"""The rooms of the simulator joined into one ASGI application; a further room is one more line in ROOMS."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from conversation_pipeline.simulator.bulk_jobs import routes as bulk_jobs
from conversation_pipeline.simulator.connect import routes as connect
from conversation_pipeline.simulator.control import routes as control
from conversation_pipeline.simulator.conversation_data import routes as conversation_data
from conversation_pipeline.simulator.data_cloud import routes as data_cloud
from conversation_pipeline.simulator.endpoint import Endpoint
from conversation_pipeline.simulator.exports import routes as exports
from conversation_pipeline.simulator.gate import Connections, Gate
from conversation_pipeline.simulator.oauth import routes as oauth
from conversation_pipeline.simulator.org import Org
from conversation_pipeline.simulator.rest import routes as rest
from conversation_pipeline.simulator.rest.wire import errors, not_found

Room = Callable[[Org], Iterable[Endpoint]]

ROOMS: tuple[Room, ...] = (
    oauth.endpoints,
    rest.endpoints,
    bulk_jobs.endpoints,
    conversation_data.endpoints,
    connect.endpoints,
    data_cloud.endpoints,
    exports.endpoints,
)


def create_app(org: Org, connections: Connections) -> Starlette:
    """The ASGI application of one org."""
    endpoints = [endpoint for room in ROOMS for endpoint in room(org)]
    endpoints += control.endpoints(org, endpoints)
    routes = [
        Route(endpoint.path, Gate(org, endpoint, connections), methods=list(endpoint.methods), name=endpoint.name)
        for endpoint in endpoints
    ]
    app = Starlette(routes=routes, exception_handlers={404: _absent, 405: _not_allowed})
    app.router.redirect_slashes = False
    return app


def _absent(_request: Request, _error: Exception) -> Response:
    return not_found()


def _not_allowed(request: Request, _error: Exception) -> Response:
    return errors(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{request.method}' not allowed")
