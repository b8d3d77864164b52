"""The record of calls received: kept in memory for a moment, then written in one batch."""

import asyncio
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from gristmill_simulators.database import Database

# AUTOINCREMENT: ids go on after a DELETE, so that whoever reads `after` the last one misses none
SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY AUTOINCREMENT, vendor TEXT NOT NULL, route TEXT NOT NULL,
    method TEXT NOT NULL, path TEXT NOT NULL, status INTEGER, started REAL NOT NULL,
    seconds REAL NOT NULL, retry_count INTEGER, request_id TEXT, fault TEXT,
    request_bytes INTEGER NOT NULL, response_bytes INTEGER NOT NULL, units TEXT NOT NULL,
    headers TEXT);
CREATE TABLE IF NOT EXISTS call_counts (
    vendor TEXT NOT NULL, route TEXT NOT NULL, status INTEGER NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (vendor, route, status)) WITHOUT ROWID;
"""

_FLUSH_AFTER = 0.2  # seconds
_KEPT = 200_000  # calls; the counts by route are kept for ever
_SECRET = ("auth", "cookie", "key", "secret", "signature", "token")


@dataclass(slots=True)
class Call:
    """One request as the vendor would have logged it.

    `status` is None when the connection was dropped; `units` is what the call was billed or
    charged in the vendor's own unit; `fault` the kind of the fault that hit it; `headers` those of
    the request, secrets masked, if the settings ask for them.
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
    fault: str | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    units: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] | None = None

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
            self.fault,
            self.request_bytes,
            self.response_bytes,
            orjson.dumps(self.units).decode(),
            None if self.headers is None else orjson.dumps(self.headers).decode(),
        )


class Filter(BaseModel):
    """Which calls: all that is given must fit; `route` is a name, a beginning or a glob.

    `status` 0 stands for a dropped connection; `fault` is a kind, `*` for any. `limit` keeps the
    first ones, `last` the last ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    vendor: str | None = None
    route: str | None = None
    method: str | None = None
    status: int | None = Field(default=None, ge=0, le=599)
    fault: str | None = None
    after: int = Field(default=0, ge=0, le=2**63 - 1)
    limit: int = Field(default=1000, ge=0, le=_KEPT)
    last: int | None = Field(default=None, ge=0, le=_KEPT)


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
        self, wanted: Filter, routes: Collection[str] | None = None
    ) -> list[dict[str, Any]]:
        """Calls in order of arrival; `routes` are the names that the filter's route stands for."""
        await self.flush()
        order = "ASC" if wanted.last is None else "DESC"
        names = None if routes is None else orjson.dumps(list(routes)).decode()
        rows = await self._database.scan(
            "SELECT * FROM calls WHERE id > ? AND vendor = ifnull(?, vendor)"
            " AND (? IS NULL OR route IN (SELECT value FROM json_each(?)))"
            " AND method = ifnull(?, method) AND ifnull(status, 0) = ifnull(?, ifnull(status, 0))"
            f" AND (? IS NULL OR fault GLOB ?) ORDER BY id {order} LIMIT ?",
            wanted.after,
            wanted.vendor,
            *[names] * 2,
            wanted.method,
            wanted.status,
            *[wanted.fault] * 2,
            wanted.limit if wanted.last is None else wanted.last,
        )
        return sorted((_shown(row) for row in rows), key=itemgetter("id"))

    async def summary(self) -> dict[str, dict[str, Any]]:
        """Counts by route, and by status within the route; a dropped call has status 0."""
        await self.flush()
        summary: dict[str, dict[str, Any]] = {}
        for row in self._database.read("SELECT * FROM call_counts ORDER BY route, status"):
            entry = summary.setdefault(row["route"], {"count": 0, "by_status": {}})
            entry["count"] += row["count"]
            entry["by_status"][str(row["status"])] = row["count"]
        return summary

    async def clear(self) -> None:
        """Forget the calls and their counts; bills and limits stay."""
        await self.flush()
        await self._database.write(reset)

    def _post(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._buffer = self._buffer, []
        if batch:
            self._database.post(lambda connection: _insert(connection, batch))


def masked(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers for people; of anything that may be a secret only the scheme is left."""
    shown = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if any(word in name for word in _SECRET):
            scheme, blank, _ = value.partition(" ")
            value = f"{scheme} ***" if blank and name == "authorization" else "***"
        shown[name] = value
    return shown


def reset(connection: sqlite3.Connection) -> None:
    for table in ("calls", "call_counts"):
        connection.execute(f"DELETE FROM {table}")


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    call = dict(row)
    headers = call.pop("headers")
    call["units"] = orjson.loads(call["units"])
    return call if headers is None else {**call, "headers": orjson.loads(headers)}


def _insert(connection: sqlite3.Connection, batch: list[Call]) -> None:
    connection.executemany(
        "INSERT INTO calls (vendor, route, method, path, status, started, seconds, retry_count,"
        " request_id, fault, request_bytes, response_bytes, units, headers)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [call.row() for call in batch],
    )
    connection.executemany(
        "INSERT INTO call_counts VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1",
        [(call.vendor, call.route, call.status or 0) for call in batch],
    )
    connection.execute("DELETE FROM calls WHERE id <= (SELECT max(id) FROM calls) - ?", (_KEPT,))
