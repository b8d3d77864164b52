"""What was heard of a service, as a person or a program asks for it. Pure."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gristmill.contract import ServiceHealth
from gristmill.health.heard import Heard, Live
from gristmill.health.rules import judge


@dataclass(frozen=True, slots=True)
class ServiceReport(ServiceHealth):
    """How a service at `endpoint` does, in all processes together; of the last five minutes.

    Response times are in seconds: the last one, the median (`response_time`) and the 95th
    percentile. `errors` has the failures of the service by kind. `breakers` says in how many
    processes its breaker is closed, open or half open; `retries` counts what those have repeated,
    and `waiting` the calls that wait for their turn. `quota_left` is the share of its rate limits
    that the last minute has left, `budget_left` the nano-dollars that its limits leave now; None
    where there is no limit. `mode` is that of the service, `mode_reason` what decided it, with a
    setting that does not count; `stands_in` the endpoint that answers while this one is down.
    """

    endpoint: str = ""
    last_response_time: float | None = None
    p95_response_time: float | None = None
    calls: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    last_error_at: datetime | None = None
    breakers: Mapping[str, int] = field(default_factory=dict)
    retries: int = 0
    waiting: int = 0
    quota_left: float | None = None
    budget_left: int | None = None
    mode: str = ""
    mode_reason: str = ""
    stands_in: str = ""

    @property
    def processes(self) -> int:
        """How many use the service now."""
        return sum(self.breakers.values())


def report(
    heard: Heard, live: Sequence[Live] = (), *, endpoint: str = "", now: datetime | None = None
) -> ServiceReport:
    """The status with what it follows from; `now` is the time that ages count from."""
    now = now or datetime.now(UTC)
    verdict, times = judge(heard, live), heard.times()
    failure = heard.failure
    return ServiceReport(
        status=verdict.status,
        response_time=quantile(times, 0.5),
        error_count=sum(heard.errors().values()),
        last_error=None if failure is None else failure.error,
        checked_at=None if heard.age is None else now - timedelta(seconds=heard.age),
        reason=verdict.reason,
        error_kind=None if failure is None else failure.kind,
        endpoint=endpoint,
        last_response_time=times[0] if times else None,
        p95_response_time=quantile(times, 0.95),
        calls=heard.calls(),
        errors=heard.errors(),
        last_error_at=None if failure is None else now - timedelta(seconds=failure.age),
        breakers=Counter(each.breaker for each in live),
        retries=sum(each.retries for each in live),
        waiting=sum(sum(each.turns.values()) + each.queued for each in live),
    )


def quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that so great a share of all does not exceed; None of nothing."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
