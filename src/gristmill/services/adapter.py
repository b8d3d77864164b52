"""What the three adapters share: loading the SDK, timing, errors, origin, health."""

import asyncio
import importlib
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Generic, TypeVar

import httpx

from gristmill.contract import (
    Open,
    Operation,
    Origin,
    R,
    RateLimitFeedback,
    Result,
    ServiceHealth,
    ServiceInterface,
    Settled,
    Status,
    Usage,
)
from gristmill.errors import (
    GristmillError,
    InvalidResponse,
    Misconfigured,
    Unavailable,
)
from gristmill.health import findings
from gristmill.services import failures
from gristmill.telemetry.unheard import unheard

Sdk = TypeVar("Sdk")
Handler = Callable[[Any, Any], Awaitable["Reply[Any]"]]

PROBE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a service is reached and with which key. The key never shows in `repr`."""

    service: str
    base_url: str
    key: str = field(repr=False)

    @property
    def problem(self) -> str | None:
        """Why it cannot be used, as a sentence; None if it can."""
        if not self.base_url.startswith(("http://", "https://")):
            return f"The address of {self.service} must begin with https:// or http://."
        if not self.key:
            return f"No key for {self.service} is set."
        if not self.key.isascii() or not self.key.isprintable() or " " in self.key:
            return f"The key for {self.service} holds blanks or characters that no key has."
        return None


@dataclass(frozen=True, slots=True)
class Reply(Generic[R]):
    """What a handler hands back: the value, and the answer that it was read from."""

    value: R
    response: httpx.Response
    settlement: Settled | Open = field(default_factory=lambda: Settled(Usage.none()))
    requests: int = 1
    notes: Mapping[str, str] = field(default_factory=dict)


class Adapter(ServiceInterface, Generic[Sdk]):
    """One vendor's SDK as a `ServiceInterface`. Holds no policy.

    `clock` is a monotonic clock in seconds. `http` is shared, and closed by whoever made it. A
    service that does not answer a health probe within `probe_seconds` is taken to be down.
    """

    service: ClassVar[str]
    sdk_modules: ClassVar[tuple[str, ...]]  # what to load before the first call, off the loop

    def __init__(
        self,
        endpoint: Endpoint,
        http: httpx.AsyncClient,
        *,
        clock: Callable[[], float] = time.monotonic,
        probe_seconds: float = PROBE_SECONDS,
    ) -> None:
        self._endpoint = endpoint
        self._http = http
        self._clock = clock
        self._probe_seconds = probe_seconds
        self._sdk: Sdk | None = None

    @property
    def endpoint(self) -> Endpoint:
        return self._endpoint

    def is_available(self) -> bool:
        return self._endpoint.problem is None

    async def prepare(self) -> None:
        """Loads the SDK, which takes a second; says nothing about what is misconfigured."""
        if self._endpoint.problem is None:
            await self._loaded()

    async def execute(self, operation: Operation[R]) -> Result[R]:
        """Executes the operation once, without a retry.

        Raises:
            Misconfigured: no usable key or address; nothing was sent.
            ServiceError: the vendor failed; the subclass names the effect.
        """
        handler = self._handlers().get(type(operation))
        if handler is None:
            raise TypeError(f"{self.service} does not know {operation.name}")
        sdk = await self._loaded()
        started = self._clock()
        try:
            with unheard():
                reply = await handler(sdk, operation)
        except Exception as error:
            failed = self._translated(error, operation)
            if not isinstance(failed, GristmillError):
                raise
            # The SDK's exception, and the frames that it came through, may hold headers and keys.
            raise failed.with_traceback(None) from None
        return self._result(reply, self._clock() - started)

    async def get_health(self) -> ServiceHealth:
        """Asks one free endpoint, with one call. Never raises.

        The reason begins differently for a wrong key, an outage, a wrong setting and a limit.
        """
        if (problem := self._endpoint.problem) is not None:
            kind = Misconfigured.__name__
            return ServiceHealth(Status.UNCONFIGURED, reason=problem, error_kind=kind)
        try:
            async with asyncio.timeout(self._probe_seconds):
                result = await self.execute(self._probe())
        except GristmillError as error:
            return _troubled(error)
        except TimeoutError:
            return _troubled(Unavailable(f"No answer within {self._probe_seconds:g} s."))
        except Exception as error:  # noqa: BLE001 — a health answer is never an exception
            return _troubled(InvalidResponse(f"Cannot ask: {type(error).__name__}."))
        return ServiceHealth(
            Status.HEALTHY, result.latency, checked_at=datetime.now(UTC), reason=findings.HEALTHY
        )

    @abstractmethod
    def _build(self) -> Sdk:
        """The SDK's client; called once, when its modules are loaded."""

    @abstractmethod
    def _handlers(self) -> Mapping[type[Operation[Any]], Handler]:
        """One function for each operation."""

    @abstractmethod
    def _probe(self) -> Operation[Any]:
        """A free operation that shows whether the key is accepted."""

    @abstractmethod
    def _error_answer(self, error: Exception) -> httpx.Response | None:
        """The answer inside the SDK's exception, if it holds one."""

    @abstractmethod
    def _classify(self, answer: failures.Answer) -> GristmillError:
        """Our error for a vendor's."""

    def _rate_limits(self, response: httpx.Response) -> tuple[RateLimitFeedback, ...]:
        del response
        return ()

    async def _loaded(self) -> Sdk:
        if self._endpoint.problem is not None:
            raise Misconfigured(self._endpoint.problem, advice="Set it in the settings.")
        if self._sdk is None:
            for module in self.sdk_modules:
                await asyncio.to_thread(importlib.import_module, module)
            self._sdk = self._build()
        return self._sdk

    def _translated(self, error: Exception, operation: Operation[Any]) -> Exception:
        if isinstance(error, GristmillError):
            return error
        response = self._error_answer(error)
        if response is None:
            return failures.unreachable(self.service, error) or error
        text = failures.masked(response.text, self._endpoint.key)
        safe = operation.idempotent and operation.worst_case().is_free
        headers = response.headers
        return self._classify(
            failures.Answer(self.service, response.status_code, headers, text, safe)
        )

    def _result(self, reply: Reply[R], latency: float) -> Result[R]:
        headers = reply.response.headers
        return Result(
            value=reply.value,
            origin=Origin.SIMULATED if "x-simulated" in headers else Origin.REAL,
            endpoint=self._endpoint.base_url,
            latency=latency,
            request_id=failures.request_id(headers),
            settlement=reply.settlement,
            rate_limits=self._rate_limits(reply.response),
            requests=reply.requests,
            notes=reply.notes,
        )


def _troubled(error: GristmillError) -> ServiceHealth:
    status, reason = findings.finding(error)
    return ServiceHealth(
        status,
        error_count=1,
        last_error=str(error),
        checked_at=datetime.now(UTC),
        reason=reason,
        error_kind=error.kind,
    )
