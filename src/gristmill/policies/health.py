"""Everybody may ask how a service does; the service is asked once in a while.

Stands below whatever adds to a health answer, so that what is added is always of this moment.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from gristmill.contract import ServiceHealth, ServiceInterface
from gristmill.policies.layer import Layer

SECONDS: Final = 5.0  # an outage, or its end, is told this much late at most


class HealthCache(Layer):
    """Keeps a health answer for `seconds`; callers that come together share one probe.

    `clock` is a monotonic clock in seconds. A caller that is cancelled while it asks leaves the
    asking to the next one.
    """

    def __init__(
        self,
        next_: ServiceInterface,
        *,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(next_)
        self._seconds = seconds
        self._clock = clock
        self._asking = asyncio.Lock()
        self._known: ServiceHealth | None = None
        self._known_at = 0.0

    async def get_health(self) -> ServiceHealth:
        """What the service said at most `seconds` ago; `checked_at` tells when."""
        async with self._asking:
            if self._known is None or self._clock() - self._known_at >= self._seconds:
                self._known = await self.next.get_health()
                self._known_at = self._clock()
            return self._known
