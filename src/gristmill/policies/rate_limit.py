"""No call before its turn in the vendor's limits.

Above the budget: a call that waits holds no money, and one that the budget refuses gives its turn
back. Below whatever repeats: each attempt takes a turn of its own.
"""

from dataclasses import replace
from typing import Any, Final

from gristmill.contract import Demand, Operation, R, Result, ServiceHealth, ServiceInterface, Status
from gristmill.errors import DatabaseUnavailable, RateLimited, RefusedError, Throttled
from gristmill.health.heard import Live
from gristmill.policies import deadline
from gristmill.policies.layer import Layer
from gristmill.quotas.turns import Turns
from gristmill.telemetry.logging import get_logger

log = get_logger(__name__)

PATIENCE: Final = 30.0  # seconds; whoever would wait longer waits without a slot
PROBE_PATIENCE: Final = 2.0
FIRST_PAUSE: Final = 1.0  # where the vendor does not say how long; doubled each time
LONGEST_PAUSE: Final = 60.0


class RateLimit(Layer):
    """Takes a turn for each call. `patience` is in seconds; a nearer deadline counts."""

    def __init__(
        self, next_: ServiceInterface, *, turns: Turns, patience: float = PATIENCE
    ) -> None:
        super().__init__(next_)
        self._turns = turns
        self._patience = patience
        self._pause = FIRST_PAUSE

    async def execute(self, operation: Operation[R]) -> Result[R]:
        """Executes the operation once, when it is its turn.

        Raises:
            RateLimited: its turn comes later than the caller can wait; nothing has left.
            TooLarge: it takes more than a limit ever has; in parts it may pass.
            GristmillError: as the service.
        """
        await self.next.prepare()
        demand = operation.demand()
        patience = min(self._patience, deadline.remaining())
        turn = await self._turns.take(demand, patience)
        try:
            result = await self.next.execute(operation)
        except (RefusedError, DatabaseUnavailable):
            if turn is not None:
                self._turns.give_back(turn)
            raise
        except Throttled as error:
            await self._slow_down(demand, error)
            raise
        self._pause = FIRST_PAUSE
        await self._learn(demand, result)
        return result

    async def get_health(self) -> ServiceHealth:
        """As the service says, if there is room in the limits to ask it now."""
        try:
            await self._turns.take(Demand(), PROBE_PATIENCE)
        except RateLimited as error:
            reason = f"Not asked: its rate limit is used up for {error.retry_after:.0f} s."
            return ServiceHealth(Status.UNKNOWN, reason=reason)
        return await self.next.get_health()

    def live(self) -> Live:
        return replace(super().live(), turns=self._turns.waiting)

    async def _slow_down(self, demand: Demand, error: Throttled) -> None:
        seconds = error.retry_after
        if seconds is None:
            seconds, self._pause = self._pause, min(LONGEST_PAUSE, self._pause * 2)
        log.warning("rate_limit.paused", pool=demand.pool, seconds=seconds, why=str(error))
        await self._turns.pause(demand.pool, seconds)

    async def _learn(self, demand: Demand, result: Result[Any]) -> None:
        try:
            if (surplus := result.requests - demand.requests) > 0:
                await self._turns.charge(replace(demand, requests=surplus, tokens=0))
            for feedback in result.rate_limits:
                await self._turns.learn(demand.pool, feedback)
        except DatabaseUnavailable:  # the answer is paid for; the next one teaches the same
            log.warning("rate_limit.not_learned", pool=demand.pool)
