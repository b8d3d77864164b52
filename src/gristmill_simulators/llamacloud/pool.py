"""Child processes that read files: each may hang or die, and takes only its own file with it."""

import asyncio
import contextlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

import orjson

_FILES_PER_CHILD = 200  # then a fresh process: what a file left behind goes away


@dataclass(frozen=True, slots=True)
class Reading:
    """One file to read; the pages go to `output` as JSON."""

    path: Path
    name: str
    target_pages: str | None
    max_pages: int | None
    output: Path


@dataclass(frozen=True, slots=True)
class Read:
    """The file was read: the numbers of its pages, and whether they are sheets.

    `easy` pages have no table, `forms` have something to fill in; prices may depend on both.
    """

    numbers: tuple[int, ...]
    sheets: bool = False
    easy: tuple[int, ...] = ()
    forms: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The job failed; `code` is one of the vendor's job failure codes, where it has one."""

    code: str | None
    message: str


class Pool:
    """At most `size` processes, started when needed, replaced when dead, late or worn out."""

    def __init__(self, size: int) -> None:
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="reader")
        self._closed = False

    async def read(self, reading: Reading, seconds: float) -> Read | Failed:
        """Read one file within `seconds`; a death or a delay is a Failed, never an exception."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._read, reading, seconds)

    def close(self) -> None:
        """End every process now; what they were reading is Failed."""
        self._closed = True
        for child in [*self._busy, *self._idle]:
            child.kill()
        self._threads.shutdown()

    def _read(self, reading: Reading, seconds: float) -> Read | Failed:
        try:
            child = self._take()
        except OSError as error:
            return Failed("TIMEOUT", f"no process could be started: {error.strerror}")
        self._busy.add(child)
        if self._closed:  # `close` may have looked just before
            child.kill()
        try:
            answer = child.ask(_request(reading), seconds)
        finally:
            self._busy.discard(child)
        if child.reusable() and not self._closed:
            self._idle.append(child)
        else:
            child.kill()
        return answer

    def _take(self) -> "_Child":
        while self._idle:
            child = self._idle.pop()
            if child.reusable():
                return child
            child.kill()  # it died while nobody looked
        return _Child()


class _Child:
    def __init__(self) -> None:
        # a fresh interpreter: a fork would share our threads' locks, multiprocessing's spawn
        # would run the main module of whatever program the simulator is part of
        self._process = subprocess.Popen(
            # -P: no module in the current folder may stand in for the standard library's
            [sys.executable, "-P", "-m", "gristmill_simulators.llamacloud.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._files = 0
        self._late = False
        self._silent = False

    def ask(self, request: bytes, seconds: float) -> Read | Failed:
        self._files += 1
        late = Timer(seconds, self._time_out)
        late.start()
        try:
            line = self._exchange(request)
        finally:
            late.cancel()
        if line.endswith(b"\n"):
            return _answer(orjson.loads(line))
        self._silent = True  # its pipe may be gone a moment before its process is
        if self._late:
            return Failed("TIMEOUT", f"the document was not read within {seconds:g} s")
        return Failed("PDF_IS_BROKEN", "the process that read the document died")

    def reusable(self) -> bool:
        alive = self._process.poll() is None and not self._late and not self._silent
        return alive and self._files < _FILES_PER_CHILD

    def kill(self) -> None:
        with contextlib.suppress(OSError):  # a broken pipe has nothing left to say
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _time_out(self) -> None:
        self._late = True
        self._process.kill()

    def _exchange(self, request: bytes) -> bytes:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            return b""
        try:
            stdin.write(request)
            stdin.flush()
            return stdout.readline()
        except (OSError, ValueError):
            return b""


def _request(reading: Reading) -> bytes:
    fields = {
        "path": str(reading.path),
        "name": reading.name,
        "target_pages": reading.target_pages,
        "max_pages": reading.max_pages,
        "output": str(reading.output),
    }
    return orjson.dumps(fields) + b"\n"


def _answer(answer: dict[str, Any]) -> Read | Failed:
    if "error" in answer:
        return Failed(answer["error"], answer["message"])
    return Read(
        tuple(answer["numbers"]), answer["sheets"], tuple(answer["easy"]), tuple(answer["forms"])
    )
