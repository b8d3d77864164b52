"""Ctrl-C, once and twice, in a process of its own."""

import subprocess
import sys

import pytest

ONCE = """
import asyncio, os, signal
from gristmill.cli.run import run

async def command():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)
    finally:
        print("put away")

run(command(), as_json=False)
"""
TWICE = ONCE.replace(
    'print("put away")', "os.kill(os.getpid(), signal.SIGINT); await asyncio.sleep(60)"
)


STOPPED = "Stopped. Nothing is lost: gristmill resume goes on."
OTHER = [each.replace("False)", "False, stopped='Enough.')") for each in (ONCE, TWICE)]


@pytest.mark.parametrize(
    ("program", "output", "told"),
    [
        (ONCE, "put away\n", STOPPED),
        (TWICE, "", STOPPED),
        (OTHER[0], "put away\n", "Enough."),
        (OTHER[1], "", "Enough."),
    ],
)
def test_ctrl_c_puts_things_away_and_a_second_one_ends_at_once(
    program: str, output: str, told: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 130
    assert done.stdout == output
    assert done.stderr.strip() == told
