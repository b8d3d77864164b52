"""Files, parse jobs, results and bills of the simulated project, in SQLite and on disk."""

import secrets
import shutil
import sqlite3
import string
import uuid
from pathlib import Path
from typing import Any

from gristmill_simulators.bodies import sweep
from gristmill_simulators.database import Database

SCHEMA = """
CREATE TABLE IF NOT EXISTS llama_files (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, purpose TEXT NOT NULL, external_file_id TEXT,
    sha256 TEXT NOT NULL, size INTEGER NOT NULL, created_at REAL NOT NULL, expires_at REAL);
CREATE TABLE IF NOT EXISTS llama_jobs (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    file_id TEXT NOT NULL, file_name TEXT NOT NULL, tier TEXT NOT NULL, version TEXT NOT NULL,
    target_pages TEXT, max_pages INTEGER, page_surcharge REAL NOT NULL, cache_key TEXT,
    client_name TEXT, user_metadata TEXT, webhooks TEXT, status TEXT NOT NULL,
    error_message TEXT, created_at REAL NOT NULL, updated_at REAL NOT NULL,
    transition TEXT NOT NULL, transition_value REAL NOT NULL, polls INTEGER NOT NULL DEFAULT 0,
    released_at REAL, billing_delay REAL NOT NULL, credits REAL, result_id TEXT,
    cache_hit INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS llama_jobs_file ON llama_jobs (file_id);
CREATE INDEX IF NOT EXISTS llama_jobs_unfinished ON llama_jobs (status)
    WHERE status IN ('PENDING', 'RUNNING');
CREATE TABLE IF NOT EXISTS llama_results (
    id TEXT PRIMARY KEY, cache_key TEXT, pages INTEGER NOT NULL, created_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS llama_results_key ON llama_results (cache_key, created_at);
CREATE TABLE IF NOT EXISTS llama_bills (
    job_id TEXT PRIMARY KEY, tier TEXT NOT NULL, pages INTEGER NOT NULL, credits REAL NOT NULL,
    at REAL NOT NULL) WITHOUT ROWID;
"""

CACHE_SECONDS = 48 * 3600.0
UNFINISHED = ("PENDING", "RUNNING")

_ID_LETTERS = string.ascii_lowercase + string.digits


def new_job_id() -> str:
    return "pjb-" + "".join(secrets.choice(_ID_LETTERS) for _ in range(28))


def new_file_id() -> str:
    return str(uuid.uuid4())


def visible_status(job: sqlite3.Row, now: float) -> str:
    """The status a client sees: a finished parse may be told to look unfinished for a while."""
    status: str = job["status"]
    if status == "CANCELLED":
        return status
    if job["released_at"] is not None and job["released_at"] <= now:
        return status
    if status == "PENDING" or (job["transition"] == "polls" and job["polls"] <= 1):
        return "PENDING"
    return "RUNNING"


def settled_credits(job: sqlite3.Row, now: float) -> float | None:
    """What billing has settled for the job, null before."""
    if visible_status(job, now) != "COMPLETED":
        return None
    settled: bool = job["released_at"] + job["billing_delay"] <= now
    return job["credits"] if settled else None


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


def bill(
    connection: sqlite3.Connection, job: dict[str, Any], pages: int, cost: float, now: float
) -> None:
    """One line per finished job; it outlives the job."""
    row = {"job_id": job["id"], "tier": job["tier"], "pages": pages, "credits": cost, "at": now}
    insert(connection, "llama_bills", row)


def look(connection: sqlite3.Connection, ids: list[str], now: float) -> None:
    """Count a look at jobs that wait for polls, and release those looked at often enough."""
    marks = ", ".join("?" * len(ids))
    connection.execute(
        f"UPDATE llama_jobs SET polls = polls + 1 WHERE id IN ({marks})"
        " AND transition = 'polls' AND released_at IS NULL",
        ids,
    )
    connection.execute(
        f"UPDATE llama_jobs SET released_at = ?, updated_at = ? WHERE id IN ({marks})"
        " AND transition = 'polls' AND released_at IS NULL AND polls > transition_value"
        " AND status NOT IN ('PENDING', 'RUNNING')",
        (now, now, *ids),
    )


def released_at(job: sqlite3.Row, now: float) -> float | None:
    """When a parse that is done now may be seen; None while it waits for looks."""
    if job["transition"] == "seconds":
        return max(now, float(job["created_at"] + job["transition_value"]))
    waits = job["transition"] == "polls" and job["polls"] <= job["transition_value"]
    return None if waits else now


def billed(database: Database) -> dict[str, Any]:
    """Credits, pages and jobs: in all, and by tier."""
    rows = database.read(
        "SELECT tier, count(*) AS jobs, sum(pages) AS pages, sum(credits) AS credits"
        " FROM llama_bills GROUP BY tier"
    )
    by_tier = {row["tier"]: {k: row[k] for k in ("jobs", "pages", "credits")} for row in rows}
    total = {k: sum(tier[k] for tier in by_tier.values()) for k in ("jobs", "pages", "credits")}
    return {**total, "by_tier": by_tier}


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
    for table in ("llama_files", "llama_jobs", "llama_results", "llama_bills"):
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

    def file(self, file_id: str) -> Path:
        return self.files / file_id

    def result(self, result_id: str) -> Path:
        return self.results / f"{result_id}.json"
