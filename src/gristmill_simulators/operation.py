"""A vendor's operation as an ASGI endpoint: its name, its faults, its latency, its errors."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Message, Receive, Scope, Send

from gristmill_simulators.calls import Call
from gristmill_simulators.faults import Fault
from gristmill_simulators.misbehaviour import Misbehaviour
from gristmill_simulators.simulator import Simulator

_log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]

CALL = "simulator.call"  # scope keys
TRANSPORT = "simulator.transport"


class Refusal(Exception):
    """A request refused in the vendor's own words; each vendor's errors derive from it."""

    def response(self) -> Response:
        raise NotImplementedError


class Vendor(Protocol):
    """One vendor as the server and its operations see it."""

    name: str

    @property
    def misbehaviours(self) -> tuple[Misbehaviour, ...]:
        """What a fault of the kind `vendor` can ask of it."""

    @property
    def units(self) -> tuple[str, ...]:
        """Numbers that it writes into `Call.units`; latency can grow with them."""

    def routes(self) -> list[BaseRoute]:
        """What it answers, relative to where it is mounted."""

    def failure(self, status: int, code: str | None) -> Response:
        """The vendor's error body for a status, and for one of its codes where it has any."""

    def billed(self) -> dict[str, Any]:
        """Totals in the vendor's own units."""

    def busy(self) -> bool:
        """Is something under way that no client waits for at this moment?"""

    async def start(self) -> None:
        """Go on with what the last process left unfinished."""

    async def close(self) -> None:
        """End what runs in the background."""

    def reset(self, connection: sqlite3.Connection) -> None:
        """Empty its tables, inside the one transaction of a reset."""

    def forget(self) -> None:
        """Drop what is in memory and on disk, after `reset`."""


def call_of(request: Request) -> Call:
    """The record of this call, for the units it is charged."""
    call: Call = request.scope[CALL]
    return call


@dataclass(slots=True)
class Operation:
    """Runs one handler; whatever happens the client gets the vendor's wire, or the fault asked."""

    simulator: Simulator
    vendor: Vendor
    name: str
    handler: Handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[CALL].route = self.name
        fault = self.simulator.faults.take(self.name)
        await asyncio.sleep(getattr(self.simulator.settings.current.latency, self.vendor.name))
        if fault is not None and fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        try:
            await self._serve(scope, receive, send, fault)
        except ClientDisconnect:
            _log.debug("%s: the client went away", self.name)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, fault: Fault | None) -> None:
        match fault.kind if fault is not None else None:
            case "status":
                assert fault is not None  # noqa: S101 — tells mypy what the match has shown
                response = self.vendor.failure(fault.status, fault.code)
                response.headers.update(fault.headers)
                await response(scope, receive, send)
            case "drop_before":
                await _drop(scope, receive)
            case "drop_after":
                await self._answer(Request(scope, receive))
                await _drop(scope, receive)
            case "broken_json":
                response = _halved(await self._answer(Request(scope, receive)))
                await response(scope, receive, send)
            case "cut_body":
                response = await self._answer(Request(scope, receive))
                await response(scope, receive, _Cut(scope, receive, send))
            case _:
                response = await self._answer(Request(scope, receive))
                await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            return await self.handler(request)
        except Refusal as refusal:
            return refusal.response()
        except ClientDisconnect:
            raise
        except Exception:  # noqa: BLE001 — logged; the client sees the vendor's 500
            _log.exception("%s failed", self.name)
            return self.vendor.failure(500, None)


@dataclass(slots=True)
class _Cut:
    """A `send` that delivers half of the first body message and ends the connection."""

    scope: Scope
    receive: Receive
    send: Send

    async def __call__(self, message: Message) -> None:
        if message["type"] != "http.response.body":
            await self.send(message)
            return
        body = message.get("body", b"")
        await self.send({**message, "body": body[: len(body) // 2], "more_body": True})
        _transport(self.scope).close()
        await _until_gone(self.receive)
        raise ClientDisconnect


def _halved(response: Response) -> Response:
    body = bytes(response.body)[: len(response.body) // 2]
    headers = {k: v for k, v in response.headers.items() if k != "content-length"}
    return Response(body, response.status_code, headers)


async def _drop(scope: Scope, receive: Receive) -> None:
    _transport(scope).abort()
    await _until_gone(receive)


def _transport(scope: Scope) -> Any:  # noqa: ANN401 — uvloop's transports share no base class
    try:
        return scope[TRANSPORT]
    except KeyError:
        raise ConnectionResetError("this server cannot drop a connection") from None


async def _until_gone(receive: Receive) -> None:
    # uvicorn would answer 500 for us if we returned before it has seen the connection go
    while (await receive())["type"] != "http.disconnect":
        pass


def route(
    simulator: Simulator, vendor: Vendor, method: str, path: str, *, name: str, handler: Handler
) -> Route:
    """A route named `<vendor>.<name>`; `*` as the method takes whatever is left."""
    methods = None if method == "*" else [method]
    operation = Operation(simulator, vendor, f"{vendor.name}.{name}", handler)
    return Route(path, operation, methods=methods)
