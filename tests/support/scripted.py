"""Services for tests: real implementations of the contract that do what they are told."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from gristmill.contract import (
    Open,
    Operation,
    Origin,
    R,
    Result,
    ServiceHealth,
    ServiceInterface,
    Services,
    Settled,
    Status,
    Usage,
)
from gristmill.costs.prices import PRICES as PUBLISHED
from gristmill.costs.prices import Prices
from gristmill.policies.layer import Layer

MODEL = "text-embedding-3-small"
HEALTHY = ServiceHealth(Status.HEALTHY, reason="It answers.")
ENDPOINT = "https://api.vendor.test/v1"
# What is published, at this address as well.
PRICES = Prices(
    PUBLISHED.version,
    [replace(price, host=host) for price in PUBLISHED.prices for host in ("", "api.vendor.test")],
)


@dataclass(frozen=True, slots=True)
class Grind(Operation[str]):
    """Paid: at most `tokens` of a model with a price."""

    service: ClassVar[str] = "openai"

    tokens: int = 100
    model: str = MODEL

    def worst_case(self) -> Usage:
        return Usage(product=self.model, unit="tokens", quantity=self.tokens)


@dataclass(frozen=True, slots=True)
class Submit(Operation[str]):
    """Paid, and billed later."""

    service: ClassVar[str] = "llamaparse"
    idempotent: ClassVar[bool] = False

    pages: int = 4

    def worst_case(self) -> Usage:
        return Usage(product="agentic", unit="pages", quantity=self.pages)


@dataclass(frozen=True, slots=True)
class Look(Operation[str]):
    """Free."""

    service: ClassVar[str] = "openai"


def answer(
    value: Any = "flour",
    *,
    used: int | None = None,
    settlement: Settled | Open | None = None,
    origin: Origin = Origin.REAL,
    **changes: Any,
) -> Result[Any]:
    """A result; `used` tokens are billed."""
    if settlement is None:
        usage = Usage.none() if used is None else Usage(MODEL, "tokens", used)
        settlement = Settled(usage)
    facts = {"endpoint": ENDPOINT, "latency": 0.25, "request_id": "req_1", **changes}
    return Result(value=value, origin=origin, settlement=settlement, **facts)


@dataclass
class ScriptedService(ServiceInterface):
    """Plays its script: a result is returned, an error raised; or it never answers."""

    script: Sequence[Result[Any] | BaseException] = ()
    available: bool = True
    health: ServiceHealth = HEALTHY
    calls: list[Operation[Any]] = field(default_factory=list)
    hangs: bool = False
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def is_available(self) -> bool:
        return self.available

    async def get_health(self) -> ServiceHealth:
        return self.health

    async def execute(self, operation: Operation[R]) -> Result[R]:
        step = None if self.hangs else self.script[len(self.calls)]
        self.calls.append(operation)
        self.reached.set()
        if step is None:
            await asyncio.Event().wait()
        if isinstance(step, BaseException):
            raise step
        return step


class Everywhere(Layer, Services):
    """One service, at whatever endpoint it is asked for."""

    def at(self, service: str, endpoint: str) -> ServiceInterface:
        del service, endpoint
        return self.next

    def endpoints(self, service: str) -> tuple[str, ...]:
        del service
        return ("simulator",)
