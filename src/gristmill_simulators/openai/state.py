"""What the simulated organisation has used, stored and queued: SQLite and files on disk."""

import re
import secrets
import shutil
import sqlite3
import string
from pathlib import Path
from typing import Any

import orjson

from gristmill_simulators.bodies import sweep
from gristmill_simulators.database import Database
from gristmill_simulators.openai import prices
from gristmill_simulators.openai.limiter import Limiter
from gristmill_simulators.settings import keep

SCHEMA = """
CREATE TABLE IF NOT EXISTS openai_bills (
    minute INTEGER NOT NULL, model TEXT NOT NULL, batch INTEGER NOT NULL,
    requests INTEGER NOT NULL, tokens INTEGER NOT NULL, nano_dollars INTEGER NOT NULL,
    PRIMARY KEY (minute, model, batch)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS openai_files (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    filename TEXT NOT NULL, purpose TEXT NOT NULL, bytes INTEGER NOT NULL,
    created_at REAL NOT NULL, expires_at REAL, looks INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS openai_batches (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    endpoint TEXT NOT NULL, input_file_id TEXT NOT NULL, metadata TEXT,
    output_seconds INTEGER, status TEXT NOT NULL, model TEXT, errors TEXT,
    transition TEXT NOT NULL, transition_value REAL NOT NULL, looks INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL, expires_at REAL NOT NULL, in_progress_at REAL, finalizing_at REAL,
    completed_at REAL, failed_at REAL, expired_at REAL, cancelling_at REAL, cancelled_at REAL,
    total INTEGER NOT NULL DEFAULT 0, completed INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0, tokens INTEGER NOT NULL DEFAULT 0,
    queued_tokens INTEGER NOT NULL DEFAULT 0, output_bytes INTEGER NOT NULL DEFAULT 0,
    error_bytes INTEGER NOT NULL DEFAULT 0, output_file_id TEXT, error_file_id TEXT);
CREATE INDEX IF NOT EXISTS openai_batches_unfinished ON openai_batches (status)
    WHERE status IN ('validating', 'in_progress', 'finalizing', 'cancelling');
"""

_LIMITS = "openai.limits"
_LETTERS = string.ascii_letters + string.digits
_FILE_ID = re.compile(r"file-[A-Za-z0-9]{22}")
_TABLES = ("openai_bills", "openai_files", "openai_batches")


def new_file_id() -> str:
    return "file-" + "".join(secrets.choice(_LETTERS) for _ in range(22))


def is_file_id(text: str) -> bool:
    return _FILE_ID.fullmatch(text) is not None


def restore(limiter: Limiter, database: Database) -> None:
    """Put the limiter where it was when the last process ended."""
    row = database.read_one("SELECT value FROM kept WHERE name = ?", _LIMITS)
    if row is not None:
        limiter.load(orjson.loads(row["value"]))


def remember(limiter: Limiter, database: Database) -> None:
    """Keep the limiter's numbers; nobody waits, later writes come after it."""
    dumped = orjson.dumps(limiter.dump())
    database.post(lambda connection: keep(connection, _LIMITS, dumped))


async def bill(database: Database, model: str, tokens: int, now: float) -> None:
    """Add one request to the bill; durable when this returns."""
    await database.write(lambda connection: add_bill(connection, model, 1, tokens, now))


def add_bill(
    connection: sqlite3.Connection,
    model: str,
    requests: int,
    tokens: int,
    now: float,
    *,
    batch: bool = False,
) -> None:
    """Bills are kept by minute, for the usage and cost routes."""
    price = prices.cost(model, tokens, batch=batch)
    connection.execute(
        "INSERT INTO openai_bills VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (minute, model, batch)"
        " DO UPDATE SET requests = requests + excluded.requests,"
        " tokens = tokens + excluded.tokens, nano_dollars = nano_dollars + excluded.nano_dollars",
        (int(now // 60) * 60, model, batch, requests, tokens, price),
    )


def spent(database: Database, since: float, until: float) -> int:
    """Nano-dollars of the bills between two times."""
    row = database.read_one(
        "SELECT total(nano_dollars) AS spent FROM openai_bills WHERE minute >= ? AND minute <= ?",
        since,
        until,
    )
    return 0 if row is None else int(row["spent"])


def billed(database: Database) -> dict[str, dict[str, int]]:
    """By model: requests and tokens in all, those of batches among them, and nano-dollars."""
    rows = database.read(
        "SELECT model, sum(requests) AS requests, sum(tokens) AS tokens,"
        " sum(requests * batch) AS batch_requests, sum(tokens * batch) AS batch_tokens,"
        " sum(nano_dollars) AS nano_dollars FROM openai_bills GROUP BY model"
    )
    return {row["model"]: {key: row[key] for key in row.keys()[1:]} for row in rows}


def insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    names = ", ".join(row)
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))


def reset(connection: sqlite3.Connection) -> None:
    for table in _TABLES:
        connection.execute(f"DELETE FROM {table}")
    connection.execute("DELETE FROM kept WHERE name = ?", (_LIMITS,))


class Folders:
    """Where the bytes are: files by their id, and what unfinished batches have written so far."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "openai"
        self.files = self._root / "files"
        self._batches = self._root / "batches"
        self.create()

    def empty(self) -> None:
        """Remove every byte; off the loop."""
        shutil.rmtree(self._root, ignore_errors=True)
        self.create()

    def create(self) -> None:
        self.files.mkdir(parents=True, exist_ok=True)
        self._batches.mkdir(parents=True, exist_ok=True)
        sweep(self.files)

    def file(self, file_id: str) -> Path:
        """Raises ValueError for a name that we never gave: it could lead anywhere on the disk."""
        if not is_file_id(file_id):
            raise ValueError(f"{file_id!r} is no id of a file")
        return self.files / file_id

    def draft(self, batch_id: str, kind: str) -> Path:
        """What a batch has written of its `output` or `error` file."""
        return self._batches / f"{batch_id}.{kind}"
