"""Limits that a person sets, and what is left of them.

A limit is for a scope (all there is, a service, a collection, a document) and a period (day, month,
total; days and months of UTC by the database's clock). Money of different origins has limits of
its own. The database decides what fits; here limits are set and read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args

from gristmill.contract import Origin
from gristmill.database.engine import Database
from gristmill.errors import InvalidArgument, Misconfigured
from gristmill.settings.budget import Period

Scope = Literal["global", "service", "collection", "document"]

_SET: Final = "SELECT set_limit(%s, %s, %s, %s, %s)"

_CLEAR: Final = "SELECT clear_limit(%s, %s, %s, %s) AS cleared"

_BALANCES: Final = """
SELECT l.origin, l.scope, coalesce(b.key, l.key) AS key, l.period, l.nano_dollars AS limit,
       coalesce(b.posted, 0) AS spent, coalesce(b.held, 0) AS held,
       coalesce(b.overrun, 0) AS overrun, coalesce(b.alerted, 0) AS alerted,
       CASE WHEN isfinite(w.ends_at) THEN w.ends_at END AS window_end
FROM limits l
CROSS JOIN LATERAL (SELECT window_start(l.period, clock_timestamp())) s (starts_at)
CROSS JOIN LATERAL (SELECT window_end(l.period, s.starts_at)) w (ends_at)
LEFT JOIN LATERAL (
    SELECT * FROM balances WHERE limit_id = l.id AND starts_at = s.starts_at
    ORDER BY key LIMIT %(most)s) b ON true
ORDER BY l.origin, array_position(ARRAY['global', 'service', 'collection', 'document'], l.scope),
         l.key, array_position(ARRAY['day', 'month', 'total'], l.period), key
LIMIT %(most)s
"""

# Where a balance has no row yet, the journal says what it would begin with.
_ROOM: Final = """
SELECT l.origin, l.scope, k.key, l.period, l.nano_dollars AS limit,
       coalesce(b.posted, f.posted) AS spent, coalesce(b.held, f.held) AS held,
       coalesce(b.overrun, 0) AS overrun, coalesce(b.alerted, 0) AS alerted,
       CASE WHEN isfinite(w.ends_at) THEN w.ends_at END AS window_end
FROM limits l
JOIN unnest(%(scopes)s::text[], %(keys)s::text[]) AS k (scope, key)
    ON k.scope = l.scope AND l.key IN ('', k.key)
CROSS JOIN LATERAL (
    SELECT s AS starts_at, window_end(l.period, s) AS ends_at
    FROM window_start(l.period, clock_timestamp()) s) w
LEFT JOIN balances b ON b.limit_id = l.id AND b.key = k.key AND b.starts_at = w.starts_at
LEFT JOIN LATERAL folded(l.id, k.key, w.starts_at) f ON b.id IS NULL
WHERE l.origin = %(origin)s AND l.nano_dollars IS NOT NULL
ORDER BY array_position(ARRAY['global', 'service', 'collection', 'document'], l.scope),
         l.key, array_position(ARRAY['day', 'month', 'total'], l.period), k.key
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """How much may be spent, in nano-dollars; None says on purpose that there is no limit.

    The key '' is all there is in the global scope; in another it means that each service,
    collection or document has that much.
    """

    scope: Scope
    period: Period
    nano_dollars: int | None
    key: str = ""

    def __post_init__(self) -> None:
        if self.scope not in get_args(Scope):
            raise InvalidArgument(f"A limit is for {_listed(Scope)}; not for {self.scope!r}.")
        if self.period not in get_args(Period):
            raise InvalidArgument(f"A limit is for a {_listed(Period)}; not for {self.period!r}.")
        if self.scope == "global" and self.key:
            raise InvalidArgument("The global limit is for everything, and has no name.")
        if self.nano_dollars is not None and self.nano_dollars < 0:
            raise InvalidArgument("A limit is not negative.")


@dataclass(frozen=True, slots=True)
class Balance:
    """What is left of a limit in its present window; amounts in nano-dollars.

    `limit` is None where a person said that there is none; then nothing is counted. `overrun` is
    by how much spent and held pass a limit that was lowered, or that a vendor's bill broke.
    `alerted` is the highest threshold that was reached: 0, 50, 80 or 100 percent.
    """

    origin: Origin
    scope: Scope
    key: str
    period: Period
    limit: int | None
    spent: int
    held: int
    overrun: int
    alerted: int
    window_end: datetime | None

    @property
    def name(self) -> str:
        """As in service=openai/day."""
        key = f"={self.key}" if self.key else ""
        return f"{self.scope}{key}/{self.period}"

    @property
    def left(self) -> int | None:
        """What may still be held."""
        return None if self.limit is None else max(0, self.limit - self.spent - self.held)


async def set_limit(database: Database, origin: Origin, limit: Limit) -> None:
    """Sets a limit, or changes it; calls that are under way are not called back.

    Raises:
        DatabaseUnavailable: it may or may not be set.
    """
    values = (origin, limit.scope, limit.key, limit.period, limit.nano_dollars)
    async with database.connection() as connection:
        await connection.execute(_SET, values)


async def seed_limits(database: Database, origin: Origin, limits: Sequence[Limit]) -> bool:
    """Sets these, if nobody has set any limit for this origin yet; False if somebody has."""
    async with database.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(ledger_lock())")
        cursor = await connection.execute("SELECT FROM limits WHERE origin = %s LIMIT 1", (origin,))
        if await cursor.fetchone() is not None:
            return False
        for limit in limits:
            values = (origin, limit.scope, limit.key, limit.period, limit.nano_dollars)
            await connection.execute(_SET, values)
        return True


async def clear_limit(
    database: Database, origin: Origin, scope: Scope, period: Period, key: str = ""
) -> bool:
    """Removes a limit; False if there was none."""
    async with database.connection() as connection:
        row = await (await connection.execute(_CLEAR, (origin, scope, key, period))).fetchone()
    return row is not None and bool(row["cleared"])


async def refuse_last(database: Database, period: Period) -> None:
    """Checks that real money has another global limit than this one.

    Raises:
        InvalidArgument: it has none.
    """
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT FROM limits"
            " WHERE origin = 'real' AND scope = 'global' AND period <> %s LIMIT 1",
            (period,),
        )
        if await cursor.fetchone() is None:
            raise InvalidArgument(
                "This is the only limit of all real money. Set another one first, or say that there"
                " is to be none: gristmill budget set --no-limit."
            )


async def balances(database: Database, *, most: int = 1000) -> list[Balance]:
    """Every limit with what is left of it now; those of each document one by one, `most` in all."""
    async with database.connection() as connection:
        rows = await (await connection.execute(_BALANCES, {"most": most})).fetchall()
    return [Balance(**{**row, "origin": Origin(row["origin"])}) for row in rows]


async def room(
    database: Database, origin: Origin, scopes: Sequence[tuple[Scope, str]]
) -> list[Balance]:
    """What is left now of every limit that concerns a call of these scopes; nothing is written.

    The key '' in a scope is for one of its kind that nothing was spent on yet.
    """
    arguments = {
        "origin": origin,
        "scopes": [scope for scope, _ in scopes],
        "keys": [key for _, key in scopes],
    }
    async with database.connection() as connection:
        rows = await (await connection.execute(_ROOM, arguments)).fetchall()
    return [Balance(**{**row, "origin": Origin(row["origin"])}) for row in rows]


async def refuse_boundless(database: Database, origin: Origin) -> None:
    """No real money before a person has said how much it may be, if only that it is no matter.

    Raises:
        Misconfigured: nobody has.
    """
    if origin is Origin.REAL and not await has_global_limit(database, origin):
        raise Misconfigured(
            "Real services cost money, and no limit is set.",
            advice="Set one: gristmill budget set --daily 5 --origin real. Or say that there is to"
            " be none: gristmill budget set --no-limit --origin real.",
        )


async def has_global_limit(database: Database, origin: Origin) -> bool:
    """Whether a person has said how much may be spent in all."""
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT FROM limits WHERE origin = %s AND scope = 'global' LIMIT 1", (origin,)
        )
        return await cursor.fetchone() is not None


def _listed(choices: object) -> str:
    return ", ".join(get_args(choices))
