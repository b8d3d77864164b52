"""What runs in a child process: one task at a time, under limits, until the parent is gone.

Started by path as a script, not with `-m`, so that it imports almost nothing before the first
task says what it needs. Standard output is a socket on which nothing is ever sent: it ends with
the parent. Standard input is a socket to the parent:

    parent: setup, once        a frame: pickled (sys.path, memory in bytes, seconds, frame bytes)
    parent: task               a frame: pickled (module, qualified name, arguments)
    child:  ACCEPTED           at once, before anything of the task is looked at
    child:  RESULT | REFUSED | FAILED | OUT_OF_MEMORY     a kind, then a frame

A frame is its length (8 bytes, big-endian) and so many bytes. Nothing here may import another
module of ours at the top, except `errors`.
"""

import fcntl
import importlib
import os
import pickle
import resource
import select
import signal
import struct
import sys
from typing import Any, Final, NoReturn

ACCEPTED: Final = b"A"
RESULT: Final = b"R"  # what the function returned
REFUSED: Final = b"E"  # one of our own errors, as it was raised
FAILED: Final = b"F"  # another exception: (type, message), since its class may be anything
OUT_OF_MEMORY: Final = b"M"

LENGTH: Final = struct.Struct(">Q")
MESSAGE_CHARACTERS: Final = 500

Setup = tuple[list[str], int, float, int]
Task = tuple[str, str, tuple[Any, ...]]


def main() -> NoReturn:
    """Serves tasks until the parent closes its end."""
    channel, lifeline = _take_over_streams()
    _shield()
    _end_with_parent(lifeline)
    path, memory_bytes, seconds, frame_bytes = pickle.loads(_read_frame(channel))  # noqa: S301 — from our parent
    sys.path[:] = path
    _limit(memory_bytes)
    while True:
        task = _read_frame(channel)
        _write(channel, ACCEPTED)
        _start_clocks(seconds)
        kind, answer = _answer(task, frame_bytes)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _write(channel, kind + LENGTH.pack(len(answer)))
        _write(channel, answer)


def _take_over_streams() -> tuple[int, int]:
    """The two sockets to the parent; whatever the task prints or reads goes to /dev/null."""
    channel, lifeline = (fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 3) for each in (0, 1))
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    return channel, lifeline


def _shield() -> None:
    """Ctrl-C is the parent's business, and when memory is short, this process goes first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    except OSError:  # not Linux
        return
    try:
        os.write(descriptor, b"1000")
    finally:
        os.close(descriptor)


def _limit(memory_bytes: int) -> None:
    """No core dumps, no files, so much address space (macOS does not enforce the last)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    except (OSError, ValueError):
        if sys.platform == "linux":
            raise


def _start_clocks(seconds: float) -> None:
    """Kills this process when the task takes too long and the parent is not there to do it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)  # the limit counts from the process's start
    soft = int(usage.ru_utime + usage.ru_stime + seconds) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
    signal.setitimer(signal.ITIMER_REAL, seconds + 1)


def _end_with_parent(lifeline: int) -> None:
    """From now on the end of the parent ends this process, even in the middle of a C loop.

    The kernel then sends SIGIO, which kills on Linux; on macOS the clock of the task has to do.
    Not on the socket of the tasks: the signal for what came on it may be raised long after it was
    read, when the sender was interrupted in between.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:  # it ended before we began to watch
        os._exit(0)


def _answer(task: bytes | bytearray, frame_bytes: int) -> tuple[bytes, bytes]:
    try:
        kind, value = _run(task)
        answer = pickle.dumps(value, protocol=5)
    except MemoryError:
        return OUT_OF_MEMORY, b""
    except BaseException as error:  # noqa: BLE001 — a native library's panic is no Exception
        return FAILED, _described(error)
    if len(answer) > frame_bytes:
        size = f"the result has {len(answer):,} bytes, more than {frame_bytes:,}"
        return FAILED, pickle.dumps(("ResultTooLarge", size))
    return kind, answer


def _run(task: bytes | bytearray) -> tuple[bytes, object]:
    module, name, arguments = pickle.loads(task)  # noqa: S301 — from our parent
    function: Any = importlib.import_module(module)
    for part in name.split("."):
        function = getattr(function, part)
    try:
        return RESULT, function(*arguments)
    except Exception as error:
        if _is_ours(error):
            return REFUSED, error
        raise


def _is_ours(error: Exception) -> bool:
    errors = sys.modules.get("gristmill.errors")
    return errors is not None and isinstance(error, errors.GristmillError)


def _described(error: BaseException) -> bytes:
    try:
        message = str(error)[:MESSAGE_CHARACTERS]
    except Exception:  # noqa: BLE001 — a foreign exception's own defect
        message = ""
    return pickle.dumps((type(error).__name__, message))


def _read_frame(channel: int) -> bytearray:
    (length,) = LENGTH.unpack(_read(channel, LENGTH.size))
    return _read(channel, length)


def _read(channel: int, length: int) -> bytearray:
    data = bytearray()
    while len(data) < length:
        part = os.read(channel, min(length - len(data), 1 << 20))
        if not part:
            os._exit(0)  # the parent is gone, and with it everybody who waits
        data += part
    return data


def _write(channel: int, data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(channel, view) :]
    except OSError:
        os._exit(0)


if __name__ == "__main__":
    main()
