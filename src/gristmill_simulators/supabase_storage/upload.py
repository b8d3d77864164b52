"""Uploads: raw or multipart, new or over an old version."""

import re
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.bodies import BodyTooLarge, MalformedForm, Stored, store_form, store_raw
from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage import errors, state, user_metadata
from gristmill_simulators.supabase_storage.access import Caller, caller
from gristmill_simulators.supabase_storage.buckets import Buckets
from gristmill_simulators.supabase_storage.errors import json
from gristmill_simulators.supabase_storage.limits import allows, size_limit
from gristmill_simulators.supabase_storage.names import check_key
from gristmill_simulators.supabase_storage.policies import Policies

_PARAMETERS = re.compile(r"\s*;.*", re.DOTALL)


@dataclass(slots=True)
class Upload:
    """A body on disk with what will be said about it."""

    stored: Stored
    content_type: str
    cache_control: str
    user_metadata: dict[str, Any] = field(default_factory=dict)


class Uploads:
    """POST creates, PUT creates or replaces; `x-upsert: true` turns the one into the other."""

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
        return await self._stored(request, replace=request.headers.get("x-upsert") == "true")

    async def replace(self, request: Request) -> Response:
        return await self._stored(request, replace=True)

    async def _stored(self, request: Request, *, replace: bool) -> Response:
        who = caller(request, self._simulator.clock())
        object_id = await self.store(request, who, replace=replace)
        key = f"{request.path_params['bucket']}/{request.path_params['key']}"
        return json({"Key": key, "Id": object_id})

    async def store(self, request: Request, who: Caller, *, replace: bool) -> str:
        """Make the object of the request's path and body; returns its id. Raises StorageError."""
        bucket, key = request.path_params["bucket"], request.path_params["key"]
        upload = await self._received(request, self._buckets.find(bucket))
        try:
            check_key(key)
            return await self.complete(who, bucket, key, upload, replace=replace)
        finally:
            upload.stored.discard()

    def probe(self, who: Caller, bucket: str, key: str, *, upsert: bool) -> None:
        """What the server asks Postgres before it takes bytes, in the order of its checks."""
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
        who: Caller,
        bucket: str,
        key: str,
        upload: Upload,
        *,
        replace: bool,
        also: Callable[[sqlite3.Connection], None] | None = None,
    ) -> str:
        """Make the object of a body that is whole; returns its id. Raises StorageError.

        `also` is done in the same transaction, or not at all.
        """
        row = self._row(who, bucket, key, upload)
        upload.stored.keep(self._folders.version(row["version"]))
        return await self._put(who, row, replace=replace, also=also)

    async def _put(
        self,
        who: Caller,
        row: dict[str, Any],
        *,
        replace: bool,
        also: Callable[[sqlite3.Connection], None] | None,
    ) -> str:
        def work(connection: sqlite3.Connection) -> sqlite3.Row | None:
            if state.find_bucket(connection, row["bucket_id"]) is None:
                raise errors.no_related()
            old = state.find_object(connection, row["bucket_id"], row["name"])
            self._policies.check_write(who, row, old, upsert=replace)
            if old is not None and not replace:
                raise errors.duplicate("KeyAlreadyExists")
            state.put_object(connection, row)
            if also is not None:
                also(connection)
            return old

        try:
            old = await self._simulator.database.write(work)
        except errors.StorageError:
            self._folders.remove(row["version"])
            raise
        if old is None:
            return str(row["id"])
        self._folders.remove(old["version"])
        return str(old["id"])

    async def _received(self, request: Request, bucket: sqlite3.Row) -> Upload:
        switches = self._simulator.settings.current.supabase
        limit = size_limit(bucket, switches.global_file_size_limit)
        try:
            if request.headers.get("content-type", "").startswith("multipart/form-data"):
                upload = await self._form(request, limit)
            else:
                upload = await self._raw(request, limit)
        except BodyTooLarge:
            raise errors.too_large() from None
        if not allows(bucket, upload.content_type):
            upload.stored.discard()
            raise errors.bad_mime_type(upload.content_type)
        return upload

    async def _raw(self, request: Request, limit: int) -> Upload:
        length = request.headers.get("content-length")
        if length is not None and int(length) > limit:
            await _swallow(request.stream())
            raise errors.too_large()
        # the server does not limit a chunked body; the disk does, so we keep the limit
        stored = await store_raw(request.stream(), self._folders.objects, limit)
        return Upload(
            stored,
            request.headers.get("content-type", "application/octet-stream"),
            request.headers.get("cache-control", "no-cache"),
            user_metadata.from_header(request.headers.get("x-metadata")),
        )

    async def _form(self, request: Request, limit: int) -> Upload:
        try:
            form = await store_form(request, self._folders.objects, limit)
        except MalformedForm:
            raise errors.no_content() from None
        if form.file is None or not form.file.filename:
            raise errors.no_content()
        given = form.fields.get("metadata") or form.fields.get("userMetadata")
        kind = form.fields.get("contentType") or form.file.content_type or "text/plain"
        age = form.fields.get("cacheControl")
        return Upload(
            form.file,
            _PARAMETERS.sub("", kind),
            f"max-age={age}" if age else "no-cache",
            _field_metadata(given),
        )

    def _row(self, who: Caller, bucket: str, key: str, upload: Upload) -> dict[str, Any]:
        now = self._simulator.clock()
        return {
            "bucket_id": bucket,
            "name": key,
            "id": str(uuid.uuid4()),
            "version": str(uuid.uuid4()),
            "owner": who.owner,
            "size": upload.stored.size,
            "content_type": upload.content_type,
            "cache_control": upload.cache_control,
            "etag": f'"{upload.stored.md5}"',
            "user_metadata": orjson.dumps(upload.user_metadata).decode(),
            "created_at": now,
            "updated_at": now,
        }


def _field_metadata(given: str | None) -> dict[str, Any]:
    try:
        found = orjson.loads(given or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        message = "Invalid Parameter metadata"
        raise errors.StorageError("400", "InvalidParameter", message, "InvalidParameter")
    return found


async def _swallow(chunks: AsyncIterator[bytes]) -> None:
    async for _ in chunks:
        pass
