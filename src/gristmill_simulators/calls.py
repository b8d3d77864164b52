"""The record of calls received: kept in memory for a moment, then written in one batch."""

import asyncio
import sqlite3
from dataclasses import dataclass, field
from typing import Any

import orjson

from gristmill_simulators.database import Database

SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY, vendor TEXT NOT NULL, route TEXT NOT NULL, method TEXT NOT NULL,
    path TEXT NOT NULL, status INTEGER, started REAL NOT NULL, seconds REAL NOT NULL,
    retry_count INTEGER, request_id TEXT, units TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS call_counts (
    vendor TEXT NOT NULL, route TEXT NOT NULL, status INTEGER NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (vendor, route, status)) WITHOUT ROWID;
"""

_FLUSH_AFTER = 0.2  # seconds
_KEPT = 200_000  # calls; the counts by route are kept for ever


@dataclass(slots=True)
class Call:
    """One request as the vendor would have logged it.

    `status` is None when the connection was dropped; `units` is what the call was billed or
    charged in the vendor's own unit.
    """

    vendor: str
    method: str
    path: str
    started: float
    route: str = "unknown"
    status: int | None = None
    seconds: float = 0.0
    retry_count: int | None = None
    request_id: str | None = None
    units: dict[str, Any] = field(default_factory=dict)

    def row(self) -> tuple[Any, ...]:
        return (
            self.vendor,
            self.route,
            self.method,
            self.path,
            self.status,
            self.started,
            self.seconds,
            self.retry_count,
            self.request_id,
            orjson.dumps(self.units).decode(),
        )


class CallLog:
    """Appends cost a list append; the file sees one batch every 200 ms."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._buffer: list[Call] = []
        self._timer: asyncio.TimerHandle | None = None

    def append(self, call: Call) -> None:
        self._buffer.append(call)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_AFTER, self._post)

    async def flush(self) -> None:
        """Return when every call so far can be read."""
        self._post()
        await self._database.write(lambda _: None)

    async def find(
        self, vendor: str | None, route: str | None, limit: int = 1000, after: int = 0
    ) -> list[dict[str, Any]]:
        """Calls in order of arrival; `after` is the id of the last one already seen."""
        await self.flush()
        rows = await self._database.scan(
            "SELECT * FROM calls WHERE id > ? AND vendor = ifnull(?, vendor)"
            " AND route = ifnull(?, route) ORDER BY id LIMIT ?",
            after,
            vendor,
            route,
            limit,
        )
        return [{**dict(row), "units": orjson.loads(row["units"])} for row in rows]

    async def summary(self) -> dict[str, dict[str, Any]]:
        """Counts by route, and by status within the route; a dropped call has status 0."""
        await self.flush()
        summary: dict[str, dict[str, Any]] = {}
        for row in self._database.read("SELECT * FROM call_counts ORDER BY route, status"):
            entry = summary.setdefault(row["route"], {"count": 0, "by_status": {}})
            entry["count"] += row["count"]
            entry["by_status"][str(row["status"])] = row["count"]
        return summary

    def _post(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._buffer = self._buffer, []
        if batch:
            self._database.post(lambda connection: _insert(connection, batch))


def _insert(connection: sqlite3.Connection, batch: list[Call]) -> None:
    connection.executemany(
        "INSERT INTO calls (vendor, route, method, path, status, started, seconds, retry_count,"
        " request_id, units) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [call.row() for call in batch],
    )
    connection.executemany(
        "INSERT INTO call_counts VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1",
        [(call.vendor, call.route, call.status or 0) for call in batch],
    )
    connection.execute("DELETE FROM calls WHERE id <= (SELECT max(id) FROM calls) - ?", (_KEPT,))
