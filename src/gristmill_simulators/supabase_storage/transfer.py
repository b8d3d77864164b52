"""`/object/move` and `/object/copy`, within a bucket or into another."""

import os
import shutil
import sqlite3
import uuid
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage import body, errors, state, user_metadata
from gristmill_simulators.supabase_storage.access import Caller, caller
from gristmill_simulators.supabase_storage.errors import json
from gristmill_simulators.supabase_storage.names import check_bucket_name, check_key
from gristmill_simulators.supabase_storage.policies import Policies

Connection = sqlite3.Connection


@dataclass(frozen=True, slots=True)
class _Places:
    """From where to where."""

    bucket: str
    key: str
    to_bucket: str
    to_key: str

    @classmethod
    def read(cls, fields: body.Fields) -> "_Places":
        """Raises StorageError for a field that is missing or no string."""
        bucket, key = body.text(fields, "bucketId"), body.text(fields, "sourceKey")
        to_key = body.text(fields, "destinationKey")
        return cls(bucket, key, body.text(fields, "destinationBucket", "") or bucket, to_key)

    def check(self) -> None:
        check_bucket_name(self.bucket)
        check_key(self.to_key)


class Transfer:
    """One transaction each; a version's bytes never change, so the new one is a link to the old."""

    def __init__(self, simulator: Simulator, folders: state.Folders, policies: Policies) -> None:
        self._simulator = simulator
        self._database = simulator.database
        self._folders = folders
        self._policies = policies

    async def move(self, request: Request) -> Response:
        """Needs SELECT and UPDATE, for the row as it is and as it will be."""
        places = _Places.read(await body.read(request))
        who = caller(request, self._simulator.clock())
        places.check()
        dropped = await self._database.write(lambda c: self._move(c, who, places))
        self._drop(dropped)
        return json({"message": "Successfully moved"})

    async def copy(self, request: Request) -> Response:
        """Needs SELECT on the source and what an upload needs on the copy."""
        fields = await body.read(request)
        places, changes = _Places.read(fields), _changes(request, fields)
        who = caller(request, self._simulator.clock())
        places.check()
        # only the exact text counts, as for an upload
        upsert = request.headers.get("x-upsert") == "true"

        def work(connection: Connection) -> tuple[dict[str, Any], str | None]:
            row = self._copied(connection, who, places) | changes
            dropped = self._put(connection, who, row, upsert=upsert)
            stored = state.find_object(connection, places.to_bucket, places.to_key)
            return ({} if stored is None else state.full_row(stored)), dropped

        stored, dropped = await self._database.write(work)
        self._drop(dropped)
        key = f"{places.to_bucket}/{places.to_key}"
        return json({"Id": stored["id"], "Key": key, **stored})

    def _source(self, connection: Connection, who: Caller, places: _Places) -> sqlite3.Row:
        row = state.find_object(connection, places.bucket, places.key)
        if row is None or not self._policies.allows(who, "select", row):
            raise errors.no_object()
        return row

    def _move(self, connection: Connection, who: Caller, places: _Places) -> str | None:
        """Returns the version that is no longer needed."""
        old = self._source(connection, who, places)
        row: dict[str, Any] = dict(old)
        row |= {"bucket_id": places.to_bucket, "name": places.to_key}
        row |= {"owner": who.owner or old["owner"], "updated_at": self._simulator.clock()}
        self._check_update(who, old, row)
        if (places.to_bucket, places.to_key) == (places.bucket, places.key):
            return None  # onto itself: allowed, and nothing happens
        if state.find_object(connection, places.to_bucket, places.to_key) is not None:
            raise errors.duplicate("ResourceAlreadyExists")
        if state.find_bucket(connection, places.to_bucket) is None:
            raise errors.no_related()
        row["version"] = self._linked(old["version"])
        state.delete_object(connection, places.bucket, places.key)
        state.put_object(connection, row)
        return str(old["version"])

    def _check_update(self, who: Caller, old: sqlite3.Row, new: dict[str, Any]) -> None:
        allows = self._policies.allows
        if not allows(who, "update", old):
            raise errors.no_object()  # the statement finds no row that it may change
        if not (allows(who, "update", new) and allows(who, "select", new)):
            raise errors.denied()

    def _copied(self, connection: Connection, who: Caller, places: _Places) -> dict[str, Any]:
        row: dict[str, Any] = dict(self._source(connection, who, places))
        now = self._simulator.clock()
        row |= {"bucket_id": places.to_bucket, "name": places.to_key, "owner": who.owner}
        return row | {"id": str(uuid.uuid4()), "created_at": now, "updated_at": now}

    def _put(
        self, connection: Connection, who: Caller, row: dict[str, Any], *, upsert: bool
    ) -> str | None:
        """Returns the version that was replaced."""
        old = state.find_object(connection, row["bucket_id"], row["name"])
        self._policies.check_write(who, row, old, upsert=upsert)
        if old is not None and not upsert:
            raise errors.duplicate("KeyAlreadyExists")
        if state.find_bucket(connection, row["bucket_id"]) is None:
            raise errors.no_related()
        row["version"] = self._linked(row["version"])
        state.put_object(connection, row)
        return None if old is None else str(old["version"])

    def _linked(self, version: str) -> str:
        """A new version with the bytes of an old one."""
        new = str(uuid.uuid4())
        source, target = self._folders.version(version), self._folders.version(new)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except FileNotFoundError:
            raise errors.no_object() from None
        except OSError:  # a file system without hard links
            shutil.copyfile(source, target)
        return new

    def _drop(self, version: str | None) -> None:
        if version is not None:
            self._folders.remove(version)


def _changes(request: Request, fields: body.Fields) -> dict[str, str]:
    """What the copy does not take from its source: nothing unless `copyMetadata` is false."""
    given = body.nested(fields, "metadata")
    columns = {
        column: body.text(given, name, where="body/metadata")
        for name, column in (("cacheControl", "cache_control"), ("mimetype", "content_type"))
        if name in given
    }
    if body.boolean(fields, "copyMetadata", default=True):
        return {}
    user = user_metadata.from_header(request.headers.get("x-metadata"))
    return columns | {"user_metadata": user_metadata.stored(user)}
