"""Tasks that live and end together, and do end when they are told to.

Not a task group: up to Python 3.11 `asyncio.wait_for`, which drivers use, drops a cancellation that
arrives together with the result (bpo-37658), and a group cancels its tasks only once.
"""

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, Final

AGAIN_SECONDS: Final = 0.2


async def together(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Runs all until one ends or this is cancelled; then ends the others.

    Raises:
        Exception: what ended the first one, as it was raised.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        first = next(task for task in tasks if task.done())
    finally:
        await ended(tasks)
    for task in tasks:  # one is raised; an exception that nobody looks at is printed
        if not task.cancelled():
            task.exception()
    if not first.cancelled():
        first.result()


async def ended(tasks: Collection["asyncio.Task[None]"]) -> None:
    """Cancels until all have ended; being cancelled meanwhile does not cut that short."""
    cancelled = False
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        try:
            await asyncio.wait(pending, timeout=AGAIN_SECONDS)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
