"""`/object`: read, describe and delete."""

import sqlite3
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage import body, errors, state
from gristmill_simulators.supabase_storage.access import Caller, caller, optional_caller
from gristmill_simulators.supabase_storage.download import Downloads
from gristmill_simulators.supabase_storage.errors import json
from gristmill_simulators.supabase_storage.names import check_bucket_name, check_key
from gristmill_simulators.supabase_storage.policies import Policies


class Objects:
    """A denial looks different per verb, as row-level security makes it look."""

    def __init__(
        self,
        simulator: Simulator,
        folders: state.Folders,
        policies: Policies,
        downloads: Downloads,
    ) -> None:
        self._simulator = simulator
        self._database = simulator.database
        self._folders = folders
        self._policies = policies
        self._downloads = downloads

    async def get(self, request: Request) -> Response:
        who = optional_caller(request, self._simulator.clock())
        return self._downloads.send(request, self._readable(request, who))

    async def get_authenticated(self, request: Request) -> Response:
        who = caller(request, self._simulator.clock())
        return self._downloads.send(request, self._readable(request, who))

    async def get_public(self, request: Request) -> Response:
        return self._downloads.send(request, self._public(request))

    async def head(self, request: Request) -> Response:
        who = optional_caller(request, self._simulator.clock())
        return self._downloads.describe(request, self._readable(request, who))

    async def head_authenticated(self, request: Request) -> Response:
        who = caller(request, self._simulator.clock())
        return self._downloads.describe(request, self._readable(request, who))

    async def head_public(self, request: Request) -> Response:
        return self._downloads.describe(request, self._public(request))

    async def info(self, request: Request) -> Response:
        who = optional_caller(request, self._simulator.clock())
        return json(_info(self._readable(request, who)))

    async def info_authenticated(self, request: Request) -> Response:
        who = caller(request, self._simulator.clock())
        return json(_info(self._readable(request, who)))

    async def info_public(self, request: Request) -> Response:
        return json(_info(self._public(request)))

    async def delete(self, request: Request) -> Response:
        who = caller(request, self._simulator.clock())
        bucket, key = _place(request)
        check_bucket_name(bucket)
        # found with all rights, deleted with the caller's
        if state.find_object(self._database, bucket, key) is None:
            raise errors.no_object()
        if not await self._remove(who, bucket, [key]):
            raise errors.denied("Access denied")
        return json({"message": "Successfully deleted"})

    async def delete_many(self, request: Request) -> Response:
        keys = body.texts(await body.read(request), "prefixes")
        who = caller(request, self._simulator.clock())
        bucket = request.path_params["bucket"]
        check_bucket_name(bucket)
        return json(await self._remove(who, bucket, keys))

    async def _remove(self, who: Caller, bucket: str, keys: list[str]) -> list[dict[str, Any]]:
        """Delete what the caller may see and delete; the rows that are gone."""

        def work(connection: sqlite3.Connection) -> list[sqlite3.Row]:
            found = (state.find_object(connection, bucket, key) for key in dict.fromkeys(keys))
            rows = [row for row in found if row is not None and self._may_delete(who, row)]
            for row in rows:
                state.delete_object(connection, bucket, row["name"])
            return rows

        rows = await self._database.write(work)
        for row in rows:
            self._folders.remove(row["version"])
        return [state.full_row(row) for row in rows]

    def _may_delete(self, who: Caller, row: sqlite3.Row) -> bool:
        allows = self._policies.allows
        return allows(who, "select", row) and allows(who, "delete", row)

    def _readable(self, request: Request, who: Caller) -> sqlite3.Row:
        bucket, key = _place(request)
        found = state.find_bucket(self._database, bucket)
        # nobody may not even learn that there is a bucket; a token may look for the row in vain
        if found is None or not (who.valid or found["public"]):
            raise errors.no_bucket()
        row = self._row(bucket, key)
        if not found["public"] and not self._policies.allows(who, "select", row):
            raise errors.no_object()
        return row

    def _public(self, request: Request) -> sqlite3.Row:
        bucket, key = _place(request)
        found = state.find_bucket(self._database, bucket)
        if found is None or not found["public"]:
            raise errors.no_bucket()
        return self._row(bucket, key)

    def _row(self, bucket: str, key: str) -> sqlite3.Row:
        check_key(key)
        row = state.find_object(self._database, bucket, key)
        if row is None:
            raise errors.no_object()
        return row


def _place(request: Request) -> tuple[str, str]:
    return request.path_params["bucket"], request.path_params["key"]


def _info(row: sqlite3.Row) -> dict[str, Any]:
    full = state.full_row(row)
    return {
        "id": row["id"],
        "name": row["name"],
        "version": row["version"],
        "bucket_id": row["bucket_id"],
        "size": row["size"],
        "content_type": row["content_type"],
        "cache_control": row["cache_control"],
        "etag": row["etag"],
        "metadata": full["user_metadata"],
        "last_modified": full["updated_at"],
        "created_at": full["created_at"],
    }
