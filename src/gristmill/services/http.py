"""The one HTTP pool that all SDKs are given.

The transport is aiohttp's behind the face of httpx, the only one that all three SDKs accept.
Nothing of the environment reaches it: no proxy, no netrc, no certificate path, no cookie.

httpx-aiohttp 0.2 reports a connection that broke after the request was sent as a
`ConnectTimeout`, because its table asks for the base class first. Whether anything was sent decides
here whether money may have been spent, so the transport names that itself, by aiohttp's exception:

    ConnectError, ConnectTimeout    no byte of the request left; NotSecure is a ConnectError
    every other TransportError      some or all of it did
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from gristmill.services.failures import NotSecure

# Shorter than the five seconds after which common servers drop an idle connection, so that a
# paid request is rarely written into a connection that is being closed.
_KEEPALIVE_SECONDS = 4.0
_PIECE = 1 << 16  # bytes

# Of an answer that is held in memory, after decompression. The largest honest ones are the pages
# of a parse: 2,000 of the 64 KiB that the vendor gives at most.
ANSWER_BYTES = 256 << 20
ANSWER_SECONDS = 300.0  # for all of its body, however it drips
_ERROR_BYTES = 1 << 18  # of what explains an error; the rest of it is not read

# Where their packages are installed, httpx decodes these too; they inflate a kilobyte to gigabytes
# before anybody can count, as do codings on top of each other.
_BOTTOMLESS = frozenset({"br", "zstd"})


def create_client(
    *,
    max_connections: int = 100,
    connect_timeout: float = 5.0,
    read_timeout: float = 60.0,
    answer_bytes: int = ANSWER_BYTES,
    answer_seconds: float = ANSWER_SECONDS,
) -> httpx.AsyncClient:
    """A client for all services; close it with `aclose()`. Timeouts are in seconds.

    `read_timeout` bounds each wait for bytes in either direction, and the wait for a free
    connection; the last two bound an answer that is not streamed. Redirects are not followed: no
    vendor's API needs one, and a key would go with it.
    """
    limits = httpx.Limits(max_connections=max_connections, keepalive_expiry=_KEEPALIVE_SECONDS)
    return _BoundedClient(
        answer_bytes=answer_bytes,
        answer_seconds=answer_seconds,
        headers={"accept-encoding": "gzip, deflate"},
        transport=_Transport(verify=_trust(), trust_env=False, limits=limits),
        timeout=httpx.Timeout(read_timeout, connect=connect_timeout),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
        trust_env=False,
    )


@cache
def _trust() -> ssl.SSLContext:
    """Whom every client of this process trusts: certifi's list, which takes 10 ms to read."""
    return httpx.create_ssl_context(trust_env=False)


class AnswerTooLarge(httpx.DecodingError):
    """An answer with more bytes than anybody waits for; the rest of it was not read."""


class _BoundedClient(httpx.AsyncClient):
    """Holds no more of an answer in memory than is bearable, also of one that inflates."""

    def __init__(self, *, answer_bytes: int, answer_seconds: float, **arguments: Any) -> None:  # noqa: ANN401 — httpx's own
        super().__init__(**arguments)
        self._answer_bytes = answer_bytes
        self._answer_seconds = answer_seconds

    async def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        **arguments: Any,  # noqa: ANN401 — httpx's own
    ) -> httpx.Response:
        response = await super().send(request, stream=True, **arguments)
        if stream and response.is_success:
            return response
        try:
            async with asyncio.timeout(self._answer_seconds):
                response._content = await self._whole(response)  # noqa: SLF001 — as `aread` does
        except TimeoutError as error:
            text = f"the answer had not ended after {self._answer_seconds:g} s"
            raise httpx.ReadTimeout(text, request=request) from error
        finally:
            await response.aclose()
        return response

    async def _whole(self, response: httpx.Response) -> bytes:
        limit = self._answer_bytes if response.is_success else _ERROR_BYTES
        parts, size = [], 0
        async for part in response.aiter_bytes():
            size += len(part)
            parts.append(part)
            if size > limit:
                break
        if size > limit and response.is_success:
            text = f"the answer has more than {limit:,} bytes"
            raise AnswerTooLarge(text, request=response.request)
        return b"".join(parts)[:limit]


class _Transport(AiohttpTransport):
    """httpx-aiohttp's transport with exact errors, and a limit on sending."""

    def get_client(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self.limits.max_connections or 0,
            keepalive_timeout=self.limits.keepalive_expiry,
            ssl=self.ssl_context,
        )
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        patience = _patience(request)
        with _exact_errors():
            # aiohttp bounds connecting and reading, never writing: a peer that stops reading
            # would hold us for ever.
            async with asyncio.timeout(patience) as limit:
                response = await super().handle_async_request(_in_pieces(request, limit, patience))
        await _check_coding(response, request)
        if isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _Body(response.stream)
        return response


async def _check_coding(response: httpx.Response, request: httpx.Request) -> None:
    coding = response.headers.get("content-encoding", "").strip().lower()
    if "," in coding or coding in _BOTTOMLESS:
        await response.aclose()
        raise httpx.DecodingError(f"it is coded as {coding[:80]!r}", request=request)


def _patience(request: httpx.Request) -> float | None:
    """How long nothing may happen before the answer begins: the sum of the four timeouts."""
    values = request.extensions.get("timeout", {}).values()
    return None if not values or None in values else sum(values)


def _in_pieces(
    request: httpx.Request, limit: asyncio.Timeout, patience: float | None
) -> httpx.Request:
    """The same request; a large body goes piece by piece, and each one starts the limit anew.

    aiohttp warns of a body of more than a mebibyte in one piece, as 2048 texts are.
    """
    stream = request.stream
    if isinstance(stream, httpx.ByteStream) and len(request.content) <= _PIECE:
        return request
    if not isinstance(stream, httpx.AsyncByteStream):
        return request
    return httpx.Request(
        request.method,
        request.url,
        headers=request.headers,
        stream=_Pieces(stream, limit, patience),
        extensions=request.extensions,
    )


class _Pieces(httpx.AsyncByteStream):
    """A request's body in pieces of at most `_PIECE` bytes."""

    def __init__(
        self, inner: httpx.AsyncByteStream, limit: asyncio.Timeout, patience: float | None
    ) -> None:
        self._inner = inner
        self._limit = limit
        self._patience = patience

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            for start in range(0, len(chunk), _PIECE):
                self._renew()
                yield chunk[start : start + _PIECE]

    def _renew(self) -> None:
        if self._patience is not None:
            self._limit.reschedule(asyncio.get_running_loop().time() + self._patience)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Body(httpx.AsyncByteStream):
    """An answer's body; what breaks here broke after sending."""

    def __init__(self, inner: httpx.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _exact_errors():
            async for chunk in self._inner:
                yield chunk

    async def aclose(self) -> None:
        with _exact_errors():
            await self._inner.aclose()


@contextmanager
def _exact_errors() -> Iterator[None]:
    try:
        yield
    except (httpx.TransportError, aiohttp.ClientError, OSError) as error:
        cause = (error.__cause__ or error) if isinstance(error, httpx.TransportError) else error
        raise _exact(cause)(_said(cause)) from None  # the cause holds the request and its headers


def _said(cause: BaseException) -> str:
    """What happened, without the address that aiohttp puts in: it may hold a signature."""
    match cause:
        case aiohttp.ClientResponseError():
            return "what came back is no HTTP"
        case aiohttp.ConnectionTimeoutError():
            return "no connection within the time for it"
        case aiohttp.ClientSSLError():
            return f"{_distrust(cause.os_error)} at {cause.host}:{cause.port}"
        case aiohttp.ClientConnectorError():
            return f"{_reason(cause.os_error)} at {cause.host}:{cause.port}"
        case aiohttp.InvalidURL():
            return "the address cannot be used"
        case _:
            return str(cause) or type(cause).__name__


def _reason(error: OSError) -> str:
    """The operating system's words for a number, or the resolver's own."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)


def _distrust(error: OSError) -> str:
    """Why a connection was not trusted: what is wrong with the certificate, or with the talk."""
    match error:
        case ssl.SSLCertVerificationError():
            return error.verify_message or "its certificate is not trusted"
        case ssl.SSLError() if error.reason:
            return error.reason.lower().replace("_", " ")
        case _:
            return "no secure connection"


def _exact(cause: BaseException) -> type[httpx.TransportError]:
    match cause:
        case aiohttp.ConnectionTimeoutError():
            return httpx.ConnectTimeout
        case aiohttp.ClientConnectorError() | aiohttp.InvalidURL():
            return NotSecure if isinstance(cause, aiohttp.ClientSSLError) else httpx.ConnectError
        case aiohttp.ServerTimeoutError():
            return httpx.ReadTimeout
        case TimeoutError():
            return httpx.WriteTimeout
        case aiohttp.ClientResponseError():
            return httpx.RemoteProtocolError
        case _:
            return httpx.ReadError
