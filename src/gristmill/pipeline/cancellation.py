"""Loops that end when they are told to, whatever they call."""

import asyncio


def heed_cancellation() -> None:
    """Raises what a callee has swallowed: a cancellation of the running task.

    Up to Python 3.11 `asyncio.wait_for`, which drivers use, drops one that arrives together with
    the result (bpo-37658); and a task group whose tasks fail while it is cancelled raises their
    errors instead.

    Raises:
        asyncio.CancelledError: this task was told to stop.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
