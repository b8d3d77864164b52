"""Leaves a service alone while it does not serve, and finds out by itself when it does again.

Stands below the retries, each of which asks anew, and above the limits and the budget: a call that
is refused here takes no place in a limit and holds no money.

    closed      calls pass; when most of the last ones failed, it opens
    open        every call is refused, for a time that doubles up to a ceiling
    half open   after that time one call passes, alone; its end closes or opens it again

Unavailability and unknown outcomes are failures. Every other answer of the service shows that it
serves: a refused input, a wrong key, a limit. What never reached it shows nothing, nor does a call
that was given up: an input that is not sent, a budget's refusal, a defect of ours, a cancellation.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from gristmill.contract import Operation, R, Result, ServiceInterface
from gristmill.errors import BreakerOpen, InvalidResponse, OutcomeUnknown, ServiceError, Unavailable
from gristmill.health.heard import Live
from gristmill.policies.layer import Layer
from gristmill.telemetry.logging import get_logger

log = get_logger(__name__)

LAST: Final = 20  # calls that are looked at
LEAST: Final = 5  # below which nothing is concluded
SHARE: Final = 0.5  # of failures among them that opens it
MEMORY_SECONDS: Final = 300.0  # older calls say nothing of the service as it is now
FIRST_SECONDS: Final = 2.0  # open for the first time
LONGEST_SECONDS: Final = 120.0


class BreakerState(StrEnum):
    """Whether calls pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerFacts:
    """The breaker of this process, as it stands.

    `failures` of the last `calls` failed, before it opened if it is not closed. `retry_after` is
    in seconds, None while it is closed; `opened` counts since the process started.
    """

    state: BreakerState = BreakerState.CLOSED
    calls: int = 0
    failures: int = 0
    retry_after: float | None = None
    opened: int = 0
    last_error: str | None = None


class Breaker(Layer):
    """Refuses calls with `BreakerOpen` while the service does not serve.

    `longest` is the ceiling of an open time, `clock` monotonic, both in seconds; `now` is the time
    that people are told. `on_close` is called when the service serves again.
    """

    def __init__(
        self,
        next_: ServiceInterface,
        *,
        longest: float = LONGEST_SECONDS,
        on_close: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(next_)
        self._longest = longest
        self._on_close = on_close
        self._clock = clock
        self._now = now
        self._state = BreakerState.CLOSED
        # Raised by each change of the state: the end of a call that began before it says nothing.
        self._generation = 0
        self._ends: deque[tuple[float, bool]] = deque(maxlen=LAST)  # when, and whether it failed
        self._is_probing = False
        self._until = 0.0
        self._open_seconds = min(FIRST_SECONDS, longest)  # of the next time it opens
        self._counted = (0, 0)
        self._opened = 0
        self._last_error: str | None = None

    @property
    def facts(self) -> BreakerFacts:
        """What is known by now."""
        is_closed = self._state is BreakerState.CLOSED
        calls, failures = self._count() if is_closed else self._counted
        return BreakerFacts(
            state=self._state,
            calls=calls,
            failures=failures,
            retry_after=None if is_closed else self._retry_after(),
            opened=self._opened,
            last_error=self._last_error,
        )

    def live(self) -> Live:
        facts = self.facts
        seconds = facts.retry_after
        return replace(super().live(), breaker=facts.state.value, breaker_seconds=seconds)

    def is_available(self) -> bool:
        """False while a call would be refused."""
        return self._would_pass() and self.next.is_available()

    async def execute(self, operation: Operation[R]) -> Result[R]:
        """Executes the operation once, if the service is not left alone now.

        Raises:
            BreakerOpen: it is; nothing was asked.
            GristmillError: as the service.
        """
        generation = self._admit(operation)
        try:
            result = await self.next.execute(operation)
        except BaseException as error:
            self._ended(operation, generation, error)
            raise
        self._ended(operation, generation, None)
        return result

    def _would_pass(self) -> bool:
        match self._state:
            case BreakerState.CLOSED:
                return True
            case BreakerState.OPEN:
                return self._clock() >= self._until
            case BreakerState.HALF_OPEN:
                return not self._is_probing

    def _admit(self, operation: Operation[Any]) -> int:
        """The generation that the call belongs to."""
        if not self._would_pass():
            raise self._refusal()
        if self._state is BreakerState.OPEN:
            self._become(BreakerState.HALF_OPEN)
            log.info("breaker.half_open", service=operation.service)
        self._is_probing = self._state is BreakerState.HALF_OPEN
        return self._generation

    def _ended(
        self, operation: Operation[Any], generation: int, error: BaseException | None
    ) -> None:
        if generation != self._generation:
            return
        self._is_probing = False
        failed = _has_failed(error)
        if failed is None:
            return
        if failed:
            self._last_error = str(error)
        if self._state is BreakerState.HALF_OPEN:
            self._open(operation) if failed else self._close(operation)
        else:
            self._ends.append((self._clock(), failed))
            self._judge(operation, failed=failed)

    def _judge(self, operation: Operation[Any], *, failed: bool) -> None:
        calls, failures = self._count()
        if calls < LEAST:
            return
        if failures < SHARE * calls:  # it has served for a while: the next trouble is a new one
            self._open_seconds = min(FIRST_SECONDS, self._longest)
        elif failed:
            self._counted = (calls, failures)
            self._open(operation)

    def _count(self) -> tuple[int, int]:
        """The last calls, and how many of them failed."""
        while self._ends and self._ends[0][0] < self._clock() - MEMORY_SECONDS:
            self._ends.popleft()
        return len(self._ends), sum(failed for _, failed in self._ends)

    def _open(self, operation: Operation[Any]) -> None:
        self._become(BreakerState.OPEN)
        seconds, self._open_seconds = self._open_seconds, min(self._open_seconds * 2, self._longest)
        self._until = self._clock() + seconds
        self._opened += 1
        log.warning(
            "breaker.opened", service=operation.service, seconds=seconds, error=self._last_error
        )

    def _close(self, operation: Operation[Any]) -> None:
        self._become(BreakerState.CLOSED)
        log.info("breaker.closed", service=operation.service)
        self._on_close()

    def _become(self, state: BreakerState) -> None:
        self._state = state
        self._generation += 1
        self._ends.clear()

    def _retry_after(self) -> float:
        """Until the next probe; while one is under way, until the one after it."""
        if self._state is BreakerState.HALF_OPEN:
            return self._open_seconds
        return max(0.0, self._until - self._clock())

    def _refusal(self) -> BreakerOpen:
        wait = self._retry_after()
        calls, failures = self._counted
        until = self._now() + timedelta(seconds=wait)
        return BreakerOpen(
            f"{self._last_error} {failures} of its last {calls} calls failed, so it is left alone"
            f" until {until:%H:%M:%S} UTC.",
            advice="It is asked again by itself, and what waits for it goes on then. How it does:"
            " gristmill health.",
            retry_after=wait,
        )


def _has_failed(error: BaseException | None) -> bool | None:
    """Whether the end of a call shows that the service does not serve; None if it shows nothing."""
    match error:
        case Unavailable() | OutcomeUnknown():
            return True
        case None | InvalidResponse() | ServiceError(status=int()):
            return False
        case _:
            return None
