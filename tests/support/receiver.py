"""A webhook endpoint on a real socket that remembers what it was sent."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Self

import orjson


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The notification, in either format."""
        decoded = orjson.loads(self.body)
        return orjson.loads(decoded) if isinstance(decoded, str) else decoded


@dataclass
class Receiver:
    """Answers with `statuses` one after the other, then 200; a status of 0 never answers."""

    statuses: list[int] = field(default_factory=list)
    received: list[Delivery] = field(default_factory=list)
    url: str = ""

    async def __aenter__(self) -> Self:
        self._arrived = asyncio.Condition()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/hook"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def events(self, count: int) -> list[str]:
        """The types of the first `count` events, once they are there."""
        async with asyncio.timeout(30), self._arrived:
            await self._arrived.wait_for(lambda: len(self.received) >= count)
        return [delivery.event["event_type"] for delivery in self.received[:count]]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._answer(head.decode(), reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(
        self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        first, *lines = head.strip().split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        async with self._arrived:
            self.received.append(Delivery(first.split()[1], headers, body))
            self._arrived.notify_all()
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            await reader.read()  # until the sender loses patience
            return
        location = f"location: {self.url}-elsewhere\r\n" if 300 <= status < 400 else ""
        writer.write(f"HTTP/1.1 {status} x\r\n{location}content-length: 0\r\n\r\n".encode())
        await writer.drain()
