"""Sees each call as the caller does: how long it took, how it ended, what answered.

Stands outermost, so that its time includes whatever the layers below wait for.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

from gristmill.contract import Operation, R, Result, ServiceHealth, ServiceInterface
from gristmill.errors import BreakerOpen, GristmillError, RateLimited, Rejected, ServiceError
from gristmill.policies.layer import Layer
from gristmill.telemetry.logging import get_logger

log = get_logger(__name__)

SAMPLES: Final = 101  # response times remembered


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What the calls of this process have shown, without asking anybody; times in seconds.

    Response times are the service's own, of successful calls: the last, and the median of the last
    `SAMPLES`. Errors are failures of the service; a refused input is none, nor is a call not made.
    """

    calls: int = 0
    error_count: int = 0
    last_error: str | None = None
    last_response_time: float | None = None
    p50_response_time: float | None = None


class Observe(Layer):
    """Logs each call as one event, `service.call`, and remembers how the service did.

    `endpoint` is the address that calls go to, `clock` a monotonic clock in seconds.
    """

    def __init__(
        self,
        next_: ServiceInterface,
        *,
        endpoint: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(next_)
        self._host = _host(endpoint)
        self._clock = clock
        self._calls = 0
        self._error_count = 0
        self._last_error: str | None = None
        self._times: deque[float] = deque(maxlen=SAMPLES)

    @property
    def facts(self) -> CallFacts:
        """What is known by now."""
        times = sorted(self._times)
        return CallFacts(
            calls=self._calls,
            error_count=self._error_count,
            last_error=self._last_error,
            last_response_time=self._times[-1] if times else None,
            p50_response_time=times[len(times) // 2] if times else None,
        )

    async def execute(self, operation: Operation[R]) -> Result[R]:
        started = self._clock()
        self._calls += 1
        try:
            result = await self.next.execute(operation)
        except BaseException as error:
            self._failed(operation, error, self._clock() - started)
            raise
        self._succeeded(operation, result, self._clock() - started)
        return result

    async def get_health(self) -> ServiceHealth:
        """What the service says, with what its calls have shown."""
        health = await self.next.get_health()
        facts = self.facts
        return replace(
            health,
            response_time=facts.p50_response_time or health.response_time,
            error_count=max(facts.error_count, health.error_count),
            last_error=health.last_error or facts.last_error,
        )

    def _succeeded(self, operation: Operation[R], result: Result[R], seconds: float) -> None:
        self._times.append(result.latency)
        log.info(
            "service.call",
            service=operation.service,
            operation=operation.name,
            outcome="ok",
            seconds=round(seconds, 6),
            request_id=result.request_id,
            origin=result.origin.value,
            endpoint=_host(result.endpoint),
        )

    def _failed(self, operation: Operation[Any], error: BaseException, seconds: float) -> None:
        if isinstance(error, ServiceError) and not isinstance(error, Rejected):
            self._error_count += 1
            self._last_error = str(error)
        log.log(
            _level(error),
            "service.call",
            service=operation.service,
            operation=operation.name,
            outcome=_outcome(error),
            seconds=round(seconds, 6),
            request_id=getattr(error, "request_id", None),
            endpoint=self._host,
            error=str(error),
        )


def _outcome(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    return error.kind if isinstance(error, GristmillError) else type(error).__name__


def _level(error: BaseException) -> int:
    """Somebody's problem is a warning, ours an error; a no to the input is an answer.

    That a service is left alone, or paced, was told once when that began.
    """
    match error:
        case asyncio.CancelledError() | Rejected() | BreakerOpen() | RateLimited():
            return logging.INFO
        case GristmillError():
            return logging.WARNING
        case _:
            return logging.ERROR


def _host(address: str) -> str:
    return urlsplit(address).netloc.rpartition("@")[2] or address
