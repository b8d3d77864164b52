"""List v1: one folder level, folders and files together, ordered by lower-cased name."""

import sqlite3
from typing import Any

from gristmill_simulators.supabase_storage import body, state
from gristmill_simulators.supabase_storage.errors import schema

_COLUMNS = {"name", "updated_at", "created_at", "last_accessed_at"}
_MAX = 1500
_FOLDER = ("id", "updated_at", "created_at", "last_accessed_at", "metadata")


class Listing:
    """One request of `POST /object/list/{bucket}`, checked."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.prefix = body.text(fields, "prefix")
        self._limit = min(body.integer(fields, "limit", 100, 1), _MAX)
        self._offset = body.integer(fields, "offset", 0, 0)
        self._search = str(fields.get("search") or "").lower()
        sort = fields.get("sortBy") or {}
        self._column = sort.get("column") or "name"
        self._descending = sort.get("order") == "desc"
        if self._column not in _COLUMNS:
            raise schema("body/sortBy/column must be equal to one of the allowed values")
        if self.prefix and not self.prefix.endswith("/"):
            self.prefix += "/"
        folder, _, self._search = self._search.rpartition("/")
        if folder:  # a search with a slash goes down
            self.prefix += f"{folder}/"

    def entries(self, rows: list[sqlite3.Row]) -> list[dict[str, Any]]:
        """The page asked for, out of all rows whose name begins with the prefix."""
        folders: dict[str, dict[str, Any]] = {}
        files: list[dict[str, Any]] = []
        for row in rows:
            name, is_folder = self._relative(row["name"])
            if not name.lower().startswith(self._search):
                continue
            if is_folder:
                folders.setdefault(name, {"name": name, **dict.fromkeys(_FOLDER)})
            else:
                files.append(_file(row, name))
        found = self._sorted(list(folders.values()), files)
        return found[self._offset : self._offset + self._limit]

    def _relative(self, name: str) -> tuple[str, bool]:
        head, slash, _ = name[len(self.prefix) :].partition("/")
        return head, bool(slash)

    def _sorted(
        self, folders: list[dict[str, Any]], files: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        def by_name(entry: dict[str, Any]) -> str:
            return str(entry["name"]).lower()

        if self._column == "name":
            return sorted(folders + files, key=by_name, reverse=self._descending)
        folders.sort(key=by_name, reverse=self._descending)
        files.sort(key=by_name)
        files.sort(key=lambda entry: entry[self._column], reverse=self._descending)
        return folders + files


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
