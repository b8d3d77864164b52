"""One gigabyte into storage and back: speed and memory, of gristmill's client and of the SDK alone.

Each transfer runs in a process of its own against a small server that throws away what it is sent
and sends what is asked for. The file lies on the disk of temporary files; what comes back is
synced to it. Memory is the proportional share, sampled every 20 ms.
"""

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

import psutil
import uvloop

from benchmarks import processes
from benchmarks.report import bar, is_quick, machine, table

MB: Final = 1e6
BAR_MB: Final = 32.0  # of memory above what the process took before the transfer
EVERY_SECONDS: Final = 0.02
KEY: Final = "sb_secret_benchmark_key_that_opens_nothing"
CLIENTS: Final = ("gristmill", "storage3")
ACTIONS: Final = ("upload", "download")


@dataclass(frozen=True, slots=True)
class Transfer:
    """How fast one went, and what its process took before and at most, in MB."""

    mb_per_second: float
    before: float
    peak: float

    @property
    def more(self) -> float:
        return self.peak - self.before


def main() -> None:
    quick = is_quick(__doc__)
    size, rounds = (100_000_000, 1) if quick else (1_000_000_000, 3)
    machine()
    with tempfile.TemporaryDirectory(prefix="grist") as folder, serving(size) as url:
        source = Path(folder) / "source"
        fill(source, size)
        runs: dict[tuple[str, str], list[Transfer]] = defaultdict(list)
        for _, action, client in product(range(rounds), ACTIONS, CLIENTS):
            runs[action, client].append(transfer(client, action, url, Path(folder)))
    print(f"{size / MB:.0f} MB, median of {rounds}\n")
    told(runs)
    for action in ACTIONS:
        more = max(run.more for run in runs[action, "gristmill"])
        figure = f"{more:.0f} MB"
        bar(f"more memory, {action}", met=more <= BAR_MB, figure=figure, wanted="<= 32 MB")


def told(runs: dict[tuple[str, str], list[Transfer]]) -> None:
    rows = []
    for (action, client), each in runs.items():
        speed = statistics.median(run.mb_per_second for run in each)
        alone = statistics.median(run.mb_per_second for run in runs[action, "storage3"])
        before, peak = (
            max(values) for values in zip(*((r.before, r.peak) for r in each), strict=True)
        )
        rows.append(
            (
                f"{action}, {client}",
                f"{speed:.0f}",
                f"{speed / alone:.2f}",
                f"{before:.0f}",
                f"{peak:.0f}",
            )
        )
    table(("", "MB/s", "to the SDK alone", "MB before", "MB at most"), rows)


def fill(path: Path, size: int) -> None:
    piece = os.urandom(1_000_000)
    with path.open("wb") as file:
        for _ in range(size // len(piece)):
            file.write(piece)


def transfer(client: str, action: str, url: str, folder: Path) -> Transfer:
    """Runs one client for one transfer, and watches it.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, "-m", "benchmarks.storage", client, action, url, str(folder)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018 — for the type checker
        process.stdout.readline()
        watched = [psutil.Process(process.pid)]
        before = peak = processes.memory(watched)
        process.stdin.write("\n")
        process.stdin.flush()
        while process.poll() is None:
            peak = max(peak, processes.memory(watched))
            time.sleep(EVERY_SECONDS)
        answer = process.stdout.read().split()
    if process.returncode != 0:
        raise RuntimeError(f"{client} did not {action}")
    return Transfer(float(answer[0]) / MB, before, peak)


# --- a client in its process


def client(name: str, action: str, url: str, folder: Path) -> None:
    work = {"gristmill": gristmill, "storage3": storage3}[name]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        size, seconds = runner.run(work(action, url, folder))
    print(size / seconds)


def ready() -> float:
    """Tells that all is loaded, waits for the word, and gives the time."""
    print("ready", flush=True)
    sys.stdin.readline()
    return time.monotonic()


async def gristmill(action: str, url: str, folder: Path) -> tuple[int, float]:
    from gristmill.services.adapter import Endpoint
    from gristmill.services.http import create_client
    from gristmill.services.supabase import DownloadObject, EnsureBucket, Supabase, UploadObject

    source, target = folder / "source", folder / "gristmill"
    async with create_client() as http:
        storage = Supabase(Endpoint("supabase", url, KEY), http)
        await storage.execute(EnsureBucket("b"))
        started = ready()
        if action == "upload":
            await storage.execute(UploadObject("b", "k", source, "application/pdf"))
        else:
            await storage.execute(DownloadObject("b", "k", target))
        return ended(source, target, action, started)


async def storage3(action: str, url: str, folder: Path) -> tuple[int, float]:
    from storage3 import AsyncStorageClient

    source, target = folder / "source", folder / "storage3"
    storage = AsyncStorageClient(f"{url}/storage/v1/", {"Authorization": f"Bearer {KEY}"})
    async with storage:
        await storage.get_bucket("b")
        started = ready()
        if action == "upload":
            await storage.from_("b").upload("k", source, {"upsert": "true"})
        else:
            content = await storage.from_("b").download("k")
            with target.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        return ended(source, target, action, started)


def ended(source: Path, target: Path, action: str, started: float) -> tuple[int, float]:
    seconds = time.monotonic() - started
    size = source.stat().st_size
    if action == "download":
        assert target.stat().st_size == size
        target.unlink()
    return size, seconds


# --- the server


@contextlib.contextmanager
def serving(size: int) -> Iterator[str]:
    """The address of a server whose every object has `size` bytes."""
    command = [sys.executable, "-m", "benchmarks.storage", "serve", str(size)]
    with subprocess.Popen(command, stdout=-1, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def serve(size: int) -> None:
    server = await asyncio.start_server(
        lambda r, w: answer(r, w, size), "127.0.0.1", 0, limit=1 << 20
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await swallow(reader, head)
            await send(writer, head, size)
    writer.close()


async def swallow(reader: asyncio.StreamReader, head: bytes) -> None:
    _, _, length = head.partition(b"content-length: ")
    left = int(length.partition(b"\r\n")[0] or 0)
    while left:
        left -= len(await reader.read(min(left, 1 << 20)))


async def send(writer: asyncio.StreamWriter, head: bytes, size: int) -> None:
    if not head.startswith(b"get /storage/v1/object"):
        known = b"get" if head.startswith(b"get") else b"post"
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BODIES[known]) + BODIES[known]
        )
        return
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
    piece = os.urandom(1 << 18)
    for start in range(0, size, len(piece)):
        writer.write(piece[: size - start])
        await writer.drain()


BODIES: Final = {
    b"post": b'{"Key":"b/k","Id":"00000000-0000-4000-8000-000000000000"}',
    b"get": b'{"id":"b","name":"b","owner":"","public":false,"file_size_limit":null,'
    b'"allowed_mime_types":null,"created_at":"2026-01-01T00:00:00.000Z",'
    b'"updated_at":"2026-01-01T00:00:00.000Z"}',
}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", size]:
            uvloop.run(serve(int(size)))
        case [name, action, url, folder]:
            client(name, action, url, Path(folder))
        case _:
            main()
