"""Jobs and files as they look on the wire."""

import sqlite3
from pathlib import PurePosixPath
from typing import Any

import orjson

from gristmill_simulators.llamacloud import state
from gristmill_simulators.llamacloud.moments import moment
from gristmill_simulators.llamacloud.query import PROJECT_ID


def job(row: sqlite3.Row, now: float, *, usage: bool = False) -> dict[str, Any]:
    metadata = row["user_metadata"]
    return {
        "id": row["id"],
        "project_id": PROJECT_ID,
        "status": row["visible"],
        "tier": row["tier"],
        "name": row["file_name"],
        "error_message": row["error_message"] if row["visible"] == "FAILED" else None,
        "created_at": moment(row["created_at"]),
        "updated_at": moment(row["updated_at"]),
        "usage": {"credits": state.settled_credits(row, now)} if usage else None,
        "user_metadata": orjson.loads(metadata) if metadata is not None else None,
    }


def file(row: sqlite3.Row, download_url: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": row["name"],
        "project_id": PROJECT_ID,
        "file_type": PurePosixPath(row["name"]).suffix[1:].lower() or None,
        "purpose": row["purpose"],
        "external_file_id": row["external_file_id"],
        "expires_at": moment(row["expires_at"]),
        "last_modified_at": moment(row["created_at"]),
        "download_url": download_url,
    }
