"""List v2: every key under a raw prefix, or one level with a delimiter, page by page.

As the server's `listObjectsV2` and its database functions do it (migration 0050).
"""

import binascii
import sqlite3
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from gristmill_simulators.supabase_storage import body, state
from gristmill_simulators.supabase_storage.errors import bad_parameter

_COLUMNS = ("name", "updated_at", "created_at")
_MAX = 1000

_Place = tuple[str, bytes]  # the time that is sorted by, if any, and the name


class _Item(NamedTuple):
    """A row, or a folder that has none; its name has no slash at the end."""

    name: str
    place: _Place
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
        items = sorted(self._items(rows), key=lambda item: item.place, reverse=self._descending)
        page = self._after_cursor(items)
        more = len(page) > self._limit
        page = page[: self._limit]
        return {
            "hasNext": more,
            **(self._next(page[-1]) if more else {}),
            "folders": [self._shown_folder(item) for item in page if item.row is None],
            "objects": [self._shown(item.row) for item in page if item.row is not None],
        }

    def _items(self, rows: Iterable[sqlite3.Row]) -> list[_Item]:
        objects: list[sqlite3.Row] = []
        folders: dict[str, list[sqlite3.Row]] = {}
        for row in rows:
            below, slash, _ = row["name"][len(self.prefix) :].partition("/")
            if slash and self._delimited:
                folders.setdefault(self.prefix + below + "/", []).append(row)
            else:
                objects.append(row)
        found = [self._item(row["name"], row[self._column], row) for row in objects]
        for name, inside in folders.items():
            # sorted by time, a folder is as old as its oldest object
            found.append(self._item(name, min(row["created_at"] for row in inside), None))
        return found

    def _item(self, name: str, time: float, row: sqlite3.Row | None) -> _Item:
        shown = name if row is not None else name.rstrip("/")
        if self._timed:
            return _Item(shown, (state.moment(time), shown.encode()), row)
        return _Item(shown, ("", name.encode()), row)

    def _after_cursor(self, items: list[_Item]) -> list[_Item]:
        if not self._cursor.after:
            return items
        start = self._start(items)
        if self._descending:
            return [item for item in items if item.place < start]
        return [item for item in items if item.place > start]

    def _start(self, items: list[_Item]) -> _Place:
        after = self._cursor.after
        if self._timed or not self._delimited:
            return (self._cursor.moment if self._timed else "", after.encode())
        # ascending, the server goes on behind `a/`, also where `a` was an object: what lies
        # between the two in byte order, such as `a.txt`, is on neither page
        folder = any(item.row is None and item.name == after for item in items)
        slash = "/" if folder or not self._descending else ""
        return ("", (after + slash).encode())

    def _next(self, last: _Item) -> dict[str, str]:
        cursor = _Cursor(last.name, self._order, self._named, last.place[0])
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
        oldest = item.place[0] or None
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


def _decoded(token: str) -> str:
    try:
        return b64decode(token + "=" * (-len(token) % 4)).decode(errors="replace")
    except (ValueError, binascii.Error):
        return ""
