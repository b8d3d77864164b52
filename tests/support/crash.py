"""Ends a coroutine at one of its awaits, as a killed process would end it."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Crash(BaseException):
    """The process is gone. Not an `Exception`, so that no handler of the product catches it."""


class CrashingAt(Generic[T]):
    """Awaits `coroutine` and throws `Crash` into it at its `number`-th suspension.

    What a real kill leaves to the server, an open transaction rolled back and a socket closed, is
    done here by the context managers on the way out.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], number: int) -> None:
        self._coroutine = coroutine
        self._number = number
        self.crashed = False

    def __await__(self) -> Generator[Any, Any, T]:
        inner = self._coroutine.__await__()
        suspensions = 0
        thrown: BaseException | None = None
        while True:
            try:
                yielded = inner.throw(thrown) if thrown else next(inner)
            except StopIteration as end:
                return end.value
            thrown = None
            suspensions += 1
            if suspensions == self._number:
                self.crashed = True
                if isinstance(yielded, asyncio.Future):
                    yielded.cancel()  # else the loop goes on watching a descriptor that is gone
                thrown = Crash()
                continue
            try:
                yield yielded
            except BaseException as error:  # noqa: BLE001 — handed on to where it belongs
                thrown = error
