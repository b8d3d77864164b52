"""One SQLite file with one writer thread: writes share transactions, the loop waits for no disk."""

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]

_BATCH = 256  # writes that share one transaction at most


@dataclass(slots=True)
class _Write:
    work: Work
    future: "asyncio.Future[Any] | None"
    loop: asyncio.AbstractEventLoop | None
    outcome: Any = None
    error: BaseException | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        connection.execute("SAVEPOINT one")
        try:
            self.outcome = self.work(connection)
        except Exception as error:  # noqa: BLE001 — handed to whoever awaits the write
            connection.execute("ROLLBACK TO one")
            self.error = error
        finally:
            connection.execute("RELEASE one")

    def resolve(self) -> None:
        if self.future is None or self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.outcome)


class Database:
    """State that survives `kill -9`.

    After `await write(...)` the change is in the write-ahead log; only a loss of power
    (`synchronous=NORMAL`) may take it back. `read` is for look-ups by an index.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self._path = path
        self._queue: SimpleQueue[_Write | None] = SimpleQueue()
        self._reader = self._connect()
        self._reader.executescript("PRAGMA journal_mode=WAL;" + schema)
        self._thread = Thread(target=self._write_forever, name="sqlite-writer", daemon=True)
        self._thread.start()

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in the writer thread; what it raises is raised here and nothing is kept."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put(_Write(work, future, loop))
        return await future

    def post(self, work: Work) -> None:
        """Queue a write nobody waits for, in order with the others."""
        self._queue.put(_Write(work, None, None))

    def read(self, sql: str, *parameters: object) -> list[sqlite3.Row]:
        """Rows of a short indexed query, as of the last committed write."""
        return self._reader.execute(sql, parameters).fetchall()

    def read_one(self, sql: str, *parameters: object) -> sqlite3.Row | None:
        """The first row of a short indexed query."""
        row: sqlite3.Row | None = self._reader.execute(sql, parameters).fetchone()
        return row

    async def scan(self, sql: str, *parameters: object) -> list[sqlite3.Row]:
        """Rows of a long query, read in a thread over its own connection."""
        return await asyncio.to_thread(self._scan, sql, parameters)

    def close(self) -> None:
        """Finish the queued writes, then close the file."""
        self._queue.put(None)
        self._thread.join()
        self._reader.close()

    def _scan(self, sql: str, parameters: tuple[object, ...]) -> list[sqlite3.Row]:
        connection = self._connect()
        try:
            return connection.execute(sql, parameters).fetchall()
        finally:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=30, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    def _write_forever(self) -> None:
        connection = self._connect()
        while (first := self._queue.get()) is not None:
            batch, last = self._gather(first)
            self._commit(connection, batch)
            if last:
                break
        connection.close()

    def _gather(self, first: _Write) -> tuple[list[_Write], bool]:
        batch = [first]
        while len(batch) < _BATCH:
            try:
                write = self._queue.get_nowait()
            except Empty:
                return batch, False
            if write is None:
                return batch, True
            batch.append(write)
        return batch, False

    @staticmethod
    def _commit(connection: sqlite3.Connection, batch: list[_Write]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for write in batch:
                write.run(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for write in batch:
                write.error = error
        _resolve(batch)


def _resolve(batch: list[_Write]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Write]] = {}
    for write in batch:
        if write.loop is not None:
            by_loop.setdefault(write.loop, []).append(write)
    for loop, writes in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve_all, writes)


def _resolve_all(writes: list[_Write]) -> None:
    for write in writes:
        write.resolve()
