"""What the operations that carry bytes do: a file on disk to an object, and back."""

import asyncio
import hashlib
import json
import os
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, Final, cast

from gristmill.contract import Operation
from gristmill.errors import Rejected, UnreadableSource
from gristmill.services import failures
from gristmill.services.adapter import Handler, Reply
from gristmill.services.supabase.answers import read_info, text_of
from gristmill.services.supabase.client import SERVICE, ErrorAnswer, Sdk
from gristmill.services.supabase.keys import checked_key
from gristmill.services.supabase.operations import (
    CreateObject,
    DownloadObject,
    UploadObject,
    UploadSigned,
)
from gristmill.services.supabase.values import Metadata, ObjectInfo, StoredObject

_MOST_METADATA = 1 << 20  # bytes of its JSON


async def _upload(sdk: Sdk, operation: UploadObject) -> Reply[StoredObject]:
    return await _stored(sdk, operation, upsert="true")


async def _create(sdk: Sdk, operation: CreateObject) -> Reply[StoredObject]:
    try:
        return await _stored(sdk, operation, upsert="false")
    except ErrorAnswer as error:
        if error.fields.status != 409:
            raise
        if (found := await _found_the_same(sdk, operation)) is None:
            raise
        return found


async def _stored(
    sdk: Sdk, operation: UploadObject | CreateObject, *, upsert: str
) -> Reply[StoredObject]:
    call = sdk.call()
    key, bucket = checked_key(operation.key), call.bucket(operation.bucket)
    options = {**_options(operation), "upsert": upsert}
    await _with_file(
        operation.path, lambda file: call.asked(bucket.upload(key, file, cast("Any", options)))
    )
    with failures.reading(SERVICE, call.response):
        stored = StoredObject(operation.bucket, key, text_of(call.response.json()["Id"]))
    return Reply(stored, call.response)


async def _upload_signed(sdk: Sdk, operation: UploadSigned) -> Reply[str]:
    call = sdk.call()
    key, bucket = checked_key(operation.key), call.bucket(operation.bucket)
    options = cast("Any", _options(operation))
    await _with_file(
        operation.path,
        lambda file: call.asked(bucket.upload_to_signed_url(key, operation.token, file, options)),
    )
    return Reply(key, call.response)


async def _with_file(path: Path, use: Callable[[BufferedReader], Awaitable[Any]]) -> None:
    # An open handle is streamed; a str the SDK takes for a path.
    with closing(await asyncio.to_thread(_opened, path)) as file:
        await use(file)


def _options(operation: UploadObject | CreateObject | UploadSigned) -> dict[str, Any]:
    options: dict[str, Any] = {
        "content-type": _checked_type(operation.content_type),
        "cache-control": str(operation.cache_seconds),
    }
    if operation.metadata is not None:
        options["metadata"] = checked_metadata(operation.metadata)
    return options


def _checked_type(content_type: str) -> str:
    # The SDK writes it into the form as it is; a line end would begin a header there.
    if not (content_type.isascii() and content_type.isprintable()):
        raise failures.failure(Rejected, SERVICE, f"not sent: {content_type!r} is no content type")
    return content_type


def checked_metadata(metadata: Metadata) -> dict[str, Any]:
    """The metadata, if the server keeps it; what it does not like it drops without a word.

    Raises:
        Rejected: it is no JSON object, or more than a mebibyte.
    """
    try:
        text = json.dumps(dict(metadata), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise failures.failure(Rejected, SERVICE, f"not sent: metadata {error}") from None
    if len(text) > _MOST_METADATA:
        raise failures.failure(Rejected, SERVICE, "not sent: more than 1 MiB of metadata")
    return dict(metadata)


async def _found_the_same(sdk: Sdk, operation: CreateObject) -> Reply[StoredObject] | None:
    call = sdk.call()
    try:
        row = await call.asked(call.bucket(operation.bucket).info(operation.key))
    except ErrorAnswer:
        return None
    with failures.reading(SERVICE, call.response):
        info = read_info(row)
    if not await asyncio.to_thread(_is_same, info, operation):
        return None
    return Reply(StoredObject(operation.bucket, operation.key, info.id), call.response)


def _is_same(info: ObjectInfo, operation: CreateObject) -> bool:
    with _opened(operation.path) as file:
        return (
            os.fstat(file.fileno()).st_size == info.size
            and _bare_type(info.content_type) == _bare_type(operation.content_type)
            and dict(info.metadata) == dict(operation.metadata or {})
            and hashlib.file_digest(file, "md5").hexdigest() == info.etag
        )


def _bare_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


async def _download(sdk: Sdk, operation: DownloadObject) -> Reply[int]:
    key = checked_key(operation.key)
    # the SDK has no argument for a range
    headers = {} if operation.part is None else {"range": operation.part.header}
    file = await asyncio.to_thread(_beside, operation.to)
    try:
        with closing(file):
            call, client = sdk.download(file, headers, operation.most)
            await call.asked(call.bucket(operation.bucket).download(key))
            await asyncio.to_thread(_flush, file)
        await asyncio.to_thread(os.replace, file.name, operation.to)
    finally:
        await asyncio.to_thread(Path(file.name).unlink, missing_ok=True)
    return Reply(client.size, call.response)


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


HANDLERS: Final[Mapping[type[Operation[Any]], Handler]] = {
    UploadObject: _upload,
    CreateObject: _create,
    UploadSigned: _upload_signed,
    DownloadObject: _download,
}
