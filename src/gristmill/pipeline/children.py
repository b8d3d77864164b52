"""Child processes that read users' files, so that a hostile file takes down a child and no more.

    async with ChildPool(size=2) as pool:
        found = await pool.run(inspect, path)

A child runs one task at a time, with bounded memory, CPU and wall time, no files to write, no
descriptors, no secrets in its environment, no terminal. What it answers is not trusted either:
only plain values, our own dataclasses, enums and errors are taken from it.

Not promised: a child may still read whatever its user may read, and may open connections.
"""

import asyncio
import io
import os
import pickle
import signal
import socket
import subprocess
import sys
from asyncio import get_running_loop
from collections.abc import Callable
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path, PosixPath
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar, TypeVarTuple

from gristmill.errors import DocumentFailed, GristmillError, Misconfigured, NotYet
from gristmill.pipeline.child import (
    ACCEPTED,
    LENGTH,
    OUT_OF_MEMORY,
    REFUSED,
    RESULT,
    Setup,
    Task,
)

R = TypeVar("R")
Arguments = TypeVarTuple("Arguments")
Reason = Literal["time", "memory", "killed", "crash", "exit", "answer"]

DEFAULT_MEMORY_BYTES: Final = 1 << 30
MIN_MEMORY_BYTES: Final = 1 << 28  # with less, every document would seem to be too large
MAX_FRAME_BYTES: Final = 256 << 20
START_SECONDS: Final = 30.0
STARTS: Final = 2  # a child may have died while it was idle, which is no task's fault

_PROGRAM: Final = str(Path(__file__).with_name("child.py"))
_PACKAGES: Final = str(Path(__file__).parents[2])
# -I: no PYTHON* variables, no current folder on the path; -S: `sys.path` comes from here instead.
_COMMAND: Final = (sys.executable, "-I", "-S", _PROGRAM)
# One malloc arena: each further one would reserve 64 MB of the address space that is limited.
_ENVIRONMENT: Final = {"PATH": os.defpath, "LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "1"}


class ChildDied(DocumentFailed):
    """The process that worked on this document ended in the middle; the document did it."""

    def __init__(self, message: str, *, reason: Reason = "exit") -> None:
        advice = "The file is set aside. If it opens elsewhere, save it anew there and try that."
        super().__init__(message, advice=advice)
        self.reason = reason


class ChildFailed(DocumentFailed):
    """The task raised `exception`, a class of another library or a defect of ours."""

    def __init__(self, message: str, *, exception: str = "") -> None:
        super().__init__(message, advice="Please report it, with the file if that may be shared.")
        self.exception = exception


class ChildPool:
    """Up to `size` child processes, each started when it is first needed.

    `memory_bytes` bounds a child's address space (Linux only: macOS does not enforce it),
    `seconds` the wall time and the CPU time of one task. A child is replaced after
    `tasks_per_child` tasks, and after any task that did not end by returning or by one of
    our own errors. A relative path is relative to the folder in which the child was started.
    Raises ValueError for less memory than MIN_MEMORY_BYTES.
    """

    def __init__(
        self,
        size: int = 2,
        *,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        seconds: float = 60.0,
        tasks_per_child: int = 200,
        frame_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        if memory_bytes < MIN_MEMORY_BYTES:
            raise ValueError(f"memory_bytes must be at least {MIN_MEMORY_BYTES:,}")
        self._memory_bytes = memory_bytes
        self._seconds = seconds
        self._tasks_per_child = tasks_per_child
        self._frame_bytes = frame_bytes
        self._places = asyncio.Semaphore(size)
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._ending: list[_Child] = []
        self._open = False

    async def __aenter__(self) -> Self:
        self._open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open = False
        while self._idle:
            self._discard(self._idle.pop())
        for child in self._busy:  # whoever waits for it sees its end, and then NotYet
            child.kill()
        ending = [*self._ending, *self._busy]
        self._ending.clear()
        await asyncio.to_thread(lambda: [child.wait() for child in ending])

    async def run(self, function: Callable[[*Arguments], R], *arguments: *Arguments) -> R:
        """What `function(*arguments)` returns in a child process.

        The function goes by name: it must be found in its module. Arguments are pickled. The
        result may hold plain values, paths, and dataclasses and enums of this package.
        Cancelling the caller kills the child.

        Raises:
            GristmillError: raised by the function, as it is.
            ChildFailed: the function raised something else, or its result is too large.
            ChildDied: the child exceeded a limit, crashed or was killed.
            Misconfigured: children do not start here.
            NotYet: the pool is closed, or was while the task ran.
            ValueError: the function cannot be named, or the arguments are too large.
        """
        task = self._packed(function, arguments)
        async with self._places:
            child = await self._hand_over(task)
            kind, answer = await self._answer(child)
        result: R = _unpacked(kind, answer, self._memory_bytes)
        return result

    def _packed(self, function: Callable[..., object], arguments: tuple[object, ...]) -> bytes:
        module, name = function.__module__, function.__qualname__
        if "<" in name or module == "__main__":
            raise ValueError(f"{module}.{name} cannot be imported by a child")
        task: Task = (module, name, arguments)
        data = pickle.dumps(task, protocol=5)
        if len(data) > self._frame_bytes:
            raise ValueError(f"the arguments have {len(data):,} bytes")
        return data

    async def _hand_over(self, task: bytes) -> "_Child":
        """A child that has taken the task."""
        for _ in range(STARTS):
            child = self._take()
            taken = False
            try:
                async with asyncio.timeout(START_SECONDS):
                    taken = await child.hand_over(task)
            except TimeoutError:
                continue
            finally:
                if not taken:
                    self._discard(child)
            if taken:
                return child
        self._check_open()
        raise Misconfigured(
            "The child processes that read files do not start.",
            advice="The memory limit for children may be too low for Python itself.",
        )

    async def _answer(self, child: "_Child") -> tuple[bytes, bytearray]:
        fit = False
        try:
            async with asyncio.timeout(self._seconds):
                kind, answer = await child.answer(self._frame_bytes)
            fit = kind in (RESULT, REFUSED) and child.tasks < self._tasks_per_child
        except TimeoutError:
            raise _died(f"was stopped after {self._seconds:g} seconds", "time") from None
        except EOFError:
            status = await asyncio.to_thread(child.wait)
            self._check_open()
            raise _death(status, self._seconds) from None
        finally:
            self._give_back(child, fit=fit)
        return kind, answer

    def _take(self) -> "_Child":
        """A living child that nobody uses."""
        self._ending = [child for child in self._ending if child.is_alive]
        self._check_open()
        while self._idle:
            child = self._idle.pop()
            if child.is_alive:
                break
            self._discard(child)
        else:
            child = self._start()
        self._busy.add(child)
        return child

    def _start(self) -> "_Child":
        path = [_PACKAGES, *(each or str(Path.cwd()) for each in sys.path)]
        try:
            return _Child((path, self._memory_bytes, self._seconds, self._frame_bytes))
        except OSError as error:
            raise NotYet(
                f"No child process can be started now: {error.strerror}.", retry_after=5.0
            ) from error

    def _give_back(self, child: "_Child", *, fit: bool) -> None:
        if fit and self._open:
            self._busy.discard(child)
            self._idle.append(child)
        else:
            self._discard(child)

    def _discard(self, child: "_Child") -> None:
        self._busy.discard(child)
        child.kill()
        child.close()
        self._ending.append(child)

    def _check_open(self) -> None:
        if not self._open:
            raise NotYet("Gristmill is closing; no file is read any more.", retry_after=1.0)


class _Child:
    """One process and the sockets to it: one for tasks, and one that only ends, when we do."""

    def __init__(self, setup: Setup) -> None:
        self._setup = _frame(pickle.dumps(setup))
        self.tasks = 0
        self._socket, channel = socket.socketpair()
        self._lifeline, lifeline = socket.socketpair()
        self._socket.setblocking(False)
        with channel, lifeline:
            self._process = self._start(channel, lifeline)

    def _start(self, channel: socket.socket, lifeline: socket.socket) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(  # noqa: S603 — our own program, no shell
                _COMMAND,
                stdin=channel.fileno(),
                stdout=lifeline.fileno(),
                stderr=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                start_new_session=True,  # out of reach of the terminal's Ctrl-C
            )
        except OSError:
            self.close()
            raise

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    async def hand_over(self, task: bytes) -> bool:
        """Sends the task. False if the child ended before it had it."""
        setup = b"" if self.tasks else self._setup
        self.tasks += 1
        try:
            await get_running_loop().sock_sendall(self._socket, setup + _frame(task))
            return bytes(await self._receive(1)) == ACCEPTED
        except (EOFError, ConnectionError):
            return False

    async def answer(self, most: int) -> tuple[bytes, bytearray]:
        """The kind and the frame of an answer. Raises EOFError if the child ends."""
        header = await self._receive(1 + LENGTH.size)
        (length,) = LENGTH.unpack(header[1:])
        if length > most:
            raise _nonsense()
        return bytes(header[:1]), await self._receive(length)

    async def _receive(self, length: int) -> bytearray:
        loop, data = get_running_loop(), bytearray(length)
        view = memoryview(data)
        while view:
            try:
                count = await loop.sock_recv_into(self._socket, view)
            except ConnectionError:
                count = 0
            if not count:
                raise EOFError
            view = view[count:]
        return data

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._socket.close()
        self._lifeline.close()

    def wait(self) -> int:
        """Its exit status, negative for a signal. Blocks."""
        try:
            return self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:  # it closed the socket, and lives
            self._process.kill()
            return self._process.wait()


def _frame(data: bytes) -> bytes:
    return LENGTH.pack(len(data)) + data


def _unpacked(kind: bytes, answer: bytearray, memory_bytes: int) -> Any:  # noqa: ANN401 — the task's result
    if kind == OUT_OF_MEMORY:
        raise _died(f"needed more than {memory_bytes >> 20:,} MiB of memory", "memory")
    try:
        value = _PlainValues(io.BytesIO(answer)).load()
    except Exception:  # noqa: BLE001 — a broken pickle raises anything
        raise _nonsense() from None
    match kind, value:
        case (b"R", _):
            return value
        case (b"E", GristmillError()):
            raise value
        case (b"F", (str(exception), str(message))):
            sentence = f"{exception}: {message}" if message else exception
            raise ChildFailed(f"Reading this document failed: {sentence}", exception=exception)
        case _:
            raise _nonsense()


class _PlainValues(pickle.Unpickler):
    """Builds plain values, paths, and the dataclasses, enums and errors of modules of ours."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 — as the base class
        if name == "PosixPath" and module.partition(".")[0] == "pathlib":
            return PosixPath
        found = getattr(sys.modules.get(module), name, None)
        if (
            isinstance(found, type)
            and found.__module__ == module
            and module.startswith("gristmill.")
            and (is_dataclass(found) or issubclass(found, (Enum, GristmillError)))
        ):
            return found
        raise pickle.UnpicklingError(f"{module}.{name} is not taken from a child")


def _death(status: int, seconds: float) -> ChildDied:
    if status >= 0:
        return _died(f"ended by itself with status {status}", "exit")
    number = -status
    if number in (signal.SIGXCPU, signal.SIGALRM):
        return _died(f"used more than {seconds:g} seconds", "time")
    if number == signal.SIGKILL:
        return _died("was killed from outside, most likely for want of memory", "killed")
    name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
    return _died(f"crashed ({name})", "crash")


def _nonsense() -> ChildDied:
    return _died("gave an answer that makes no sense", "answer")


def _died(how: str, reason: Reason) -> ChildDied:
    return ChildDied(f"The process that worked on this document {how}.", reason=reason)
