"""Runs a command: its event loop, its errors and its end."""

import os
import signal
import sys
from collections.abc import Coroutine
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import asyncio

INTERRUPTED = 130  # what shells expect after Ctrl-C

_STOPPED = "Stopped. Nothing is lost: gristmill resume goes on."
_SHOW_CURSOR = b"\x1b[?25h"  # a progress display hides it


def version(value: bool) -> None:
    """Prints the version and ends, if asked."""
    if value:
        from importlib.metadata import version as installed_version

        typer.echo(f"gristmill {installed_version('gristmill')}")
        raise typer.Exit


def run(
    command: Coroutine[Any, Any, int],
    *,
    as_json: bool,
    stopped: str = _STOPPED,
    needs_settings: bool = True,
) -> None:
    """Runs a command to its end, and exits with its code.

    An error is told in a sentence with what to do, or as one JSON document. Ctrl-C ends cleanly,
    and tells what it has `stopped`; a second one ends at once, which loses no more than a kill
    would: nothing.
    """
    from gristmill.cli.present import tell_error, tell_invalid
    from gristmill.errors import GristmillError, InvalidArgument

    try:
        _configure_logs(needs_settings=needs_settings)
        code = _run(command, stopped)
    except InvalidArgument as error:
        tell_invalid(str(error), as_json=as_json)
        code = 2
    except GristmillError as error:
        tell_error(error, as_json=as_json)
        code = 1
    except KeyboardInterrupt:
        typer.echo(f"\n{stopped}", err=True)
        code = INTERRUPTED
    finally:
        command.close()  # it has not begun if the settings are wrong
    sys.exit(code)


def _run(command: Coroutine[Any, Any, int], stopped: str) -> int:
    import asyncio

    import uvloop

    from gristmill.cli.hangup import Hangups

    interrupts, hangups = _Interrupts(stopped), Hangups()
    before = signal.signal(signal.SIGINT, interrupts)
    hung_up = signal.signal(signal.SIGHUP, hangups)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(interrupts.watch(hangups.watch(command)))
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGHUP, hung_up)
    if interrupts.count:
        raise KeyboardInterrupt
    return code


class _Interrupts:
    """The first Ctrl-C cancels the command, which then puts its things away."""

    def __init__(self, stopped: str) -> None:
        self.count = 0
        self._stopped = stopped
        self._task: asyncio.Task[Any] | None = None

    async def watch(self, command: Coroutine[Any, Any, int]) -> int:
        import asyncio

        self._task = asyncio.current_task()
        try:
            return await command
        except asyncio.CancelledError:
            if self.count:
                return INTERRUPTED
            raise

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self._task is None:
            signal.default_int_handler(number, frame)
        if self.count > 1:
            _end_at_once(self._stopped)
        self._task.get_loop().call_soon_threadsafe(self._task.cancel)


def _end_at_once(stopped: str) -> None:
    if sys.stderr.isatty():
        os.write(2, _SHOW_CURSOR)
    os.write(2, f"\n{stopped}\n".encode())
    os._exit(INTERRUPTED)


def _configure_logs(*, needs_settings: bool) -> None:
    """Sends logs to standard error, if somebody asked for them: a command tells its own outcome."""
    from gristmill.settings import InvalidSettings, Source, load_settings
    from gristmill.telemetry.logging import configure

    try:
        settings = load_settings()
    except InvalidSettings:
        if needs_settings:
            raise
        configure("CRITICAL", "console")
        return
    rows = {row.name: row for row in settings.describe()}
    asked = rows["GRISTMILL_LOG_LEVEL"].source is not Source.DEFAULT
    as_json = settings.log_format == "json"
    configure(settings.log_level if asked else "CRITICAL", "json" if as_json else "console")
