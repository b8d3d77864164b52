"""The SQL of health: what each process tells the others, and how services have changed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from gristmill.contract import Status
from gristmill.database.engine import Database, Row
from gristmill.health.heard import WINDOW, Heard, Live, as_json, heard_of, joined
from gristmill.health.report import ServiceReport, report
from gristmill.health.rules import Verdict

LIVE_SECONDS: Final = 10.0  # after five words that did not come, a process is taken to be gone

_TELL: Final = "SELECT tell_health(%s, %s, %s, %s, %s::text::jsonb)"
_TOLD: Final = "SELECT * FROM told_health(%s)"
_CHANGE: Final = "SELECT change_health(%s, %s, %s, %s, %s) AS changed"
_CHANGES: Final = """
SELECT at, service, endpoint, before, after, reason FROM health_changes
WHERE at > clock_timestamp() - interval '1 day' ORDER BY id DESC LIMIT %s
"""
_HEALTHY: Final = """
SELECT service, endpoint, extract(epoch FROM clock_timestamp() - since)::double precision AS seconds
FROM service_statuses WHERE status = 'healthy'
"""
_TOTALS: Final = "SELECT service, endpoint, name, amount FROM service_totals ORDER BY 1, 2, 3"


@dataclass(frozen=True, slots=True)
class Process:
    """Who tells: a name drawn at its start, its machine and its number there."""

    name: str
    host: str
    pid: int


@dataclass(frozen=True, slots=True)
class Word:
    """What a process tells of a service; `before` is what of `totals` it has told already."""

    service: str
    endpoint: str
    heard: Heard
    live: Live
    totals: dict[str, float]
    before: dict[str, float]


@dataclass(frozen=True, slots=True)
class Together:
    """What all processes know of a service, and the status that was told last, if any was."""

    heard: Heard
    live: tuple[Live, ...]
    status: Status | None


@dataclass(frozen=True, slots=True)
class HealthChange:
    """A service at an endpoint went from one status to another, and why."""

    at: datetime
    service: str
    endpoint: str
    before: Status
    after: Status
    reason: str


@dataclass(frozen=True, slots=True)
class Total:
    """A sum over all processes there ever were: calls, answers, seconds, retries, or a kind."""

    service: str
    endpoint: str
    name: str
    amount: float


Key = tuple[str, str]  # service and endpoint


async def tell(
    database: Database, process: Process, words: Sequence[Word], *, is_over: bool
) -> None:
    """Writes what a process knows, in one statement; `is_over` says that it ends."""
    told = [
        {
            "service": word.service,
            "endpoint": word.endpoint,
            "heard": as_json(word.heard),
            "live": asdict(word.live),
            "totals": word.totals,
            "before": word.before,
        }
        for word in words
    ]
    values = (process.name, process.host, process.pid, is_over, orjson.dumps(told).decode())
    async with database.connection() as connection:
        await connection.execute(_TELL, values)


async def told(database: Database) -> dict[Key, Together]:
    """What all processes have told of each service in the last minutes, as if one had."""
    async with database.connection() as connection:
        rows = await (await connection.execute(_TOLD, (WINDOW,))).fetchall()
    keys = dict.fromkeys((row["service"], row["endpoint"]) for row in rows)
    return {
        key: _together([r for r in rows if (r["service"], r["endpoint"]) == key]) for key in keys
    }


def _together(rows: Sequence[Row]) -> Together:
    heard = joined(joined([heard_of(row["heard"])], row["age"]) for row in rows)
    live = tuple(Live(**row["live"]) for row in rows if _is_live(row))
    status = rows[0]["status"]
    return Together(heard, live, None if status is None else Status(status))


def _is_live(row: Row) -> bool:
    return not row["is_over"] and row["age"] < LIVE_SECONDS


async def known(database: Database, endpoints: Mapping[str, str]) -> dict[str, ServiceReport]:
    """How services do at their endpoints, as far as is known, without asking anybody."""
    together = await told(database)
    return {
        service: reported(together.get((service, endpoint)), endpoint)
        for service, endpoint in endpoints.items()
    }


async def steady(database: Database, endpoints: Mapping[str, str]) -> dict[str, float]:
    """For how many seconds services have been healthy at their endpoints, as it was told to all.

    One that is not, or of which nothing was heard of late, is left out.
    """
    reports = await known(database, endpoints)
    async with database.connection() as connection:
        rows = await (await connection.execute(_HEALTHY)).fetchall()
    seconds = {(row["service"], row["endpoint"]): row["seconds"] for row in rows}
    return {
        key[0]: seconds[key]
        for key in endpoints.items()
        if key in seconds and reports[key[0]].status is Status.HEALTHY
    }


def reported(known: Together | None, endpoint: str) -> ServiceReport:
    """The same of one service."""
    if known is None:
        return report(Heard(), endpoint=endpoint)
    return report(known.heard, known.live, endpoint=endpoint)


async def change(database: Database, key: Key, was: Status | None, verdict: Verdict) -> bool:
    """Tells of a new status, in the log of changes; False if another process did."""
    values: tuple[Any, ...] = (*key, was, verdict.status, verdict.reason)
    async with database.connection() as connection:
        row = await (await connection.execute(_CHANGE, values)).fetchone()
    return row is not None and bool(row["changed"])


async def changes(database: Database, *, most: int = 1000) -> list[HealthChange]:
    """How services have changed in the last day, the newest first."""
    async with database.connection() as connection:
        rows = await (await connection.execute(_CHANGES, (most,))).fetchall()
    return [HealthChange(**row | _statuses(row)) for row in rows]


def _statuses(row: Row) -> dict[str, Status]:
    return {name: Status(row[name]) for name in ("before", "after")}


async def totals(database: Database) -> list[Total]:
    """The sums over all processes."""
    async with database.connection() as connection:
        rows = await (await connection.execute(_TOTALS)).fetchall()
    return [Total(**row) for row in rows]
