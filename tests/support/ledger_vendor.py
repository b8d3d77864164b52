"""A vendor that keeps a book of its bills, in a process of its own: `ledger_vendor.py SOCKET`.

A line of JSON for each request and each answer, which may come in another order. What it bills for
a call at once is at most the worst case; only work that is billed later, and whose name the caller
says to have written down, may come out dearer. It ends when its standard input does.
"""

import asyncio
import random
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import orjson

DEARER = 1.5
TRIES = 5  # after that it sends no bill for work that nobody has written down


@dataclass(slots=True)
class Bill:
    """What a call, or a piece of work, is billed; None as long as the work is under way."""

    service: str
    document: str
    worst: int
    amount: int | None = None
    is_written_down: bool = False
    is_paid: bool = False
    tries: int = 0


class Book:
    """Everything that was billed, by the caller's number of the call or our name of the work."""

    def __init__(self) -> None:
        self.bills: dict[str, Bill] = {}
        self.totals: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self._unpaid: dict[str, None] = {}
        self._draw = random.Random(11)

    async def answer(self, asked: dict[str, Any]) -> object:
        await asyncio.sleep(self._draw.random() * 0.003)
        return getattr(self, asked["do"])(**asked.get("with", {}))

    def call(self, number: str, document: str, worst: int, fate: str) -> object:
        self.counts[fate] += 1
        if fate == "refuse":
            return "refused"
        if fate == "accept":
            self.bills[number] = Bill("llamaparse", document, worst)
            self._unpaid[number] = None
            return {"name": number}
        amount = self._draw.randint(0, worst)
        self.bills[number] = Bill("openai", document, worst, amount)
        self.totals["openai"] += amount
        return {"answer": {"amount": amount}, "lose": "lost", "hang": None}[fate]

    def written_down(self, name: str) -> object:
        if not self.bills[name].is_paid:
            self.bills[name].is_written_down = True
            self._unpaid[name] = None
        return True

    def bill(self) -> object:
        """The one that has waited longest to be paid, the same again until it is."""
        if not self._unpaid:
            return False
        name = next(iter(self._unpaid))
        del self._unpaid[name]
        bill = self.bills[name]
        bill.tries += 1
        if bill.is_written_down or bill.tries < TRIES:
            self._unpaid[name] = None
        return {"name": name, "amount": self._due(bill)}

    def paid(self, name: str) -> object:
        self.bills[name].is_paid = True
        self._unpaid.pop(name, None)
        return True

    def total(self) -> object:
        return self.totals["openai"]

    def everything(self) -> object:
        for bill in self.bills.values():
            self._due(bill)
        return {"bills": {number: asdict(bill) for number, bill in self.bills.items()}}

    def _due(self, bill: Bill) -> int:
        if bill.amount is None:
            dearer = bill.is_written_down and self._draw.random() < 0.2
            bill.amount = self._draw.randint(0, int(bill.worst * (DEARER if dearer else 1)))
        return bill.amount


async def serve(path: str) -> None:
    book = Book()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def answer(asked: dict[str, Any]) -> None:
            told = await book.answer(asked)
            if told is not None and not writer.is_closing():
                writer.write(orjson.dumps({"id": asked["id"], "told": told}) + b"\n")

        answering = set()
        try:
            while line := await reader.readline():
                task = asyncio.create_task(answer(orjson.loads(line)))
                answering.add(task)
                task.add_done_callback(answering.discard)
        except ConnectionError:
            pass  # killed
        finally:
            writer.close()

    async with await asyncio.start_unix_server(connected, path):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
