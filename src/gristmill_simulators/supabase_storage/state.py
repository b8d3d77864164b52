"""Buckets and object rows in SQLite, object bytes in files named by their version."""

import contextlib
import shutil
import sqlite3
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from gristmill_simulators.bodies import sweep
from gristmill_simulators.database import Database

SCHEMA = """
CREATE TABLE IF NOT EXISTS storage_buckets (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
    public INTEGER NOT NULL, file_size_limit INTEGER, allowed_mime_types TEXT,
    created_at REAL NOT NULL, updated_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS storage_objects (
    bucket_id TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, version TEXT NOT NULL,
    owner TEXT NOT NULL, size INTEGER NOT NULL, content_type TEXT NOT NULL,
    cache_control TEXT NOT NULL, robots_tag TEXT, etag TEXT NOT NULL,
    user_metadata TEXT NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL,
    PRIMARY KEY (bucket_id, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS storage_emptyings (
    bucket_id TEXT NOT NULL, before REAL NOT NULL, due REAL NOT NULL);
CREATE TABLE IF NOT EXISTS storage_resumable (
    id TEXT PRIMARY KEY, bucket_id TEXT NOT NULL, name TEXT NOT NULL, length INTEGER,
    content_type TEXT NOT NULL, cache_control TEXT NOT NULL, user_metadata TEXT NOT NULL,
    given TEXT NOT NULL, owner TEXT NOT NULL, finished INTEGER NOT NULL,
    expires_at REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS storage_resumable_expiry ON storage_resumable (expires_at);
CREATE TABLE IF NOT EXISTS storage_egress (id INTEGER PRIMARY KEY, bytes INTEGER NOT NULL);
"""


def moment(seconds: float) -> str:
    """ISO 8601 with milliseconds and Z."""
    stamp = datetime.fromtimestamp(seconds, UTC)
    return stamp.strftime("%Y-%m-%dT%H:%M:%S.") + f"{stamp.microsecond // 1000:03d}Z"


def row_metadata(row: sqlite3.Row) -> dict[str, Any]:
    """The `metadata` of an object's row, as list, copy and delete show it."""
    robots = {"xRobotsTag": row["robots_tag"]} if row["robots_tag"] is not None else {}
    return {
        "eTag": row["etag"],
        "size": row["size"],
        "mimetype": row["content_type"],
        "cacheControl": row["cache_control"],
        "lastModified": moment(row["updated_at"]),
        "contentLength": row["size"],
        "httpStatusCode": 200,
        **robots,
    }


def full_row(row: sqlite3.Row) -> dict[str, Any]:
    """A whole object row, as delete and copy answer it."""
    return {
        "name": row["name"],
        "bucket_id": row["bucket_id"],
        "owner": _uuid(row["owner"]),
        "owner_id": row["owner"],
        "version": row["version"],
        "id": row["id"],
        "updated_at": moment(row["updated_at"]),
        "created_at": moment(row["created_at"]),
        "last_accessed_at": moment(row["created_at"]),
        "metadata": row_metadata(row),
        "user_metadata": orjson.loads(row["user_metadata"]),
    }


def bucket_row(row: sqlite3.Row) -> dict[str, Any]:
    """A bucket; `owner` is `""`, never null, and all limits are always there."""
    allowed = row["allowed_mime_types"]
    return {
        "id": row["id"],
        "name": row["name"],
        "owner": _uuid(row["owner"]),
        "public": bool(row["public"]),
        "file_size_limit": row["file_size_limit"],
        "allowed_mime_types": None if allowed is None else orjson.loads(allowed),
        "created_at": moment(row["created_at"]),
        "updated_at": moment(row["updated_at"]),
    }


def _uuid(owner: str) -> str:
    """The old column `owner` holds UUIDs only; `owner_id` takes any `sub`."""
    try:
        return str(uuid.UUID(owner))
    except ValueError:
        return ""


def find_bucket(source: Database | sqlite3.Connection, bucket: str) -> sqlite3.Row | None:
    return _one(source, "SELECT * FROM storage_buckets WHERE id = ?", bucket)


def find_object(source: Database | sqlite3.Connection, bucket: str, key: str) -> sqlite3.Row | None:
    sql = "SELECT * FROM storage_objects WHERE bucket_id = ? AND name = ?"
    return _one(source, sql, bucket, key)


def _one(source: Database | sqlite3.Connection, sql: str, *parameters: str) -> sqlite3.Row | None:
    if isinstance(source, Database):
        return source.read_one(sql, *parameters)
    row: sqlite3.Row | None = source.execute(sql, parameters).fetchone()
    return row


def put_object(connection: sqlite3.Connection, row: dict[str, Any]) -> None:
    """Insert, or replace everything but `id` and `created_at`; no owner leaves the old one."""
    names = ", ".join(row)
    marks = ", ".join("?" * len(row))
    kept = {"bucket_id", "name", "id", "created_at", "owner"}
    changes = ", ".join(f"{name} = excluded.{name}" for name in row if name not in kept)
    changes += ", owner = coalesce(nullif(excluded.owner, ''), owner)"
    connection.execute(
        f"INSERT INTO storage_objects ({names}) VALUES ({marks})"
        f" ON CONFLICT (bucket_id, name) DO UPDATE SET {changes}",
        tuple(row.values()),
    )


def delete_object(connection: sqlite3.Connection, bucket: str, key: str) -> sqlite3.Row | None:
    row = find_object(connection, bucket, key)
    if row is not None:
        connection.execute(
            "DELETE FROM storage_objects WHERE bucket_id = ? AND name = ?", (bucket, key)
        )
    return row


def count_egress(connection: sqlite3.Connection, size: int) -> None:
    connection.execute(
        "INSERT INTO storage_egress VALUES (1, ?)"
        " ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes",
        (size,),
    )


def billed(database: Database) -> dict[str, Any]:
    """Bytes stored now and bytes sent so far; requests are not metered."""
    stored = database.read_one("SELECT count(*) AS n, sum(size) AS size FROM storage_objects")
    egress = database.read_one("SELECT bytes FROM storage_egress")
    return {
        "objects": 0 if stored is None else stored["n"],
        "stored_bytes": 0 if stored is None else stored["size"] or 0,
        "egress_bytes": 0 if egress is None else egress["bytes"],
    }


def reset(connection: sqlite3.Connection) -> None:
    tables = ("buckets", "objects", "emptyings", "egress", "resumable")
    for table in tables:
        connection.execute(f"DELETE FROM storage_{table}")


class Folders:
    """Where the objects' bytes are; one file per version, never changed once it has its name."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "supabase"
        self.objects = self._root / "objects"
        self.create()

    def empty(self) -> None:
        """Remove every byte; off the loop."""
        shutil.rmtree(self._root, ignore_errors=True)
        self.create()

    def create(self) -> None:
        self.objects.mkdir(parents=True, exist_ok=True)
        (self._root / "resumable").mkdir(exist_ok=True)
        sweep(self.objects)

    def version(self, version: str) -> Path:
        return self.objects / version[:2] / version

    def resumable(self, upload: str) -> Path:
        return self._root / "resumable" / upload

    def remove(self, version: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.version(version).unlink()
