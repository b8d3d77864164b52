"""Resumable uploads under way: a row for each in SQLite, its bytes in a file that only grows."""

import sqlite3
from typing import Any

from gristmill_simulators.supabase_storage.state import Folders


def insert(connection: sqlite3.Connection, row: dict[str, Any]) -> None:
    marks = ", ".join("?" * len(row))
    connection.execute(
        f"INSERT INTO storage_resumable ({', '.join(row)}) VALUES ({marks})", tuple(row.values())
    )


def set_length(connection: sqlite3.Connection, upload: str, length: int) -> None:
    connection.execute("UPDATE storage_resumable SET length = ? WHERE id = ?", (length, upload))


def finish(connection: sqlite3.Connection, upload: str) -> None:
    connection.execute("UPDATE storage_resumable SET finished = 1 WHERE id = ?", (upload,))


def delete(connection: sqlite3.Connection, upload: str) -> None:
    connection.execute("DELETE FROM storage_resumable WHERE id = ?", (upload,))


def delete_expired(connection: sqlite3.Connection, now: float) -> list[str]:
    sql = "DELETE FROM storage_resumable WHERE expires_at <= ? RETURNING id"
    return [row["id"] for row in connection.execute(sql, (now,)).fetchall()]


def offset(folders: Folders, row: sqlite3.Row) -> int:
    """Bytes that reached the disk, whatever became of the process that wrote them."""
    if row["finished"]:
        return int(row["length"])
    try:
        return folders.resumable(row["id"]).stat().st_size
    except FileNotFoundError:
        return 0
