"""Repeats what failed and may be repeated, for seconds; what takes longer goes up.

Stands above the breaker, so that each try asks it anew, and above whatever limits and pays: each
try takes a place in the limits and is held for by itself. Seconds belong here. A longer wait goes
up with the error's `retry_after`, and a document waits for it without holding anything.

    Throttled, Unavailable             repeated: nothing happened
    OutcomeUnknown, InvalidResponse    repeated if the operation is idempotent; `PAID_TRIES` at
                                       most if a try that failed may have been billed
    every other ServiceError           goes up: the same call would fail again, or somebody must act
    RefusedError, DatabaseUnavailable  goes up: we did not call, and know when it makes sense
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from gristmill.contract import Operation, R, Result, ServiceInterface
from gristmill.errors import GristmillError, ServiceError
from gristmill.health.heard import Live
from gristmill.policies import deadline
from gristmill.policies.layer import Layer
from gristmill.policies.retry_budget import RetryBudget
from gristmill.telemetry.logging import get_logger

log = get_logger(__name__)

SECONDS: Final = 30.0  # of waiting in all, from the first try to the beginning of the last
LONGEST_WAIT: Final = 10.0  # that a service may ask for before the call goes up
FIRST_PAUSE: Final = 0.5  # at most; each later one may be twice as long
LONGEST_PAUSE: Final = 8.0
PAID_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class RetryFacts:
    """What this process has repeated: retries made, and those that the budget had no room for."""

    retries: int = 0
    forgone: int = 0
    last_error: str | None = None


class Retry(Layer):
    """Tries a call again within `seconds`, or within a sooner deadline of the caller's.

    A pause is drawn from 0 to a bound that doubles, after what the service asks to wait for.
    `sleep` waits, `clock` is monotonic, both in seconds. The error that goes up in the end says how
    often was tried.
    """

    def __init__(
        self,
        next_: ServiceInterface,
        *,
        seconds: float = SECONDS,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        draw: random.Random | None = None,
    ) -> None:
        super().__init__(next_)
        self._seconds = seconds
        self._sleep = sleep
        self._clock = clock
        self._draw = draw or random.SystemRandom()
        self._budget = RetryBudget(clock=clock)
        self._retries = 0
        self._forgone = 0
        self._last_error: str | None = None

    @property
    def facts(self) -> RetryFacts:
        """What is known by now."""
        return RetryFacts(self._retries, self._forgone, self._last_error)

    def live(self) -> Live:
        return replace(super().live(), retries=self._retries)

    async def execute(self, operation: Operation[R]) -> Result[R]:
        """Executes the operation, again if need be.

        Raises:
            GristmillError: as the service, by the last try; `no_effect` only if no try had any.
        """
        self._budget.note_first_try()
        with deadline.within(self._seconds, clock=self._clock):
            tries, had_no_effect = 0, True
            while True:
                tries += 1
                try:
                    return await self.next.execute(operation)
                except GristmillError as error:
                    had_no_effect = error.no_effect = had_no_effect and error.no_effect
                    wait = self._wait(operation, error, tries)
                    if wait is None:
                        if isinstance(error, ServiceError):
                            error.tries = tries
                        raise
                    self._note(operation, error, tries, wait)
                await self._sleep(wait)

    def _wait(self, operation: Operation[Any], error: GristmillError, tries: int) -> float | None:
        """Seconds until the next try; None if there is to be none."""
        asked = error.retry_after or 0.0
        if not _may_repeat(operation, error, tries) or asked > LONGEST_WAIT:
            return None
        bound = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (tries - 1))
        wait = asked + self._draw.uniform(0, bound)
        if wait >= deadline.remaining(clock=self._clock):
            return None
        if not self._budget.take():
            self._forgone += 1
            log.warning("service.retry_forgone", service=operation.service, why=error.kind)
            return None
        return wait

    def _note(
        self, operation: Operation[Any], error: GristmillError, tries: int, wait: float
    ) -> None:
        self._retries += 1
        self._last_error = str(error)
        log.info(
            "service.retry",
            service=operation.service,
            operation=operation.name,
            why=error.kind,
            error=str(error),
            attempt=tries + 1,
            wait=round(wait, 3),
        )


def _may_repeat(operation: Operation[Any], error: GristmillError, tries: int) -> bool:
    if not isinstance(error, ServiceError) or not error.retryable:
        return False
    if error.no_effect:
        return True
    if not operation.idempotent:
        return False
    return operation.worst_case().is_free or tries < PAID_TRIES
