"""Uploads: new objects, or new versions of old ones."""

import sqlite3
import uuid
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.bodies import Stored, drain
from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage import errors, state, upload_body, user_metadata
from gristmill_simulators.supabase_storage.access import Caller, caller
from gristmill_simulators.supabase_storage.buckets import Buckets
from gristmill_simulators.supabase_storage.errors import json
from gristmill_simulators.supabase_storage.names import check_key
from gristmill_simulators.supabase_storage.policies import Policies
from gristmill_simulators.supabase_storage.upload_body import Description, Limits


class Uploads:
    """POST creates, PUT creates or replaces; `x-upsert: true` turns the one into the other.

    As there, a caller is let in before the bytes come and nobody asks again when they are there:
    of two first uploads of one key at the same time both succeed, and the last to end wins.
    """

    def __init__(
        self,
        simulator: Simulator,
        folders: state.Folders,
        buckets: Buckets,
        policies: Policies,
    ) -> None:
        self._simulator = simulator
        self._folders = folders
        self._buckets = buckets
        self._policies = policies

    async def create(self, request: Request) -> Response:
        # only the exact text counts, `True` does not
        return await self._answer(request, upsert=request.headers.get("x-upsert") == "true")

    async def replace(self, request: Request) -> Response:
        return await self._answer(request, upsert=True)

    async def store(self, request: Request, who: Caller, *, upsert: bool) -> str:
        """Make the object of the request's path and body; returns its id. Raises StorageError."""
        try:
            return await self._store(request, who, upsert=upsert)
        except errors.StorageError:
            await drain(request)
            raise

    def probe(self, who: Caller, bucket: str, key: str, metadata: object, *, upsert: bool) -> None:
        """Would Postgres take this row? Asked before the bytes are; raises StorageError."""
        user_metadata.check(metadata)
        database = self._simulator.database
        old = state.find_object(database, bucket, key)
        new = {"bucket_id": bucket, "name": key, "owner": who.owner}
        self._policies.check_write(who, new, old, upsert=upsert)
        if old is not None and not upsert:
            raise errors.duplicate("KeyAlreadyExists")
        if state.find_bucket(database, bucket) is None:
            raise errors.no_related()

    async def complete(
        self,
        row: dict[str, Any],
        stored: Stored,
        also: Callable[[sqlite3.Connection], None] | None = None,
    ) -> str:
        """Make the object of a body that is whole; returns its id.

        `also` is done in the same transaction, or not at all. Raises StorageError if the bucket
        went away meanwhile.
        """
        stored.keep(self._folders.version(row["version"]))
        try:
            old = await self._simulator.database.write(lambda db: _put(db, row, also))
        except errors.StorageError:
            self._folders.remove(row["version"])
            raise
        if old is None:
            return str(row["id"])
        self._folders.remove(old["version"])
        return str(old["id"])

    def row(
        self, bucket: str, key: str, owner: str, said: Description, stored: Stored
    ) -> dict[str, Any]:
        """A new version of an object as its table holds it."""
        now = self._simulator.clock()
        return {
            "bucket_id": bucket,
            "name": key,
            "id": str(uuid.uuid4()),
            "version": str(uuid.uuid4()),
            "owner": owner,
            "size": stored.size,
            "content_type": said.content_type,
            "cache_control": said.cache_control,
            "robots_tag": said.robots_tag,
            "etag": f'"{stored.md5}"',
            "user_metadata": user_metadata.stored(said.user_metadata),
            "created_at": now,
            "updated_at": now,
        }

    async def _answer(self, request: Request, *, upsert: bool) -> Response:
        who = caller(request, self._simulator.clock())
        object_id = await self.store(request, who, upsert=upsert)
        key = f"{request.path_params['bucket']}/{request.path_params['key']}"
        return json({"Key": key, "Id": object_id})

    async def _store(self, request: Request, who: Caller, *, upsert: bool) -> str:
        bucket, key = request.path_params["bucket"], request.path_params["key"]
        switches = self._simulator.settings.current.supabase
        most = min(switches.global_file_size_limit, switches.standard_upload_size_limit)
        limits = Limits.of(self._buckets.find(bucket), key, most)

        def admit(said: Description) -> None:
            check_key(key)
            self.probe(who, bucket, key, said.user_metadata, upsert=upsert)

        folder = self._folders.objects
        said, stored = await upload_body.receive(request, folder, limits, admit)
        try:
            return await self.complete(self.row(bucket, key, who.owner, said, stored), stored)
        finally:
            stored.discard()


def _put(
    connection: sqlite3.Connection,
    row: dict[str, Any],
    also: Callable[[sqlite3.Connection], None] | None,
) -> sqlite3.Row | None:
    """Returns the row that was replaced."""
    if state.find_bucket(connection, row["bucket_id"]) is None:
        raise errors.no_related()
    old = state.find_object(connection, row["bucket_id"], row["name"])
    state.put_object(connection, row)
    if also is not None:
        also(connection)
    return old
