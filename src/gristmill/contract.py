"""The one contract: an asynchronous function from an operation to its result.

An adapter of a vendor, a policy around it and the router in front are all a `ServiceInterface`.
Operations are frozen values that know the type of their answer, so that `await service.execute(
Embed(...))` is a `Result[Embeddings]` to the type checker as well.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Generic, TypeVar

# Operations are declared as `class Embed(Operation[Embeddings])`; R appears only in answers.
R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")


class Origin(StrEnum):
    """What answered, whatever the mode was."""

    REAL = "real"
    SIMULATED = "simulated"
    LOCAL = "local"  # our own lossless reading of a text file; no vendor involved


class ServiceMode(StrEnum):
    """Which side of a service is asked."""

    MOCK = "mock"  # the simulator
    REAL = "real"  # the vendor
    HYBRID = "hybrid"  # the vendor, and the simulator where nothing was accepted


class Status(StrEnum):
    """Health of a service."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNCONFIGURED = "unconfigured"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """How a service does, as far as is known without paying.

    `response_time` is in seconds, the median where several are known; `error_count` is of the last
    five minutes. `reason` says why, as sentences; `error_kind` names the last error.
    """

    status: Status
    response_time: float | None = None
    error_count: int = 0
    last_error: str | None = None
    checked_at: datetime | None = None
    reason: str = ""
    error_kind: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Metered quantities of one product: tokens of a model, or pages of a parse tier.

    `quantity` is in whole `unit`s; `Usage.none()` says that an operation is free.
    """

    product: str
    unit: str
    quantity: int

    @classmethod
    def none(cls) -> "Usage":
        return cls(product="", unit="", quantity=0)

    @property
    def is_free(self) -> bool:
        return self.quantity == 0


@dataclass(frozen=True, slots=True)
class Demand:
    """What one call takes of the vendor's rate limits, as the vendor counts it.

    Calls of the same `pool` share limits: those of one model, or all of a service ('').
    """

    requests: int = 1
    tokens: int = 0
    pool: str = ""

    def of(self, unit: str) -> int:
        """The amount in a limit's unit, `requests` or `tokens`; 0 in one that is not known."""
        return {"requests": self.requests, "tokens": self.tokens}.get(unit, 0)


@dataclass(frozen=True, slots=True)
class Settled:
    """The answer says what was used."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Open:
    """The bill comes later, under the vendor's own reference."""

    vendor_ref: str


@dataclass(frozen=True, slots=True)
class RateLimitFeedback:
    """What the vendor's answer said of one limit: `limit` of a unit in `seconds`.

    `name` is the vendor's, its last part the unit: tokens, project-tokens. `reset` is in seconds.
    """

    name: str
    limit: int | None = None
    remaining: int | None = None
    reset: float | None = None
    seconds: float = 60.0

    @property
    def unit(self) -> str:
        return self.name.rpartition("-")[2]


class Operation(Generic[R_co]):
    """A request as a value. Subclasses are frozen dataclasses.

    `service` names the service that can execute it. `idempotent` promises that repeating it after
    an unknown outcome does no harm. `falls_back` says that in hybrid mode the simulator may answer
    instead: it refers to nothing that only the vendor has, and its answer is not kept for real.
    `worst_case()` is a true upper bound of what it can cost.
    """

    service: ClassVar[str]
    idempotent: ClassVar[bool] = True
    falls_back: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return type(self).__name__

    def worst_case(self) -> Usage:
        """An upper bound of the usage; free unless a subclass says otherwise."""
        return Usage.none()

    def demand(self) -> Demand:
        """What it takes of rate limits: one request, unless a subclass says otherwise."""
        return Demand()


@dataclass(frozen=True, slots=True)
class Choice:
    """Why the router asked where it did.

    `endpoint` is the name that the place is recorded under. `reason` says in a sentence what chose
    it; `fallback` why the vendor could not answer, where the simulator did instead.
    """

    endpoint: str
    reason: str
    fallback: str = ""


@dataclass(frozen=True, slots=True)
class Result(Generic[R]):
    """An answer, with where it came from.

    `endpoint` is the base address that answered, `latency` is in seconds, `request_id` the
    vendor's. Follow-ups of work accepted there go to the same endpoint. `requests` says how many
    it took; more than were asked for are charged to the rate limits afterwards. `choice` is the
    router's; None where no router was in between.
    """

    value: R
    origin: Origin
    endpoint: str
    latency: float
    request_id: str | None = None
    settlement: Settled | Open = field(default_factory=lambda: Settled(Usage.none()))
    rate_limits: tuple[RateLimitFeedback, ...] = ()
    requests: int = 1
    notes: Mapping[str, str] = field(default_factory=dict)
    choice: Choice | None = None

    @property
    def is_fallback(self) -> bool:
        """Whether the simulator answered because the vendor could not."""
        return self.choice is not None and bool(self.choice.fallback)


class ServiceInterface(ABC):
    """Executes operations of one service, or of several behind one face."""

    @abstractmethod
    def is_available(self) -> bool:
        """Whether a call may be tried now. Local and free: it asks nobody."""

    @abstractmethod
    async def get_health(self) -> ServiceHealth:
        """How the service does, and why. May ask an endpoint that costs nothing."""

    async def prepare(self) -> None:  # noqa: B027 — most services have nothing to load
        """Loads whatever a first call needs, so that it leaves at once when it is its turn.

        Asks nobody. Repeating it does nothing.
        """

    @abstractmethod
    async def execute(self, operation: Operation[R]) -> Result[R]:
        """Executes the operation once.

        Raises:
            ServiceError: the service failed; the subclass names the effect.
            RefusedError: the call was not made.
        """


class Services(ServiceInterface):
    """Several services behind one face, each at one endpoint or more."""

    @abstractmethod
    def at(self, service: str, endpoint: str) -> ServiceInterface:
        """The service at an endpoint, by the name that work was recorded under.

        Whoever took the work has it, whatever the mode is now.

        Raises:
            Misconfigured: the present settings reach no such place.
        """

    @abstractmethod
    def endpoints(self, service: str) -> tuple[str, ...]:
        """The names of all places where the present settings reach a service."""
