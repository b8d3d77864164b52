"""What the simulated organisation has used, kept in SQLite."""

import sqlite3
from typing import Any

import orjson

from gristmill_simulators.database import Database
from gristmill_simulators.openai.limiter import Limiter
from gristmill_simulators.settings import keep

SCHEMA = """
CREATE TABLE IF NOT EXISTS openai_usage (
    model TEXT PRIMARY KEY, requests INTEGER NOT NULL, tokens INTEGER NOT NULL) WITHOUT ROWID;
"""

_LIMITS = "openai.limits"


def restore(limiter: Limiter, database: Database) -> None:
    """Put the limiter where it was when the last process ended."""
    row = database.read_one("SELECT value FROM kept WHERE name = ?", _LIMITS)
    if row is not None:
        limiter.load(orjson.loads(row["value"]))


def remember(limiter: Limiter, database: Database) -> None:
    """Keep the limiter's numbers; nobody waits, later writes come after it."""
    dumped = orjson.dumps(limiter.dump())
    database.post(lambda connection: keep(connection, _LIMITS, dumped))


async def bill(database: Database, model: str, tokens: int) -> None:
    """Add one request to the bill; durable when this returns."""

    def work(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO openai_usage VALUES (?, 1, ?) ON CONFLICT (model)"
            " DO UPDATE SET requests = requests + 1, tokens = tokens + excluded.tokens",
            (model, tokens),
        )

    await database.write(work)


def billed(database: Database) -> dict[str, Any]:
    """Tokens and requests by model."""
    rows = database.read("SELECT model, requests, tokens FROM openai_usage")
    return {row["model"]: {"requests": row["requests"], "tokens": row["tokens"]} for row in rows}


def reset(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM openai_usage")
    connection.execute("DELETE FROM kept WHERE name = ?", (_LIMITS,))
