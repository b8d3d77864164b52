"""`/object`: read, describe, list, move, copy and delete."""

import asyncio
import shutil
import sqlite3
import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage import body, errors, state
from gristmill_simulators.supabase_storage.access import Caller, caller, optional_caller
from gristmill_simulators.supabase_storage.buckets import Buckets
from gristmill_simulators.supabase_storage.download import Downloads
from gristmill_simulators.supabase_storage.errors import json
from gristmill_simulators.supabase_storage.listing import Listing
from gristmill_simulators.supabase_storage.names import check_key


class Objects:
    """A denial looks different per verb, as row-level security makes it look."""

    def __init__(
        self,
        simulator: Simulator,
        folders: state.Folders,
        buckets: Buckets,
        downloads: Downloads,
    ) -> None:
        self._simulator = simulator
        self._database = simulator.database
        self._folders = folders
        self._buckets = buckets
        self._downloads = downloads

    async def get(self, request: Request) -> Response:
        who = optional_caller(request, self._simulator.clock())
        return self._downloads.send(request, self._readable(request, who))

    async def get_authenticated(self, request: Request) -> Response:
        who = caller(request, self._simulator.clock())
        return self._downloads.send(request, self._readable(request, who))

    async def get_public(self, request: Request) -> Response:
        return self._downloads.send(request, self._public(request))

    async def info(self, request: Request) -> Response:
        who = optional_caller(request, self._simulator.clock())
        return json(_info(self._readable(request, who)))

    async def info_authenticated(self, request: Request) -> Response:
        who = caller(request, self._simulator.clock())
        return json(_info(self._readable(request, who)))

    async def info_public(self, request: Request) -> Response:
        return json(_info(self._public(request)))

    async def list_folder(self, request: Request) -> Response:
        who = caller(request, self._simulator.clock())
        listing = Listing(await body.read(request))
        if not who.service:
            return json([])
        rows = await self._database.scan(
            "SELECT * FROM storage_objects WHERE bucket_id = ?"
            " AND lower(substr(name, 1, ?)) = lower(?)",
            request.path_params["bucket"],
            len(listing.prefix),
            listing.prefix,
        )
        return json(await asyncio.to_thread(listing.entries, rows))

    async def delete(self, request: Request) -> Response:
        who = caller(request, self._simulator.clock())
        bucket, key = self._place(request)
        if state.find_object(self._database, bucket, key) is None:
            raise errors.no_object()
        if not who.service:
            raise errors.denied("Access denied")
        if not await self._remove(bucket, [key]):
            raise errors.no_object()
        return json({"message": "Successfully deleted"})

    async def delete_many(self, request: Request) -> Response:
        who = caller(request, self._simulator.clock())
        keys = body.texts(await body.read(request), "prefixes")
        if not who.service:
            return json([])
        return json(await self._remove(request.path_params["bucket"], keys))

    async def copy(self, request: Request) -> Response:
        source, target = await self._from_to(request, errors.denied)
        row: dict[str, Any] = {**dict(source), **target}
        row |= {"id": str(uuid.uuid4()), "version": str(uuid.uuid4())}
        row["created_at"] = row["updated_at"] = self._simulator.clock()
        replace = request.headers.get("x-upsert") == "true"
        await asyncio.to_thread(self._copy_bytes, source["version"], row["version"])
        try:
            old = await self._database.write(lambda c: _place(c, row, replace=replace))
        except errors.StorageError:
            self._folders.remove(row["version"])
            raise
        if old is not None:
            self._folders.remove(old["version"])
        stored = state.find_object(self._database, row["bucket_id"], row["name"])
        if stored is None:
            raise errors.no_object()
        key = f"{row['bucket_id']}/{row['name']}"
        return json({"Key": key, "Id": stored["id"], **state.full_row(stored)})

    async def move(self, request: Request) -> Response:
        source, target = await self._from_to(request, errors.no_object)
        now = self._simulator.clock()

        def work(connection: sqlite3.Connection) -> None:
            if state.find_object(connection, target["bucket_id"], target["name"]) is not None:
                raise errors.duplicate("ResourceAlreadyExists")
            state.delete_object(connection, source["bucket_id"], source["name"])
            state.put_object(connection, {**dict(source), **target, "updated_at": now})

        await self._database.write(work)
        return json({"message": "Successfully moved"})

    async def _from_to(
        self,
        request: Request,
        refusal: Any,  # noqa: ANN401 — an error's constructor
    ) -> tuple[sqlite3.Row, dict[str, str]]:
        who = caller(request, self._simulator.clock())
        fields = await body.read(request)
        bucket = body.text(fields, "bucketId")
        key = body.text(fields, "sourceKey")
        target_key = body.text(fields, "destinationKey")
        target = str(fields.get("destinationBucket") or bucket)
        check_key(target_key)
        if not who.service:
            raise refusal()
        source = state.find_object(self._database, bucket, key)
        if source is None:
            raise errors.no_object()
        sql = "SELECT 1 FROM storage_buckets WHERE id = ?"
        if self._database.read_one(sql, target) is None:
            raise errors.no_related()
        return source, {"bucket_id": target, "name": target_key}

    def _copy_bytes(self, source: str, target: str) -> None:
        path = self._folders.version(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(self._folders.version(source), path)
        except FileNotFoundError:
            raise errors.no_object() from None

    async def _remove(self, bucket: str, keys: list[str]) -> list[dict[str, Any]]:
        def work(connection: sqlite3.Connection) -> list[sqlite3.Row]:
            found = (state.delete_object(connection, bucket, key) for key in keys)
            return [row for row in found if row is not None]

        rows = await self._database.write(work)
        for row in rows:
            self._folders.remove(row["version"])
        return [state.full_row(row) for row in rows]

    def _readable(self, request: Request, who: Caller) -> sqlite3.Row:
        bucket, key = self._place(request)
        found = self._buckets.find(bucket) if not who.service else None
        row = state.find_object(self._database, bucket, key)
        if found is not None and not found["public"]:
            # a valid token may look for the row and not see it; nobody may not even look
            raise errors.no_object() if who.valid else errors.no_bucket()
        if row is None:
            raise errors.no_object()
        return row

    def _public(self, request: Request) -> sqlite3.Row:
        bucket, key = self._place(request)
        if not self._buckets.find(bucket)["public"]:
            raise errors.no_bucket()
        row = state.find_object(self._database, bucket, key)
        if row is None:
            raise errors.no_object()
        return row

    @staticmethod
    def _place(request: Request) -> tuple[str, str]:
        return request.path_params["bucket"], request.path_params["key"]


def _place(
    connection: sqlite3.Connection, row: dict[str, Any], *, replace: bool
) -> sqlite3.Row | None:
    old = state.find_object(connection, row["bucket_id"], row["name"])
    if old is not None and not replace:
        raise errors.duplicate("KeyAlreadyExists")
    state.put_object(connection, row)
    return old


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
