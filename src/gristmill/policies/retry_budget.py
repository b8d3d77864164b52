"""How many retries there may be, so that a service in trouble is not asked many times as much.

Each caller alone cannot know that all others repeat their calls too. A budget for all of them keeps
the load near what it was: a share of the first tries, and a few in any case for whoever calls
seldom.
"""

import time
from collections.abc import Callable
from typing import Final

SHARE: Final = 0.2  # retries for each first try
FLOOR: Final = 10.0  # retries that come back by themselves
FLOOR_SECONDS: Final = 60.0  # in which they all do
MOST: Final = 50.0  # retries that can be saved up for a bad moment


class RetryBudget:
    """Retries left to one process for one service; `clock` is monotonic, in seconds.

    In any span of time there are at most `MOST` retries, `SHARE` of the first tries in it, and
    `FLOOR` for each `FLOOR_SECONDS` of it.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._filled_at = clock()
        self._left = FLOOR

    def note_first_try(self) -> None:
        """A call begins; it earns a part of a retry, for whichever call needs one."""
        self._fill()
        self._left = min(MOST, self._left + SHARE)

    def take(self) -> bool:
        """Whether there may be one more retry, which is then spent."""
        self._fill()
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def _fill(self) -> None:
        now = self._clock()
        earned = (now - self._filled_at) * FLOOR / FLOOR_SECONDS
        self._filled_at = now
        self._left = max(self._left, min(FLOOR, self._left + earned))
