"""Hears how the calls of this process go, at a microsecond or two each and in flat memory."""

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gristmill.contract import ServiceHealth, Status
from gristmill.errors import Misconfigured, Rejected, ServiceError
from gristmill.health.findings import finding
from gristmill.health.heard import (
    OUTCOMES,
    SAMPLES,
    WINDOW,
    Count,
    Failure,
    Heard,
    Outcome,
    Sample,
    joined,
)
from gristmill.telemetry.masking import masked

COUNTED_TOGETHER: Final = 10.0  # seconds
LONGEST_TEXT: Final = 500  # characters of an error that are kept


@dataclass(slots=True)
class _Count:
    """Tries that ended between `since` and `COUNTED_TOGETHER` later."""

    since: float
    calls: int = 0
    errors: Counter[str] = field(default_factory=Counter)


class Hearing:
    """What this process hears of one service at one endpoint; `clock` is monotonic, in seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Their ages are those at the clock's zero; `heard` adds the time that has passed since.
        self._outcomes: deque[Outcome] = deque(maxlen=OUTCOMES)
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)
        self._counts: deque[_Count] = deque(maxlen=int(WINDOW / COUNTED_TOGETHER) + 1)
        self._failure: Failure | None = None
        self._totals: Counter[str] = Counter()
        self._seconds = 0.0

    def succeeded(self, seconds: float) -> None:
        """A try was answered; the service itself took so many seconds."""
        self._answered(self._clock(), seconds, is_probe=False)

    def failed(self, error: BaseException) -> None:
        """A try ended so. What was not asked of the service says nothing about it."""
        now = self._clock()
        if isinstance(error, Rejected):
            if error.status is not None:  # it answered, and had accepted the key
                self._ended(now, Status.HEALTHY, "")
        elif isinstance(error, ServiceError | Misconfigured):
            status, reason = finding(error)
            self._ended(now, status, error.kind)
            self._remember(now, error.kind, str(error), reason)

    def probed(self, health: ServiceHealth) -> None:
        """The service was asked how it does. If it was not asked after all, that says nothing."""
        now = self._clock()
        if health.response_time is not None:
            self._answered(now, health.response_time, is_probe=True)
        elif health.status is not Status.UNKNOWN:
            kind = health.error_kind or ""
            self._ended(now, health.status, kind, is_probe=True)
            self._remember(now, kind, health.last_error or health.reason, health.reason)

    def is_silent(self) -> bool:
        """Whether nothing is remembered."""
        return not self._outcomes or self._clock() + self._outcomes[-1].age >= WINDOW

    def heard(self) -> Heard:
        """What is remembered, aged to this moment."""
        now = self._clock()
        # The newest of a count may be as young as this moment.
        counts = (
            Count(-min(now, each.since + COUNTED_TOGETHER), each.calls, dict(each.errors))
            for each in self._counts
        )
        newest_first = tuple(reversed(self._outcomes)), tuple(reversed(self._samples))
        return joined([Heard(*newest_first, tuple(counts), self._failure)], now)

    def totals(self) -> dict[str, float]:
        """Since the process started: calls, answers, the seconds they took; failures by kind."""
        return {**self._totals, "seconds": self._seconds}

    def _answered(self, now: float, seconds: float, *, is_probe: bool) -> None:
        self._ended(now, Status.HEALTHY, "", is_probe=is_probe)
        self._samples.append(Sample(-now, seconds, is_probe))
        self._totals["answers"] += 1
        self._seconds += seconds

    def _ended(self, now: float, status: Status, kind: str, *, is_probe: bool = False) -> None:
        self._outcomes.append(Outcome(-now, status, kind, is_probe))
        if kind == Misconfigured.__name__:
            return  # nothing was called
        count = self._counts[-1] if self._counts else None
        if count is None or now - count.since >= COUNTED_TOGETHER:
            count = _Count(now)
            self._counts.append(count)
        count.calls += 1
        self._totals["calls"] += 1
        if kind:
            count.errors[kind] += 1
            self._totals[kind] += 1

    def _remember(self, now: float, kind: str, error: str, reason: str) -> None:
        self._failure = Failure(-now, kind, _fit(error), _fit(reason))


def _fit(text: str) -> str:
    """A vendor's words as the database and a terminal can take them."""
    safe = masked(text).encode("utf-8", "replace").decode().replace("\0", "?")
    return safe if len(safe) <= LONGEST_TEXT else safe[: LONGEST_TEXT - 1] + "…"
