"""Turns in the rate limits of one endpoint, reserved in the database by all processes together.

A turn is a time on the database's clock (`migrations/0009_rate_limits.sql: reserve_turn`). Whoever
has one waits for it and goes. When the vendor wants everybody to wait, every turn is void and is
asked for again, so that no crowd stands at the end of the pause.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import orjson

from gristmill.contract import Demand, RateLimitFeedback
from gristmill.database.engine import Database
from gristmill.errors import RateLimited, TooLarge
from gristmill.settings.rates import RateLimitSetting

LOOK_SECONDS: Final = 0.1  # a pause that another process was told of is known so much later
UNKNOWN_SECONDS: Final = 1.0  # and a limit, where none was known
# Vendors may cut the quota of a minute into slices of a second; arrivals that meet in one by
# accident are made up for by going so much slower. (OpenAI's cookbook on rate limits)
SLICE_SECONDS: Final = 1.0
LEAST_JITTER: Final = 0.02  # seconds; what a network and an event loop add in any case
MOST_JITTER: Final = 0.2
RESERVE_SECONDS: Final = 1.0  # of a quota, left to others who share the account
FOR_EVER: Final = 1e9  # seconds

_SET: Final = "SELECT set_rate_limits(%s, %s, %s::text::jsonb)"
_LEARN: Final = "SELECT learn_rate_limit(%s, %s, %s, %s, %s, %s, %s, %s)"
_RESERVE: Final = "SELECT reserve_turn(%s, %s, %s, %s, %s, %s, %s) AS told"
_RETURN: Final = "SELECT return_turn(%s, %s, %s, %s::text::jsonb)"
_PAUSE: Final = "SELECT pause_pool(%s, %s, %s)"
_LOOK: Final = "SELECT round FROM rate_pools WHERE (endpoint, pool) = (%s, %s)"


@dataclass(frozen=True, slots=True)
class Turn:
    """A place in the limits of a pool; `ends` is what returning it takes."""

    pool: str
    round: int
    ends: Mapping[str, Any]


@dataclass(slots=True)
class _Pool:
    """What this process knows of one."""

    is_set: bool = False  # the configured limits are in force
    free_until: float = float("-inf")  # there was no limit when it was last looked
    looked_at: float = float("-inf")
    round: int = 0
    waiting: int = 0
    told: dict[str, tuple[int, float]] = field(default_factory=dict)


class Turns:
    """Reserves turns at one endpoint of `service`.

    `burst` is how many seconds of a limit may be used at once after a rest, `clock` a monotonic
    clock in seconds. Close it, so that what is returned is written.
    """

    def __init__(
        self,
        database: Database,
        service: str,
        endpoint: str,
        *,
        limits: Sequence[RateLimitSetting] = (),
        burst: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._service = service
        # Several services may be behind one address, as the simulators are.
        self._endpoint = f"{service}@{endpoint}"
        self._limits = limits
        self._burst = burst
        self._clock = clock
        self._sleep = sleep
        self._jitter = LEAST_JITTER
        self._pools: dict[str, _Pool] = {}
        self._opening = asyncio.Lock()
        self._returning: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> dict[str, int]:
        """Calls of this process that wait for their turn, by pool, where there are any."""
        return {name: pool.waiting for name, pool in self._pools.items() if pool.waiting}

    async def take(self, demand: Demand, patience: float) -> Turn | None:
        """Comes back when it is the call's turn; None where no limit is known.

        Raises:
            RateLimited: its turn would come later than in `patience` seconds.
            TooLarge: a limit never has room for it.
            DatabaseUnavailable: nobody can say whose turn it is.
        """
        pool = await self._opened(demand.pool)
        started = self._clock()
        while self._clock() >= pool.free_until:
            told = await self._reserve(demand, patience - (self._clock() - started))
            if told is None:
                pool.free_until = self._clock() + UNKNOWN_SECONDS
                break
            pool.round = max(pool.round, told["round"])
            turn = Turn(demand.pool, told["round"], told["ends"])
            if await self._waited(pool, turn, self._clock() + told["wait"]):
                return turn
        return None

    async def charge(self, demand: Demand) -> None:
        """Counts what a call took beyond its turn; those to come wait for it."""
        await self._reserve(demand, FOR_EVER)

    def give_back(self, turn: Turn) -> None:
        """Makes a turn that was not used free for others, as far as nobody stands behind it."""
        task = asyncio.create_task(self._return(turn))
        self._returning.add(task)
        task.add_done_callback(self._returned)

    async def pause(self, pool: str, seconds: float) -> None:
        """Lets nobody begin for so many seconds, in any process; and then goes more carefully."""
        self._jitter = min(MOST_JITTER, 2 * self._jitter)
        async with self._database.connection() as connection:
            await connection.execute(_PAUSE, (self._endpoint, pool, seconds))
        known = self._of(pool)
        known.free_until = float("-inf")
        await self._look(pool, known)

    async def learn(self, pool: str, feedback: RateLimitFeedback) -> None:
        """Takes over what an answer said of a limit, where it is news or little is left."""
        if not feedback.limit:
            return
        told = feedback.limit, feedback.seconds
        remaining = feedback.limit if feedback.remaining is None else feedback.remaining
        is_low = remaining * feedback.seconds < RESERVE_SECONDS * feedback.limit
        known = self._of(pool)
        if known.told.get(feedback.name) == told and not is_low:
            return
        limit = (self._endpoint, pool, feedback.name, feedback.unit, *told, remaining)
        async with self._database.connection() as connection:
            await connection.execute(_LEARN, (*limit, RESERVE_SECONDS))
        known.told[feedback.name] = told
        known.free_until = float("-inf")

    async def close(self) -> None:
        """Waits until what was given back is written."""
        if self._returning:
            await asyncio.wait(self._returning)

    def _of(self, name: str) -> _Pool:
        return self._pools.setdefault(name, _Pool())

    async def _opened(self, name: str) -> _Pool:
        """The pool; at its first call the configured limits are put in force for everybody."""
        pool = self._of(name)
        if pool.is_set:
            return pool
        async with self._opening:
            if not pool.is_set:
                wanted = [asdict(limit) | {"name": limit.unit} for limit in self._limits]
                values = (self._endpoint, name, orjson.dumps(wanted).decode())
                async with self._database.connection() as connection:
                    await connection.execute(_SET, values)
                pool.is_set = True
        return pool

    async def _reserve(self, demand: Demand, patience: float) -> dict[str, Any] | None:
        stretch = 1 + self._jitter / SLICE_SECONDS
        amounts = (demand.requests, demand.tokens, max(0.0, patience), self._burst, stretch)
        async with self._database.connection() as connection:
            cursor = await connection.execute(_RESERVE, (self._endpoint, demand.pool, *amounts))
            row = await cursor.fetchone()
        told: dict[str, Any] | None = row and row["told"]
        if told is not None and "most" in told:
            raise self._too_large(demand, told)
        if told is not None and "ends" not in told:
            raise self._limited(told["wait"])
        return told

    async def _waited(self, pool: _Pool, turn: Turn, until: float) -> bool:
        """Whether the turn has come; False if it was void by then."""
        pool.waiting += 1
        try:
            while (left := until - self._clock()) > 0 and pool.round == turn.round:
                await self._sleep(min(left, LOOK_SECONDS))
                if self._clock() - pool.looked_at >= LOOK_SECONDS:
                    await self._look(turn.pool, pool)
        except BaseException:
            self.give_back(turn)
            raise
        finally:
            pool.waiting -= 1
        late = self._clock() - until
        self._jitter = min(MOST_JITTER, max(LEAST_JITTER, late, self._jitter * 0.99))
        return pool.round == turn.round

    async def _look(self, name: str, pool: _Pool) -> None:
        pool.looked_at = self._clock()
        async with self._database.connection() as connection:
            row = await (await connection.execute(_LOOK, (self._endpoint, name))).fetchone()
        if row is not None:
            pool.round = max(pool.round, row["round"])

    async def _return(self, turn: Turn) -> None:
        values = (self._endpoint, turn.pool, turn.round, orjson.dumps(turn.ends).decode())
        async with self._database.connection() as connection:
            await connection.execute(_RETURN, values)

    def _returned(self, task: asyncio.Task[None]) -> None:
        self._returning.discard(task)
        if not task.cancelled():
            task.exception()  # the place is lost then, which costs its time and nothing else

    def _limited(self, seconds: float) -> RateLimited:
        return RateLimited(
            f"The rate limit of {self._service} is used up; the next turn is in {seconds:.1f} s.",
            retry_after=seconds,
            advice="It goes on by itself; gristmill limits tells who waits for what.",
        )

    def _too_large(self, demand: Demand, told: Mapping[str, Any]) -> TooLarge:
        whose = f" of {demand.pool}" if demand.pool else ""
        return TooLarge(
            f"One request takes {demand.tokens:,} tokens of the limit {told['name']}{whose} at"
            f" {self._service}, which is {told['most']:,.0f} in all.",
            service=self._service,
            advice="Send fewer in one request, or raise the limit if the vendor gives you more.",
        )
