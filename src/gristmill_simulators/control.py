"""The control plane under `/_simulator`: look at what happened, decide what happens next."""

import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from gristmill_simulators import __version__, environment, index
from gristmill_simulators.calls import Filter
from gristmill_simulators.explain import explain
from gristmill_simulators.faults import Fault
from gristmill_simulators.settings import Settings
from gristmill_simulators.simulator import Simulator
from gristmill_simulators.vendors import Vendors

PREFIX = "/_simulator"

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_CHANGES = TypeAdapter(dict[str, Any])

Handler = Callable[[Request], Awaitable[Response]]
M = TypeVar("M", bound=BaseModel)


class Control:
    """No key is asked for: it listens on the loopback address only and guards nothing.

    The first line of a handler's docstring is what the index says about its route.
    """

    def __init__(self, simulator: Simulator, vendors: Vendors) -> None:
        self._simulator = simulator
        self._vendors = vendors

    def table(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of every route, in the order of the index."""
        return [
            ("GET", "", self.index),
            ("GET", "/health", self.health),
            ("GET", "/env", self.env),
            ("GET", "/routes", self.routes_known),
            ("GET", "/faults", self.list_faults),
            ("POST", "/faults", self.add_faults),
            ("DELETE", "/faults", self.clear_faults),
            ("DELETE", "/faults/{id:int}", self.remove_fault),
            ("GET", "/settings", self.settings),
            ("POST", "/settings", self.change_settings),
            ("DELETE", "/settings", self.reset_settings),
            ("GET", "/settings/schema", self.settings_schema),
            ("GET", "/calls", self.calls),
            ("GET", "/calls/summary", self.summary),
            ("DELETE", "/calls", self.clear_calls),
            ("GET", "/billed", self.billed),
            ("POST", "/reset", self.reset),
        ]

    def described(self) -> list[tuple[str, str, str]]:
        """Method, path and one line for each route."""
        return [
            (method, PREFIX + path.replace(":int", ""), _summary(handler))
            for method, path, handler in self.table()
        ]

    def routes(self) -> list[BaseRoute]:
        """All of them, and an answer with advice for whatever is not there."""
        table = self.table()
        routes: list[BaseRoute] = [
            Route(PREFIX + path, _answering(handler), methods=[method])
            for method, path, handler in table
        ]
        same = Route(f"{PREFIX}/", self.index, methods=["GET"])
        return [*routes, same, Route(f"{PREFIX}/{{path:path}}", _not_found, methods=_METHODS)]

    async def index(self, request: Request) -> Response:
        """This list, the vendors' addresses, and the variables that a client needs."""
        return index.page(request, self.described())

    async def health(self, _request: Request) -> Response:
        """Whether this is the simulator that a launcher looks for, and whether it will stay."""
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

    async def env(self, request: Request) -> Response:
        """The client's variables as `export` lines, for `eval "$(curl -s …/_simulator/env)"`."""
        return PlainTextResponse(environment.as_shell(index.base_url(request)))

    async def routes_known(self, _request: Request) -> Response:
        """Names of the vendors' routes, for faults and latency; misbehaviours; units."""
        return _json(self._vendors.catalogue.described())

    async def list_faults(self, _request: Request) -> Response:
        """The faults still to come, in the order in which they are tried."""
        return _json({"faults": self._simulator.faults.shown()})

    async def add_faults(self, request: Request) -> Response:
        """Add one fault or a list of them; the answer is all faults."""
        given = orjson.loads(await request.body())
        if isinstance(given, list):
            faults = [_validated(Fault, one, f"Fault {n}: ") for n, one in enumerate(given, 1)]
        else:
            faults = [_validated(Fault, given)]
        self._simulator.faults.add(faults, self._vendors.catalogue)
        return await self.list_faults(request)

    async def clear_faults(self, request: Request) -> Response:
        """Remove all faults."""
        self._simulator.faults.clear()
        return await self.list_faults(request)

    async def remove_fault(self, request: Request) -> Response:
        """Remove one fault; 404 if there is none of that number, or no longer."""
        number = request.path_params["id"]
        if not self._simulator.faults.remove(number):
            return _json({"error": f"There is no fault {number}, or no longer."}, 404)
        return await self.list_faults(request)

    async def settings(self, _request: Request) -> Response:
        """Quotas, latency, transitions and each vendor's switches as they are."""
        return _json(self._simulator.settings.current.model_dump())

    async def change_settings(self, request: Request) -> Response:
        """Change what is named; the answer is all settings."""
        try:
            changed = self._simulator.settings.merged(_CHANGES.validate_json(await request.body()))
        except ValidationError as error:
            raise ValueError(explain(error, Settings)) from None
        catalogue = self._vendors.catalogue
        for pattern, model in changed.latency.items():
            catalogue.check_units(model.per, pattern)
        return _json((await self._simulator.settings.keep(changed)).model_dump())

    async def reset_settings(self, _request: Request) -> Response:
        """Put every setting back to its default."""
        return _json((await self._simulator.settings.reset()).model_dump())

    async def settings_schema(self, _request: Request) -> Response:
        """The JSON Schema of the settings, with defaults, bounds and meanings."""
        return _json(Settings.model_json_schema())

    async def calls(self, request: Request) -> Response:
        """Recorded calls; query: vendor, route, method, status, fault, after (id), limit, last."""
        wanted = _validated(Filter, dict(request.query_params))
        calls, catalogue = self._simulator.calls, self._vendors.catalogue
        if wanted.vendor is not None:
            catalogue.matching(wanted.vendor)
        names = None
        if wanted.route is not None:
            names = catalogue.matching(wanted.route, more=await calls.summary())
        return _json({"calls": await calls.find(wanted, names)})

    async def summary(self, _request: Request) -> Response:
        """How many calls each route had, by status; 0 stands for a dropped one."""
        return _json(await self._simulator.calls.summary())

    async def clear_calls(self, _request: Request) -> Response:
        """Forget the calls recorded so far; bills and limits stay."""
        await self._simulator.calls.clear()
        return _json({"calls": []})

    async def billed(self, _request: Request) -> Response:
        """Totals in each vendor's own unit: tokens, credits, bytes."""
        await self._simulator.calls.flush()  # what nobody waited for is written, too
        return _json(self._vendors.billed())

    async def reset(self, _request: Request) -> Response:
        """Forget everything: files, jobs, objects, bills, limits, faults, settings, calls."""
        await self._vendors.reset()
        return _json({"reset": True})


def _answering(handler: Handler) -> Handler:
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except orjson.JSONDecodeError as error:
            return _json({"error": f"The body is no JSON: {error}."}, 422)
        except ValueError as error:
            return _json({"error": str(error)}, 422)

    return answer


async def _not_found(request: Request) -> Response:
    asked = f"{request.method} {request.url.path}"
    return _json({"error": f"There is no {asked}. GET {PREFIX} lists what there is."}, 404)


def _validated(model: type[M], given: object, which: str = "") -> M:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise ValueError(which + explain(error, model)) from None


def _summary(handler: Handler) -> str:
    return (handler.__doc__ or "").partition("\n")[0].removesuffix(".")


def _json(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")
