"""Processes that spend until they are killed: `ledger_worker.py CONNINFO SOCKET`.

For each line of its standard input, a seed, there is one more, and a line with its number: forked,
so that it does not load modules for longer than it lives.

The calls of each go through the budget layer to the vendor with a book. They are answered, refused,
lost or accepted; some are cancelled wherever they are. Beside them it pays bills, its own and those
of others, and posts what it takes for forgotten, although it may only be slow.
"""

import asyncio
import os
import random
import signal
import sys
from contextlib import suppress
from itertools import count

from ledger_calls import Call, Line, Work, guarded, settled

from gristmill.costs.ledger import Ledger
from gristmill.database.engine import Database
from gristmill.errors import BudgetExceeded, DatabaseUnavailable, OutcomeUnknown, Rejected
from gristmill.telemetry.correlation import bound
from gristmill.telemetry.logging import configure

DOCUMENTS = 40
COLLECTIONS = 4
CALLERS = 24
FATES = ["answer"] * 10 + ["accept"] * 3 + ["refuse"] * 2 + ["lose", "hang"]
WORST = 500
LONGEST_WAIT = 0.02


class Spender:
    """One process's part of the load."""

    def __init__(self, ledger: Ledger, line: Line, seed: str) -> None:
        self._ledger = ledger
        self._line = line
        self._seed = seed
        self._draw = random.Random(seed)
        self._numbers = count()
        self._budget = guarded(line, ledger)

    async def spend(self) -> None:
        while True:
            with suppress(BudgetExceeded, DatabaseUnavailable, Rejected, OutcomeUnknown):
                await self._call()
                continue
            await asyncio.sleep(0.001)

    async def _call(self) -> None:
        fate = self._draw.choice(FATES)
        document = self._draw.randrange(DOCUMENTS)
        kind = Work if fate == "accept" else Call
        number = f"{self._seed}.{next(self._numbers)}"
        operation = kind(number, f"d{document}", self._draw.randint(1, WORST), fate)
        with bound(document=operation.document, collection=f"c{document % COLLECTIONS}"):
            call = asyncio.create_task(self._budget.execute(operation))
        if fate == "hang" or self._draw.random() < 0.1:
            await asyncio.wait({call}, timeout=self._draw.random() * LONGEST_WAIT)
            call.cancel()
            await asyncio.wait({call})
        if not call.cancelled():
            await call
            if fate == "accept":
                await self._line.ask("written_down", name=number)

    async def pay(self) -> None:
        while True:
            bill = await self._line.ask("bill")
            if bill and await settled(self._ledger, bill["name"], bill["amount"]):
                await self._line.ask("paid", name=bill["name"])
            elif not bill:
                await asyncio.sleep(0.01)

    async def take_for_forgotten(self) -> None:
        while True:
            await asyncio.sleep(self._draw.random())
            with suppress(DatabaseUnavailable):
                await self._ledger.assume_forgotten(seconds=self._draw.random() * 0.1)


async def main(conninfo: str, socket: str, seed: str) -> None:
    configure("CRITICAL", "json")
    database = Database(conninfo)
    await database.open()
    async with Line.to(socket) as line:
        spender = Spender(Ledger(database), line, seed)
        work = [spender.spend() for _ in range(CALLERS)]
        work += [spender.pay() for _ in range(CALLERS // 6)]
        await asyncio.gather(*work, spender.take_for_forgotten())


def breed(conninfo: str, socket: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are nobody's
    for seed in sys.stdin:
        if (process := os.fork()) == 0:
            with suppress(ConnectionError):
                asyncio.run(main(conninfo, socket, seed.strip()))
            os._exit(1)
        sys.stdout.write(f"{process}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    breed(*sys.argv[1:])
