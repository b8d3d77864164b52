"""How an answer reaches the client, or does not, when a fault has its way."""

import asyncio
from collections.abc import AsyncGenerator, MutableMapping
from http import HTTPStatus
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

TRANSPORT = "simulator.transport"  # scope key

_LOOK_SECONDS = 0.05  # how often a long wait looks whether the client is still there
_DRIPS = 20  # pieces of a slow body


async def pause(scope: Scope, seconds: float) -> None:
    """Wait; raises ClientDisconnect as soon as the client has gone."""
    if seconds <= 0:
        return
    loop, transport = asyncio.get_running_loop(), scope.get(TRANSPORT)
    end = loop.time() + seconds
    while (left := end - loop.time()) > 0:
        if transport is not None and transport.is_closing():
            raise ClientDisconnect
        await asyncio.sleep(min(left, _LOOK_SECONDS))


async def deliver(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send it; a streamed body is closed even where the client does not wait for its end."""
    try:
        await response(scope, receive, send)
    finally:
        if (pieces := _streamed(response)) is not None:
            await pieces.aclose()


async def discard(response: Response) -> None:
    """Close an answer that nobody gets."""
    if (pieces := _streamed(response)) is not None:
        await anext(pieces, None)  # one that never began would not close its file
        await pieces.aclose()


async def drop(scope: Scope, receive: Receive) -> None:
    """Break the connection, as a reset."""
    _transport(scope).abort()
    await _until_gone(receive)


def gateway_page(status: int, headers: MutableMapping[str, str]) -> Response:
    """What a proxy in front of the vendor says when the vendor does not: HTML, no JSON."""
    try:
        title = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:  # 520 and others that only gateways use
        title = f"{status} Error"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
    return Response(page, status, headers, media_type="text/html")


class _Half:
    """Finds the middle of a body that may come in pieces.

    Without an announced length only the first piece is known in time: its middle is taken.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._left: int | None = None
        self._ended = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            length = _length(message)
            self._left = None if length is None else length // 2
            await self._send(self._start(message))
        elif not self._ended and (message.get("body") or not message.get("more_body")):
            body = message.get("body", b"")
            left = len(body) // 2 if self._left is None else self._left
            self._left = left - len(body[:left])
            self._ended = self._left == 0
            await self._pass(body[:left])

    def _start(self, message: Message) -> Message:
        return message

    async def _pass(self, body: bytes) -> None:
        raise NotImplementedError


class Halved(_Half):
    """A `send` for half of the body, announced as if it were all."""

    def _start(self, message: Message) -> Message:
        if self._left is None:
            return message
        others = [pair for pair in message["headers"] if pair[0].lower() != b"content-length"]
        return {
            **message,
            "headers": [*others, (b"content-length", str(self._left).encode())],
        }

    async def _pass(self, body: bytes) -> None:
        more = not self._ended
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


class Cut(_Half):
    """A `send` for half of the announced body; then the connection ends."""

    def __init__(self, send: Send, scope: Scope, receive: Receive) -> None:
        super().__init__(send)
        self._scope = scope
        self._receive = receive

    async def _pass(self, body: bytes) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        if self._ended:
            _transport(self._scope).close()
            await _until_gone(self._receive)
            raise ClientDisconnect


class Slow:
    """A `send` that lets the body drip, evenly if its length was announced."""

    def __init__(self, send: Send, scope: Scope, seconds: float) -> None:
        self._send = send
        self._scope = scope
        self._seconds = seconds
        self._total: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._total = _length(message)
            await self._send(message)
            return
        body = message.get("body", b"")
        if body:
            await self._drip(body, self._total or len(body))
        if not message.get("more_body"):
            await self._send({"type": "http.response.body", "body": b""})

    async def _drip(self, body: bytes, total: int) -> None:
        size = -(-total // _DRIPS)
        for start in range(0, len(body), size):
            piece = body[start : start + size]
            await pause(self._scope, self._seconds * len(piece) / total)
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})


def _streamed(response: Response) -> AsyncGenerator[bytes] | None:
    pieces = getattr(response, "body_iterator", None)
    return pieces if isinstance(pieces, AsyncGenerator) else None


def _length(message: Message) -> int | None:
    for name, value in message["headers"]:
        if name.lower() == b"content-length":
            return int(value)
    return None


def _transport(scope: Scope) -> Any:  # noqa: ANN401 — uvloop's transports share no base class
    try:
        return scope[TRANSPORT]
    except KeyError:
        raise ConnectionResetError("this server cannot drop a connection") from None


async def _until_gone(receive: Receive) -> None:
    # uvicorn would answer 500 for us if we returned before it has seen the connection go
    while (await receive())["type"] != "http.disconnect":
        pass
