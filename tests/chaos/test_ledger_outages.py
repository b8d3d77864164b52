"""Half a minute without the database, in the middle of calls."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

import psutil
import pytest
from ledger_books import reconcile
from ledger_calls import Call, Line, guarded
from money import one

from gristmill.contract import Origin
from gristmill.costs.audit import audit
from gristmill.costs.budgets import Limit, set_limit
from gristmill.costs.ledger import Ledger
from gristmill.database.embedded import EmbeddedPostgres
from gristmill.database.engine import Database
from gristmill.database.migrate import migrate
from gristmill.errors import DatabaseUnavailable

pytestmark = pytest.mark.slow

OUTAGE_SECONDS = 30.0
CALLERS = 64

_LEFT = """
SELECT (SELECT count(*) FROM holds) AS held,
       (SELECT count(*) FROM journal WHERE entry = 'assumed') AS assumed
"""


def silence(home: Path) -> Callable[[], object]:
    """The server with all its processes hangs; what is given back lets it go on."""
    server = psutil.Process(int((home / "postgres/data/postmaster.pid").read_text().split()[0]))
    stopped = [server, *server.children()]
    for process in stopped:
        process.suspend()
    return lambda: [process.resume() for process in stopped]


def strike(home: Path) -> Callable[[], object]:
    """The server is killed; what is given back starts it again."""
    psutil.Process(int((home / "postgres/data/postmaster.pid").read_text().split()[0])).kill()
    return lambda: EmbeddedPostgres.start(home).close()


async def keep_calling(line: Line, ledger: Ledger, over: asyncio.Event) -> None:
    budget, numbers = guarded(line, ledger), count()

    async def call() -> None:
        while not over.is_set():
            operation = Call(f"{next(numbers)}", "d0", 100, "answer")
            with suppress(DatabaseUnavailable):
                await budget.execute(operation)

    await asyncio.gather(*(call() for _ in range(CALLERS)))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("happens", [silence, strike])
async def test_without_the_database_for_half_a_minute_no_call_leaves_and_no_end_is_lost(
    tmp_path: Path, vendor: str, happens: Callable[[Path], Callable[[], object]]
) -> None:
    over = asyncio.Event()
    with EmbeddedPostgres.start(tmp_path / "home") as server:
        database = Database(server.conninfo)
        await database.open()
        await migrate(database)
        await set_limit(database, Origin.REAL, Limit("global", "day", 10**12))
        ledger = Ledger(database)
        async with Line.to(vendor) as line:
            calling = asyncio.create_task(keep_calling(line, ledger, over))
            await asyncio.sleep(3.0)
            bring_back = await asyncio.to_thread(happens, tmp_path / "home")
            await asyncio.sleep(1.0)
            billed = await line.ask("total")
            await asyncio.sleep(OUTAGE_SECONDS - 1.0)
            assert await line.ask("total") == billed > 0, "it left without a hold"
            await asyncio.to_thread(bring_back)
            while await line.ask("total") < 2 * billed:
                await asyncio.sleep(0.1)
            over.set()
            await calling
            await ledger.close()
            bills = (await line.ask("everything"))["bills"]
        money = await reconcile(database, bills)
        assert money["assumed beyond it"] == 0
        assert (await audit(database)).breaches == ()
        assert await one(database, _LEFT) == {"held": 0, "assumed": 0}
        await database.close()
