"""What was heard of a service: values with ages in seconds, so that processes can be joined.

Ages and not times: each process has a clock of its own, and what it says is aged by the database's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any, Final, TypeVar

from gristmill.contract import Status

WINDOW: Final = 300.0  # seconds; what is older is forgotten
OUTCOMES: Final = 20  # remembered one by one
FRESH: Final = 5.0  # seconds; an outage, or its end, is told this much late at most
SAMPLES: Final = 101  # response times
CLOSED: Final = "closed"  # a breaker that lets calls pass


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one try or one probe ended: what it shows of the service, and the error's kind."""

    age: float
    status: Status
    kind: str = ""
    is_probe: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """The service's own time for an answer, in seconds."""

    age: float
    seconds: float
    is_probe: bool = False


@dataclass(frozen=True, slots=True)
class Count:
    """Tries that ended within some seconds, and the failures of the service among them by kind.

    `age` is that of the newest of them at the least.
    """

    age: float
    calls: int
    errors: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failure: its kind, what the error said, and what that means with what to do."""

    age: float
    kind: str
    error: str
    reason: str


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard of one service at one endpoint within `WINDOW`, the newest first."""

    outcomes: tuple[Outcome, ...] = ()
    samples: tuple[Sample, ...] = ()
    counts: tuple[Count, ...] = ()
    failure: Failure | None = None

    @property
    def age(self) -> float | None:
        """Seconds since the newest outcome; None if there is none."""
        return self.outcomes[0].age if self.outcomes else None

    @property
    def is_fresh(self) -> bool:
        """Whether it has answered, or was asked how it does, in the last `FRESH` seconds."""
        if not self.outcomes:
            return False
        newest = self.outcomes[0]
        return newest.age < FRESH and (newest.is_probe or newest.status is Status.HEALTHY)

    def calls(self, seconds: float = WINDOW) -> int:
        """Tries that ended in the last `seconds`."""
        return sum(count.calls for count in self.counts if count.age < seconds)

    def errors(self, seconds: float = WINDOW) -> dict[str, int]:
        """The failures of the service among them, by kind, the most frequent first."""
        kinds: dict[str, int] = {}
        for count in self.counts:
            if count.age < seconds:
                for kind, number in count.errors.items():
                    kinds[kind] = kinds.get(kind, 0) + number
        return dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0])))

    def times(self) -> tuple[float, ...]:
        """Response times in seconds, the newest first: of calls; of probes if there are none."""
        calls = tuple(sample.seconds for sample in self.samples if not sample.is_probe)
        return calls or tuple(sample.seconds for sample in self.samples)


@dataclass(frozen=True, slots=True)
class Live:
    """How it stands with a service in one process at this moment.

    `breaker_seconds` is how long its breaker stays open. `retries` counts since the process
    started. `turns` has the calls that wait for a rate limit, by pool, `queued` those that wait for
    others to end, since only `at_once` may be under way (None: no bound).
    """

    breaker: str = CLOSED
    breaker_seconds: float | None = None
    retries: int = 0
    turns: Mapping[str, int] = field(default_factory=dict)
    queued: int = 0
    at_once: int | None = None


Part = TypeVar("Part", Outcome, Sample, Count, Failure)


def joined(every: Iterable[Heard], older: float = 0.0) -> Heard:
    """What several processes have heard, `older` seconds later, as if one had."""
    parts = tuple(every)
    failures = (each.failure for each in parts if each.failure is not None)
    return Heard(
        outcomes=_newest(chain.from_iterable(e.outcomes for e in parts), older, OUTCOMES),
        samples=_newest(chain.from_iterable(e.samples for e in parts), older, SAMPLES),
        counts=_newest(chain.from_iterable(e.counts for e in parts), older, None),
        failure=next(iter(_newest(failures, older, 1)), None),
    )


def _newest(parts: Iterable[Part], older: float, most: int | None) -> tuple[Part, ...]:
    kept = (part for part in parts if part.age + older < WINDOW)
    newest = islice(sorted(kept, key=lambda part: part.age), most)
    return tuple(replace(part, age=part.age + older) for part in newest)


def as_json(heard: Heard) -> dict[str, Any]:
    """What `heard_of` reads: the values without their names, for there are many of them."""
    failure = heard.failure
    return {
        "outcomes": [(_ms(o.age), o.status, o.kind, o.is_probe) for o in heard.outcomes],
        "samples": [(_ms(s.age), s.seconds, s.is_probe) for s in heard.samples],
        "counts": [(_ms(c.age), c.calls, c.errors) for c in heard.counts],
        "failure": failure and (_ms(failure.age), failure.kind, failure.error, failure.reason),
    }


def _ms(age: float) -> float:
    return round(age, 3)


def heard_of(told: Mapping[str, Any]) -> Heard:
    """What `as_json` wrote."""
    return Heard(
        outcomes=tuple(Outcome(age, Status(s), *rest) for age, s, *rest in told["outcomes"]),
        samples=tuple(Sample(*sample) for sample in told["samples"]),
        counts=tuple(Count(*count) for count in told["counts"]),
        failure=told["failure"] and Failure(*told["failure"]),
    )
