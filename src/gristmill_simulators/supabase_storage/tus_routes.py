"""Resumable uploads (TUS 1.0.0): `/upload/resumable`, and `/sign` with a token in `x-signature`."""

import hashlib
import re
import sqlite3
import uuid
from asyncio import to_thread
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.bodies import Stored, drain
from gristmill_simulators.operation import Handler
from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage import (
    errors,
    state,
    tus_protocol,
    tus_state,
    user_metadata,
)
from gristmill_simulators.supabase_storage.access import caller
from gristmill_simulators.supabase_storage.buckets import Buckets
from gristmill_simulators.supabase_storage.limits import matches
from gristmill_simulators.supabase_storage.names import check_bucket_name, check_key
from gristmill_simulators.supabase_storage.signed_upload import granted
from gristmill_simulators.supabase_storage.tus_protocol import TusError, answer
from gristmill_simulators.supabase_storage.upload import Uploads
from gristmill_simulators.supabase_storage.upload_body import Description

_SECONDS = re.compile(r"-?\d+", re.ASCII)


class Resumable:
    """Bytes go to the upload's own file; complete, it becomes an object as any other upload."""

    def __init__(
        self,
        simulator: Simulator,
        folders: state.Folders,
        buckets: Buckets,
        uploads: Uploads,
    ) -> None:
        self._simulator = simulator
        self._folders = folders
        self._buckets = buckets
        self._uploads = uploads
        self._written: set[str] = set()  # uploads that a request writes to at this moment

    async def options(self, _request: Request) -> Response:
        most = self._simulator.settings.current.supabase.global_file_size_limit
        headers = {
            "Tus-Version": tus_protocol.VERSION,
            "Tus-Extension": tus_protocol.EXTENSIONS,
            "Tus-Max-Size": str(most),
        }
        return answer(204, headers)

    def spoken(self, handler: Handler) -> Handler:
        """The token is refused in JSON, before TUS begins; what comes after it is plain text."""

        async def wrapped(request: Request) -> Response:
            if not _signed(request):
                caller(request, self._simulator.clock(), schema=False)
            try:
                tus_protocol.check_version(request)
                return await handler(request)
            except TusError as error:
                await drain(request)
                return error.response()
            except errors.StorageError as error:
                await drain(request)
                return answer(int(error.status), text=error.message)

        return wrapped

    async def create(self, request: Request) -> Response:
        await self.sweep()
        length = tus_protocol.new_length(request)
        row = self._row(request, tus_protocol.metadata(request), length)
        self._folders.resumable(row["id"]).touch()
        await self._simulator.database.write(lambda db: tus_state.insert(db, row))
        headers = {"Location": _location(request, row)}
        if request.headers.get("content-type") == tus_protocol.CONTENT_TYPE or length == 0:
            found = self._find(row["id"])
            with self._alone(row["id"]):
                return answer(201, headers | await self._append(request, found, 0))
        headers["Upload-Expires"] = tus_protocol.expires(row["expires_at"])
        return answer(201, headers)

    async def head(self, request: Request) -> Response:
        row = self._found(request)
        at = tus_state.offset(self._folders, row)
        if at == row["length"] and row["id"] not in self._written:
            await self._complete(row)  # a process that died between the last byte and the row
        headers = {"Upload-Offset": str(at), "Cache-Control": "no-store"}
        headers["Upload-Metadata"] = row["given"]
        if row["length"] is None:
            headers["Upload-Defer-Length"] = "1"
        else:
            headers["Upload-Length"] = str(row["length"])
        return answer(200, headers)

    async def append(self, request: Request) -> Response:
        if request.headers.get("content-type") != tus_protocol.CONTENT_TYPE:
            raise TusError(415, "Invalid content-type\n")
        given = tus_protocol.number(request, "upload-offset")
        if given is None:
            raise TusError(403, "Upload-Offset header required\n")
        row = self._found(request)
        with self._alone(row["id"]):
            at = tus_state.offset(self._folders, row)
            if given != at:
                raise TusError(409, "Upload-Offset conflict\n")
            row = await self._with_length(request, row, at)
            return answer(204, await self._append(request, row, at))

    async def terminate(self, request: Request) -> Response:
        row = self._found(request)
        if row["finished"]:
            raise TusError(400, "Cannot terminate an already completed upload")
        with self._alone(row["id"]):
            await self._simulator.database.write(lambda db: tus_state.delete(db, row["id"]))
            self._folders.resumable(row["id"]).unlink(missing_ok=True)
        return answer(204)

    async def sweep(self) -> None:
        """Forget what has been expired for a day; until then its address answers 410."""
        before = self._simulator.clock() - self._lifetime
        expired = await self._simulator.database.write(
            lambda db: tus_state.delete_expired(db, before)
        )
        for upload in expired:
            self._folders.resumable(upload).unlink(missing_ok=True)

    @property
    def _lifetime(self) -> float:
        return self._simulator.settings.current.supabase.resumable_lifetime_seconds

    def _row(
        self, request: Request, metadata: dict[str, str], length: int | None
    ) -> dict[str, Any]:
        bucket, key = metadata.get("bucketName", ""), metadata.get("objectName", "")
        check_bucket_name(bucket)
        check_key(key)
        limits = self._buckets.find(bucket)
        self._check_size(limits, length)
        given = user_metadata.from_text(metadata.get("metadata"))
        owner = self._admit(request, bucket, key, given)
        kind, age = metadata.get("contentType"), metadata.get("cacheControl", "")
        _check_type(limits, kind)
        return {
            "id": str(uuid.uuid4()),
            "bucket_id": bucket,
            "name": key,
            "length": length,
            "content_type": kind or "application/octet-stream",
            "cache_control": f"max-age={age}" if _SECONDS.fullmatch(age) else "no-cache",
            "user_metadata": user_metadata.stored(given),
            "given": request.headers["upload-metadata"],
            "owner": owner,
            "finished": False,
            "expires_at": self._simulator.clock() + self._lifetime,
        }

    def _admit(self, request: Request, bucket: str, key: str, metadata: object) -> str:
        """Who will own the object. Raises StorageError for a caller who may not write it."""
        now = self._simulator.clock()
        if not _signed(request):
            who = caller(request, now, schema=False)
            upsert = request.headers.get("x-upsert") == "true"
            self._uploads.probe(who, bucket, key, metadata, upsert=upsert)
            return who.owner
        token = request.headers.get("x-signature")
        if not token:
            raise errors.bad_signature("Missing x-signature header")
        # nobody looks whether the object is there already: upsert or not, it is replaced
        return granted(token, bucket, key, now).who.owner

    def _most(self, bucket: sqlite3.Row) -> int:
        # a limit of 0 is none here, and for the other uploads it lets only nothing in
        most = self._simulator.settings.current.supabase.global_file_size_limit
        return min(bucket["file_size_limit"] or most, most)

    def _check_size(self, bucket: sqlite3.Row, length: int | None) -> None:
        if length is not None and length > self._most(bucket):
            raise TusError(413, "Maximum size exceeded\n")

    def _find(self, upload: str) -> sqlite3.Row:
        row = self._simulator.database.read_one(
            "SELECT * FROM storage_resumable WHERE id = ?", upload
        )
        if row is None:
            raise TusError(404, "The file for this url was not found\n")
        if row["expires_at"] <= self._simulator.clock():
            raise TusError(410, "The file for this url no longer exists\n")
        return row

    def _found(self, request: Request) -> sqlite3.Row:
        """The upload of the address, if this caller may write its object (HEAD asks no policy)."""
        row = self._find(_upload_id(request.path_params["id"]))
        if request.method != "HEAD" or _signed(request):
            # with this request's `x-upsert`, whatever the one that made the upload said
            self._admit(request, row["bucket_id"], row["name"], None)
        return row

    @contextmanager
    def _alone(self, upload: str) -> Iterator[None]:
        if upload in self._written:
            raise TusError(423, "The resource is locked")
        self._written.add(upload)
        try:
            yield
        finally:
            self._written.discard(upload)

    async def _with_length(self, request: Request, row: sqlite3.Row, at: int) -> sqlite3.Row:
        length = tus_protocol.number(request, "upload-length")
        if length is None:
            return row
        if row["length"] is not None or length < at:
            raise TusError(400, tus_protocol.LENGTH_REQUIRED)
        self._check_size(self._buckets.find(row["bucket_id"]), length)
        await self._simulator.database.write(lambda db: tus_state.set_length(db, row["id"], length))
        return self._find(row["id"])

    async def _append(self, request: Request, row: sqlite3.Row, at: int) -> dict[str, str]:
        """Write the body behind what is there; the headers that say how far the upload is."""
        most = row["length"]
        if most is None:
            most = self._most(self._buckets.find(row["bucket_id"]))
        if at + int(request.headers.get("content-length", 0)) > most:
            raise TusError(413, "Maximum size exceeded\n")
        if not row["finished"]:
            at = await _write(request, self._folders.resumable(row["id"]), at, most)
        if at != row["length"]:
            expiry = tus_protocol.expires(row["expires_at"])
            return {"Upload-Offset": str(at), "Upload-Expires": expiry}
        await self._complete(row)
        return {"Upload-Offset": str(at), "Tus-Complete": "1"}

    async def _complete(self, row: sqlite3.Row) -> None:
        if row["finished"]:
            return
        path = self._folders.resumable(row["id"])
        # a second name: should the object be refused, or the process die, the upload still is
        whole = path.with_name(f"{path.name}-whole")
        whole.unlink(missing_ok=True)
        whole.hardlink_to(path)
        stored = Stored(whole, row["length"], await to_thread(_md5, path), "")
        metadata = orjson.loads(row["user_metadata"])
        said = Description(row["content_type"], row["cache_control"], metadata)
        await self._uploads.complete(
            self._uploads.row(row["bucket_id"], row["name"], row["owner"], said, stored),
            stored,
            also=lambda db: tus_state.finish(db, row["id"]),
        )
        path.unlink(missing_ok=True)


async def _write(request: Request, path: Path, at: int, most: int) -> int:
    with path.open("ab", buffering=0) as file:  # unbuffered: kill -9 loses nothing written
        async for chunk in request.stream():
            if at + len(chunk) > most:
                raise TusError(413, "Maximum size exceeded\n")
            file.write(chunk)
            at += len(chunk)
    return at


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _check_type(bucket: sqlite3.Row, kind: str | None) -> None:
    # only a type that is given is looked at, and an empty list lets none in here
    allowed = bucket["allowed_mime_types"]
    if kind and allowed is not None and not matches(orjson.loads(allowed), kind):
        raise errors.bad_mime_type(kind)


def _signed(request: Request) -> bool:
    return "/upload/resumable/sign" in request.url.path


def _location(request: Request, row: dict[str, Any]) -> str:
    name = f"{row['bucket_id']}/{row['name']}/{row['id']}"
    encoded = urlsafe_b64encode(name.encode()).rstrip(b"=").decode()
    url = request.url
    return f"{url.scheme}://{url.netloc}{url.path.rstrip('/')}/{encoded}"


def _upload_id(encoded: str) -> str:
    try:
        return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode().rpartition("/")[2]
    except ValueError:
        raise TusError(404, "The file for this url was not found\n") from None
