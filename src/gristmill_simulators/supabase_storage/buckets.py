"""`/bucket`: create, list, get, update and delete."""

import re
import sqlite3
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage import body, errors, state
from gristmill_simulators.supabase_storage.access import caller
from gristmill_simulators.supabase_storage.errors import json
from gristmill_simulators.supabase_storage.names import check_bucket_name

GLOBAL_LIMIT = 500 * 1024 * 1024  # bytes; a project's setting, this one is generous

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB)?", re.IGNORECASE)
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}  # decimal on purpose
_MIME = re.compile(r"[\w.+*-]+(/[\w.+*-]+)?", re.ASCII)
_SORT = {"id", "name", "created_at", "updated_at"}
_CHANGEABLE = ("public", "file_size_limit", "allowed_mime_types")


class Buckets:
    """Only `service_role` sees and changes buckets: there are no policies."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._database = simulator.database

    async def create(self, request: Request) -> Response:
        who = caller(request, self._simulator.clock())
        fields = await body.read(request)
        name = body.text(fields, "name")
        check_bucket_name(name)
        limits = _limits(fields)
        if not who.service:
            raise errors.denied()
        now = self._simulator.clock()
        row = (name, who.owner, *limits.values(), now, now)
        await self._database.write(lambda connection: _insert(connection, row))
        return json({"name": name})

    async def list_all(self, request: Request) -> Response:
        who = caller(request, self._simulator.clock())
        if not who.service:
            return json([])
        query = request.query_params
        column = query.get("sortColumn", "id")
        if column not in _SORT:
            raise errors.schema("querystring/sortColumn must be equal to one of the allowed values")
        order = "DESC" if query.get("sortOrder") == "desc" else "ASC"
        rows = self._database.read(
            "SELECT * FROM storage_buckets WHERE instr(lower(id), lower(?))"
            f" ORDER BY {'id' if column == 'name' else column} {order} LIMIT ? OFFSET ?",
            query.get("search", ""),
            _number(query.get("limit"), "limit", 1, -1),
            _number(query.get("offset"), "offset", 0, 0),
        )
        return json([{**state.bucket_row(row), "type": "STANDARD"} for row in rows])

    async def get(self, request: Request) -> Response:
        return json(state.bucket_row(self._own(request)))

    async def update(self, request: Request) -> Response:
        row = self._own(request)
        fields = await body.read(request)
        if not any(name in fields for name in _CHANGEABLE):
            wanted = ", ".join(f"body must have required property '{n}'" for n in _CHANGEABLE)
            raise errors.schema(f"{wanted}, body must match a schema in anyOf")
        limits = _limits({**state.bucket_row(row), **fields})
        values = (*limits.values(), self._simulator.clock(), row["id"])
        await self._database.write(lambda connection: _update(connection, values))
        return json({"message": "Successfully updated"})

    async def delete(self, request: Request) -> Response:
        row = self._own(request)
        await self._database.write(lambda connection: _delete(connection, row["id"]))
        return json({"message": "Successfully deleted"})

    def find(self, bucket: str) -> sqlite3.Row:
        """Raises StorageError (NoSuchBucket)."""
        row = self._database.read_one("SELECT * FROM storage_buckets WHERE id = ?", bucket)
        if row is None:
            raise errors.no_bucket()
        return row

    def _own(self, request: Request) -> sqlite3.Row:
        if not caller(request, self._simulator.clock()).service:
            raise errors.no_bucket()
        return self.find(request.path_params["bucket"])


def allows(bucket: sqlite3.Row, content_type: str) -> bool:
    """Exact on both halves of the whole Content-Type; `*/*` matches nothing, as there."""
    allowed = bucket["allowed_mime_types"]
    patterns = orjson.loads(allowed) if allowed is not None else []
    if not patterns:
        return True
    kind, _, subtype = content_type.partition("/")
    return any(pattern in {content_type, f"{kind}/*"} and subtype for pattern in patterns)


def size_limit(bucket: sqlite3.Row) -> int:
    limit = bucket["file_size_limit"]
    return GLOBAL_LIMIT if limit is None else min(limit, GLOBAL_LIMIT)


def _limits(fields: dict[str, Any]) -> dict[str, Any]:
    allowed = fields.get("allowed_mime_types")
    for given in allowed or ():
        if _MIME.fullmatch(str(given)) is None:
            raise errors.bad_mime_type(str(given))
    return {
        "public": fields.get("public") in {True, "true"},
        "file_size_limit": _size(fields.get("file_size_limit")),
        "allowed_mime_types": None if allowed is None else orjson.dumps(allowed).decode(),
    }


def _size(given: object) -> int | None:
    if given is None:
        return None
    match = _SIZE.fullmatch(str(given).strip())
    if match is None:
        raise errors.schema("body/file_size_limit must be integer")
    size = int(float(match[1]) * _UNITS[(match[2] or "").upper()])
    if size > GLOBAL_LIMIT:
        raise errors.too_large()
    return size


def _number(given: str | None, name: str, least: int, default: int) -> int:
    if given is None:
        return default
    if not given.isdigit() or int(given) < least:
        raise errors.schema(f"querystring/{name} must be >= {least}")
    return int(given)


def _insert(connection: sqlite3.Connection, row: tuple[Any, ...]) -> None:
    try:
        connection.execute("INSERT INTO storage_buckets VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    except sqlite3.IntegrityError:
        raise errors.duplicate("BucketAlreadyExists") from None


def _update(connection: sqlite3.Connection, values: tuple[Any, ...]) -> None:
    connection.execute(
        "UPDATE storage_buckets SET public = ?, file_size_limit = ?, allowed_mime_types = ?,"
        " updated_at = ? WHERE id = ?",
        values,
    )


def _delete(connection: sqlite3.Connection, bucket: str) -> None:
    sql = "SELECT 1 FROM storage_objects WHERE bucket_id = ? LIMIT 1"
    if connection.execute(sql, (bucket,)).fetchone() is not None:
        raise errors.bucket_not_empty()
    connection.execute("DELETE FROM storage_buckets WHERE id = ?", (bucket,))
