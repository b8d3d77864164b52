"""One detached simulator process per folder, started when needed, ended when idle.

Alive means: the address in the file answers with the instance written beside it. A pid, a lock
or the mere existence of the file prove nothing.

The address has a path that nobody can guess, kept in a file that only its owner can read: other
users of the machine, and pages in a browser, reach the port but none of the documents.
"""

import asyncio
import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from gristmill_simulators.lock import Held, locked

if TYPE_CHECKING:
    from gristmill_simulators.server import SimulatorServer

_START_SECONDS = 30.0
_PROBE_SECONDS = 2.0
_LOG_BYTES = 1024 * 1024
# Of the environment: what programs and their libraries need, and no key of whoever started them.
_NEEDED = re.compile(r"PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TZ|TMPDIR|(PYTHON|LD_|DYLD_|COV)\w*")


class NotStarted(Exception):
    """The simulators could not be started; the message holds the end of their log."""


async def ensure_running(folder: Path, *, idle_seconds: float = 600) -> str:
    """The base URL of this folder's simulators, started if they are not running.

    Any number of processes may ask at once and get the same address. The server survives the
    caller and Ctrl-C in its terminal, and ends after `idle_seconds` without a request.
    Raises NotStarted.
    """
    folder = _absolute(folder)
    if (answer := await _probe(folder)) is not None:
        return str(answer["base_url"])
    lock = locked(folder / "start.lock", seconds=_START_SECONDS)
    try:
        await asyncio.to_thread(lock.__enter__)
    except Held:
        raise NotStarted("another process has been starting the simulators for too long") from None
    try:
        return await _start(folder, idle_seconds)
    finally:
        lock.__exit__(None, None, None)


async def stop(folder: Path) -> bool:
    """End this folder's simulators; False when none were running."""
    answer = await _probe(folder)
    if answer is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(answer["pid"], signal.SIGTERM)
    # the lock is free when the process is gone or has closed its state
    with contextlib.suppress(Held):
        await asyncio.to_thread(_wait_for_owner, folder)
    return True


def publish(path: Path, server: "SimulatorServer") -> None:
    """Write down where the server listens and which one it is, in one step."""
    address = {"base_url": server.base_url, "instance": server.simulator.instance}
    draft = path.with_suffix(f".{os.getpid()}")
    _write_privately(draft, orjson.dumps(address))
    draft.replace(path)


def withdraw(path: Path, server: "SimulatorServer") -> None:
    """Remove the address file if it still speaks of this server."""
    address = _read(path)
    if address is not None and address["instance"] == server.simulator.instance:
        path.unlink(missing_ok=True)


async def end_when_idle(server: "SimulatorServer", seconds: float, stop: asyncio.Event) -> None:
    """Set `stop` after `seconds` without a request or a document to parse.

    From that moment the health probe says no, so that nobody is sent to a server that ends.
    """
    activity = server.simulator.activity
    while True:
        _cut_log()
        idle = time.monotonic() - activity.last
        if activity.in_flight or server.vendors.busy():
            idle = 0.0
        if idle >= seconds:
            activity.stopping = True
            stop.set()
            return
        await asyncio.sleep(min(max(seconds - idle, 0.01), 5.0))


async def _start(folder: Path, idle_seconds: float) -> str:
    if (answer := await _probe(folder)) is not None:  # somebody was faster
        return str(answer["base_url"])
    process = _spawn(folder, idle_seconds)
    # reaps the child should it end before us; it must not stay as a zombie
    threading.Thread(target=process.wait, name="simulators-reaper", daemon=True).start()
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if (answer := await _probe(folder)) is not None:
            return str(answer["base_url"])
        if process.poll() is not None:
            break
        await asyncio.sleep(0.02)
    if process.poll() is None:
        process.kill()
    raise NotStarted(f"the simulators did not start: {_log_tail(folder)}")


def _spawn(folder: Path, idle_seconds: float) -> subprocess.Popen[bytes]:
    port = str(_last_port(folder))
    command = [sys.executable, "-P", "-m", "gristmill_simulators", "--port", port]
    command += ["--data", str(folder / "data"), "--idle-seconds", str(idle_seconds)]
    command += ["--address-file", str(_address_file(folder))]
    command += ["--secret-file", str(_secret_file(folder))]  # not itself: anybody sees arguments
    (folder / "log").write_bytes(b"")
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 — our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            env={name: value for name, value in os.environ.items() if _NEEDED.fullmatch(name)},
        )


def _secret_file(folder: Path) -> Path:
    """Made once, under the lock of whoever starts: clients of killed simulators go on."""
    path = folder / "secret"
    if not path.exists():
        draft = path.with_suffix(f".{os.getpid()}")
        _write_privately(draft, secrets.token_urlsafe(24).encode())
        draft.replace(path)
    return path


def _write_privately(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def _last_port(folder: Path) -> int:
    """Where killed simulators listened, if that is free: their clients go on there; else 0."""
    address = _read(_address_file(folder))
    if address is None:
        return 0
    with contextlib.suppress(OSError, ValueError, OverflowError):
        port = urlsplit(address["base_url"]).port or 0
        with socket.create_server(("127.0.0.1", port)):
            return port
    return 0


async def _probe(folder: Path) -> dict[str, Any] | None:
    """The health answer of the server in the address file, if it is the one written there."""
    address = await asyncio.to_thread(_read, _address_file(folder))
    if address is None:
        return None
    try:
        async with asyncio.timeout(_PROBE_SECONDS):  # `wait_for` loses cancellations before 3.12
            answer = await _get_health(address["base_url"])
    except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
        return None
    same = answer.get("instance") == address["instance"] and answer.get("status") == "ok"
    return {**answer, "base_url": address["base_url"]} if same else None


async def _get_health(base_url: str) -> dict[str, Any]:
    address = urlsplit(base_url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port or 80)
    try:
        target = f"{address.path}/_simulator/health"
        writer.write(f"GET {target} HTTP/1.0\r\nhost: 127.0.0.1\r\n\r\n".encode())
        _, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    answer = orjson.loads(body)
    return answer if isinstance(answer, dict) else {}


def _read(path: Path) -> dict[str, str] | None:
    try:
        address = orjson.loads(path.read_bytes())
        return {"base_url": str(address["base_url"]), "instance": str(address["instance"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _wait_for_owner(folder: Path) -> None:
    with locked(folder / "data" / "owner.lock", seconds=10):
        pass


def _cut_log() -> None:
    # standard output is the log file; it is opened for appending, so that cutting is safe
    with contextlib.suppress(OSError):
        if os.fstat(1).st_size > _LOG_BYTES:
            os.ftruncate(1, 0)


def _log_tail(folder: Path) -> str:
    try:
        return (folder / "log").read_bytes()[-2000:].decode("utf-8", "replace").strip()
    except OSError:
        return "no log"


def _absolute(folder: Path) -> Path:
    return folder.absolute()


def _address_file(folder: Path) -> Path:
    return folder / "address.json"
