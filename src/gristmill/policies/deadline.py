"""Until when a caller waits: known to every layer below.

    with within(30):
        await service.execute(operation)

Tasks started inside inherit it. A deadline inside another one never ends later.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_at: Final[ContextVar[float]] = ContextVar("gristmill_deadline", default=math.inf)


@contextmanager
def within(seconds: float, *, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Sets a deadline so many seconds from now, unless there is a nearer one."""
    token = _at.set(min(_at.get(), clock() + seconds))
    try:
        yield
    finally:
        _at.reset(token)


def remaining(*, clock: Callable[[], float] = time.monotonic) -> float:
    """Seconds that are left, 0 or less when it has passed; infinite where nobody has set one."""
    return _at.get() - clock()
