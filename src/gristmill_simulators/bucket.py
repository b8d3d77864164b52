"""A continuously refilling bucket, the shape of limiter the recordings of OpenAI show."""

from dataclasses import dataclass

_GRAIN = 1e-3  # of a unit: what is smaller comes from the rounding of clocks


@dataclass(slots=True)
class Bucket:
    """`limit` units per `window` seconds, of which `capacity` may be used in one go.

    Times are seconds of one clock; `used` decays by `limit / window` per second.
    """

    limit: float
    window: float
    capacity: float
    used: float = 0.0
    at: float = 0.0

    def level(self, now: float) -> float:
        """Units in use at `now`."""
        return max(0.0, self.used - max(0.0, now - self.at) * self.limit / self.window)

    def wait(self, cost: float, now: float) -> float:
        """Seconds until `cost` fits; 0 when it fits now.

        A cost above the capacity fits an empty bucket, else it could never pass.
        """
        excess = self.level(now) + cost - max(self.capacity, cost)
        return excess / self.limit * self.window if excess > _GRAIN else 0.0

    def charge(self, cost: float, now: float) -> None:
        self.used = self.level(now) + cost
        self.at = max(self.at, now)

    def remaining(self, now: float) -> int:
        return max(0, int(self.limit - self.level(now)))

    def full_in(self, now: float) -> float:
        """Seconds until nothing is in use."""
        return self.level(now) / self.limit * self.window
