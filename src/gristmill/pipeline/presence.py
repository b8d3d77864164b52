"""What only one process at a time may do, and how the others see that it lives.

Both are session-level advisory locks of one dedicated connection. The server drops them the moment
that connection ends, however the process ended.
"""

from typing import Final, Self

import psycopg

from gristmill.database.engine import Connection, Database

# The first half of a two-part advisory key; any constants, the same in every version.
WORKER: Final = 7_266_001
POLLER: Final = 7_266_002


class Presence:
    """Holds advisory locks for as long as it is open."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._held: set[tuple[int, int]] = set()

    @classmethod
    async def open(cls, database: Database) -> Self:
        return cls(await database.connect())

    async def close(self) -> None:
        await self._connection.close()

    async def hold(self, kind: int, number: int) -> bool:
        """Takes the lock if it is free; says whether it is ours. Asks the server each time.

        Raises:
            psycopg.OperationalError: the connection, and with it every lock, is gone.
        """
        key = (kind, number % 2_147_483_647)
        if key in self._held:
            await self._connection.execute("SELECT 1")
            return True
        cursor = await self._connection.execute("SELECT pg_try_advisory_lock(%s, %s) AS got", key)
        row = await cursor.fetchone()
        if row is not None and row["got"]:
            self._held.add(key)
        return key in self._held


LOST: Final = (psycopg.OperationalError, psycopg.InterfaceError)
