"""Answers as they leave the vendor's edge: formatting, gzip, identification."""

import asyncio
import uuid
import zlib

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_LAYOUT = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
_INLINE_BYTES = 64 * 1024  # compressing more than this leaves the loop

_ALWAYS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"X-Request-ID"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains; preload"),
    (b"x-content-type-options", b"nosniff"),
]
_EDGE = [
    (b"server", b"cloudflare"),
    (b"cf-cache-status", b"DYNAMIC"),
    (b"alt-svc", b'h3=":443"; ma=86400'),
    (b"via", b"envoy-router-simulated"),
    (b"x-openai-proxy-wasm", b"v0.1"),
]
_COOKIE = b"; path=/; domain=.api.openai.com; HttpOnly; Secure; SameSite=None"


def new_request_id() -> str:
    return f"req_{uuid.uuid4().hex}"


def answer(value: object) -> Response:
    """A JSON answer: 2 spaces, a final newline."""
    return Streamed(orjson.dumps(value, option=_LAYOUT), media_type="application/json")


def identify(response: Response, headers: dict[str, str], *, edge: bool) -> Response:
    """Add what every answer carries, errors included; `headers` has its `x-request-id`."""
    # appended as they are: the mapping of the framework costs ten times as much
    raw = response.raw_headers
    raw += [(name.encode(), value.encode()) for name, value in headers.items()]
    raw += _ALWAYS
    if edge:
        ray = headers["x-request-id"][-16:].encode()
        raw += _EDGE
        raw.append((b"cf-ray", ray + b"-SIM"))
        raw.append((b"set-cookie", b"__cf_bm=" + ray + _COOKIE))
        raw.append((b"set-cookie", b"_cfuvid=" + ray + _COOKIE))
    return response


def path_of(request: Request) -> str:
    """The path as the vendor's own host would see it."""
    path: str = request.scope["path"]
    return "/v1" + path.removeprefix(request.scope.get("root_path", ""))


class Streamed(Response):
    """An answer without a length, sent in chunks; gzip when the client offers it.

    It is compressed while it is sent, so that whoever changes `body` before sees the plain one.
    """

    compress = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]
        body = bytes(self.body)
        if self.compress and _offers_gzip(scope):
            headers.append((b"content-encoding", b"gzip"))
            large = len(body) > _INLINE_BYTES
            body = await asyncio.to_thread(_gzip, body) if large else _gzip(body)
        start = {"type": "http.response.start", "status": self.status_code, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body})


def _offers_gzip(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"accept-encoding":
            codings = [part.strip().split(b";") for part in value.lower().split(b",")]
            return any(each[0] == b"gzip" and b"q=0" not in each[1:] for each in codings)
    return False


def _gzip(body: bytes) -> bytes:
    # base64 of random floats has no repetitions to look for: a third of level 1's time
    large = len(body) > _INLINE_BYTES
    strategy = zlib.Z_HUFFMAN_ONLY if large else zlib.Z_DEFAULT_STRATEGY
    packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy)
    return packer.compress(body) + packer.flush()
