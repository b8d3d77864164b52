"""Promise 1 under random load: one to eight processes, killed at random.

What was billed is in the book of a vendor, a process that nobody kills. Each of its bills is found
in the journal to the nano-dollar, or is covered by a call that was assumed at its worst case.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator

import pytest
from ledger_books import brought_in, reconcile
from ledger_calls import Line
from ledger_load import Watcher, Workers, entries, move_limits, overruns, set_limits
from money import one

from gristmill.costs.audit import audit
from gristmill.database.engine import Database
from gristmill.telemetry.logging import configure

pytestmark = pytest.mark.slow

SEED = 17


@pytest.fixture
def operations(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--operations"))


@pytest.fixture
async def workers(conninfo: str, vendor: str) -> AsyncIterator[Workers]:
    async with Workers.at(conninfo, vendor) as workers:
        yield workers


@pytest.mark.timeout(7200)
async def test_no_limit_is_overshot_and_no_bill_is_unexplained_whoever_is_killed(
    database: Database,
    vendor: str,
    workers: Workers,
    operations: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("CRITICAL", "json")
    draw, begun = random.Random(SEED), time.monotonic()
    await set_limits(database)
    async with Line.to(vendor) as line:
        watcher = Watcher(database, line)
        load = [
            asyncio.create_task(work)
            for work in (
                watcher.watch(),
                move_limits(database, draw),
                workers.kill_at_random(draw),
            )
        ]
        while await entries(database) < operations and not any(each.done() for each in load):
            await asyncio.sleep(0.5)
        for each in load:
            each.cancel()
        ends = await asyncio.gather(*load, return_exceptions=True)
        assert [each for each in ends if not isinstance(each, asyncio.CancelledError)] == []
        await workers.kill_all()
        bills = await brought_in(database, line)

    assert watcher.wrong == []
    assert (await audit(database)).breaches == ()
    assert (await one(database, "SELECT count(*) AS n FROM holds"))["n"] == 0
    raised = await overruns(database)
    assert raised["unexplained"] == 0, "neither was a limit lowered nor a bill dearer"
    assert raised["openai"] == 0, "of a limit never lowered, for bills never dearer"
    money = await reconcile(database, bills)
    with capsys.disabled():
        print(  # noqa: T201 — what a run was like is worth knowing when it passes, too
            f"\n{await entries(database)} entries in {time.monotonic() - begun:.0f} s by"
            f" {workers.spawned} processes, {workers.killed} of them killed; {watcher.looks} looks,"
            f" {watcher.audits} audits; {raised['raised']} overruns explained; nano-dollars {money}"
        )
