"""All services behind one face: each operation goes to its service, simulated or real.

Only the address tells the two apart, so the answer is looked at: where the real side is asked, a
simulated answer is an error, never a result. In hybrid mode the simulated side answers while the
real one is down, call by call and only where nothing was accepted; the result says so.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from gristmill.contract import (
    Choice,
    Operation,
    Origin,
    R,
    Result,
    ServiceHealth,
    ServiceInterface,
    ServiceMode,
    Services,
    Status,
)
from gristmill.errors import GristmillError, Misconfigured, SimulatedAnswer
from gristmill.modes.rulings import Ruling
from gristmill.policies.layer import Layer
from gristmill.telemetry.logging import get_logger

log = get_logger(__name__)

_WORST_FIRST: Final = (
    Status.UNHEALTHY,
    Status.UNCONFIGURED,
    Status.DEGRADED,
    Status.UNKNOWN,
    Status.HEALTHY,
)
_FOLLOW_UP: Final = "asked where it was recorded, whatever the mode"


class Rulings(Protocol):
    """What the modes are: as they are now, and as they were when last looked at."""

    async def of(self, service: str) -> Ruling: ...

    def known(self, service: str) -> Ruling: ...


@dataclass(frozen=True, slots=True)
class Side:
    """A service at an endpoint, by the name that its work is recorded under."""

    endpoint: str
    service: ServiceInterface


@dataclass(frozen=True, slots=True)
class Sides:
    """The two sides of one service."""

    simulated: Side
    real: Side

    def first(self, mode: ServiceMode) -> Side:
        """The one that is asked in a mode; in hybrid the other one may stand in for it."""
        return self.simulated if mode is ServiceMode.MOCK else self.real


class ServiceRouter(Services):
    """Sends operations to the service that they name, in the mode that it has now."""

    def __init__(self, sides: Mapping[str, Sides], modes: Rulings) -> None:
        self._modes = modes
        self._sides = {
            name: Sides(each.simulated, _real_only(name, each.real)) for name, each in sides.items()
        }

    def at(self, service: str, endpoint: str) -> ServiceInterface:
        sides = self._of(service)
        for side in (sides.real, sides.simulated):
            if side.endpoint == endpoint:
                return _FollowUp(side.service, Choice(endpoint, _FOLLOW_UP), self._modes)
        raise Misconfigured(
            f"{service} is not reached at {endpoint} by the present settings.",
            advice=f"They reach it at {sides.real.endpoint or 'no address'}; set the address of"
            f" {service} to where its work was done, or do it again.",
        )

    def endpoints(self, service: str) -> tuple[str, ...]:
        sides = self._of(service)
        return tuple(side.endpoint for side in (sides.real, sides.simulated) if side.endpoint)

    def is_available(self) -> bool:
        """Whether every service may be tried in its present mode, by the last look at it."""
        return all(self._is_available(name) for name in self._sides)

    async def execute(self, operation: Operation[R]) -> Result[R]:
        """Executes the operation, at the service that it names and in its present mode.

        Raises:
            Misconfigured: there is no such service, or its mode is not allowed here.
            SimulatedAnswer: the real side was asked, and a simulator answered.
            ServiceError, RefusedError: as the service.
        """
        sides = self._of(operation.service)
        ruling = await self._modes.of(operation.service)
        side = sides.first(allowed(ruling))
        chosen = _Told(side.service, Choice(side.endpoint, ruling.reason))
        try:
            return await chosen.execute(operation)
        except GristmillError as error:
            if not _may_fall_back(ruling, operation.falls_back, error):
                raise
            return await _fallen_back(sides.simulated, operation, ruling, error)

    async def get_health(self) -> ServiceHealth:
        """The worst of all, with the reason of each that is not healthy."""
        return _worst(await self.health_of())

    async def health_of(self) -> Mapping[str, ServiceHealth]:
        """The health of each service in its present mode; all are asked at once."""
        names = tuple(self._sides)
        health = await asyncio.gather(*(self._health(name) for name in names))
        return dict(zip(names, health, strict=True))

    def _of(self, service: str) -> Sides:
        if service not in self._sides:
            known = ", ".join(sorted(self._sides)) or "none"
            raise Misconfigured(
                f"There is no service called {service}.", advice=f"Known services: {known}."
            )
        return self._sides[service]

    def _is_available(self, service: str) -> bool:
        ruling, sides = self._modes.known(service), self._sides[service]
        if ruling.refused:
            return False
        stands_in = ruling.mode is ServiceMode.HYBRID and sides.simulated.service.is_available()
        return sides.first(ruling.mode).service.is_available() or stands_in

    async def _health(self, service: str) -> ServiceHealth:
        ruling = await self._modes.of(service)
        try:
            side = self._sides[service].first(allowed(ruling))
        except Misconfigured as error:
            return ServiceHealth(Status.UNCONFIGURED, reason=f"{error} {error.advice}")
        return await side.service.get_health()


def _real_only(service: str, side: Side) -> Side:
    return Side(side.endpoint, _RealOnly(side.service, service))


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


class _Told(Layer):
    """Says why this service is asked, in each result and in the log."""

    def __init__(self, next_: ServiceInterface, choice: Choice) -> None:
        super().__init__(next_)
        self._choice = choice

    async def execute(self, operation: Operation[R]) -> Result[R]:
        log.debug(
            "router.chose",
            service=operation.service,
            operation=operation.name,
            endpoint=self._choice.endpoint,
            reason=self._choice.reason,
        )
        return replace(await self.next.execute(operation), choice=self._choice)


class _FollowUp(_Told):
    """Asked whatever the mode; what else was said since, of keys, is heard before each call."""

    def __init__(self, next_: ServiceInterface, choice: Choice, modes: Rulings) -> None:
        super().__init__(next_, choice)
        self._modes = modes

    async def execute(self, operation: Operation[R]) -> Result[R]:
        await self._modes.of(operation.service)
        return await super().execute(operation)


def allowed(ruling: Ruling) -> ServiceMode:
    """The mode of a ruling.

    Raises:
        Misconfigured: this environment does not allow it.
    """
    if ruling.refused:
        raise Misconfigured(
            f"The mode of {ruling.service} is {ruling.mode}: {ruling.reason}. {ruling.refused}",
            advice=f"gristmill mode {ruling.service} real switches it; --reset leaves it to the"
            " settings.",
        )
    return ruling.mode


def _may_fall_back(ruling: Ruling, falls_back: bool, error: GristmillError) -> bool:
    return ruling.mode is ServiceMode.HYBRID and falls_back and error.is_outage


async def _fallen_back(
    stand_in: Side, operation: Operation[R], ruling: Ruling, error: GristmillError
) -> Result[R]:
    log.warning(
        "router.fell_back",
        service=operation.service,
        operation=operation.name,
        error=error.kind,
        reason=str(error),
    )
    choice = Choice(stand_in.endpoint, ruling.reason, fallback=str(error))
    return await _Told(stand_in.service, choice).execute(operation)


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
