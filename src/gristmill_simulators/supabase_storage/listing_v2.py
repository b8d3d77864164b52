"""List v2: every key under a raw prefix, or one level with a delimiter, page by page.

As the server's `listObjectsV2` and its database functions do it (migration 0050).
"""

import binascii
import sqlite3
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from gristmill_simulators.supabase_storage import body, state
from gristmill_simulators.supabase_storage.errors import bad_parameter
from gristmill_simulators.supabase_storage.skip_scan import (
    ascending,
    batch_size,
    descending,
    folder_of,
)

_COLUMNS = ("name", "updated_at", "created_at")
_MAX = 1000


class _Item(NamedTuple):
    """A row, or a folder that has none: its name has no slash at the end."""

    name: str
    moment: str  # what is sorted by, if it is a time
    row: sqlite3.Row | None


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Where the last page ended, and how it was sorted; on the wire base64 of `letter:value`."""

    after: str = ""
    order: str = ""
    column: str = ""
    moment: str = ""

    @classmethod
    def read(cls, token: str) -> "_Cursor":
        """Raises StorageError (InvalidParameter)."""
        fields = {"o": "asc"}
        for line in _decoded(token).split("\n"):
            letter, colon, value = line[:1], line[1:2], line[2:]
            if colon != ":" or letter not in "loca":
                raise bad_parameter("continuation token")
            fields[letter] = value
        return cls(*(fields.get(letter, "") for letter in "loca"))

    def __str__(self) -> str:
        values = zip("loca", (self.after, self.order, self.column, self.moment), strict=True)
        lines = "\n".join(f"{letter}:{value}" for letter, value in values if value)
        return b64encode(lines.encode()).decode()


class ListingV2:
    """One request of `POST /object/list-v2/{bucket}`, checked. Raises StorageError."""

    def __init__(self, fields: body.Fields) -> None:
        self.prefix = body.text(fields, "prefix", "")
        self._limit = min(body.integer(fields, "limit", _MAX, 1), _MAX)
        self._delimited = body.boolean(fields, "with_delimiter", default=False)
        sort = body.nested(fields, "sortBy")
        named = "" if "sortBy" not in fields else None
        column = body.choice(sort, "column", _COLUMNS, named, "body/sortBy")
        order = body.choice(sort, "order", ("asc", "desc"), "", "body/sortBy")
        token = body.text(fields, "cursor", "")
        self._cursor = _Cursor.read(token) if token else _Cursor()
        # the cursor's order outlives what later requests ask for
        self._order = self._cursor.order or order
        self._named = self._cursor.column or column
        self._timed = self._named in {"updated_at", "created_at"}
        self._column = self._named if self._timed else "created_at"
        self._descending = self._order == "desc"

    def page(self, rows: Iterable[sqlite3.Row]) -> dict[str, Any]:
        """The answer, out of all rows under `prefix`."""
        by_folder = self._delimited and not self._timed
        found = self._by_folder(rows) if by_folder else self._by_place(rows)
        page = list(islice(found, self._limit + 1))
        more = len(page) > self._limit
        page = page[: self._limit]
        return {
            "hasNext": more,
            **(self._next(page[-1]) if more else {}),
            "folders": [self._shown_folder(item) for item in page if item.row is None],
            "objects": [self._shown(item.row) for item in page if item.row is not None],
        }

    def _by_folder(self, rows: Iterable[sqlite3.Row]) -> Iterator[_Item]:
        """One level by name."""
        ordered = sorted(rows, key=lambda row: str(row["name"]))
        keys = [row["name"] for row in ordered]
        walk = descending if self._descending else ascending
        # the server asks for one more than the page holds, to know whether there are more
        batch, size = batch_size(self._limit + 1), len(self.prefix)
        for place in walk(keys, size, batch, self._seek(keys)):
            if folder := folder_of(keys[place], size):
                yield _Item(folder.rstrip("/"), "", None)
            else:
                yield _Item(keys[place], "", ordered[place])

    def _seek(self, keys: list[str]) -> str:
        after = self._cursor.after
        if not after:
            last = keys[-1] + "/" if keys else ""
            return last if self._descending else self.prefix
        is_folder = any(key.startswith(after + "/") for key in keys)
        if self._descending:
            return after + "/" if is_folder else after
        return after + "0" if is_folder else after + "/"

    def _by_place(self, rows: Iterable[sqlite3.Row]) -> list[_Item]:
        """Every key, or one level by time: in the order of time, if asked for, and name."""
        items = sorted(self._items(rows), key=_place, reverse=self._descending)
        if not self._cursor.after:
            return items
        start = (self._cursor.moment if self._timed else "", self._cursor.after)
        if self._descending:
            return [item for item in items if _place(item) < start]
        return [item for item in items if _place(item) > start]

    def _items(self, rows: Iterable[sqlite3.Row]) -> Iterator[_Item]:
        folders: dict[str, float] = {}
        for row in rows:
            folder = folder_of(row["name"], len(self.prefix)) if self._delimited else ""
            if folder:  # as old as its oldest object
                folders[folder] = min(row["created_at"], folders.get(folder, row["created_at"]))
            else:
                yield _Item(row["name"], self._moment(row[self._column]), row)
        for folder, oldest in folders.items():
            yield _Item(folder.rstrip("/"), self._moment(oldest), None)

    def _moment(self, seconds: float) -> str:
        return state.moment(seconds) if self._timed else ""

    def _next(self, last: _Item) -> dict[str, str]:
        cursor = _Cursor(last.name, self._order, self._named, last.moment)
        return {"nextCursor": str(cursor), "nextCursorKey": last.name}

    def _shown(self, row: sqlite3.Row) -> dict[str, Any]:
        created = state.moment(row["created_at"])
        return {
            **({"key": self._key(row["name"])} if self._delimited else {}),
            "id": row["id"],
            "name": row["name"],
            "metadata": state.row_metadata(row),
            "updated_at": state.moment(row["updated_at"]),
            "created_at": created,
            "last_accessed_at": created,
        }

    def _shown_folder(self, item: _Item) -> dict[str, Any]:
        oldest = item.moment or None
        return {
            "key": self._key(item.name),
            "name": item.name + "/",
            "id": None,
            "updated_at": oldest,
            "created_at": oldest,
            "last_accessed_at": None,
            "metadata": None,
        }

    def _key(self, name: str) -> str:
        parts = name.split("/")
        level = self.prefix.count("/")
        return parts[level] if level < len(parts) else ""


def _place(item: _Item) -> tuple[str, str]:
    return item.moment, item.name


def _decoded(token: str) -> str:
    try:
        return b64decode(token + "=" * (-len(token) % 4)).decode(errors="replace")
    except (ValueError, binascii.Error):
        return ""
