"""The vendors' rate limits as they stand: configured, told by the vendor, used, and paused."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gristmill.database.engine import Database
from gristmill.settings.rates import RateLimitSetting

# `burst` is how many seconds of a limit may be used at once after a rest; then a turn comes so much
# earlier, less what one unit takes.
_LIMITS: Final = """
SELECT split_part(l.endpoint, '@', 1) AS service,
       substr(l.endpoint, strpos(l.endpoint, '@') + 1) AS endpoint,
       l.pool, l.name, l.unit, l.set_amount, l.set_seconds,
       l.told_amount, l.told_seconds, l.told_at,
       CASE l.minute
           WHEN m.this THEN l.used + l.used_before * m.rest
           WHEN m.this - interval '1 minute' THEN l.used * m.rest
           ELSE 0 END AS used,
       greatest(0, extract(epoch FROM greatest(l.free_at, m.now) - m.now)::double precision
           - greatest(0, %(burst)s - seconds_per_unit(l))) AS next_turn,
       extract(epoch FROM greatest(p.paused_until, m.now) - m.now)::double precision AS paused
FROM rate_limits l JOIN rate_pools p USING (endpoint, pool)
CROSS JOIN (SELECT now, date_trunc('minute', now) AS this,
                   (1 - extract(second FROM now) / 60)::double precision AS rest
            FROM (SELECT clock_timestamp() AS now) n) m
WHERE seconds_per_unit(l) IS NOT NULL
ORDER BY l.endpoint, l.pool, l.name
"""


@dataclass(frozen=True, slots=True)
class Allowance:
    """`amount` of a unit in `seconds`."""

    amount: float
    seconds: float

    @property
    def per_minute(self) -> float:
        return 60 * self.amount / self.seconds


@dataclass(frozen=True, slots=True)
class RateLimitUse:
    """One limit of a service; of calls that share it, if `pool` is named: those of one model.

    `set_to` is what a person has configured, `told` what the vendor has said, last at `told_at`;
    the slower counts. `used` is what turns were taken for in the last minute, by all processes.
    `next_turn` is how long a call that comes now would wait, `paused` how long the vendor wants
    everybody to wait, both in seconds. `waiting` calls stand before it.
    """

    service: str
    endpoint: str
    pool: str
    name: str
    unit: str
    set_to: Allowance | None
    told: Allowance | None
    told_at: datetime | None
    used: float
    next_turn: float
    paused: float
    waiting: int = 0

    @property
    def per_minute(self) -> float:
        """What a minute has of it."""
        known = (each for each in (self.set_to, self.told) if each is not None)
        return min(each.per_minute for each in known)

    @property
    def share(self) -> float:
        """The part of a minute's quota that was used; above 1 where turns are taken in advance."""
        return self.used / self.per_minute


async def rate_limits(database: Database, *, burst: float = 0.0) -> list[RateLimitUse]:
    """Every limit that is in force, in the order of services; nothing is said of who waits."""
    async with database.connection() as connection:
        rows = await (await connection.execute(_LIMITS, {"burst": burst})).fetchall()
    uses = []
    for row in rows:
        row["set_to"] = _allowance(row.pop("set_amount"), row.pop("set_seconds"))
        row["told"] = _allowance(row.pop("told_amount"), row.pop("told_seconds"))
        row["next_turn"] = max(row["next_turn"], row["paused"])
        uses.append(RateLimitUse(**row))
    return uses


def unused(service: str, endpoint: str, limit: RateLimitSetting) -> RateLimitUse:
    """A limit that is configured, before the first call has put it in force."""
    set_to = Allowance(limit.amount, limit.seconds)
    return RateLimitUse(
        service, endpoint, "", limit.unit, limit.unit, set_to, None, None, 0.0, 0.0, 0.0
    )


def _allowance(amount: float | None, seconds: float | None) -> Allowance | None:
    return None if amount is None or seconds is None else Allowance(amount, seconds)
