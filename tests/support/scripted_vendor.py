"""A vendor that says what a test tells it to, over a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Request:
    """A request as it arrived; header names are lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    def json(self):
        return json.loads(self.body)


@dataclass
class ScriptedVendor:
    """Answers request after request from `script`; the last entry stays.

    An entry is the raw bytes of an answer, or a coroutine function of (request, reader, writer).
    """

    port: int = 0
    script: list = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    accept: Callable | None = None  # instead of reading a request

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def says(self, status, body=b"", headers=()):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in dict(headers).items()]
        self.script.append("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        return self

    def does(self, behaviour):
        self.script.append(behaviour)
        return self

    async def handle(self, reader, writer):
        self.connections += 1
        self.writers.append(writer)
        try:
            if self.accept is not None:
                await self.accept(reader, writer)
            else:
                while await self._turn(reader, writer):
                    pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _turn(self, reader, writer):
        request = await _read(reader)
        self.requests.append(request)
        entry = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if not isinstance(entry, bytes):
            await entry(request, reader, writer)
            return False
        writer.write(entry)
        await writer.drain()
        return True


async def _read(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    if headers.get("transfer-encoding") == "chunked":
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, target, headers, body)


async def _read_chunks(reader):
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


async def vanish(_request, _reader, writer):
    """Closes the connection with a reset, without an answer."""
    writer.transport.abort()


async def stay_silent(_request, reader, _writer):
    """Keeps the connection and says nothing."""
    await reader.read()


@asynccontextmanager
async def scripted_vendor() -> AsyncIterator[ScriptedVendor]:
    """One that listens, until the end of the block."""
    scripted = ScriptedVendor()
    server = await asyncio.start_server(scripted.handle, "127.0.0.1", 0, limit=1 << 24)
    scripted.port = server.sockets[0].getsockname()[1]
    scripted.vanish, scripted.stay_silent = vanish, stay_silent
    yield scripted
    server.close()
    for writer in scripted.writers:
        writer.transport.abort()
    await asyncio.sleep(0)
