"""The control plane under `/_simulator`: look at what happened, decide what happens next."""

import os
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gristmill_simulators import __version__
from gristmill_simulators.faults import Fault
from gristmill_simulators.simulator import Simulator
from gristmill_simulators.vendors import Vendors

_CHANGES = TypeAdapter(dict[str, Any])


class Control:
    """No key is asked for: it listens on the loopback address only and guards nothing."""

    def __init__(self, simulator: Simulator, vendors: Vendors) -> None:
        self._simulator = simulator
        self._vendors = vendors

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/health", self.health, methods=["GET"]),
            Route("/reset", self.reset, methods=["POST"]),
            Route("/calls", self.calls, methods=["GET"]),
            Route("/calls/summary", self.summary, methods=["GET"]),
            Route("/billed", self.billed, methods=["GET"]),
            Route("/faults", self.list_faults, methods=["GET"]),
            Route("/faults", self.add_faults, methods=["POST"]),
            Route("/faults", self.clear_faults, methods=["DELETE"]),
            Route("/settings", self.settings, methods=["GET"]),
            Route("/settings", self.change_settings, methods=["POST"]),
        ]

    async def health(self, _request: Request) -> Response:
        """How a launcher knows that this is the simulator it looks for, and that it will stay."""
        stopping = self._simulator.activity.stopping
        return _json(
            {
                "service": "gristmill-simulators",
                "status": "stopping" if stopping else "ok",
                "version": __version__,
                "instance": self._simulator.instance,
                "pid": os.getpid(),
                "busy": self._vendors.busy(),
            },
            503 if stopping else 200,
        )

    async def reset(self, _request: Request) -> Response:
        """Forget everything: files, jobs, objects, bills, limits, faults, settings, calls."""
        await self._vendors.reset()
        return _json({"reset": True})

    async def calls(self, request: Request) -> Response:
        """Calls in order; query `vendor`, `route`, `limit` (1000), `after` (id of a call)."""
        query = request.query_params
        limit, after = query.get("limit", "1000"), query.get("after", "0")
        if not (limit.isdigit() and after.isdigit()):
            return _json({"error": "limit and after are numbers"}, 422)
        found = await self._simulator.calls.find(
            query.get("vendor"), query.get("route"), int(limit), int(after)
        )
        return _json({"calls": found})

    async def summary(self, _request: Request) -> Response:
        return _json(await self._simulator.calls.summary())

    async def billed(self, _request: Request) -> Response:
        await self._simulator.calls.flush()  # what nobody waited for is written, too
        return _json(self._vendors.billed())

    async def list_faults(self, _request: Request) -> Response:
        return _json({"faults": self._simulator.faults.pending()})

    async def add_faults(self, request: Request) -> Response:
        """One fault or a list of them, used in the order given."""
        try:
            given = orjson.loads(await request.body())
            faults = [Fault.model_validate(one) for one in _as_list(given)]
        except (ValidationError, ValueError) as error:
            return _json({"error": str(error)}, 422)
        for fault in faults:
            self._simulator.faults.add(fault)
        return await self.list_faults(request)

    async def clear_faults(self, request: Request) -> Response:
        self._simulator.faults.clear()
        return await self.list_faults(request)

    async def settings(self, _request: Request) -> Response:
        return _json(self._simulator.settings.current.model_dump())

    async def change_settings(self, request: Request) -> Response:
        """Change what is named; the answer is all settings as they are now."""
        try:
            changes = _CHANGES.validate_json(await request.body())
            changed = await self._simulator.settings.change(changes)
        except (ValidationError, ValueError) as error:
            return _json({"error": str(error)}, 422)
        return _json(changed.model_dump())


def _as_list(given: Any) -> list[Any]:  # noqa: ANN401 — any JSON value
    return given if isinstance(given, list) else [given]


def _json(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")
