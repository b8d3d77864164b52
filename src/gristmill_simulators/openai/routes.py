"""The routes under `/openai/v1`: who may ask what, and what every answer carries."""

import sqlite3
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from gristmill_simulators.openai import access, errors, misbehaviours, state, wire
from gristmill_simulators.openai.account import ORGANIZATION, PROJECT
from gristmill_simulators.openai.batches import Batches
from gristmill_simulators.openai.embeddings import Embeddings
from gristmill_simulators.openai.files import Files, purge
from gristmill_simulators.openai.models import Models
from gristmill_simulators.openai.route_limits import RouteLimits
from gristmill_simulators.openai.runner import Runner
from gristmill_simulators.openai.usage import Usage
from gristmill_simulators.operation import Handler, call_of, route
from gristmill_simulators.simulator import Simulator

_ANONYMOUS = {401, 404, 405}  # recorded without account, version and time
_ACCOUNT = {
    "openai-organization": ORGANIZATION,
    "openai-project": PROJECT,
    "openai-version": "2020-10-01",
}


class OpenAI:
    """One organisation with one project, one key for it and one for administration."""

    name = "openai"
    misbehaviours = misbehaviours.EMBEDDINGS
    units = ("inputs", "prompt_tokens")

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._folders = state.Folders(simulator.folder)
        self._runner = Runner(simulator, self._folders)
        self._limits = RouteLimits(simulator)
        self._embeddings = Embeddings(simulator)
        self._known: list[BaseRoute] = []

    def routes(self) -> list[BaseRoute]:
        models, usage = Models(self._simulator), Usage(self._simulator)
        ask, manage = "api.model.read", "api.model.delete"
        self._known = [
            self._route("POST", "/embeddings", "embeddings.create", self._embeddings.create),
            self._route("GET", "/models", "models.list", models.list_all, ask),
            self._route("GET", "/models/{model}", "models.retrieve", models.retrieve, ask),
            self._route("DELETE", "/models/{model}", "models.delete", models.delete, manage),
            *self._file_routes(),
            *self._batch_routes(),
            self._admin_route("/organization/usage/embeddings", "usage.embeddings", usage.used),
            self._admin_route("/organization/costs", "usage.costs", usage.costs),
        ]
        unknown = route(
            self._simulator, self, "*", "/{path:path}", name="unknown", handler=self._unknown
        )
        return [*self._known, unknown]

    def failure(self, status: int, code: str | None) -> Response:
        kind = self._simulator.settings.current.openai.server_error_type
        response = errors.failure(status, code, kind)
        return self._identified(response, wire.new_request_id(), time.perf_counter())

    def billed(self) -> dict[str, Any]:
        return state.billed(self._simulator.database)

    def busy(self) -> bool:
        return self._runner.busy()

    async def start(self) -> None:
        await purge(self._simulator, self._folders)
        await self._runner.resume()

    async def close(self) -> None:
        await self._runner.close()
        self._embeddings.close()

    async def halt(self) -> None:
        pass

    def reset(self, connection: sqlite3.Connection) -> None:
        state.reset(connection)

    def forget(self) -> None:
        """Start with full buckets and no files, after the stored state was deleted."""
        self._embeddings.forget()
        self._limits.forget()
        self._folders.empty()

    def _file_routes(self) -> list[BaseRoute]:
        files = Files(self._simulator, self._folders, self._limits)
        read, write, one = "api.files.read", "api.files.write", "/files/{id}"
        return [
            self._route("POST", "/files", "files.create", files.create, write),
            self._route("GET", "/files", "files.list", files.list_all, read),
            self._route("GET", one, "files.retrieve", files.retrieve, read),
            self._route("GET", one + "/content", "files.content", files.content, read),
            self._route("DELETE", one, "files.delete", files.delete, write),
        ]

    def _batch_routes(self) -> list[BaseRoute]:
        batches = Batches(self._simulator, self._runner, self._limits)
        read, write, one = "api.batch.read", "api.batch.write", "/batches/{id}"
        return [
            self._route("POST", "/batches", "batches.create", batches.create, write),
            self._route("GET", "/batches", "batches.list", batches.list_all, read),
            self._route("GET", one, "batches.retrieve", batches.retrieve, read),
            self._route("POST", one + "/cancel", "batches.cancel", batches.cancel, write),
        ]

    def _admin_route(self, path: str, name: str, handler: Handler) -> BaseRoute:
        return self._route("GET", path, name, handler, "api.usage.read", admin=True)

    def _route(
        self,
        method: str,
        path: str,
        name: str,
        handler: Handler,
        scope: str = "model.request",
        *,
        admin: bool = False,
    ) -> BaseRoute:
        async def admitted(request: Request) -> Response:
            call, began = call_of(request), time.perf_counter()
            call.request_id = wire.new_request_id()
            try:
                switches = self._simulator.settings.current.openai
                access.authorize(request, switches, scope=scope, admin=admin)
                if named := access.client_request_id(request):
                    call.units["client_request_id"] = named
                response = await handler(request)
            except errors.OpenAIError as error:
                response = error.response()
                if response.status_code == 404:
                    response.headers["openai-organization"] = ORGANIZATION
            return self._identified(response, call.request_id, began)

        return route(self._simulator, self, method, path, name=name, handler=admitted)

    def _identified(self, response: Response, request_id: str, began: float) -> Response:
        switches = self._simulator.settings.current.openai
        milliseconds = str(int((time.perf_counter() - began) * 1000))
        headers = {"x-request-id": request_id}
        if switches.edge_headers:
            headers["x-envoy-upstream-service-time"] = milliseconds
        if response.status_code not in _ANONYMOUS:
            headers |= _ACCOUNT | {"openai-processing-ms": milliseconds}
        if isinstance(response, wire.Streamed):
            response.compress = switches.compress
        return wire.identify(response, headers, edge=switches.edge_headers)

    async def _unknown(self, request: Request) -> Response:
        # the vendor looks at the address before the key
        call, path = call_of(request), wire.path_of(request)
        call.request_id = wire.new_request_id()
        elsewhere = any(each.matches(request.scope)[0] is Match.PARTIAL for each in self._known)
        refuse = errors.wrong_method if elsewhere else errors.unknown_route
        response = refuse(request.method, path).response()
        return self._identified(response, call.request_id, time.perf_counter())
