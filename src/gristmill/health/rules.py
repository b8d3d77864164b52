"""The status that follows from what was heard. Pure; the first rule that fits counts.

    unconfigured  the newest outcome shows a wrong setting, or that there is no key
    unknown       nothing was heard for `WINDOW`
    unhealthy     the last outcomes are all failures: three, two where the service itself gave the
                  reason (the key, the credit), one where it was asked only how it does
    degraded      it was asked too fast in the last minute; or of the calls of the last minute two
                  and a tenth failed; or a process leaves it alone; or it is slow
    healthy       it answers and accepts the key

A success after failures is believed at once, and shows as `degraded` for a minute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from statistics import median
from typing import Final

from gristmill.contract import Status
from gristmill.errors import QuotaExhausted, Throttled, Unauthorized
from gristmill.health.findings import HEALTHY
from gristmill.health.heard import WINDOW, Heard, Live, Outcome

RECENT: Final = 60.0  # seconds
SHARE: Final = 0.1  # of calls that fail
LEAST: Final = 2  # failures that are no accident
SLOW_SECONDS: Final = 10.0  # the median of calls
SLOW_PROBE_SECONDS: Final = 5.0  # a question that costs nothing should not take longer
SLOW_CALLS: Final = 5
CONCLUSIVE: Final = 3  # failures in a row
SAID_BY_IT: Final = frozenset({Unauthorized.__name__, QuotaExhausted.__name__})

# From the best to the worst.
WORSE: Final[Mapping[Status, int]] = {
    status: rank
    for rank, status in enumerate(
        (Status.HEALTHY, Status.UNKNOWN, Status.DEGRADED, Status.UNCONFIGURED, Status.UNHEALTHY)
    )
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A status and why, as sentences for a person."""

    status: Status
    reason: str


def judge(heard: Heard, live: Sequence[Live] = ()) -> Verdict:
    """The status of a service: by what was heard, and how it stands in each process now."""
    if not heard.outcomes:
        return Verdict(
            Status.UNKNOWN, f"Nothing was heard of it in the last {WINDOW / 60:.0f} min."
        )
    newest = heard.outcomes[0]
    why = "" if heard.failure is None else heard.failure.reason
    if newest.status is Status.UNCONFIGURED:
        return Verdict(Status.UNCONFIGURED, why)
    if _failed_in_a_row(heard.outcomes) >= min(_needed(newest), len(heard.outcomes)):
        return Verdict(Status.UNHEALTHY, why)
    problem = _throttled(heard) or _failing(heard) or _left_alone(live) or _slow(heard)
    if problem:
        return Verdict(Status.DEGRADED, problem)
    return Verdict(Status.HEALTHY, HEALTHY)


def _needed(newest: Outcome) -> int:
    """How many failures in a row show that it does not serve."""
    if newest.is_probe:
        return 1
    return CONCLUSIVE - 1 if newest.kind in SAID_BY_IT else CONCLUSIVE


def _failed_in_a_row(outcomes: Sequence[Outcome]) -> int:
    failed = takewhile(lambda outcome: outcome.status is Status.UNHEALTHY, outcomes)
    return sum(1 for _ in failed)


def _throttled(heard: Heard) -> str | None:
    times = heard.errors(RECENT).get(Throttled.__name__, 0)
    if not times:
        return None
    if heard.failure is not None and heard.failure.kind == Throttled.__name__:
        return heard.failure.reason
    calls = heard.calls(RECENT)
    return f"It is rate limited. Of its {calls} calls in the last minute {times} came too fast."


def _failing(heard: Heard) -> str | None:
    calls, errors = heard.calls(RECENT), sum(heard.errors(RECENT).values())
    if errors < LEAST or errors < SHARE * calls:
        return None
    said = f"{errors} of its {calls} calls in the last minute failed"
    if heard.outcomes[0].status is Status.HEALTHY:
        return f"{said}; the last one went well."
    return f"{said}. {heard.failure.reason}" if heard.failure else f"{said}."


def _left_alone(live: Sequence[Live]) -> str | None:
    # Once its time is over the next call passes, and may be long in coming.
    seconds = max((each.breaker_seconds or 0.0 for each in live), default=0.0)
    if not seconds:
        return None
    return f"Too many calls failed, so that it is left alone for {seconds:.0f} s more."


def _slow(heard: Heard) -> str | None:
    probe = next((s.seconds for s in heard.samples if s.is_probe and s.age < RECENT), 0.0)
    if probe > SLOW_PROBE_SECONDS:
        return f"It is slow: it took {probe:.1f} s to say that it is there."
    calls = [s.seconds for s in heard.samples if not s.is_probe]
    if len(calls) >= SLOW_CALLS and (half := median(calls)) > SLOW_SECONDS:
        return f"It is slow: half of its last {len(calls)} calls took {half:.1f} s and more."
    return None
