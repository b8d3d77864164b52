"""`/bucket`: create, list, get, update and delete."""

import re
import sqlite3
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage import body, errors, limits, state
from gristmill_simulators.supabase_storage.access import Caller, caller
from gristmill_simulators.supabase_storage.errors import json
from gristmill_simulators.supabase_storage.names import check_bucket_name, check_new_bucket_name
from gristmill_simulators.supabase_storage.policies import Policies
from gristmill_simulators.supabase_storage.switches import Switches

_SORT = ("id", "name", "created_at", "updated_at")
_CHANGEABLE = ("public", "file_size_limit", "allowed_mime_types")
_EVERYTHING = 2**31
# clients that a field `type` would break, and the first version that it does not
_OLD_CLIENTS = {
    "x-client-info": (re.compile(r"supabase-py/(\d+)\.(\d+)\.(\d+)", re.IGNORECASE), (2, 18, 0)),
    "user-agent": (
        re.compile(r"supabase-py/storage3 v(\d+)\.(\d+)\.(\d+)", re.IGNORECASE),
        (0, 12, 1),
    ),
}


class Buckets:
    """Without policies on `storage.buckets` only `service_role` sees and changes any."""

    def __init__(self, simulator: Simulator, policies: Policies) -> None:
        self._simulator = simulator
        self._database = simulator.database
        self._policies = policies

    async def create(self, request: Request) -> Response:
        fields = await body.read(request)
        name = body.text(fields, "name")
        id_ = body.text(fields, "id", "") or name
        body.choice(fields, "type", ("STANDARD", "ANALYTICS"), "STANDARD")
        columns = {"public": False, "file_size_limit": None, "allowed_mime_types": None}
        columns |= limits.read(fields)
        who = caller(request, self._simulator.clock())
        check_new_bucket_name(name)
        limits.check(columns, self._switches.global_file_size_limit)
        row: dict[str, Any] = {"id": id_, "name": name, "owner": who.owner, **columns}
        if not self._policies.allows_bucket(who, "insert", row):
            raise errors.denied()
        row["created_at"] = row["updated_at"] = self._simulator.clock()
        await self._database.write(lambda connection: _insert(connection, row))
        return json({"name": name})

    async def list_all(self, request: Request) -> Response:
        query = request.query_params
        limit = body.integer(query, "limit", _EVERYTHING, 1, "querystring")
        offset = body.integer(query, "offset", 0, 0, "querystring")
        column = body.choice(query, "sortColumn", _SORT, "id", "querystring")
        order = body.choice(query, "sortOrder", ("asc", "desc"), "asc", "querystring")
        who = caller(request, self._simulator.clock())
        rows = self._database.read(
            "SELECT * FROM storage_buckets WHERE instr(lower(name), lower(?))"
            f" ORDER BY {column} {order}",
            query.get("search", ""),
        )
        seen = [state.bucket_row(row) for row in rows if self._sees(who, row)]
        extra = {} if _is_old(request) else {"type": "STANDARD"}
        return json([{**bucket, **extra} for bucket in seen[offset : offset + limit]])

    async def get(self, request: Request) -> Response:
        who = caller(request, self._simulator.clock())
        row = self.find(request.path_params["bucket"])
        if not self._sees(who, row):
            raise errors.no_bucket()
        return json(state.bucket_row(row))

    async def update(self, request: Request) -> Response:
        fields = await body.read(request)
        columns = limits.read(fields)
        if not columns:
            wanted = ", ".join(f"body must have required property '{n}'" for n in _CHANGEABLE)
            raise errors.schema(f"{wanted}, body must match a schema in anyOf")
        who = caller(request, self._simulator.clock())
        check_bucket_name(request.path_params["bucket"])
        limits.check(columns, self._switches.global_file_size_limit)
        row = self.find(request.path_params["bucket"])
        if not (self._sees(who, row) and self._policies.allows_bucket(who, "update", row)):
            raise errors.no_bucket()
        columns["updated_at"] = self._simulator.clock()
        await self._database.write(lambda connection: _update(connection, row["id"], columns))
        return json({"message": "Successfully updated"})

    async def delete(self, request: Request) -> Response:
        await body.skip(request)
        who = caller(request, self._simulator.clock())
        await self._database.write(
            lambda connection: self._delete(connection, who, request.path_params["bucket"])
        )
        return json({"message": "Successfully deleted"})

    def find(self, bucket: str) -> sqlite3.Row:
        """Raises StorageError (NoSuchBucket)."""
        row = state.find_bucket(self._database, bucket)
        if row is None:
            raise errors.no_bucket()
        return row

    @property
    def _switches(self) -> Switches:
        return self._simulator.settings.current.supabase

    def _sees(self, who: Caller, row: sqlite3.Row) -> bool:
        return self._policies.allows_bucket(who, "select", row)

    def _delete(self, connection: sqlite3.Connection, who: Caller, bucket: str) -> None:
        # found and counted with all rights, then deleted with the caller's
        row = state.find_bucket(connection, bucket)
        if row is None:
            raise errors.no_bucket()
        sql = "SELECT 1 FROM storage_objects WHERE bucket_id = ? LIMIT 1"
        if connection.execute(sql, (bucket,)).fetchone() is not None:
            raise errors.bucket_not_empty()
        if not (self._sees(who, row) and self._policies.allows_bucket(who, "delete", row)):
            raise errors.no_bucket()
        connection.execute("DELETE FROM storage_buckets WHERE id = ?", (bucket,))


def _is_old(request: Request) -> bool:
    for header, (pattern, first) in _OLD_CLIENTS.items():
        match = pattern.search(request.headers.get(header, ""))
        if match is not None and tuple(map(int, match.groups())) < first:
            return True
    return False


def _insert(connection: sqlite3.Connection, row: dict[str, Any]) -> None:
    marks = ", ".join("?" * len(row))
    sql = f"INSERT INTO storage_buckets ({', '.join(row)}) VALUES ({marks})"
    try:
        connection.execute(sql, tuple(row.values()))
    except sqlite3.IntegrityError:
        raise errors.duplicate("BucketAlreadyExists") from None


def _update(connection: sqlite3.Connection, bucket: str, columns: dict[str, Any]) -> None:
    changes = ", ".join(f"{name} = ?" for name in columns)
    sql = f"UPDATE storage_buckets SET {changes} WHERE id = ?"
    connection.execute(sql, (*columns.values(), bucket))
