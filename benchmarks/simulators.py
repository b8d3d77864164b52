"""The simulators alone: embeddings and parses a second, their CPU and their memory.

The baseline of embeddings is the smallest server that could answer: fixed bodies, no vectors made,
no tokens counted. CPU and memory are the server's own, its children included.
"""

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen

import httpx
import psutil

from benchmarks import instant
from benchmarks.documents import pdf
from benchmarks.report import is_quick, machine, table
from gristmill_simulators.environment import environment

MODEL = "text-embedding-3-small"
INPUTS = 256
_WORDS = "wheat rye barley oats spelt emmer millet mill stone water wheel flour"
WORDS = tuple(_WORDS.split())


@dataclass(frozen=True, slots=True)
class Load:
    """`seconds` of wall time, `cpu` seconds of a server and its children, memory in MB."""

    seconds: float
    cpu: float
    memory: float


@contextlib.contextmanager
def simulators(folder: Path) -> Iterator[tuple[str, int]]:
    """The base URL and the process id of simulators that end with the block."""
    command = [sys.executable, "-m", "gristmill_simulators", "--port", "0", "--data", str(folder)]
    with Popen(command, stdout=PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1], process.pid
        finally:
            process.terminate()


def loaded(pid: int, work: Callable[[], object]) -> Load:
    """What `work` takes of the server with this process id."""
    before, started = _cpu(pid), time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    return Load(seconds, _cpu(pid) - before, _memory(pid))


def _tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _cpu(pid: int) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in _tree(pid))


def _memory(pid: int) -> float:
    return sum(each.memory_full_info().pss for each in _tree(pid)) / 1e6


def texts(number: int) -> list[str]:
    """256 texts of 512 words, no two alike."""
    return [
        " ".join(WORDS[(number + n + k * k) % len(WORDS)] for k in range(512)) + f" {number} {n}"
        for n in range(INPUTS)
    ]


def embed(http: httpx.Client, address: str, requests: Sequence[list[str]]) -> None:
    for inputs in requests:
        body = {"model": MODEL, "input": inputs, "encoding_format": "base64"}
        http.post(f"{address}/embeddings", json=body).raise_for_status()


def parse(http: httpx.Client, address: str, data: bytes) -> None:
    file = http.post(
        f"{address}/api/v1/beta/files", files={"file": ("a.pdf", data)}, data={"purpose": "parse"}
    )
    body = {"file_id": file.json()["id"], "tier": "fast", "version": "latest"}
    job = http.post(f"{address}/api/v2/parse", json=body).raise_for_status().json()["id"]
    while True:
        status = http.get(f"{address}/api/v2/parse/{job}").json()["job"]["status"]
        if status not in ("PENDING", "RUNNING"):
            break
        time.sleep(0.02)
    if status != "COMPLETED":
        raise RuntimeError(f"the parse ended {status}")
    pages = http.get(f"{address}/api/v2/parse/{job}", params={"expand": "text"}).json()
    print(f"{len(pages['text']['pages'])} pages came back")


def main() -> None:
    quick = is_quick(__doc__)
    machine()
    requests = [texts(number) for number in range(5 if quick else 40)]
    pages = 100 if quick else 1000
    with tempfile.TemporaryDirectory() as folder, httpx.Client(timeout=120) as http:
        with instant.running() as vendors:
            http.headers["authorization"] = "Bearer sk-fake"
            base = loaded(vendors.pid, lambda: embed(http, f"{vendors.url}/openai/v1", requests))
        with simulators(Path(folder)) as (url, pid):
            names = environment(url)
            http.headers["authorization"] = f"Bearer {names['OPENAI_API_KEY']}"
            embed(http, names["OPENAI_BASE_URL"], requests[:1])
            vectors = loaded(pid, lambda: embed(http, names["OPENAI_BASE_URL"], requests))
            http.headers["authorization"] = f"Bearer {names['LLAMA_CLOUD_API_KEY']}"
            data = pdf(pages, seed="simulators")
            parsed = loaded(pid, lambda: parse(http, names["LLAMA_CLOUD_BASE_URL"], data))
    count = len(requests)
    rows = [
        (
            name,
            f"{count / load.seconds:.1f}",
            f"{1000 * load.cpu / count:.1f}",
            f"{load.memory:.0f}",
        )
        for name, load in (("fixed answers", base), ("OpenAI simulated", vectors))
    ]
    table((f"{INPUTS} inputs a request", "requests/s", "CPU ms a request", "PSS MB"), rows)
    row = row_of(f"{pages:,}", parsed, pages)
    table(("one PDF, pages", "pages/s", "CPU ms a page", "PSS MB, child included"), [row])


def row_of(name: str, load: Load, count: int) -> tuple[str, ...]:
    """What one of `count` takes."""
    speed, work = count / load.seconds, 1000 * load.cpu / count
    return name, f"{speed:.1f}", f"{work:.1f}", f"{load.memory:.0f}"


if __name__ == "__main__":
    main()
