"""The modes as they are now, for one process: never older than half a second when it is asked.

They are read when somebody asks, so that a process that does nothing reads nothing.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from gristmill.contract import ServiceMode
from gristmill.database.engine import Database
from gristmill.errors import DatabaseUnavailable
from gristmill.modes import switches
from gristmill.modes.rulings import Configured, Ruling, Switch, rule
from gristmill.telemetry.logging import get_logger

log = get_logger(__name__)

FRESH_SECONDS: Final = 0.5  # a switch is to be seen by every process within one second


async def _nothing() -> None:
    """Nobody has anything to read anew."""


def _everything(mode: ServiceMode) -> str:
    """Each mode is allowed."""
    del mode
    return ""


class Modes:
    """The rulings of this process on its services.

    `refusal` says what is wrong with a mode in this environment, or ''. `clock` is monotonic, in
    seconds. `on_reload` is awaited once for each time that keys are to be read anew.
    """

    def __init__(
        self,
        database: Database,
        configured: Sequence[Configured],
        *,
        refusal: Callable[[ServiceMode], str] = _everything,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._configured = {each.service: each for each in configured}
        self._refusal = refusal
        self._clock = clock
        self._looking = asyncio.Lock()
        self._looked_at: float | None = None
        self._reloads: int | None = None
        self._rulings: Mapping[str, Ruling] = self._ruled({})
        self.on_reload: Callable[[], Awaitable[None]] = _nothing

    async def of(self, service: str) -> Ruling:
        """The ruling on a service, as it is now; as it was, while the database is away."""
        return (await self.all())[service]

    async def all(self) -> Mapping[str, Ruling]:
        """The ruling on each service, as it is now."""
        if not self._is_fresh():
            async with self._looking:
                if not self._is_fresh():
                    await self._look()
        return self._rulings

    def known(self, service: str) -> Ruling:
        """The ruling on a service as it was last read; asks nobody."""
        return self._rulings[service]

    def forget(self) -> None:
        """The next question is answered anew."""
        self._looked_at = None

    def _is_fresh(self) -> bool:
        return self._looked_at is not None and self._clock() - self._looked_at < FRESH_SECONDS

    async def _look(self) -> None:
        looked_at = self._clock()
        try:
            told = await switches.told(self._database)
        except DatabaseUnavailable:  # asked again in a moment, not by everybody who waits
            self._looked_at = looked_at
            return
        self._looked_at = looked_at
        self._tell(self._ruled(told.switches))
        before, self._reloads = self._reloads, told.reloads
        if before is not None and told.reloads > before:
            await self.on_reload()

    def _ruled(self, told: Mapping[str, Switch]) -> dict[str, Ruling]:
        return {
            service: rule(configured, told.get(service), self._refusal)
            for service, configured in self._configured.items()
        }

    def _tell(self, now: Mapping[str, Ruling]) -> None:
        """Says what is another mode than before, and which settings do not count."""
        before, self._rulings = self._rulings, now
        for service, ruling in now.items():
            if ruling != before[service]:
                tell = log.warning if ruling.set_aside or ruling.refused else log.info
                tell(
                    "mode.changed",
                    service=service,
                    before=before[service].mode.value,
                    after=ruling.mode.value,
                    reason=ruling.reason,
                    set_aside=ruling.set_aside,
                    refused=ruling.refused,
                )
