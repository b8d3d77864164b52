"""A line to the database that breaks in mid-load: no end is lost, and none is written twice."""

import asyncio
import random
from contextlib import suppress
from uuid import UUID

from cut_line import CutLine
from money import balance, hold, one, opened, posted

from gristmill.contract import Origin
from gristmill.costs.audit import audit
from gristmill.costs.budgets import Limit, set_limit
from gristmill.costs.ledger import End, Ledger
from gristmill.database.engine import Database
from gristmill.errors import DatabaseUnavailable

CALLERS = 16
CUTS = 30


class Caller:
    """Makes calls until the line has been cut often enough, and adds up what they cost."""

    def __init__(self, ledger: Ledger, line: CutLine, seed: int) -> None:
        self._ledger = ledger
        self._line = line
        self._draw = random.Random(seed)
        self.spent = 0

    async def call(self) -> None:
        while self._line.cuts < CUTS:
            with suppress(DatabaseUnavailable):  # then it does not leave
                await self._answered(await self._ledger.hold(hold(50)))

    async def _answered(self, call: UUID) -> None:
        amount = self._draw.randint(0, 50)
        self.spent += amount
        if self._draw.random() < 0.5:
            await self._written(call, opened(50, f"job-{call}"))
        await self._written(call, posted(amount))

    async def _written(self, call: UUID, end: End) -> None:
        with suppress(DatabaseUnavailable):  # then later
            await self._ledger.end(call, end)


async def test_whenever_the_line_to_the_database_breaks_each_call_that_left_is_posted_once(
    database: Database, conninfo: str
) -> None:
    await set_limit(database, Origin.REAL, Limit("global", "day", 10**9))
    async with CutLine.to(conninfo, seed=5) as (address, line):
        beyond = Database(address)
        await beyond.open()
        ledger = Ledger(beyond, retry_seconds=0.01)
        callers = [Caller(ledger, line, seed) for seed in range(CALLERS)]
        await asyncio.gather(*(caller.call() for caller in callers))
        line.is_cutting = False
        await ledger.close()
        await beyond.close()

    found = await balance(database)
    assert (found.spent, found.held) == (sum(caller.spent for caller in callers), 0)
    assert (await one(database, "SELECT count(*) AS n FROM holds"))["n"] == 0
    assert (await audit(database)).breaches == ()
