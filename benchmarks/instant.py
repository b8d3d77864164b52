"""Three vendors that answer at once, from fixed bodies, in a process of their own.

    with running() as vendors:
        settings = load_settings(environ={"GRISTMILL_SIMULATOR_URL": vendors.url, ...})
        vendors.counts()

A protocol over the HTTP parser of uvicorn, without a framework: what is measured beside it is the
client, and the two share a machine. It checks nothing, remembers nothing but counts, and every job
it is given is done. Its bodies look like the vendors', the embeddings in pretty-printed JSON.
"""

import asyncio
import base64
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qs
from urllib.request import urlopen

import httptools
import numpy as np
import orjson

MOMENT: Final = "2026-01-01T00:00:00.000000Z"
# What a one-page document says; the number of its job makes it another text each time.
PARAGRAPH: Final = (
    "The mill keeps a journal of every call. A bound is written before the call leaves and the"
    " price of what was used when it is back, so that the sum of both is known at any moment."
    " Retries are bounded, and a document that has to wait holds neither a slot nor memory. "
)

_numbers = itertools.count(1)
_counts: Counter[str] = Counter()


@dataclass(frozen=True, slots=True)
class Vendors:
    """The running server, from outside."""

    url: str
    pid: int

    def counts(self) -> Counter[str]:
        """Calls so far, by kind, since the last `reset`."""
        return Counter(self._get("/_counts"))

    def paid_calls(self) -> int:
        counts = self.counts()
        return counts["embed"] + counts["submit"]

    def reset(self) -> None:
        self._get("/_reset")

    def _get(self, path: str) -> dict[str, int]:
        with urlopen(self.url + path) as answer:  # noqa: S310 — our own address
            found: dict[str, int] = orjson.loads(answer.read())
        return found


@contextlib.contextmanager
def running() -> Iterator[Vendors]:
    """Starts the server on a free port of this machine, and ends it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.instant"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield Vendors(process.stdout.readline().strip(), process.pid)
    finally:
        process.terminate()
        process.wait()


@cache
def embeddings(count: int, dimensions: int, *, in_base64: bool) -> bytes:
    """The body that answers a request for `count` vectors, formatted as the vendor formats it."""
    draw = np.random.default_rng(count)
    vectors = draw.standard_normal((count, dimensions))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    data = [
        {"object": "embedding", "index": index, "embedding": _written(vector, in_base64)}
        for index, vector in enumerate(vectors.astype("<f4"))
    ]
    usage = {"prompt_tokens": 8 * count, "total_tokens": 8 * count}
    body = {
        "object": "list",
        "data": data,
        "model": "text-embedding-3-small",
        "usage": usage,
    }
    return orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _written(vector: Any, in_base64: bool) -> str | list[float]:
    return base64.b64encode(vector.tobytes()).decode() if in_base64 else vector.tolist()


def _embed(body: bytes) -> bytes:
    asked = orjson.loads(body)
    texts = asked["input"]
    count = len(texts) if isinstance(texts, list) else 1
    in_base64 = asked.get("encoding_format") == "base64"
    return embeddings(count, asked.get("dimensions") or 1536, in_base64=in_base64)


def _job(job_id: str) -> dict[str, Any]:
    return {
        "id": job_id,
        "project_id": "project",
        "status": "COMPLETED",
        "tier": "agentic",
        "name": "file.pdf",
        "error_message": None,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "usage": {"credits": 10},
        "user_metadata": None,
    }


def _result(job_id: str) -> bytes:
    text = f"# Report {job_id}\n\n{PARAGRAPH * 4}\n\n## Details\n\n{PARAGRAPH * 2}"
    pages = [{"page_number": 1, "markdown": text, "success": True}]
    return orjson.dumps({"job": _job(job_id), "markdown": {"pages": pages}, "metadata": None})


def _file() -> bytes:
    return orjson.dumps(
        {
            "id": f"file-{next(_numbers)}",
            "name": "file.pdf",
            "project_id": "project",
            "purpose": "parse",
        }
    )


def _bucket(name: str) -> bytes:
    return orjson.dumps(
        {
            "id": name,
            "name": name,
            "owner": "",
            "public": False,
            "type": "STANDARD",
            "file_size_limit": None,
            "allowed_mime_types": None,
            "created_at": MOMENT,
            "updated_at": MOMENT,
        }
    )


def _stored(key: str) -> bytes:
    name = f"00000000-0000-4000-8000-{next(_numbers):012d}"
    return orjson.dumps({"Id": name, "Key": key})


def _submitted() -> bytes:
    return orjson.dumps(_job(f"job-{next(_numbers)}"))


def _list(query: str) -> bytes:
    jobs = [_job(job) for job in parse_qs(query).get("job_ids", [])]
    return orjson.dumps({"items": jobs, "next_page_token": None})


def _reset() -> bytes:
    _counts.clear()
    return b"{}"


Answer = Callable[[str, str, bytes], bytes]  # last piece of the path, query, body

PARSE: Final = "/llamacloud/api/v2/parse"
# The first that fits: method, pattern of the path, kind for counting, answer.
ROUTES: Final[tuple[tuple[str, str, str, Answer], ...]] = (
    ("POST", "/*/embeddings", "embed", lambda _last, _query, body: _embed(body)),
    ("GET", PARSE, "list_jobs", lambda _last, query, _body: _list(query)),
    ("GET", f"{PARSE}/*markdown*", "result", lambda job, _query, _body: _result(job)),
    ("GET", f"{PARSE}/*", "bill", lambda job, _query, _body: _result(job)),
    ("POST", PARSE, "submit", lambda _last, _query, _body: _submitted()),
    ("POST", "/llamacloud/*/files", "upload_file", lambda _last, _query, _body: _file()),
    ("DELETE", "/llamacloud/*", "delete", lambda _last, _query, _body: b"{}"),
    ("POST", "/supabase/*/object/*", "store", lambda key, _query, _body: _stored(key)),
    ("GET", "/supabase/*/bucket/*", "bucket", lambda name, _query, _body: _bucket(name)),
    ("GET", "/_counts", "", lambda _last, _query, _body: orjson.dumps(_counts)),
    ("GET", "/_reset", "", lambda _last, _query, _body: _reset()),
)


def answer(method: str, path: str, query: str, body: bytes) -> tuple[str, bytes]:
    """The kind of the call, for counting, and the body that answers it."""
    for verb, pattern, kind, made in ROUTES:
        where = f"{path}?{query}" if "markdown" in pattern else path
        if verb == method and fnmatchcase(where, pattern):
            return kind, made(path.rpartition("/")[2], query, body)
    return "unknown", orjson.dumps({"unknown": f"{method} {path}"})


class Connection(asyncio.Protocol):
    """One connection; each request is answered when its last byte is here."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body: list[bytes] = []

    def connection_made(self, transport: Any) -> None:  # uvloop's is no asyncio.Transport
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._url, self._body = b"", []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"expect" and value.lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        path, _, query = self._url.decode().partition("?")
        method = self._parser.get_method().decode()
        kind, body = answer(method, path, query, b"".join(self._body))
        if kind:
            _counts[kind] += 1
        head = (
            f"HTTP/1.1 {404 if kind == 'unknown' else 200} OK\r\ncontent-type: application/json\r\n"
            f"x-simulated: benchmark\r\nx-request-id: req_{time.monotonic_ns()}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)


async def serve() -> None:
    """Serves until told to end; the first line of output is the address."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    parent = os.getppid()
    server = await loop.create_server(Connection, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    while not ended.is_set() and os.getppid() == parent:  # a killed parent ends it as well
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), 1.0)


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve())
