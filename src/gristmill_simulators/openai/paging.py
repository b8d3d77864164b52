"""Lists by cursor: `after` and `limit` in, `first_id`, `last_id` and `has_more` out."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from starlette.datastructures import QueryParams

from gristmill_simulators.database import Database
from gristmill_simulators.openai import parameters
from gristmill_simulators.openai.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page of a list: at most `limit` rows behind the row with the id `after`."""

    after: str | None
    limit: int
    order: Literal["asc", "desc"] = "desc"

    @classmethod
    def read(cls, query: QueryParams, *, default: int, most: int) -> "Paging":
        """Raises InvalidRequest."""
        limit = parameters.integer("limit", query.get("limit", str(default)), 1, most)
        order = parameters.one_of("order", query.get("order", "desc"), ["asc", "desc"])
        return cls(query.get("after") or None, limit, "asc" if order == "asc" else "desc")

    def rows(
        self, database: Database, table: str, condition: str, *values: object
    ) -> Sequence[sqlite3.Row]:
        """One row more than the page holds, if there is one. Raises InvalidRequest for `after`."""
        if self.after is not None:
            sequence = self._sequence(database, table)
            condition += f" AND sequence {'>' if self.order == 'asc' else '<'} {sequence}"
        return database.read(
            f"SELECT * FROM {table} WHERE {condition} ORDER BY sequence {self.order} LIMIT ?",
            *values,
            self.limit + 1,
        )

    def page(
        self, rows: Sequence[sqlite3.Row], present: Callable[[sqlite3.Row], dict[str, Any]]
    ) -> dict[str, Any]:
        data = [present(row) for row in rows[: self.limit]]
        return {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": len(rows) > self.limit,
        }

    def _sequence(self, database: Database, table: str) -> int:
        row = database.read_one(f"SELECT sequence FROM {table} WHERE id = ?", self.after)
        if row is None:
            message = f"Invalid 'after': no object found with id '{self.after}'."
            raise InvalidRequest(message, code="invalid_value", param="after")
        return int(row["sequence"])
