"""Sees each call as the caller does: how long it took, how it ended, what answered.

Stands outermost, so that its time includes whatever the layers below wait for.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from gristmill.contract import Operation, R, Result, ServiceInterface
from gristmill.errors import BreakerOpen, GristmillError, RateLimited, Rejected
from gristmill.policies.layer import Layer
from gristmill.telemetry.logging import get_logger

log = get_logger(__name__)


class Observe(Layer):
    """Logs each call as one event, `service.call`.

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

    async def execute(self, operation: Operation[R]) -> Result[R]:
        started = self._clock()
        try:
            result = await self.next.execute(operation)
        except BaseException as error:
            self._failed(operation, error, self._clock() - started)
            raise
        self._succeeded(operation, result, self._clock() - started)
        return result

    def _succeeded(self, operation: Operation[R], result: Result[R], seconds: float) -> None:
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
