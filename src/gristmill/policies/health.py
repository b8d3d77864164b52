"""Hears how each try went, and asks a service of which nothing is heard.

Stands below whatever repeats calls or leaves a service alone, so that it hears each try; and above
the limits, since what is known by now is told without taking a turn.
"""

import asyncio

from gristmill.contract import Operation, R, Result, ServiceHealth, ServiceInterface, Status
from gristmill.health.hearing import Hearing
from gristmill.health.report import report
from gristmill.policies.layer import Layer


class Health(Layer):
    """Tells `hearing` how each try ended; callers who ask at once share one probe.

    A caller that is cancelled while it asks leaves the asking to the next one.
    """

    def __init__(self, next_: ServiceInterface, *, hearing: Hearing) -> None:
        super().__init__(next_)
        self._hearing = hearing
        self._asking = asyncio.Lock()

    async def execute(self, operation: Operation[R]) -> Result[R]:
        try:
            result = await self.next.execute(operation)
        except BaseException as error:
            self._hearing.failed(error)
            raise
        self._hearing.succeeded(result.latency)
        return result

    async def get_health(self) -> ServiceHealth:
        """What this process has heard; the service is asked unless it was heard of just now."""
        async with self._asking:
            if not self._hearing.heard().is_fresh:
                asked = await self.next.get_health()
                self._hearing.probed(asked)
                if asked.status is Status.UNKNOWN and self._hearing.is_silent():
                    return asked
        return report(self._hearing.heard())
