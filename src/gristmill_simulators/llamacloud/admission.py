"""Who may come in, and how often: the key of the region, the windows and credits of the plan."""

import sqlite3
from dataclasses import dataclass, field

import orjson
from starlette.requests import Request

from gristmill_simulators.bucket import Bucket
from gristmill_simulators.environment import LLAMA_CLOUD_API_KEY, LLAMA_CLOUD_EU_API_KEY
from gristmill_simulators.llamacloud import billing, errors
from gristmill_simulators.llamacloud.errors import LlamaCloudError
from gristmill_simulators.settings import keep
from gristmill_simulators.simulator import Simulator

_KEYS = {"na": LLAMA_CLOUD_API_KEY, "eu": LLAMA_CLOUD_EU_API_KEY}
_LIMITS = "llamacloud.limits"


@dataclass(frozen=True, slots=True)
class _Plan:
    """Requests a minute in all, and credits before 402; vendor's pages on limits and plans."""

    requests_per_minute: float | None
    credits: float | None


_PLANS = {
    "unlimited": _Plan(None, None),
    "free": _Plan(20, 10_000),
    "starter": _Plan(None, 400_000),
    "pro": _Plan(None, 4_000_000),
}
# requests in a window of seconds: 50 a second each; vendor's page on rate limits
_WINDOWS = {"files.create": (250, 5.0), "parsing.upload": (500, 10.0)}


@dataclass
class Admission:
    """Checks keys, request limits and credits; limits are kept across restarts."""

    simulator: Simulator
    _buckets: dict[str, Bucket] = field(default_factory=dict)
    _restored: bool = False

    def authorize(self, request: Request) -> None:
        """Raises LlamaCloudError (401) with the vendor's text for no key, or for a wrong one."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise LlamaCloudError(401, "Not authenticated")
        switches = self.simulator.settings.current.llamacloud
        if key not in (switches.api_keys or (_KEYS[switches.region],)):
            raise errors.wrong_key()

    def admit(self, operation: str) -> None:
        """Count one request. Raises LlamaCloudError (429)."""
        settings = self.simulator.settings.current
        plan = _PLANS[settings.llamacloud.plan]
        quotas = settings.quotas
        per_minute = quotas.llamacloud_requests_per_minute or plan.requests_per_minute
        if per_minute is not None:
            self._take(
                "requests", per_minute, 60, per_minute * quotas.llamacloud_burst_seconds / 60
            )
        if settings.llamacloud.plan != "unlimited" and operation in _WINDOWS:
            limit, seconds = _WINDOWS[operation]
            self._take(operation, limit, seconds, limit)

    def check_credits(self) -> None:
        """Raises LlamaCloudError (402) when the account has used up its credits."""
        switches = self.simulator.settings.current.llamacloud
        limit = switches.credits
        if limit is None:
            limit = _PLANS[switches.plan].credits
        if limit is not None and billing.used(self.simulator.database) >= limit:
            raise errors.credits_used_up()

    def forget(self) -> None:
        self._buckets.clear()

    def _take(self, name: str, limit: float, window: float, capacity: float) -> None:
        self._restore()
        bucket = self._buckets.setdefault(name, Bucket(limit, window, capacity))
        bucket.limit, bucket.window, bucket.capacity = limit, window, capacity
        now = self.simulator.clock()
        if bucket.wait(1, now) > 0:
            raise LlamaCloudError(429, "Rate limit exceeded")
        bucket.charge(1, now)
        kept = orjson.dumps({each: [b.used, b.at] for each, b in self._buckets.items()})

        def write(connection: sqlite3.Connection) -> None:
            keep(connection, _LIMITS, kept)

        self.simulator.database.post(write)

    def _restore(self) -> None:
        if self._restored:
            return
        self._restored = True
        row = self.simulator.database.read_one("SELECT value FROM kept WHERE name = ?", _LIMITS)
        for name, (used, at) in (orjson.loads(row["value"]) if row is not None else {}).items():
            self._buckets[name] = Bucket(1, 60, 1, used, at)
