"""A vendor's operation as an ASGI endpoint: its name, its faults, its latency, its errors."""

import logging
import re
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from gristmill_simulators.calls import Call
from gristmill_simulators.delivery import (
    Cut,
    Halved,
    Slow,
    deliver,
    discard,
    drop,
    gateway_page,
    pause,
)
from gristmill_simulators.faults import Fault
from gristmill_simulators.misbehaviour import ASKED, Misbehaviour, find
from gristmill_simulators.simulator import Simulator

_log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]

CALL = "simulator.call"  # scope key

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # no part of a header's value


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

    async def halt(self) -> None:
        """Interrupt what is sent in the background: a reset follows, and `forget`."""

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
        call: Call = scope[CALL]
        call.route = self.name
        fault = self.simulator.faults.take(self.name)
        latencies = self.simulator.latencies
        latencies.configure(self.simulator.settings.current.latency)
        try:
            await pause(scope, latencies.before(self.name))
            if fault is None:
                response = await self._answer(Request(scope, receive))
                await deliver(response, scope, receive, send)
            else:
                call.fault = fault.kind if fault.what is None else f"{fault.kind}: {fault.what}"
                await self._go_wrong(fault, _without_compression(scope), receive, send)
        except ClientDisconnect:
            _log.debug("%s: the client went away", self.name)

    async def _go_wrong(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.kind == "delay":
            await pause(scope, fault.seconds or 0)
        if fault.kind == "drop_before":
            await drop(scope, receive)
            return
        scope[ASKED] = fault.what
        response = self._refused(fault) or await self._answer(Request(scope, receive))
        if fault.kind == "drop_after":
            await discard(response)
            await drop(scope, receive)
            return
        if fault.kind == "delay_after":
            await pause(scope, fault.seconds or 0)
        if fault.what is not None:
            response = self._altered(response, fault.what)
        await deliver(response, scope, receive, _disturbed(fault, scope, receive, send))

    def _refused(self, fault: Fault) -> Response | None:
        if fault.status is None:
            return None
        if fault.kind == "html":
            return gateway_page(fault.status, fault.headers or {})
        response = self.vendor.failure(fault.status, fault.code)
        response.headers.update(fault.headers or {})
        return response

    def _altered(self, response: Response, what: str) -> Response:
        misbehaviour = find(self.vendor.misbehaviours, what, self.name)
        if misbehaviour is None or misbehaviour.alter is None or response.status_code >= 400:
            return response
        headers = {k: v for k, v in response.headers.items() if k != "content-length"}
        return Response(misbehaviour.alter(bytes(response.body)), response.status_code, headers)

    async def _answer(self, request: Request) -> Response:
        response = await self._handled(request)
        if self.simulator.settings.current.latency:
            await pause(request.scope, self._more_latency(call_of(request), response))
        return response

    def _more_latency(self, call: Call, response: Response) -> float:
        size = call.request_bytes + int(response.headers.get("content-length", 0))
        units = call.units | {"megabytes": size / 1_000_000}
        return self.simulator.latencies.after(self.name, units)

    async def _handled(self, request: Request) -> Response:
        try:
            return _sendable(await self.handler(request))
        except Refusal as refusal:
            return refusal.response()
        except ClientDisconnect:
            raise
        except Exception:  # noqa: BLE001 — logged; the client sees the vendor's 500
            _log.exception("%s failed", self.name)
            return self.vendor.failure(500, None)


def _sendable(response: Response) -> Response:
    """Raises ValueError for a header that would end early and begin another: nobody else looks."""
    for name, value in response.raw_headers:
        if _CONTROL.search(value):
            raise ValueError(f"the header {name.decode()} cannot be sent: {value!r}")
    return response


def _disturbed(fault: Fault, scope: Scope, receive: Receive, send: Send) -> Send:
    match fault.kind:
        case "broken_json":
            return Halved(send)
        case "cut_body":
            return Cut(send, scope, receive)
        case "slow_body":
            return Slow(send, scope, fault.seconds or 0)
    return send


def _without_compression(scope: Scope) -> Scope:
    # half of a compressed body is no half of JSON
    kept = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
    return {**scope, "headers": kept}


def route(
    simulator: Simulator, vendor: Vendor, method: str, path: str, *, name: str, handler: Handler
) -> Route:
    """A route named `<vendor>.<name>`; `*` as the method takes whatever is left."""
    methods = None if method == "*" else [method]
    operation = Operation(simulator, vendor, f"{vendor.name}.{name}", handler)
    return Route(path, operation, methods=methods)
