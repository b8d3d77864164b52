"""How far a batch may have come by now: the transition that a test has chosen, as a pure rule."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal


class Stage(IntEnum):
    """States of a batch that goes well, in order."""

    VALIDATING = 0
    IN_PROGRESS = 1
    FINALIZING = 2
    DONE = 3


@dataclass(frozen=True, slots=True)
class Allowed:
    """The furthest stage, and the share of the lines that may be run."""

    stage: Stage
    share: float

    def lines(self, total: int) -> int:
        return total if self.stage > Stage.IN_PROGRESS else int(self.share * total)


_ALL = Allowed(Stage.DONE, 1.0)


def allowed(
    kind: Literal["at_once", "polls", "seconds"], value: float, looks: int, age: float
) -> Allowed:
    """Everything at once, after `value` looks, or at the age of `value` seconds.

    Looks show `validating` first (of three or more) and `finalizing` last (of two or more); of the
    seconds the first and the last tenth are those states.
    """
    if kind == "at_once":
        return _ALL
    if kind == "seconds":
        return _ALL if age >= value else Allowed(_stage_at(age / value), age / value)
    if looks > value:
        return _ALL
    return Allowed(_stage_of(looks, value), looks / value if looks else 0.0)


def may_cancel(
    kind: Literal["at_once", "polls", "seconds"], value: float, looks: int, age: float
) -> bool:
    """May `cancelling` end? `looks` and `age` count from the request to cancel."""
    if kind == "at_once":
        return True
    if kind == "seconds":
        return age >= min(value, 600.0)  # "up to 10 minutes" (API reference)
    return looks > min(value, 1.0)


def _stage_at(share: float) -> Stage:
    if share < 0.1:
        return Stage.VALIDATING
    return Stage.FINALIZING if share >= 0.9 else Stage.IN_PROGRESS


def _stage_of(look: int, value: float) -> Stage:
    if look == 0 or (look == 1 and value >= 3):
        return Stage.VALIDATING
    return Stage.FINALIZING if look >= max(value, 2) else Stage.IN_PROGRESS
