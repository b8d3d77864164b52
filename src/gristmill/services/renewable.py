"""A service whose adapter can be replaced while calls are under way: another key, another port."""

import asyncio
from collections.abc import Awaitable, Callable

from gristmill.contract import (
    Operation,
    R,
    Result,
    ServiceHealth,
    ServiceInterface,
    Status,
)
from gristmill.errors import GristmillError, Unauthorized


class Renewable(ServiceInterface):
    """Passes everything on to the present adapter, which the first call has built.

    A call finishes on the adapter that it began with; one that is refused for its key is made once
    more if there is another key by then. `is_configured` says, without an adapter, whether it would
    have a key and an address.
    """

    def __init__(
        self,
        build: Callable[[], Awaitable[ServiceInterface]],
        is_configured: Callable[[], bool],
    ) -> None:
        self._build = build
        self._is_configured = is_configured
        self._present: ServiceInterface | None = None
        self._building = asyncio.Lock()

    def renew(self) -> None:
        """Has the next call build a new one."""
        self._present = None

    def is_available(self) -> bool:
        return self._is_configured()

    async def get_health(self) -> ServiceHealth:
        try:
            current = await self._current()
        except GristmillError as error:
            reason = f"{error} {error.advice}".strip()
            return ServiceHealth(Status.UNCONFIGURED, reason=reason, error_kind=error.kind)
        return await current.get_health()

    async def prepare(self) -> None:
        await (await self._current()).prepare()

    async def execute(self, operation: Operation[R]) -> Result[R]:
        began_on = await self._current()
        try:
            return await began_on.execute(operation)
        except Unauthorized:
            if (current := await self._current()) is began_on:
                raise
        return await current.execute(operation)

    async def _current(self) -> ServiceInterface:
        if self._present is None:
            async with self._building:
                if self._present is None:
                    self._present = await self._build()
        return self._present
