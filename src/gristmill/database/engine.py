"""The database: a pool of connections whose search path is our schema.

Connections are in autocommit: one statement is one round trip, and several belong in
`async with database.transaction() as connection`.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from pgvector.psycopg.halfvec import register_halfvec_info
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from psycopg.types import TypeInfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from gristmill.errors import DatabaseUnavailable
from gristmill.telemetry.masking import know

# `extensions` is where Supabase keeps pgvector.
SEARCH_PATH: Final = "SET search_path TO gristmill, public, extensions"
MAX_CONNECTIONS: Final = 8
CONNECT_SECONDS: Final = 10.0
TROUBLE_SECONDS: Final = 15.0  # more than it takes to find no connection
OPTIONS: Final[dict[str, Any]] = {"row_factory": dict_row, "application_name": "gristmill"}

Row = dict[str, Any]
Connection = psycopg.AsyncConnection[Row]


class Database:
    """A pool of at most `MAX_CONNECTIONS` connections (the design's bound for one process)."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        know(str(conninfo_to_dict(conninfo).get("password", "")))
        self._halfvec: TypeInfo | None = None
        self._trouble: tuple[float, DatabaseUnavailable] | None = None
        self.pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            conninfo,
            kwargs=OPTIONS,
            configure=self.configure,
            min_size=1,
            max_size=MAX_CONNECTIONS,
            timeout=CONNECT_SECONDS,
            open=False,
        )

    async def open(self) -> None:
        """Waits for the first connection.

        Raises:
            DatabaseUnavailable: no connection within `CONNECT_SECONDS`.
        """
        try:
            await self.pool.open(wait=True, timeout=CONNECT_SECONDS)
        except PoolTimeout as error:
            await self.pool.close()
            raise DatabaseUnavailable(
                "The database does not answer.",
                advice="If DATABASE_URL is set, check it, and that the server runs and lets this"
                " machine in; the embedded one tells why in GRISTMILL_HOME/postgres/log.",
            ) from error

    async def connect(self) -> Connection:
        """A connection of its own, beside the pool, for what must outlive a statement.

        Raises:
            psycopg.OperationalError: none can be had.
        """
        try:
            connection = await psycopg.AsyncConnection.connect(
                self._conninfo, connect_timeout=int(CONNECT_SECONDS), **OPTIONS
            )
        except psycopg.OperationalError as error:
            # The frames that it came through have the password.
            raise error.with_traceback(None) from None
        try:
            await self.configure(connection)
        except BaseException:  # a cancelled caller would never see it to close it
            await connection.close()
            raise
        return connection

    async def configure(self, connection: Connection) -> None:
        """Points a new connection at our schema and teaches it pgvector's type."""
        await connection.set_autocommit(True)
        await connection.execute(SEARCH_PATH)
        if self._halfvec is None:
            self._halfvec = await TypeInfo.fetch(connection, "halfvec")
        if self._halfvec is not None:
            register_halfvec_info(connection, self._halfvec)

    async def close(self) -> None:
        await self.pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """One connection, for statements that commit by themselves.

        Raises:
            DatabaseUnavailable: the connection is lost, or none can be had.
        """
        try:
            async with self.pool.connection() as connection:
                yield connection
        except (PoolTimeout, psycopg.OperationalError) as error:
            if isinstance(error, psycopg.errors.QueryCanceled):
                raise
            unavailable = _explained(error)
            self.note(unavailable)
            raise unavailable from error

    def note(self, error: DatabaseUnavailable) -> None:
        """Remembers what somebody who waits for work to be done should be told."""
        self._trouble = (time.monotonic(), error)

    def trouble(self) -> DatabaseUnavailable | None:
        """What went wrong in the last `TROUBLE_SECONDS`, if anything."""
        if self._trouble is None or time.monotonic() - self._trouble[0] > TROUBLE_SECONDS:
            return None
        return self._trouble[1]

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One connection in one transaction, committed at the end."""
        async with self.connection() as connection, connection.transaction():
            yield connection


def _explained(error: Exception) -> DatabaseUnavailable:
    if isinstance(error, psycopg.errors.DiskFull):
        return DatabaseUnavailable(
            "The disk of the database is full.",
            advice="Make room there; what was committed is kept, and the work goes on.",
        )
    return DatabaseUnavailable(
        "The database went away in the middle of a statement.",
        advice="Nothing half-done is kept; the work goes on when the database is back.",
    )
