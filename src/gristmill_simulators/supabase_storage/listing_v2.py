"""List v2: every key under a raw prefix, or one level with a delimiter, page by page.

As the server's `listObjectsV2` and its database functions do it (migration 0050).
"""

import binascii
import sqlite3
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gristmill_simulators.supabase_storage import body, state
from gristmill_simulators.supabase_storage.errors import bad_parameter

_COLUMNS = ("name", "updated_at", "created_at")
_MAX = 1000

Entry = dict[str, Any]


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
        self._column = self._cursor.column or column
        self._timed = self._column in {"updated_at", "created_at"}
        self._descending = self._order == "desc"

    def page(self, rows: Iterable[sqlite3.Row]) -> dict[str, Any]:
        """The answer, out of all rows under `prefix`."""
        entries = sorted(self._entries(rows), key=self._place, reverse=self._descending)
        page = self._after_cursor(entries)
        more = len(page) > self._limit
        page = page[: self._limit]
        return {
            "hasNext": more,
            **(self._next(page[-1]) if more else {}),
            "folders": [_closed(entry) for entry in page if entry["id"] is None],
            "objects": [entry for entry in page if entry["id"] is not None],
        }

    def _entries(self, rows: Iterable[sqlite3.Row]) -> list[Entry]:
        if not self._delimited:
            return [_object(row) for row in rows]
        folders: dict[str, list[sqlite3.Row]] = {}
        objects = []
        for row in rows:
            below, slash, _ = row["name"][len(self.prefix) :].partition("/")
            if slash:
                folders.setdefault(self.prefix + below + "/", []).append(row)
            else:
                objects.append({"key": self._key(row["name"]), **_object(row)})
        return objects + [self._folder(name, rows) for name, rows in folders.items()]

    def _folder(self, name: str, rows: list[sqlite3.Row]) -> Entry:
        # sorted by time, a folder is as old as its oldest object
        oldest = state.moment(min(row["created_at"] for row in rows)) if self._timed else None
        times = {"updated_at": oldest, "created_at": oldest, "last_accessed_at": None}
        name = name.rstrip("/")
        return {"key": self._key(name), "name": name, "id": None, **times, "metadata": None}

    def _key(self, name: str) -> str:
        parts = name.split("/")
        level = self.prefix.count("/")
        return parts[level] if level < len(parts) else ""

    def _place(self, entry: Entry) -> tuple[str, bytes]:
        name = entry["name"] + ("/" if entry["id"] is None and not self._timed else "")
        return (entry[self._column] if self._timed else "", name.encode())

    def _after_cursor(self, entries: list[Entry]) -> list[Entry]:
        if not self._cursor.after:
            return entries
        start = self._start(entries)
        if self._descending:
            return [entry for entry in entries if self._place(entry) < start]
        return [entry for entry in entries if self._place(entry) > start]

    def _start(self, entries: list[Entry]) -> tuple[str, bytes]:
        after = self._cursor.after
        if self._timed or not self._delimited:
            return (self._cursor.moment if self._timed else "", after.encode())
        # ascending, the server goes on behind `a/`, also where `a` was an object: what lies
        # between the two in byte order, such as `a.txt`, is on neither page
        folder = any(entry["id"] is None and entry["name"] == after for entry in entries)
        slash = "/" if folder or not self._descending else ""
        return ("", (after + slash).encode())

    def _next(self, last: Entry) -> dict[str, str]:
        moment = last[self._column] if self._timed else ""
        cursor = _Cursor(last["name"], self._order, self._column, moment or "")
        return {"nextCursor": str(cursor), "nextCursorKey": last["name"]}


def _object(row: sqlite3.Row) -> Entry:
    created = state.moment(row["created_at"])
    return {
        "id": row["id"],
        "name": row["name"],
        "metadata": state.row_metadata(row),
        "updated_at": state.moment(row["updated_at"]),
        "created_at": created,
        "last_accessed_at": created,
    }


def _closed(folder: Entry) -> Entry:
    return {**folder, "name": folder["name"] + "/"}


def _decoded(token: str) -> str:
    try:
        return b64decode(token + "=" * (-len(token) % 4)).decode(errors="replace")
    except (ValueError, binascii.Error):
        return ""
