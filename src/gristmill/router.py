"""All services behind one face: each operation goes to its service, simulated or real.

Only the address tells the two apart, so the answer is looked at: in real mode a simulated one is
an error, never a result.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from gristmill.contract import (
    Operation,
    Origin,
    R,
    Result,
    ServiceHealth,
    ServiceInterface,
    ServiceMode,
    Status,
)
from gristmill.errors import Misconfigured, SimulatedAnswer
from gristmill.policies.layer import Layer

_WORST_FIRST: Final = (
    Status.UNHEALTHY,
    Status.UNCONFIGURED,
    Status.DEGRADED,
    Status.UNKNOWN,
    Status.HEALTHY,
)


class ServiceRouter(ServiceInterface):
    """Sends operations to the service that they name, in the mode that it has now.

    `services` holds a service by name and mode, `mode_of` tells the mode of a name whenever asked.
    """

    def __init__(
        self,
        services: Mapping[str, Mapping[ServiceMode, ServiceInterface]],
        mode_of: Callable[[str], ServiceMode],
    ) -> None:
        self._mode_of = mode_of
        self._services = {
            name: {mode: _checked(name, mode, service) for mode, service in modes.items()}
            for name, modes in services.items()
        }

    def at(self, service: str, mode: ServiceMode) -> ServiceInterface:
        """A service in a mode of the caller's choice: follow-ups go to whoever took the work.

        Raises:
            Misconfigured: there is none.
        """
        if mode is ServiceMode.HYBRID:
            raise Misconfigured(
                f"The hybrid mode of {service} is not built yet.",
                advice="Choose mock or real.",
            )
        modes = self._services.get(service)
        if modes is None:
            known = ", ".join(sorted(self._services)) or "none"
            raise Misconfigured(
                f"There is no service called {service}.", advice=f"Known services: {known}."
            )
        if mode not in modes:
            raise Misconfigured(
                f"{service} is not set up for the mode {mode}.",
                advice=f"Set it up, or choose another mode: {', '.join(sorted(modes)) or 'none'}.",
            )
        return modes[mode]

    def is_available(self) -> bool:
        """Whether every service may be tried in its present mode."""
        try:
            return all(self._current(name).is_available() for name in self._services)
        except Misconfigured:
            return False

    async def execute(self, operation: Operation[R]) -> Result[R]:
        """Executes the operation once, at the service that it names.

        Raises:
            Misconfigured: there is no such service in its present mode.
            SimulatedAnswer: the mode is real, and a simulator answered.
            ServiceError, RefusedError: as the service.
        """
        return await self._current(operation.service).execute(operation)

    async def get_health(self) -> ServiceHealth:
        """The worst of all, with the reason of each that is not healthy."""
        return _worst(await self.health_of())

    async def health_of(self) -> Mapping[str, ServiceHealth]:
        """The health of each service in its present mode; all are asked at once."""
        names = tuple(self._services)
        health = await asyncio.gather(*(self._health(name) for name in names))
        return dict(zip(names, health, strict=True))

    def _current(self, service: str) -> ServiceInterface:
        return self.at(service, self._mode_of(service))

    async def _health(self, service: str) -> ServiceHealth:
        try:
            current = self._current(service)
        except Misconfigured as error:
            return ServiceHealth(Status.UNCONFIGURED, reason=f"{error} {error.advice}")
        return await current.get_health()


class _RealOnly(Layer):
    """Refuses what a simulator answered."""

    def __init__(self, next_: ServiceInterface, service: str) -> None:
        super().__init__(next_)
        self._service = service

    async def execute(self, operation: Operation[R]) -> Result[R]:
        result = await self.next.execute(operation)
        if result.origin is Origin.SIMULATED:
            raise SimulatedAnswer(
                f"{self._service} is to be real, but a simulator answered at {result.endpoint}.",
                advice=f"Set the address of {self._service} to the real one, or its mode to mock.",
            )
        return result


def _checked(name: str, mode: ServiceMode, service: ServiceInterface) -> ServiceInterface:
    return _RealOnly(service, name) if mode is ServiceMode.REAL else service


def _worst(health: Mapping[str, ServiceHealth]) -> ServiceHealth:
    """One answer for all: the longest response time, all errors, the oldest look."""
    every = sorted(health.values(), key=lambda each: _WORST_FIRST.index(each.status))
    if not every:
        return ServiceHealth(Status.UNCONFIGURED, reason="There are no services.")
    reasons = [
        f"{name}: {each.reason}"
        for name, each in health.items()
        if each.status is not Status.HEALTHY
    ]
    return ServiceHealth(
        status=every[0].status,
        response_time=max((e.response_time for e in every if e.response_time), default=None),
        error_count=sum(each.error_count for each in every),
        last_error=next((each.last_error for each in every if each.last_error), None),
        checked_at=min((e.checked_at for e in every if e.checked_at), default=None),
        reason=" ".join(reasons) or "Every service is healthy.",
    )
