"""List v1: one folder level, folders and files together, ordered by lower-cased name.

As the database function `storage.search` of the server does it (migration 0063).
"""

import sqlite3
from collections.abc import Iterable
from typing import Any

from gristmill_simulators.supabase_storage import body, state

_COLUMNS = ("name", "updated_at", "created_at", "last_accessed_at")
_MAX = 1500
_FOLDER = ("id", "updated_at", "created_at", "last_accessed_at", "metadata")


class ListingV1:
    """One request of `POST /object/list/{bucket}`, checked. Raises StorageError."""

    def __init__(self, fields: body.Fields) -> None:
        self._folder = body.text(fields, "prefix")
        self._limit = min(body.integer(fields, "limit", 100, 1), _MAX)
        self._offset = body.integer(fields, "offset", 0, 0)
        sort = body.nested(fields, "sortBy")
        named = "name" if "sortBy" not in fields else None  # sortBy without a column is refused
        self._column = body.choice(sort, "column", _COLUMNS, named, "body/sortBy")
        order = body.choice(sort, "order", ("asc", "desc"), "asc", "body/sortBy")
        self._descending = order == "desc"
        if self._folder and not self._folder.endswith("/"):
            self._folder += "/"
        self.prefix = self._folder + body.text(fields, "search", "")
        """What the lower-cased keys must begin with; the search is a prefix too."""

    def entries(self, rows: Iterable[sqlite3.Row]) -> list[dict[str, Any]]:
        """The page asked for, out of all rows under `prefix`."""
        entries = [self._entry(row) for row in rows]
        found = self._by_name(entries) if self._column == "name" else self._by_time(entries)
        return found[self._offset : self._offset + self._limit]

    def _entry(self, row: sqlite3.Row) -> tuple[str, dict[str, Any]]:
        """The key, or the folder's with its slash, and what is shown of it."""
        key: str = row["name"]
        below, slash, _ = key[len(self.prefix) :].partition("/")
        if slash:
            key = key[: len(self.prefix) + len(below) + 1]
            name = key.rstrip("/")[len(self._folder) :]
            return key, {"name": name, **dict.fromkeys(_FOLDER)}
        return key, _file(row, key[len(self._folder) :])

    def _by_name(self, entries: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        entries.sort(key=lambda entry: entry[0].lower(), reverse=self._descending)
        shown: dict[str, dict[str, Any]] = {}
        for key, entry in entries:  # folders that differ only in case are one
            shown.setdefault(key.lower() if entry["id"] is None else key, entry)
        return list(shown.values())

    def _by_time(self, entries: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        folders = {entry["name"]: entry for _, entry in entries if entry["id"] is None}
        files = [entry for _, entry in entries if entry["id"] is not None]
        files.sort(key=lambda entry: str(entry[self._column]), reverse=self._descending)
        names = sorted(folders, key=str.lower, reverse=self._descending)
        return [folders[name] for name in names] + files


def _file(row: sqlite3.Row, name: str) -> dict[str, Any]:
    created = state.moment(row["created_at"])
    return {
        "name": name,
        "id": row["id"],
        "updated_at": state.moment(row["updated_at"]),
        "created_at": created,
        "last_accessed_at": created,
        "metadata": state.row_metadata(row),
    }
