"""How long an answer takes: models of latency, and what is drawn from them."""

import math
import random
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gristmill_simulators.pattern import fits

_Seconds = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]
_P95 = 1.6448536269514722  # standard deviations from the median


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    per: dict[str, _Seconds] = Field(
        default_factory=dict, description="more seconds for each unit of a call"
    )
    seed: int | None = Field(default=None, description="makes the draws the same each time")

    def draw(self, chance: random.Random) -> float:
        raise NotImplementedError


class Constant(_Model):
    """Always `seconds`."""

    kind: Literal["constant"] = "constant"
    seconds: _Seconds

    def draw(self, chance: random.Random) -> float:
        del chance
        return self.seconds


class Uniform(_Model):
    """Anything from `low` to `high` seconds."""

    kind: Literal["uniform"]
    low: _Seconds = 0.0
    high: _Seconds

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high < self.low:
            raise ValueError("high must not be below low")
        return self

    def draw(self, chance: random.Random) -> float:
        return chance.uniform(self.low, self.high)


class Lognormal(_Model):
    """Half of the calls below `median` seconds, one in twenty above `p95`: what services do."""

    kind: Literal["lognormal"]
    median: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
    p95: _Seconds

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.p95 < self.median:
            raise ValueError("p95 must not be below median")
        return self

    def draw(self, chance: random.Random) -> float:
        deviation = math.log(self.p95 / self.median) / _P95
        return min(chance.lognormvariate(math.log(self.median), deviation), 3600.0)


def _from_number(given: Any) -> Any:  # noqa: ANN401 — any JSON value
    """0.1 is short for a constant; a kind may be left out where `seconds` says it."""
    if isinstance(given, int | float) and not isinstance(given, bool):
        return {"kind": "constant", "seconds": given}
    if isinstance(given, dict) and "kind" not in given:
        return {"kind": "constant", **given}
    return given


Latency = Annotated[
    Constant | Uniform | Lognormal, Field(discriminator="kind"), BeforeValidator(_from_number)
]
Models = Mapping[str, Constant | Uniform | Lognormal]


class Latencies:
    """Draws by route; with a seed the n-th call of a pattern always takes the same time."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._drawn: dict[str, int] = {}
        self._free = random.Random()  # noqa: S311 — no secret

    def configure(self, models: Models) -> None:
        """Use other models; series with a seed begin anew."""
        if models is self._models:
            return
        if models != self._models:
            self._drawn = {}
        self._models = models

    def before(self, route: str) -> float:
        """Seconds until the call is served."""
        pattern = self._pattern(route)
        if pattern is None:
            return 0.0
        model = self._models[pattern]
        return model.draw(self._chance(pattern, model.seed))

    def after(self, route: str, units: Mapping[str, Any]) -> float:
        """Seconds that what the call turned out to be adds to it."""
        pattern = self._pattern(route)
        if pattern is None:
            return 0.0
        per = self._models[pattern].per
        return sum((seconds * float(units.get(unit, 0)) for unit, seconds in per.items()), 0.0)

    def _pattern(self, route: str) -> str | None:
        fitting = [pattern for pattern in self._models if fits(pattern, route)]
        return max(fitting, key=len, default=None)

    def _chance(self, pattern: str, seed: int | None) -> random.Random:
        if seed is None:
            return self._free
        number = self._drawn[pattern] = self._drawn.get(pattern, 0) + 1
        return random.Random(f"{seed}/{number}")  # noqa: S311 — no secret
