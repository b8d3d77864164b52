"""Random load on the ledger.

Processes that spend and are killed, a person who changes limits, and a watcher who looks at it all
from outside.
"""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from ledger_calls import Line
from money import one

from gristmill.contract import Origin
from gristmill.costs.audit import audit
from gristmill.costs.budgets import Balance, Limit, balances, set_limit
from gristmill.database.engine import Database

HERE = Path(__file__).parent
MOST_PROCESSES = 8
KILLING_SECONDS = (0.5, 3.0)  # between two looks at how many shall live
ROOM = 300_000  # nano-dollars: less than a second's worth
# Those of one service and of documents are only ever raised; the others also lowered.
RAISED = (Limit("service", "total", ROOM, "openai"), Limit("document", "total", ROOM // 20))
MOVED = (
    Limit("global", "day", 2 * ROOM),
    Limit("global", "month", 2 * ROOM),
    Limit("service", "total", 2 * ROOM, "llamaparse"),
    Limit("collection", "month", ROOM),
)

# Every time that an overrun was raised, and what else changed with it.
_NOTE_OVERRUNS = """
CREATE TABLE public.raised (limit_id integer, is_lowered boolean, is_dearer boolean);
CREATE FUNCTION public.note_overrun() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.raised VALUES (NEW.limit_id, NEW.nano_dollars < OLD.nano_dollars,
        NEW.held <= OLD.held AND NEW.posted + NEW.held > OLD.posted + OLD.held);
    RETURN NULL;
END $$;
CREATE TRIGGER note_overrun AFTER UPDATE ON gristmill.balances FOR EACH ROW
    WHEN (NEW.overrun > OLD.overrun) EXECUTE FUNCTION public.note_overrun();
"""

_OVERRUNS = """
SELECT count(*) AS raised,
       count(*) FILTER (WHERE NOT is_lowered AND NOT is_dearer) AS unexplained,
       count(*) FILTER (WHERE limit_id = (SELECT id FROM limits WHERE key = 'openai')) AS openai
FROM public.raised
"""

_OVERSHOT = """
SELECT count(*) AS n FROM balances
WHERE posted + held > nano_dollars + overrun
    OR overrun <> greatest(0, posted + held - nano_dollars)
"""

# What the ledger counts for the service whose bills never come out dearer than was held.
_COUNTED = """
SELECT b.posted + b.held AS counted, b.nano_dollars AS limit, b.overrun
FROM balances b JOIN limits l ON l.id = b.limit_id WHERE l.scope = 'service' AND l.key = 'openai'
"""


async def entries(database: Database) -> int:
    """How many operations have been done: each leaves an entry."""
    return int((await one(database, "SELECT coalesce(max(id), 0) AS n FROM journal"))["n"])


async def set_limits(database: Database) -> None:
    """Sets every limit, and has each overrun noted from now on."""
    for limit in RAISED + MOVED:
        await set_limit(database, Origin.REAL, limit)
    async with database.connection() as connection:
        await connection.execute(_NOTE_OVERRUNS)


async def overruns(database: Database) -> dict[str, Any]:
    """How often one was raised at all, for no reason, and where none may ever be."""
    return await one(database, _OVERRUNS)


@dataclass
class Watcher:
    """Looks again and again, and remembers what it should not have seen."""

    database: Database
    line: Line
    looks: int = 0
    audits: int = 0
    wrong: list[object] = field(default_factory=list)

    async def watch(self) -> None:
        """The whole journal is added up a tenth of the time."""
        rest = time.monotonic()
        while True:
            await self._look()
            if time.monotonic() > rest:
                begun = time.monotonic()
                self.wrong += (await audit(self.database)).breaches
                self.audits += 1
                rest = time.monotonic() + 9 * (time.monotonic() - begun)
            await asyncio.sleep(0.005)

    async def _look(self) -> None:
        billed = await self.line.ask("total")  # before the other, which may have grown since
        counted = await one(self.database, _COUNTED)
        if min(counted["counted"], counted["limit"]) < billed or counted["overrun"]:
            self.wrong.append((billed, counted))
        if (await one(self.database, _OVERSHOT))["n"]:
            self.wrong.append("overshot")
        self.looks += 1


async def move_limits(database: Database, draw: random.Random) -> None:
    """A person who changes their mind twenty times a second."""
    while True:
        limit = draw.choice(RAISED + MOVED)
        found = [each for each in await balances(database) if _is_of(each, limit)]
        used = max((each.spent + each.held for each in found), default=0)
        amount = max(0, used + int((limit.nano_dollars or 0) * draw.uniform(-0.2, 1.0)))
        if limit in RAISED:
            amount = max([amount, *(each.limit or 0 for each in found)])
        changed = Limit(limit.scope, limit.period, amount, limit.key)
        await set_limit(database, Origin.REAL, changed)
        await asyncio.sleep(draw.uniform(0.0, 0.1))


def _is_of(balance: Balance, limit: Limit) -> bool:
    same = (balance.scope, balance.period) == (limit.scope, limit.period)
    return same and limit.key in ("", balance.key)


@dataclass
class Workers:
    """The processes that spend, and the one that forks them."""

    nursery: asyncio.subprocess.Process
    alive: list[int] = field(default_factory=list)
    spawned: int = 0
    killed: int = 0

    @classmethod
    @asynccontextmanager
    async def at(cls, conninfo: str, vendor: str) -> AsyncIterator["Workers"]:
        nursery = await asyncio.create_subprocess_exec(
            sys.executable,
            HERE / "ledger_worker.py",
            conninfo,
            vendor,
            stdin=-1,
            stdout=-1,
            start_new_session=True,
        )
        workers = cls(nursery)
        try:
            yield workers
        finally:
            await workers.kill_all()

    async def kill_at_random(self, draw: random.Random) -> None:
        """One to eight of them live; some are killed, and others take their place."""
        while True:
            for pid in draw.sample(self.alive, draw.randint(0, len(self.alive))):
                self.kill(pid)
            for _ in range(draw.randint(1, MOST_PROCESSES) - len(self.alive)):
                await self.spawn()
            await asyncio.sleep(draw.uniform(*KILLING_SECONDS))
            assert all(map(psutil.pid_exists, self.alive)), "ended by itself"

    async def spawn(self) -> None:
        stdin, stdout = self.nursery.stdin, self.nursery.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{self.spawned}\n".encode())
        self.alive.append(int(await stdout.readline()))
        self.spawned += 1

    def kill(self, pid: int) -> None:
        self.alive.remove(pid)
        self.killed += 1
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    async def kill_all(self) -> None:
        """With those that were being forked, and the nursery."""
        with suppress(ProcessLookupError):
            os.killpg(self.nursery.pid, signal.SIGKILL)
        await self.nursery.wait()
        self.killed, self.alive = self.spawned, []
