"""Jobs, files and results as they look on the wire."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import orjson

from gristmill_simulators.llamacloud import state
from gristmill_simulators.llamacloud.errors import LlamaCloudError

PROJECT_ID = "00000000-0000-4000-8000-51b01a7ed000"

Pages = list[dict[str, Any]]

_NOT_ON_FAST = {"markdown", "markdown_full", "items", "forms"}
_METADATA_ONLY = {"usage", "job_metadata"}


def moment(seconds: float | None) -> str | None:
    """ISO 8601 in UTC with microseconds and Z."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def job(row: sqlite3.Row, now: float, *, usage: bool = False) -> dict[str, Any]:
    status = state.visible_status(row, now)
    metadata = row["user_metadata"]
    return {
        "id": row["id"],
        "project_id": PROJECT_ID,
        "status": status,
        "tier": row["tier"],
        "name": row["file_name"],
        "error_message": row["error_message"] if status == "FAILED" else None,
        "created_at": moment(row["created_at"]),
        "updated_at": moment(row["updated_at"]),
        "usage": {"credits": state.settled_credits(row, now)} if usage else None,
        "user_metadata": orjson.loads(metadata) if metadata is not None else None,
    }


def file(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": row["name"],
        "project_id": PROJECT_ID,
        "file_type": PurePosixPath(row["name"]).suffix[1:].lower() or None,
        "purpose": row["purpose"],
        "external_file_id": row["external_file_id"],
        "expires_at": moment(row["expires_at"]),
        "last_modified_at": moment(row["created_at"]),
        "download_url": None,
    }


def check_expand(expand: set[str], tier: str) -> None:
    """Raises LlamaCloudError for an unknown key (422) or one the tier does not have (400)."""
    unknown = expand - _SHAPES.keys() - _METADATA_ONLY
    if unknown:
        raise LlamaCloudError(400, f"Unsupported expand value: {min(unknown)}")
    if tier == "fast" and expand & _NOT_ON_FAST:
        name = min(expand & _NOT_ON_FAST)
        raise LlamaCloudError(400, f"expand={name} is not available for the fast tier")


def needs_pages(expand: set[str]) -> bool:
    return bool(expand - _METADATA_ONLY)


def contents(expand: set[str], pages: Pages | None) -> dict[str, Any]:
    """The expanded keys; null while there is no result."""
    names = expand & _SHAPES.keys()
    return {name: None if pages is None else _SHAPES[name](pages) for name in sorted(names)}


def job_metadata(row: sqlite3.Row, pages: int | None) -> dict[str, Any]:
    """Free-form on the wire; the keys are those seen in v1."""
    return {
        "job_pages": pages,
        "job_is_cache_hit": bool(row["cache_hit"]),
        "parse_version": row["version"],
    }


def _markdown(pages: Pages) -> dict[str, Any]:
    return {
        "pages": [
            {"page_number": page["number"], "markdown": page["markdown"], "success": True}
            for page in pages
        ]
    }


def _text(pages: Pages) -> dict[str, Any]:
    return {"pages": [{"page_number": page["number"], "text": page["text"]} for page in pages]}


def _items(pages: Pages) -> dict[str, Any]:
    return {
        "pages": [
            {
                "page_number": page["number"],
                "page_width": page["width"],
                "page_height": page["height"],
                "success": True,
                "items": [],
            }
            for page in pages
        ]
    }


def _metadata(pages: Pages) -> dict[str, Any]:
    return {"pages": [{"page_number": page["number"]} for page in pages]}


def _joined(key: str) -> Callable[[Pages], str]:
    return lambda pages: "\n\n".join(page[key] for page in pages)


_SHAPES: dict[str, Callable[[Pages], Any]] = {
    "items": _items,
    "markdown": _markdown,
    "markdown_full": _joined("markdown"),
    "metadata": _metadata,
    "text": _text,
    "text_full": _joined("text"),
}
