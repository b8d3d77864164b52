"""Supabase Storage.

Rules of the vendor relied on here, with their source:

- Nearly every error is HTTP 400; the true status is the string `statusCode` in the body, the stable
  name is `code`, which servers before July 2026 leave out; `error` is an older label.
  (source of the server)
- A key may hold A-Z a-z 0-9 and `_ / ! . * ' ( ) space & $ @ = ; : + , ? -` only. (server source)
- `x-upsert` counts only as the exact text `true`. (server source)
- With upsert an upload replaces, and may be repeated; the object's id stays. (server source)
- 544 is the database's time-out; 429 has no Retry-After. (server source)
- Deleting many keys answers with those that were there. (server source)

The SDK hides the answer's headers, buffers downloads in memory and drops the body's `code`. So each
call gives it an HTTP client of its own, a few lines around the shared one, which remembers the
answer, raises errors before the SDK reads them, and can send a body to a file. Paths, quoting,
headers and forms stay the SDK's.
"""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Mapping
from contextlib import closing
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import httpx
import orjson

from gristmill.contract import Operation
from gristmill.errors import Rejected, ServiceError, Unauthorized, Unavailable, UnreadableSource
from gristmill.services import failures
from gristmill.services.adapter import Adapter, Handler, Reply
from gristmill.services.storage_keys import checked_key, legal_key, original_name

if TYPE_CHECKING:
    from storage3 import AsyncStorageClient

    Sdk = type[AsyncStorageClient]

__all__ = [
    "Bucket",
    "DownloadObject",
    "EnsureBucket",
    "ListBuckets",
    "RemoveObjects",
    "SignUrl",
    "StoredObject",
    "Supabase",
    "UploadObject",
    "classify",
    "legal_key",
    "original_name",
    "storage_url",
]

T = TypeVar("T")

_CHUNK = 1 << 20  # bytes of a download handed to the disk at once

_PASSING_CODES = frozenset({"LockTimeout", "ResourceLocked", "DatabaseReadOnly"})


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket; `public` means that everybody can read it."""

    name: str
    public: bool


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object; `id` stays the same when it is replaced."""

    bucket: str
    key: str
    id: str


@dataclass(frozen=True, slots=True)
class EnsureBucket(Operation[Bucket]):
    """The bucket, made private if it was not there. An existing one is not changed."""

    service: ClassVar[str] = "supabase"

    bucket: str


@dataclass(frozen=True, slots=True)
class ListBuckets(Operation[tuple[str, ...]]):
    """The names of the buckets that the key may see."""

    service: ClassVar[str] = "supabase"


@dataclass(frozen=True, slots=True)
class UploadObject(Operation[StoredObject]):
    """Uploads a file from disk, in pieces.

    Without `upsert` an existing key is `Rejected`, and so is a repeat that finds its own object.
    """

    service: ClassVar[str] = "supabase"

    bucket: str
    key: str
    path: Path
    content_type: str
    upsert: bool = True


@dataclass(frozen=True, slots=True)
class DownloadObject(Operation[int]):
    """Writes an object to the file `to`, whole or not at all; answers its size in bytes.

    A disk that cannot take it is an `OSError`.
    """

    service: ClassVar[str] = "supabase"

    bucket: str
    key: str
    to: Path


@dataclass(frozen=True, slots=True)
class RemoveObjects(Operation[tuple[str, ...]]):
    """Deletes objects; answers the keys that were there."""

    service: ClassVar[str] = "supabase"

    bucket: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SignUrl(Operation[str]):
    """An address that lets anybody read one object for `expires_in` seconds. It is a secret."""

    service: ClassVar[str] = "supabase"

    bucket: str
    key: str
    expires_in: int


class _ErrorAnswer(Exception):
    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.response = response

    @property
    def status(self) -> int:
        return _error_fields(self.response.status_code, self.response.text)[0]


class _Client:
    """What the SDK uses of an HTTP client, one method; remembers the last good answer."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.answer: httpx.Response | None = None

    @property
    def response(self) -> httpx.Response:
        if self.answer is None:
            raise RuntimeError("the SDK returned without asking")
        return self.answer

    async def request(self, method: str, url: str, **arguments: Any) -> httpx.Response:  # noqa: ANN401 — the SDK's choice
        response = await self._http.request(method, url, **arguments)
        if not response.is_success:
            raise _ErrorAnswer(response)
        self.answer = response
        return response


class _DownloadClient(_Client):
    """Sends the body to a file and hands the SDK an empty one."""

    def __init__(self, http: httpx.AsyncClient, file: IO[bytes]) -> None:
        super().__init__(http)
        self._file = file
        self.size = 0

    async def request(self, method: str, url: str, **arguments: Any) -> httpx.Response:  # noqa: ANN401 — the SDK's choice
        async with self._http.stream(method, url, **arguments) as response:
            if not response.is_success:
                await response.aread()
                raise _ErrorAnswer(response)
            async for chunk in response.aiter_bytes(_CHUNK):
                await asyncio.to_thread(self._file.write, chunk)
                self.size += len(chunk)
        headers = response.headers.copy()
        headers.pop("content-encoding", None)
        self.answer = httpx.Response(
            response.status_code, headers=headers, request=response.request, content=b""
        )
        return self.answer


class Supabase(Adapter["Sdk"]):
    """Executes the operations of this module.

    The endpoint's address is the project's, with or without `/storage/v1`.
    """

    service = "supabase"
    sdk_modules = ("storage3",)

    def _build(self) -> "Sdk":
        from storage3 import AsyncStorageClient  # noqa: PLC0415 — `_loaded` did it off the loop

        return AsyncStorageClient

    def _storage(self, sdk: "Sdk", client: _Client) -> "AsyncStorageClient":
        key = self._endpoint.key
        return sdk(
            storage_url(self._endpoint.base_url),
            {"apiKey": key, "Authorization": f"Bearer {key}"},
            http_client=cast("httpx.AsyncClient", client),
        )

    def _handlers(self) -> Mapping[type[Operation[Any]], Handler]:
        return {
            EnsureBucket: self._ensure_bucket,
            ListBuckets: self._list_buckets,
            UploadObject: self._upload,
            DownloadObject: self._download,
            RemoveObjects: self._remove,
            SignUrl: self._sign,
        }

    def _probe(self) -> Operation[Any]:
        return ListBuckets()

    async def _asked(self, client: _Client, call: Awaitable[T]) -> T:
        """The SDK's answer; its complaints about values are told apart by who made them."""
        try:
            return await call
        except (ValueError, TypeError, KeyError) as error:
            if client.answer is None:
                raise failures.failure(Rejected, self.service, f"not sent: {error}") from None
            with failures.reading(self.service, client.answer):
                raise

    async def _ensure_bucket(self, sdk: "Sdk", operation: EnsureBucket) -> Reply[Bucket]:
        client = _Client(self._http)
        storage, name = self._storage(sdk, client), operation.bucket
        try:
            bucket = await self._asked(client, storage.get_bucket(name))
        except _ErrorAnswer as error:
            if error.status != 404:
                raise
            await self._create_bucket(storage, client, name)
            bucket = await self._asked(client, storage.get_bucket(name))
        return Reply(Bucket(name, bool(bucket.public)), client.response)

    async def _create_bucket(
        self, storage: "AsyncStorageClient", client: _Client, name: str
    ) -> None:
        try:
            await self._asked(client, storage.create_bucket(name, options={"public": False}))
        except _ErrorAnswer as error:
            if error.status != 409:  # somebody else was faster
                raise

    async def _list_buckets(self, sdk: "Sdk", operation: ListBuckets) -> Reply[tuple[str, ...]]:
        del operation
        client = _Client(self._http)
        buckets = await self._asked(client, self._storage(sdk, client).list_buckets())
        return Reply(tuple(bucket.name for bucket in buckets), client.response)

    async def _upload(self, sdk: "Sdk", operation: UploadObject) -> Reply[StoredObject]:
        client = _Client(self._http)
        key = checked_key(operation.key)
        bucket = self._storage(sdk, client).from_(operation.bucket)
        # An open handle is streamed; a str the SDK takes for a path.
        with closing(await asyncio.to_thread(_opened, operation.path)) as file:
            options = {
                "content-type": operation.content_type,
                "upsert": "true" if operation.upsert else "false",
            }
            await self._asked(client, bucket.upload(key, file, cast("Any", options)))
        with failures.reading(self.service, client.response):
            stored = StoredObject(operation.bucket, key, str(client.response.json()["Id"]))
        return Reply(stored, client.response)

    async def _download(self, sdk: "Sdk", operation: DownloadObject) -> Reply[int]:
        key = checked_key(operation.key)
        file = await asyncio.to_thread(_beside, operation.to)
        try:
            with closing(file):
                client = _DownloadClient(self._http, file)
                bucket = self._storage(sdk, client).from_(operation.bucket)
                await self._asked(client, bucket.download(key))
                await asyncio.to_thread(_flush, file)
            await asyncio.to_thread(os.replace, file.name, operation.to)
        finally:
            await asyncio.to_thread(Path(file.name).unlink, missing_ok=True)
        return Reply(client.size, client.response)

    async def _remove(self, sdk: "Sdk", operation: RemoveObjects) -> Reply[tuple[str, ...]]:
        client = _Client(self._http)
        bucket = self._storage(sdk, client).from_(operation.bucket)
        keys = [checked_key(key) for key in operation.keys]
        rows = await self._asked(client, bucket.remove(keys))
        with failures.reading(self.service, client.response):
            removed = tuple(str(row["name"]) for row in rows)
        return Reply(removed, client.response)

    async def _sign(self, sdk: "Sdk", operation: SignUrl) -> Reply[str]:
        client = _Client(self._http)
        bucket = self._storage(sdk, client).from_(operation.bucket)
        key = checked_key(operation.key)
        signed = await self._asked(client, bucket.create_signed_url(key, operation.expires_in))
        with failures.reading(self.service, client.response):
            return Reply(_text(signed["signedURL"]), client.response)

    def _error_answer(self, error: Exception) -> httpx.Response | None:
        return error.response if isinstance(error, _ErrorAnswer) else None

    def _classify(self, answer: failures.Answer) -> ServiceError:
        return classify(answer)


def storage_url(address: str) -> str:
    """The address of the storage API, for a project's address or for itself."""
    root = address.rstrip("/").removesuffix("/storage/v1")
    return f"{root}/storage/v1/"


def _opened(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise UnreadableSource(f"{path.name} cannot be read: {error.strerror}.") from None


def _beside(path: Path) -> IO[bytes]:
    # Same folder, so that the rename is atomic; the caller removes it.
    return cast(
        "IO[bytes]",
        tempfile.NamedTemporaryFile(dir=path.parent, prefix=".download-", delete=False),
    )


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} instead of text")
    return value


def classify(answer: failures.Answer) -> ServiceError:
    """Our error for an answer of the storage: by the status in its body, and by its code."""
    status, code, message = _error_fields(answer.status, answer.text)
    kind = failures.by_status(status, safe=answer.safe)
    advice = ""
    if code in _PASSING_CODES or status == 423:
        kind = Unavailable
    elif status == 400 and "authorization" in message.lower():
        kind = Unauthorized
    elif "row-level security" in message:
        advice = "Use the service key, or give this key's role a policy for it."
    return failures.answered(answer, kind, message, code=code, advice=advice)


def _error_fields(status: int, text: str) -> tuple[int, str | None, str]:
    """The true status, the code or the older label, and the message."""
    try:
        body = orjson.loads(text)
        true_status = str(body["statusCode"])
        code = body.get("code") or body.get("error")
        return int(true_status), code, str(body.get("message") or "")
    except (ValueError, TypeError, KeyError, AttributeError):
        return status, None, ""
