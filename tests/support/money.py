"""What must hold of the ledger at any time, and a database whose clock a test sets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from gristmill.contract import Origin, Usage
from gristmill.costs.budgets import Balance, balances
from gristmill.costs.ledger import End, EntryKind, Hold
from gristmill.database.engine import Connection, Database, Row

MODEL = "text-embedding-3-small"

_UNDER_WAY = """
SELECT count(*) AS n FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND query LIKE 'SELECT keep_ledger%'
"""


def hold(nano_dollars: int, **facts: object) -> Hold:
    values: dict[str, object] = {
        "service": "openai",
        "operation": "Embed",
        "usage": Usage(MODEL, "tokens", nano_dollars),
        "nano_dollars": nano_dollars,
        "price_version": "then",
        "origin": Origin.REAL,
        "endpoint": "https://vendor.example",
    }
    return Hold(**values | facts)  # type: ignore[arg-type]


def end(kind: EntryKind, nano_dollars: int, **facts: object) -> End:
    usage = Usage(MODEL, "tokens", nano_dollars)
    values: dict[str, object] = {"usage": usage, "price_version": "then"}
    return End(kind, nano_dollars=nano_dollars, **values | facts)  # type: ignore[arg-type]


def posted(nano_dollars: int, **facts: object) -> End:
    return end(EntryKind.POSTED, nano_dollars, **facts)


RELEASED = end(EntryKind.RELEASED, 0)


def opened(nano_dollars: int, vendor_ref: str) -> End:
    return end(EntryKind.OPEN, nano_dollars, vendor_ref=vendor_ref)


async def one(database: Database, query: str) -> Row:
    """The only row of an answer."""
    async with database.connection() as connection:
        (row,) = await (await connection.execute(query.encode())).fetchall()
    return row


async def the_dead_are_done(database: Database) -> None:
    """Waits until the server has done what killed processes had sent."""
    while (await one(database, _UNDER_WAY))["n"]:
        await asyncio.sleep(0.01)


async def balance(database: Database, scope: str = "global", key: str = "") -> Balance:
    """The only one of this scope and key in the present window."""
    found = [b for b in await balances(database) if (b.scope, b.key) == (scope, key)]
    (only,) = found
    return only


class SetClock(Database):
    """A database whose clock shows what a test has set; our SQL asks no other clock."""

    async def configure(self, connection: Connection) -> None:
        await super().configure(connection)
        await connection.execute(
            "SET search_path TO clock, gristmill, public, extensions, pg_catalog"
        )

    async def wind(self) -> None:
        async with self.connection() as connection:
            await connection.execute(
                "CREATE SCHEMA clock;"
                "CREATE TABLE clock.face (shows timestamptz);"
                "INSERT INTO clock.face VALUES (pg_catalog.clock_timestamp());"
                "CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
                " AS 'SELECT shows FROM clock.face'"
            )

    async def set(self, time: datetime) -> None:
        async with self.connection() as connection:
            await connection.execute("UPDATE clock.face SET shows = %s", (time,))


class OneTransaction(SetClock):
    """All that is done within `undone` is done on one connection, and is gone afterwards."""

    _only: Connection | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        if self._only is not None:
            yield self._only
            return
        async with super().connection() as connection:
            yield connection

    @asynccontextmanager
    async def undone(self) -> AsyncIterator[None]:
        async with self.connection() as connection, connection.transaction(force_rollback=True):
            self._only = connection
            try:
                yield
            finally:
                self._only = None
