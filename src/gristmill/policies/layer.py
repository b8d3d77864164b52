"""A policy around a service is a service: it passes everything on to `next`.

A layer overrides only what it changes. It never swallows another layer's exception.
"""

from gristmill.contract import Operation, R, Result, ServiceHealth, ServiceInterface
from gristmill.health.heard import Live


class Layer(ServiceInterface):
    """Delegates everything to `next`."""

    def __init__(self, next_: ServiceInterface) -> None:
        self.next = next_

    def is_available(self) -> bool:
        return self.next.is_available()

    async def get_health(self) -> ServiceHealth:
        return await self.next.get_health()

    async def prepare(self) -> None:
        await self.next.prepare()

    async def execute(self, operation: Operation[R]) -> Result[R]:
        return await self.next.execute(operation)

    def live(self) -> Live:
        """How it stands in this process at this moment; a layer adds what it knows."""
        return self.next.live() if isinstance(self.next, Layer) else Live()
