"""Events on their way to webhooks: written with the change they tell of, in one transaction."""

import sqlite3
import uuid
from typing import Any

import orjson

from gristmill_simulators.llamacloud.hooks import subscribed

SCHEMA = """
CREATE TABLE IF NOT EXISTS llama_deliveries (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL, hook INTEGER NOT NULL,
    target TEXT NOT NULL, event TEXT NOT NULL, event_id TEXT NOT NULL, timestamp REAL NOT NULL,
    due_at REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'waiting');
CREATE INDEX IF NOT EXISTS llama_deliveries_waiting ON llama_deliveries (job_id, hook)
    WHERE state = 'waiting';
"""

BEGINNINGS = ("parse.pending", "parse.running")


def tell(
    connection: sqlite3.Connection,
    job: sqlite3.Row | dict[str, Any],
    event: str,
    timestamp: float,
    due_at: float,
) -> None:
    """Queue an event of a job for each of its webhooks that subscribe to it."""
    event_id = str(uuid.uuid4())
    for number, hook in enumerate(orjson.loads(job["hooks"])):
        if subscribed(hook, event):
            target = orjson.dumps(hook).decode()
            connection.execute(
                "INSERT INTO llama_deliveries"
                " (job_id, hook, target, event, event_id, timestamp, due_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (job["id"], number, target, event, event_id, timestamp, due_at),
            )


def end_of(job: sqlite3.Row) -> str:
    """The event that tells of the end of a job."""
    if job["status"] == "COMPLETED":
        return "parse.partial_success" if job["failed_pages"] else "parse.success"
    return "parse.error" if job["status"] == "FAILED" else "parse.cancelled"


def withdraw_end(connection: sqlite3.Connection, job_id: str, now: float) -> None:
    """A job that was cancelled meanwhile has no other end to tell."""
    connection.execute(
        "DELETE FROM llama_deliveries WHERE job_id = ? AND state = 'waiting' AND due_at > ?",
        (job_id, now),
    )
