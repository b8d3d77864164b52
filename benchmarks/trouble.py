"""What a dead vendor hears of us, and how a storm of 429 drains.

The vendors are an address where nobody listens, one that never answers, and the OpenAI simulator.
The baseline of the storm is what the limit allows.
"""

import asyncio
import contextlib
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx

from benchmarks.guards import empty_database, guarded
from benchmarks.quotas import Work, limit
from benchmarks.report import bar, is_quick, machine, table
from benchmarks.simulators import simulators
from gristmill.contract import Operation, R, Result, ServiceInterface
from gristmill.database.engine import Database
from gristmill.errors import BreakerOpen, GristmillError, RateLimited, Throttled
from gristmill.policies.layer import Layer
from gristmill.services.adapter import Endpoint
from gristmill.services.http import create_client
from gristmill.services.openai import Embed, ListModels, OpenAI
from gristmill.settings.rates import RateLimitSetting
from gristmill.telemetry.logging import configure
from gristmill_simulators.environment import environment

KEY: Final = "sk-simulated-key-that-opens-nothing"
MODEL: Final = "text-embedding-3-small"
TASKS: Final = 32
STORM_SECONDS: Final = 1.0  # in which every call is refused
BAR_CALLS: Final = 40
BAR_DRAIN: Final = 1.1


class Counting(Layer):
    """Counts the calls that reach a vendor, or try to."""

    def __init__(self, next_: ServiceInterface) -> None:
        super().__init__(next_)
        self.calls = 0

    async def execute(self, operation: Operation[R]) -> Result[R]:
        self.calls += 1
        return await self.next.execute(operation)


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """An address that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        yield listener.getsockname()[1]


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield port


async def dead_vendor(database: Database, *, quick: bool) -> None:
    seconds = 10 if quick else 60
    rows, most = [], 0
    for name, port in (("refuses connections", closed_port), ("never answers", silent_port)):
        with port() as number:
            calls, back = await hammered(database, number, seconds, name)
        most = max(most, calls)
        rows.append((name, calls, *(f"{after:.1f}" for after in back or ())))
    table(("vendor", f"calls in {seconds} s", "back: first, s", "back: all, s"), padded(rows))
    bar("calls to a dead vendor", met=most <= BAR_CALLS, figure=str(most), wanted=f"<= {BAR_CALLS}")
    print()


def padded(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return [(*row, "", "")[:4] for row in rows]


async def hammered(
    database: Database, port: int, seconds: float, name: str
) -> tuple[int, tuple[float, float] | None]:
    """Calls of 32 tasks that never give up; and how soon the first and all are served again."""
    url = f"http://127.0.0.1:{port}/v1"
    served: list[float] = []
    async with create_client(read_timeout=5.0) as http:
        counted = Counting(OpenAI(Endpoint("openai", url, KEY), http))
        async with guarded(database, counted, name) as service:

            async def work() -> None:
                while True:
                    try:
                        await service.execute(ListModels())
                    except GristmillError:
                        await asyncio.sleep(0.05)
                    else:
                        served.append(time.monotonic())
                        return

            tasks = [asyncio.create_task(work()) for _ in range(TASKS)]
            await asyncio.sleep(seconds)
            calls, back = counted.calls, None
            if name == "refuses connections":
                began = time.monotonic()
                async with await asyncio.start_server(_answers, "127.0.0.1", port):
                    await asyncio.gather(*tasks)
                back = min(served) - began, max(served) - began
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return calls, back


async def _answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    body = b'{"object":"list","data":[]}'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head % len(body) + body)
            await writer.drain()


async def drained(database: Database, *, quick: bool) -> None:
    """From the first 429 of a storm until everything is through, to what the limit allows."""
    number = 150 if quick else 600
    work = Work("", 3_000, 1_000_000, 20)
    rows, told = [], 0.0
    for name, retry_after in (("no Retry-After", 0), ("Retry-After: 2", 2)):
        with (
            tempfile.TemporaryDirectory(prefix="grist") as folder,
            simulators(Path(folder)) as (url, _),
        ):
            limit(url, work)
            seconds, refused = await storm(database, url, number, retry_after)
        told = seconds / (retry_after + number / work.per_second)
        rows.append((name, number, refused, f"{seconds:.1f}", f"{told:.2f}"))
    table(("a storm of 429", "calls", "429 in all", "seconds", "to the ideal"), rows)
    bar("drain", met=told <= BAR_DRAIN, figure=f"{told:.2f} x", wanted=f"<= {BAR_DRAIN} x")
    print()


async def storm(database: Database, url: str, number: int, retry_after: int) -> tuple[float, int]:
    """Seconds, and how many calls were refused, until so many of them are through."""
    operation = Embed(("rye",), MODEL, 1536, tokens=(2,))
    pace = RateLimitSetting("requests", 3_000, 60.0)
    async with create_client() as http:
        base = environment(url)["OPENAI_BASE_URL"]
        inner = Counting(OpenAI(Endpoint("openai", base, KEY), http))
        async with guarded(database, inner, url, pace) as service:
            await service.execute(operation)
            await break_out(http, url, retry_after)
            left, began = list(range(number)), time.monotonic()

            async def worker() -> None:
                while left:
                    left.pop()
                    while not await _through(service, operation):
                        pass

            calm = asyncio.create_task(calm_down(http, url))
            await asyncio.gather(*(worker() for _ in range(TASKS)))
            await calm
    return time.monotonic() - began, inner.calls - number - 1


async def calm_down(http: httpx.AsyncClient, url: str) -> None:
    await asyncio.sleep(STORM_SECONDS)
    (await http.delete(f"{url}/_simulator/faults")).raise_for_status()


async def _through(service: ServiceInterface, operation: Embed) -> bool:
    """Whether it was served; else after as long as a document would be put aside."""
    try:
        await service.execute(operation)
    except (Throttled, RateLimited, BreakerOpen) as error:
        await asyncio.sleep(error.retry_after or 0.1)
        return False
    return True


async def break_out(http: httpx.AsyncClient, url: str, retry_after: int) -> None:
    fault = {
        "route": "openai.embeddings.create", "kind": "status", "status": 429,
        "code": "rate_limit_exceeded", "count": None,
        "headers": {"retry-after": str(retry_after)} if retry_after else {},
    }  # fmt: skip
    (await http.post(f"{url}/_simulator/faults", json=fault)).raise_for_status()


async def run(*, quick: bool) -> None:
    async with empty_database() as database:
        await drained(database, quick=quick)
        await dead_vendor(database, quick=quick)


def main() -> None:
    quick = is_quick(__doc__)
    machine()
    configure("CRITICAL", "json")
    asyncio.run(run(quick=quick))


if __name__ == "__main__":
    main()
