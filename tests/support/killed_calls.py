"""One paid call after the other, each killed one turn of its event loop later than the last.

`killed_calls.py CONNINFO BOOK`. The vendor is a file, the book, in which each call that reaches it
writes its document's name. Each call is made by a process of its own, forked; the first that lives
to its end is the last, and how many there were is printed.
"""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass
from itertools import count

from scripted import ENDPOINT, PRICES, Grind, ScriptedService, answer

from gristmill.contract import Operation, Origin, R, Result
from gristmill.costs.ledger import Ledger
from gristmill.database.engine import Database
from gristmill.policies.budget import Budget
from gristmill.telemetry.correlation import bound
from gristmill.telemetry.logging import configure

WORST, USED = 100, 60  # tokens


class Mortal(asyncio.SelectorEventLoop):
    """Kills its process after so many turns, once they are counted."""

    left: int | None = None

    def _run_once(self) -> None:
        if self.left is not None:
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self.left -= 1
        super()._run_once()  # type: ignore[misc]


@dataclass
class Vendor(ScriptedService):
    """Takes a moment before it writes down what it bills, and another one before it answers."""

    book: int = -1
    document: str = ""

    async def execute(self, operation: Operation[R]) -> Result[R]:
        await asyncio.sleep(0)
        os.write(self.book, f"{self.document}\n".encode())
        await asyncio.sleep(0)
        return await super().execute(operation)


async def call(conninfo: str, book: int, turns: int) -> None:
    configure("CRITICAL", "json")
    database = Database(conninfo)
    await database.open()
    ledger = Ledger(database)
    document = f"d{turns}"
    vendor = Vendor([answer(used=USED)], book=book, document=document)
    layer = Budget(vendor, ledger=ledger, prices=PRICES, origin=Origin.REAL, endpoint=ENDPOINT)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Mortal)
    loop.left = turns
    with bound(document=document):
        await layer.execute(Grind(tokens=WORST))
    loop.left = None
    await ledger.close()
    await database.close()


def main(conninfo: str, path: str) -> None:
    book = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for turns in count():
        if (process := os.fork()) == 0:
            with asyncio.Runner(loop_factory=Mortal) as runner:
                runner.run(call(conninfo, book, turns))
            os._exit(0)
        _, status = os.waitpid(process, 0)
        if status == 0:
            sys.stdout.write(str(turns))
            return
        assert status == signal.SIGKILL, "it failed instead of being killed"


if __name__ == "__main__":
    main(*sys.argv[1:])
