"""Calls to the vendor with a book, over a line to it, for the budget layer to let through."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, ClassVar

import orjson

from gristmill.contract import (
    Open,
    Operation,
    Origin,
    R,
    Result,
    ServiceHealth,
    ServiceInterface,
    Settled,
    Status,
    Usage,
)
from gristmill.costs.ledger import End, EntryKind, Ledger
from gristmill.costs.prices import Prices
from gristmill.errors import DatabaseUnavailable, OutcomeUnknown, Rejected
from gristmill.policies.budget import Budget
from gristmill.settings.prices import Price

ENDPOINT = "https://vendor.example"
PRICES = Prices(
    "chaos",
    [
        Price(name, "grain", "grains", 1, "", host="vendor.example")
        for name in ("openai", "llamaparse")
    ],
)


class Line:
    """Questions to the vendor and their answers, many at once on one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._numbers = count()

    @classmethod
    @asynccontextmanager
    async def to(cls, path: str) -> AsyncIterator["Line"]:
        line = cls(*await asyncio.open_unix_connection(path, limit=2**30))
        reading = asyncio.create_task(line._read())
        try:
            yield line
        finally:
            reading.cancel()
            line._writer.close()

    async def ask(self, do: str, **facts: object) -> Any:
        if self._reader.at_eof():
            raise ConnectionResetError("the vendor is gone")
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._writer.write(orjson.dumps({"id": number, "do": do, "with": facts}) + b"\n")
        try:
            return await self._waiting[number]
        finally:
            del self._waiting[number]

    async def _read(self) -> None:
        while line := await self._reader.readline():
            told = orjson.loads(line)
            if (waiting := self._waiting.get(told["id"])) is not None and not waiting.done():
                waiting.set_result(told["told"])
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionResetError("the vendor is gone"))


@dataclass(frozen=True, slots=True)
class Call(Operation[str]):
    """Paid at once."""

    service: ClassVar[str] = "openai"

    number: str
    document: str
    worst: int
    fate: str

    def worst_case(self) -> Usage:
        return Usage("grain", "grains", self.worst)


@dataclass(frozen=True, slots=True)
class Work(Call):
    """Billed later."""

    service: ClassVar[str] = "llamaparse"


class Vendor(ServiceInterface):
    """The adapter: the number of a call is in the note of its entry."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def is_available(self) -> bool:
        return True

    async def get_health(self) -> ServiceHealth:
        return ServiceHealth(Status.HEALTHY)

    async def execute(self, operation: Operation[R]) -> Result[R]:
        assert isinstance(operation, Call)
        told = await self._line.ask(
            "call",
            number=operation.number,
            document=operation.document,
            worst=operation.worst,
            fate=operation.fate,
        )
        if told == "refused":
            raise Rejected("no")
        if told == "lost":
            raise OutcomeUnknown("a broken line")
        settlement: Settled | Open = (
            Open(told["name"])
            if "name" in told
            else Settled(Usage("grain", "grains", told["amount"]))
        )
        facts: dict[str, Any] = {"value": "flour", "notes": {"number": operation.number}}
        return Result(
            origin=Origin.REAL, endpoint=ENDPOINT, latency=0.0, settlement=settlement, **facts
        )


def guarded(line: Line, ledger: Ledger) -> Budget:
    """The vendor behind the budget layer."""
    vendor = Vendor(line)
    return Budget(vendor, ledger=ledger, prices=PRICES, origin=Origin.REAL, endpoint=ENDPOINT)


async def settled(ledger: Ledger, name: str, amount: int) -> bool:
    """Whether the ledger knows the work of that name, and has its bill now."""
    end = End(EntryKind.POSTED, Usage("grain", "grains", amount), amount, "chaos")
    with suppress(DatabaseUnavailable):
        return await ledger.settle("llamaparse", name, end)
    return False
