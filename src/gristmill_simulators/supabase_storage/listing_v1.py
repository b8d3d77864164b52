"""List v1: one folder level, folders and files together, ordered by lower-cased name.

As the database function `storage.search` of the server does it (migration 0063).
"""

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from gristmill_simulators.supabase_storage import body, state
from gristmill_simulators.supabase_storage.skip_scan import (
    ascending,
    batch_size,
    descending,
    folder_of,
)

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
        found = self._by_name(rows) if self._column == "name" else self._by_time(rows)
        return list(islice(found, self._offset, self._offset + self._limit))

    def _by_name(self, rows: Iterable[sqlite3.Row]) -> Iterator[dict[str, Any]]:
        ordered = sorted(rows, key=lambda row: (row["name"].lower(), row["name"]))
        keys = [row["name"].lower() for row in ordered]
        size, batch = len(self.prefix), batch_size(self._limit)
        if self._descending:
            places = descending(keys, size, batch, keys[-1] + "/" if keys else "")
        else:
            places = ascending(keys, size, batch, self.prefix.lower())
        for place in places:
            folder = folder_of(ordered[place]["name"], size)
            name = folder.rstrip("/")[len(self._folder) :]
            yield _folder(name) if folder else self._file(ordered[place])

    def _by_time(self, rows: Iterable[sqlite3.Row]) -> Iterator[dict[str, Any]]:
        folders, files = set(), []
        for row in rows:
            if folder := folder_of(row["name"], len(self.prefix)):
                folders.add(folder[len(self._folder) : -1])
            else:
                files.append(row)
        yield from map(_folder, sorted(folders, key=_folded, reverse=self._descending))
        column = "created_at" if self._column == "last_accessed_at" else self._column
        files.sort(key=lambda row: float(row[column]), reverse=self._descending)
        yield from map(self._file, files)

    def _file(self, row: sqlite3.Row) -> dict[str, Any]:
        created = state.moment(row["created_at"])
        return {
            "name": row["name"][len(self._folder) :],
            "id": row["id"],
            "updated_at": state.moment(row["updated_at"]),
            "created_at": created,
            "last_accessed_at": created,
            "metadata": state.row_metadata(row),
        }


def _folder(name: str) -> dict[str, Any]:
    return {"name": name, **dict.fromkeys(_FOLDER)}


def _folded(name: str) -> tuple[str, str]:
    return name.lower(), name
