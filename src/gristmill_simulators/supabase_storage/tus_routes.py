"""Resumable uploads (TUS 1.0.0): `/upload/resumable`, and `/sign` with a token in `x-signature`."""

import hashlib
import re
import sqlite3
import uuid
from asyncio import to_thread
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gristmill_simulators.bodies import Stored
from gristmill_simulators.environment import SUPABASE_JWT_SECRET
from gristmill_simulators.jwt import InvalidToken, verify
from gristmill_simulators.operation import Handler
from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage import errors, state, tus_protocol, tus_state
from gristmill_simulators.supabase_storage.access import Caller, caller
from gristmill_simulators.supabase_storage.buckets import Buckets
from gristmill_simulators.supabase_storage.limits import allows, size_limit
from gristmill_simulators.supabase_storage.names import check_key
from gristmill_simulators.supabase_storage.policies import Policies
from gristmill_simulators.supabase_storage.tus_protocol import TusError, answer
from gristmill_simulators.supabase_storage.upload import Upload, Uploads

_SECONDS = re.compile(r"-?\d+", re.ASCII)
_DRAINED = 8 * 1024 * 1024  # a refused body up to this is read, so that the client hears why


class _Writer(NamedTuple):
    who: Caller
    upsert: bool


class Resumable:
    """Bytes go to the upload's own file; complete, it becomes an object as any other upload."""

    def __init__(
        self,
        simulator: Simulator,
        folders: state.Folders,
        buckets: Buckets,
        policies: Policies,
        uploads: Uploads,
    ) -> None:
        self._simulator = simulator
        self._folders = folders
        self._buckets = buckets
        self._policies = policies
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
                await _drain(request)
                return error.response()
            except errors.StorageError as error:
                await _drain(request)
                return answer(int(error.status), text=error.message)

        return wrapped

    async def create(self, request: Request) -> Response:
        await self.sweep()
        length = tus_protocol.number(request, "upload-length")
        if length is None and request.headers.get("upload-defer-length") != "1":
            raise TusError(400, "Upload-Length or Upload-Defer-Length header required\n")
        row = self._row(request, tus_protocol.metadata(request), length)
        self._folders.resumable(row["id"]).touch()
        await self._simulator.database.write(lambda db: tus_state.insert(db, row))
        headers = {"Location": _location(request, row)}
        if request.headers.get("content-type") == tus_protocol.CONTENT_TYPE or length == 0:
            found = self._find(row["id"])
            with self._alone(row["id"]):
                headers["Upload-Offset"] = str(await self._append(request, found, 0))
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
            raise TusError(400, "Upload-Offset header required\n")
        row = self._found(request)
        with self._alone(row["id"]):
            row = await self._with_length(request, row)
            at = tus_state.offset(self._folders, row)
            if given != at:
                raise TusError(409, "Upload-Offset conflict\n")
            at = await self._append(request, row, at)
        expiry = tus_protocol.expires(row["expires_at"])
        return answer(204, {"Upload-Offset": str(at), "Upload-Expires": expiry})

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
        check_key(key)
        limits = self._buckets.find(bucket)
        writer = self._writer(request, bucket, key)
        self._check_write(writer, bucket, key)
        self._check_size(limits, length)
        kind = metadata.get("contentType") or "application/octet-stream"
        if not allows(limits, kind):
            raise errors.bad_mime_type(kind)
        age = metadata.get("cacheControl", "")
        return {
            "id": str(uuid.uuid4()),
            "bucket_id": bucket,
            "name": key,
            "length": length,
            "content_type": kind,
            "cache_control": f"max-age={age}" if _SECONDS.fullmatch(age) else "no-cache",
            "user_metadata": _json(metadata.get("metadata")),
            "given": request.headers["upload-metadata"],
            "role": writer.who.role,
            "sub": writer.who.sub,
            "upsert": writer.upsert,
            "finished": False,
            "expires_at": self._simulator.clock() + self._lifetime,
        }

    def _writer(self, request: Request, bucket: str, key: str) -> _Writer:
        if not _signed(request):
            upsert = request.headers.get("x-upsert") == "true"
            return _Writer(caller(request, self._simulator.clock(), schema=False), upsert)
        token = request.headers.get("x-signature")
        if not token:
            raise errors.bad_signature("Missing x-signature header")
        try:
            claims = verify(token, SUPABASE_JWT_SECRET, now=self._simulator.clock())
        except InvalidToken as error:
            raise errors.bad_signed_token(str(error)) from None
        if claims.get("scope") != "upload" or claims.get("url") != f"{bucket}/{key}":
            raise errors.bad_signature()
        # the token is the permission: its rows are written as the superuser's
        who = Caller("service_role", str(claims.get("owner") or ""))
        return _Writer(who, claims.get("upsert") is True)

    def _check_write(self, writer: _Writer, bucket: str, key: str) -> None:
        old = state.find_object(self._simulator.database, bucket, key)
        new = {"bucket_id": bucket, "name": key, "owner": writer.who.owner}
        self._policies.check_write(writer.who, new, old, upsert=writer.upsert)
        if old is not None and not writer.upsert:
            raise errors.duplicate("KeyAlreadyExists")

    def _check_size(self, bucket: sqlite3.Row, length: int | None) -> None:
        most = self._simulator.settings.current.supabase.global_file_size_limit
        if length is not None and length > size_limit(bucket, most):
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
            writer = self._writer(request, row["bucket_id"], row["name"])
            if not row["finished"]:
                upsert = writer.upsert or bool(row["upsert"])
                self._check_write(writer._replace(upsert=upsert), row["bucket_id"], row["name"])
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

    async def _with_length(self, request: Request, row: sqlite3.Row) -> sqlite3.Row:
        length = tus_protocol.number(request, "upload-length")
        if length is None or row["length"] == length:
            return row
        if row["length"] is not None or length < tus_state.offset(self._folders, row):
            raise TusError(400, "Invalid upload-length\n")
        self._check_size(self._buckets.find(row["bucket_id"]), length)
        await self._simulator.database.write(lambda db: tus_state.set_length(db, row["id"], length))
        return self._find(row["id"])

    async def _append(self, request: Request, row: sqlite3.Row, at: int) -> int:
        most = row["length"]
        if most is None:
            limit = self._simulator.settings.current.supabase.global_file_size_limit
            most = size_limit(self._buckets.find(row["bucket_id"]), limit)
        if at + int(request.headers.get("content-length", 0)) > most:
            raise TusError(413, "Maximum size exceeded\n")
        if not row["finished"]:
            at = await _write(request, self._folders.resumable(row["id"]), at, most)
        if at == row["length"]:
            await self._complete(row)
        return at

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
        upload = Upload(stored, row["content_type"], row["cache_control"], metadata)
        await self._uploads.complete(
            Caller(row["role"], row["sub"]),
            row["bucket_id"],
            row["name"],
            upload,
            replace=bool(row["upsert"]),
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


async def _drain(request: Request) -> None:
    if int(request.headers.get("content-length", 0)) <= _DRAINED:
        with suppress(RuntimeError, ClientDisconnect):  # what was read before cannot be again
            async for _ in request.stream():
                pass


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _json(given: str | None) -> str:
    try:
        found = orjson.loads(given or "{}")
    except ValueError:
        found = {}
    return orjson.dumps(found if isinstance(found, dict) else {}).decode()


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
