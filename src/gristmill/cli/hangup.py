"""SIGHUP: the keys are read anew, and nothing stops.

A terminal that is closed sends the same signal; whoever was started there ends by it, as ever, or
goes on if `nohup` has said so.
"""

import asyncio
import os
import signal
from collections.abc import Coroutine
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gristmill.settings.reloading import Reloaded


class Hangups:
    """The handler of the signal, while a command runs in `watch`."""

    def __init__(self) -> None:
        self._is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._had_terminal = _has_terminal()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reading: set[asyncio.Task[None]] = set()

    async def watch(self, command: Coroutine[Any, Any, int]) -> int:
        self._loop = asyncio.get_running_loop()
        return await command

    def __call__(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._had_terminal and not _has_terminal():
            if not self._is_ignored:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(self._read)

    def _read(self) -> None:
        task = asyncio.create_task(_reload_and_tell())
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


async def _reload_and_tell() -> None:
    from gristmill.cli.present import errors, tell_error
    from gristmill.errors import GristmillError
    from gristmill.system.rotation import reload, running

    for system in tuple(running):
        try:
            found = await reload(system)
        except GristmillError as error:
            tell_error(error, as_json=False)
        else:
            errors.print(_told(found), soft_wrap=True)


def _told(found: "Reloaded") -> str:
    """What was read, in sentences."""
    named = ", ".join(found.rotated)
    said = f"Keys read anew: {named}." if named else "Keys read anew; none is another one."
    if found.restart:
        said += f" Counts from the next start: {', '.join(found.restart)}."
    return said
