"""How often files may be uploaded and batches created: limits without headers."""

import math

import orjson

from gristmill_simulators.bucket import Bucket
from gristmill_simulators.openai.account import ORGANIZATION
from gristmill_simulators.openai.durations import go_duration
from gristmill_simulators.openai.errors import OpenAIError
from gristmill_simulators.settings import keep
from gristmill_simulators.simulator import Simulator

_KEPT = "openai.route_limits"
_UNITS = {60.0: "requests per min (RPM)", 3600.0: "requests per hour"}


class RouteLimits:
    """One bucket per route, kept across restarts."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        row = simulator.database.read_one("SELECT value FROM kept WHERE name = ?", _KEPT)
        self._used: dict[str, list[float]] = {} if row is None else orjson.loads(row["value"])

    def admit(self, route: str, limit: float, window: float) -> None:
        """Count one request of `limit` in `window` seconds. Raises OpenAIError (429)."""
        now = self._simulator.clock()
        bucket = Bucket(limit, window, limit, *self._used.get(route, (0.0, 0.0)))
        wait = bucket.wait(1, now)
        if wait > 0:
            raise OpenAIError(
                429,
                f"Rate limit reached for {route} in organization {ORGANIZATION} on"
                f" {_UNITS[window]}: Limit {int(limit)}, Used {math.ceil(bucket.level(now))},"
                f" Requested 1. Please try again in {go_duration(max(wait, 0.001))}.",
                kind="requests",
                code="rate_limit_exceeded",
                headers={"retry-after": str(max(1, math.ceil(wait)))},
            )
        bucket.charge(1, now)
        self._used[route] = [bucket.used, bucket.at]
        kept = orjson.dumps(self._used)
        self._simulator.database.post(lambda connection: keep(connection, _KEPT, kept))

    def forget(self) -> None:
        self._used = {}
