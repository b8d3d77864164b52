"""Cancels a task where it waits for the n-th time, wherever that is."""

import asyncio
from collections.abc import Coroutine, Generator
from itertools import count
from typing import Any, TypeVar

T = TypeVar("T")


async def cancelled_at(number: int, coroutine: Coroutine[Any, Any, T]) -> T:
    """Awaits `coroutine`, cancelled where it waits for the `number`-th time."""
    return await _CancelledAt(number, coroutine)


class _CancelledAt:
    def __init__(self, number: int, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._number = number
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._coroutine.__await__()
        thrown: BaseException | None = None
        for wait in count(1):
            try:
                waited = inner.throw(thrown) if thrown else next(inner)
            except StopIteration as end:
                return end.value
            thrown = None
            if wait == self._number and (task := asyncio.current_task()):
                task.cancel()
            try:
                yield waited
            except BaseException as error:  # noqa: BLE001 — handed on to where it belongs
                thrown = error
        return None
