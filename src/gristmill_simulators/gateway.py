"""The outermost layer: every answer is stamped, every vendor call recorded."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gristmill_simulators import __version__
from gristmill_simulators.calls import Call
from gristmill_simulators.operation import CALL
from gristmill_simulators.simulator import Simulator

STAMP = (b"x-simulated", f"gristmill/{__version__}".encode())

_VENDORS = ("openai", "llamacloud", "supabase")


class Gateway:
    """Says on each response that a simulator made it, so that it can never pass as real."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        simulator: Simulator = scope["app"].state.simulator
        call = _call(scope, simulator.clock())
        scope[CALL] = call
        began = time.perf_counter()
        simulator.activity.in_flight += 1
        try:
            await self._app(scope, receive, _Stamped(send, call))
        finally:
            simulator.activity.in_flight -= 1
            simulator.activity.last = time.monotonic()
            call.seconds = time.perf_counter() - began
            if call.vendor in _VENDORS:
                simulator.calls.append(call)


class _Stamped:
    __slots__ = ("_call", "_send")

    def __init__(self, send: Send, call: Call) -> None:
        self._send = send
        self._call = call

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._call.status = message["status"]
            message["headers"] = [*message["headers"], STAMP]
        await self._send(message)


def _call(scope: Scope, now: float) -> Call:
    vendor = scope["path"].split("/", 2)[1]
    call = Call(vendor, scope["method"], scope["path"], now)
    for name, value in scope["headers"]:
        if name == b"x-stainless-retry-count" and value.isdigit():
            call.retry_count = int(value)
    return call
