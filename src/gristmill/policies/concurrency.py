"""As many calls at once as the service takes, where nobody has published how many that is.

Grows by one with each round of calls that went well, and is halved when the service says that it
is asked too much or does not answer: additive increase, multiplicative decrease, as in TCP. Of
calls that were under way together, only the first such answer counts. A service that tells its
limits in its answers has no other one here.
"""

import asyncio
import math
from collections import deque
from dataclasses import replace
from typing import Final

from gristmill.contract import Operation, R, Result, ServiceInterface
from gristmill.errors import OutcomeUnknown, RateLimited, Throttled, Unavailable
from gristmill.health.heard import Live
from gristmill.policies import deadline
from gristmill.policies.layer import Layer

FIRST: Final = 16  # calls at once
MOST: Final = 64
OVERLOADED: Final = (Throttled, Unavailable, OutcomeUnknown)


class Concurrency(Layer):
    """Lets calls in, oldest first, as long as fewer than `limit` are under way."""

    def __init__(self, next_: ServiceInterface, *, first: int = FIRST, most: int = MOST) -> None:
        super().__init__(next_)
        self._limit = float(first)
        self._most = most
        self._active = 0
        self._cuts = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> float:
        """How many calls may be under way now; infinite where the service tells its limits."""
        return self._limit

    @property
    def waiting(self) -> int:
        """Calls that wait for others to end."""
        return len(self._queue)

    @property
    def _is_room(self) -> bool:
        return self._active + 1 <= self._limit

    async def execute(self, operation: Operation[R]) -> Result[R]:
        """Executes the operation once, when there is room for it.

        Raises:
            RateLimited: there was none before the caller's deadline; nothing has left.
            GristmillError: as the service.
        """
        await self._enter()
        cuts = self._cuts
        try:
            result = await self.next.execute(operation)
        except OVERLOADED:
            self._cut(cuts)
            raise
        else:
            self._grow(is_told=bool(result.rate_limits))
            return result
        finally:
            self._leave()

    def live(self) -> Live:
        at_once = None if self._limit == math.inf else int(self._limit)
        return replace(super().live(), queued=self.waiting, at_once=at_once)

    def _grow(self, *, is_told: bool) -> None:
        if is_told:
            self._limit = math.inf
        else:
            self._limit = min(self._most, self._limit + 1 / self._limit)

    def _cut(self, cuts_before: int) -> None:
        if cuts_before == self._cuts and self._limit < math.inf:
            self._limit = max(1.0, self._limit / 2)
            self._cuts += 1

    async def _enter(self) -> None:
        if self._is_room and not self._queue:
            self._active += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        try:
            await self._let_in(place)
        except BaseException:
            if place.done() and not place.cancelled():
                self._leave()  # let in and called off at the same time
            elif place in self._queue:
                self._queue.remove(place)
            raise

    async def _let_in(self, place: asyncio.Future[None]) -> None:
        left = deadline.remaining()
        try:
            async with asyncio.timeout(None if left == math.inf else left):
                await place
        except TimeoutError:
            raise RateLimited(
                f"{len(self._queue)} calls wait for this service already.",
                retry_after=1.0,
                advice="It goes on by itself when it answers faster.",
            ) from None

    def _leave(self) -> None:
        self._active -= 1
        while self._queue and self._is_room:
            place = self._queue.popleft()
            if not place.done():
                self._active += 1
                place.set_result(None)
