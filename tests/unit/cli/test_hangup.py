"""SIGHUP ends no command, but where its terminal has gone."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios

PROGRAM = """
import asyncio
from gristmill.cli.run import run

async def command():
    print("ready", flush=True)
    await asyncio.to_thread(input)
    print("done", flush=True)
    return 0

run(command(), as_json=False)
"""


def started(terminal: int | None = None, *, ignored: bool = False) -> "subprocess.Popen[str]":
    """A command in a session of its own that waits for a line, with a terminal or without."""

    def prepare() -> None:
        if terminal is not None:
            fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        if ignored:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        pass_fds=() if terminal is None else (terminal,),
        preexec_fn=prepare,  # noqa: PLW1509 — there are none
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    return program


def closed(*, ignored: bool = False) -> "subprocess.Popen[str]":
    """One whose terminal was closed."""
    master, slave = pty.openpty()
    program = started(slave, ignored=ignored)
    os.close(slave)
    os.close(master)
    return program


def test_a_command_without_a_terminal_goes_on() -> None:
    program = started()
    program.send_signal(signal.SIGHUP)
    assert program.communicate("\n", timeout=30)[0] == "done\n"
    assert program.returncode == 0


def test_a_command_whose_terminal_is_closed_ends_unless_it_was_told_to_go_on() -> None:
    with closed() as program:
        assert program.wait(timeout=30) == -signal.SIGHUP
    program = closed(ignored=True)
    assert program.communicate("\n", timeout=30)[0] == "done\n"
    assert program.returncode == 0
