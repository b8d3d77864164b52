"""Files, parse jobs and results of the simulated project, in SQLite and on disk."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

from gristmill_simulators.bodies import sweep
from gristmill_simulators.database import Database
from gristmill_simulators.llamacloud import billing, configurations, outbox, webhook_configs

SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS llama_files (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, purpose TEXT NOT NULL, external_file_id TEXT,
    sha256 TEXT NOT NULL, size INTEGER NOT NULL, created_at REAL NOT NULL, expires_at REAL);
CREATE INDEX IF NOT EXISTS llama_files_created ON llama_files (created_at);
CREATE TABLE IF NOT EXISTS llama_jobs (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    file_id TEXT, file_name TEXT NOT NULL, source_url TEXT, tier TEXT NOT NULL,
    version TEXT NOT NULL, options TEXT NOT NULL, script TEXT, cache_key TEXT,
    client_name TEXT, user_metadata TEXT, hooks TEXT NOT NULL, status TEXT NOT NULL,
    error_message TEXT, created_at REAL NOT NULL, updated_at REAL NOT NULL,
    transition TEXT NOT NULL, transition_value REAL NOT NULL, polls INTEGER NOT NULL DEFAULT 0,
    early REAL NOT NULL, stuck INTEGER NOT NULL DEFAULT 0, released_at REAL,
    billing_delay REAL NOT NULL, credits REAL, result_id TEXT, failed_pages TEXT,
    easy_pages TEXT, cache_hit INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS llama_jobs_file ON llama_jobs (file_id);
CREATE INDEX IF NOT EXISTS llama_jobs_unfinished ON llama_jobs (status)
    WHERE status IN ('PENDING', 'RUNNING');
CREATE TABLE IF NOT EXISTS llama_results (
    id TEXT PRIMARY KEY, cache_key TEXT, pages INTEGER NOT NULL, easy_pages TEXT,
    created_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS llama_results_key ON llama_results (cache_key, created_at);
"""
    + billing.SCHEMA
    + outbox.SCHEMA
    + webhook_configs.SCHEMA
    + configurations.SCHEMA
)

_TABLES = """
    llama_files llama_jobs llama_results llama_bills llama_deliveries llama_webhooks
    llama_configurations
"""

CACHE_SECONDS = 48 * 3600.0
UNFINISHED = ("PENDING", "RUNNING")

# What a client sees: a finished parse may be told to look unfinished for a while. One parameter:
# the time now.
JOBS = """
    SELECT * FROM (SELECT *, CASE
        WHEN status = 'CANCELLED' OR released_at <= ? THEN status
        WHEN status = 'PENDING' OR (transition = 'polls' AND polls <= 1) THEN 'PENDING'
        ELSE 'RUNNING' END AS visible FROM llama_jobs)
"""


def job(database: Database, job_id: str, now: float) -> sqlite3.Row | None:
    """A job as a client sees it at `now`, its status in `visible`."""
    return database.read_one(f"{JOBS} WHERE id = ?", now, job_id)


def job_in(connection: sqlite3.Connection, job_id: str, now: float) -> sqlite3.Row | None:
    """The same inside a write."""
    row: sqlite3.Row | None = connection.execute(f"{JOBS} WHERE id = ?", (now, job_id)).fetchone()
    return row


def settled_credits(job: sqlite3.Row, now: float) -> float | None:
    """What billing has settled for the job, null before."""
    ended = job["released_at"] if job["status"] != "CANCELLED" else job["updated_at"]
    if job["visible"] in UNFINISHED or ended + job["billing_delay"] > now:
        return None
    credits_: float | None = job["credits"]
    return credits_


def insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    names = ", ".join(row)
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))


def cached_result(connection: sqlite3.Connection, key: str, now: float) -> sqlite3.Row | None:
    """The newest result for the same bytes and options that is not older than 48 hours."""
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM llama_results WHERE cache_key = ? AND created_at > ?"
        " ORDER BY created_at DESC LIMIT 1",
        (key, now - CACHE_SECONDS),
    ).fetchone()
    return row


def released_at(job: sqlite3.Row | dict[str, Any], now: float) -> float | None:
    """When a parse that is done now may be told; None while it waits for looks."""
    if job["transition"] == "seconds":
        return max(now, float(job["created_at"] + job["transition_value"]))
    waits = job["transition"] == "polls" and job["polls"] <= job["transition_value"]
    return None if waits else now


def look(connection: sqlite3.Connection, ids: list[str], now: float) -> None:
    """Count a look at jobs that wait for polls, and release those looked at often enough."""
    marks = ", ".join("?" * len(ids))
    connection.execute(
        f"UPDATE llama_jobs SET polls = polls + 1 WHERE id IN ({marks})"
        " AND transition = 'polls' AND released_at IS NULL",
        ids,
    )
    released = connection.execute(
        f"UPDATE llama_jobs SET released_at = ? + early, updated_at = ? WHERE id IN ({marks})"
        " AND transition = 'polls' AND released_at IS NULL AND polls > transition_value"
        " AND status NOT IN ('PENDING', 'RUNNING') RETURNING *",
        (now, now, *ids),
    ).fetchall()
    for row in released:
        outbox.tell(connection, row, outbox.end_of(row), now, now)


def purge(connection: sqlite3.Connection, now: float) -> tuple[list[str], list[str]]:
    """Forget expired files, and results too old for the cache that no job shows; their ids."""
    needed = "SELECT file_id FROM llama_jobs WHERE status IN ('PENDING', 'RUNNING')"
    files = connection.execute(
        f"DELETE FROM llama_files WHERE expires_at <= ? AND id NOT IN ({needed}) RETURNING id",
        (now,),
    ).fetchall()
    shown = "SELECT result_id FROM llama_jobs WHERE result_id IS NOT NULL"
    results = connection.execute(
        f"DELETE FROM llama_results WHERE created_at <= ? AND id NOT IN ({shown}) RETURNING id",
        (now - CACHE_SECONDS,),
    ).fetchall()
    return [row["id"] for row in files], [row["id"] for row in results]


def reset(connection: sqlite3.Connection) -> None:
    for table in _TABLES.split():
        connection.execute(f"DELETE FROM {table}")


class Folders:
    """Where the bytes are: uploaded files and the pages made of them."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "llamacloud"
        self.files = self._root / "files"
        self.results = self._root / "results"
        self.create()

    def empty(self) -> None:
        """Remove every byte; off the loop."""
        shutil.rmtree(self._root, ignore_errors=True)
        self.create()

    def create(self) -> None:
        self.files.mkdir(parents=True, exist_ok=True)
        self.results.mkdir(parents=True, exist_ok=True)
        sweep(self.files)
        for path in self.files.glob("source-*"):  # fetched by a killed process; fetched again
            path.unlink(missing_ok=True)

    def file(self, file_id: str) -> Path:
        return self.files / file_id

    def result(self, result_id: str) -> Path:
        return self.results / f"{result_id}.json"
