"""The outermost layer: every answer is stamped, every vendor call recorded."""

import logging
import time
from hmac import compare_digest

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gristmill_simulators import __version__
from gristmill_simulators.calls import Call, masked
from gristmill_simulators.loopback import foreign
from gristmill_simulators.operation import CALL
from gristmill_simulators.simulator import Simulator

_log = logging.getLogger(__name__)

STAMP = (b"x-simulated", f"gristmill/{__version__}".encode())

_PRIVATE = {"error": "These simulators are private: their address is in the folder they keep."}
_VENDORS = ("openai", "llamacloud", "supabase")


class Gateway:
    """Says on each response that a simulator made it, so that it can never pass as real.

    With a `secret` it answers only below the path `/<secret>`: the vendors' keys are public, and
    the documents of whoever works on this machine are not. A path is what every SDK keeps of an
    address.
    """

    def __init__(self, app: ASGIApp, secret: str = "") -> None:
        self._app = app
        self._root = f"/{secret}" if secret else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not self._knows(scope["path"]):
            await _refuse(404, _PRIVATE)(scope, receive, send)
            return
        scope["root_path"] = self._root
        simulator: Simulator = scope["app"].state.simulator
        if not simulator.settings.current.allow_foreign_pages:
            why = foreign(scope["headers"], _own_address(scope))
            if why is not None:
                await _refuse(403, {"error": why})(scope, receive, send)
                return
        call = _call(scope, simulator.clock())
        if simulator.settings.current.record_headers:
            call.headers = masked(scope["headers"])
        scope[CALL] = call
        began = time.perf_counter()
        simulator.activity.in_flight += 1
        try:
            await self._answer(scope, _counted(receive, call), _Stamped(send, call))
        finally:
            simulator.activity.in_flight -= 1
            simulator.activity.last = time.monotonic()
            call.seconds = time.perf_counter() - began
            if call.vendor in _VENDORS:
                simulator.calls.append(call)

    def _knows(self, path: str) -> bool:
        given = path[: len(self._root) + 1].encode()
        return not self._root or compare_digest(given, f"{self._root}/".encode())

    async def _answer(self, scope: Scope, receive: Receive, send: "_Stamped") -> None:
        try:
            await self._app(scope, receive, send)
        except Exception:
            if send.started:
                raise
            # the path may hold line ends, and the way that is nobody's business
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            _log.exception("%s %r failed", scope["method"], path)
            # not left to the framework outside of us, whose answer would not be stamped
            await JSONResponse({"error": "the simulator failed"}, 500)(scope, receive, send)


def _refuse(status: int, why: dict[str, str]) -> JSONResponse:
    return JSONResponse(why, status, headers={"x-simulated": STAMP[1].decode()})


def _own_address(scope: Scope) -> str:
    host, port = scope["server"]
    return f"http://{host}:{port}{scope['root_path']}"


class _Stamped:
    __slots__ = ("_call", "_send", "started")

    def __init__(self, send: Send, call: Call) -> None:
        self._send = send
        self._call = call
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self._call.status = message["status"]
            message["headers"] = [*message["headers"], STAMP]
        else:
            self._call.response_bytes += len(message.get("body", b""))
        await self._send(message)


def _counted(receive: Receive, call: Call) -> Receive:
    async def counted() -> Message:
        message = await receive()
        call.request_bytes += len(message.get("body", b""))
        return message

    return counted


def _call(scope: Scope, now: float) -> Call:
    path = scope["path"].removeprefix(scope["root_path"])
    vendor = path.lstrip("/").partition("/")[0]
    call = Call(vendor, scope["method"], path, now)
    for name, value in scope["headers"]:
        if name == b"x-stainless-retry-count" and value.isdigit() and len(value) < 10:
            call.retry_count = int(value)
    return call
