"""What the operations on objects do that carry no bytes: look, list, move, copy, remove, sign."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

import orjson

from gristmill.contract import Operation
from gristmill.errors import Rejected
from gristmill.services import failures
from gristmill.services.adapter import Handler, Reply
from gristmill.services.supabase.answers import (
    read_folder,
    read_info,
    read_objects,
    read_signed,
    text_of,
)
from gristmill.services.supabase.client import SERVICE, ErrorAnswer, Sdk
from gristmill.services.supabase.errors import NO_OBJECT
from gristmill.services.supabase.files import checked_metadata
from gristmill.services.supabase.keys import checked_key
from gristmill.services.supabase.operations import (
    CopyObject,
    GetObjectInfo,
    ListFolder,
    ListObjects,
    MoveObject,
    ObjectExists,
    RemoveObjects,
    SignUpload,
    SignUrl,
    SignUrls,
)
from gristmill.services.supabase.values import (
    MOST_KEYS,
    Listing,
    ObjectInfo,
    SignedAddress,
    SignedUpload,
    SignedUrl,
    StoredObject,
)


async def _info(sdk: Sdk, operation: GetObjectInfo) -> Reply[ObjectInfo]:
    call = sdk.call()
    row = await call.asked(call.bucket(operation.bucket).info(checked_key(operation.key)))
    with failures.reading(SERVICE, call.response):
        return Reply(read_info(row), call.response)


async def _exists(sdk: Sdk, operation: ObjectExists) -> Reply[bool]:
    # By info, as the SDK does: a HEAD has no body to tell a missing object from a missing bucket.
    call = sdk.call()
    try:
        await call.asked(call.bucket(operation.bucket).info(checked_key(operation.key)))
    except ErrorAnswer as error:
        if error.fields.meaning != NO_OBJECT:
            raise
        return Reply(False, error.response)
    return Reply(True, call.response)


async def _list_folder(sdk: Sdk, operation: ListFolder) -> Reply[Listing[ListFolder]]:
    _check_limit(operation.limit)
    if "/" in operation.search:  # it would change what the names are relative to
        raise failures.failure(Rejected, SERVICE, "not sent: a search has no slash; use `folder`")
    call = sdk.call()
    options = {
        "limit": operation.limit,
        "offset": operation.offset,
        "search": operation.search,
        "sortBy": _order(operation.sort_by, descending=operation.descending),
    }
    folder = operation.folder.rstrip("/")
    bucket = call.bucket(operation.bucket)
    rows = await call.asked(bucket.list(folder, cast("Any", options)))
    with failures.reading(SERVICE, call.response):
        is_full = len(rows) >= operation.limit
        following = replace(operation, offset=operation.offset + len(rows)) if is_full else None
        return Reply(read_folder(folder, rows, following), call.response)


async def _list_objects(sdk: Sdk, operation: ListObjects) -> Reply[Listing[ListObjects]]:
    _check_limit(operation.limit)
    call = sdk.call()
    options = {
        "prefix": operation.prefix,
        "limit": operation.limit,
        "with_delimiter": operation.by_folder,
        "sortBy": _order(operation.sort_by, descending=operation.descending),
    }
    if operation.cursor is not None:
        options["cursor"] = operation.cursor
    bucket = call.bucket(operation.bucket)
    await call.asked(bucket.list_v2(cast("Any", options)))
    with failures.reading(SERVICE, call.response):
        body = call.response.json()
        following = None
        if body["hasNext"]:
            following = replace(operation, cursor=text_of(body["nextCursor"]))
        return Reply(read_objects(body, following), call.response)


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MOST_KEYS:
        said = f"not sent: a page has 1 to {MOST_KEYS} lines, not {limit}"
        raise failures.failure(Rejected, SERVICE, said)


def _order(column: str, *, descending: bool) -> dict[str, str]:
    return {"column": column, "order": "desc" if descending else "asc"}


async def _move(sdk: Sdk, operation: MoveObject) -> Reply[None]:
    call = sdk.call()
    key, to_key = checked_key(operation.key), checked_key(operation.to_key)
    if operation.to_bucket is None:
        await call.asked(call.bucket(operation.bucket).move(key, to_key))
    else:  # the SDK moves within a bucket only
        await call.request("POST", "object", "move", json=_from_to(operation))
    return Reply(None, call.response)


async def _copy(sdk: Sdk, operation: CopyObject) -> Reply[StoredObject]:
    # the SDK copies within a bucket, onto free keys, with the metadata there is
    headers, body = {"x-upsert": "true"}, _from_to(operation)
    if operation.metadata is not None:
        text = orjson.dumps(checked_metadata(operation.metadata))
        headers["x-metadata"] = b64encode(text).decode()
        body["copyMetadata"] = False
        body["metadata"] = {
            "mimetype": operation.content_type,
            "cacheControl": f"max-age={operation.cache_seconds}",
        }
    call = sdk.call(headers)
    row = await call.request("POST", "object", "copy", json=body)
    bucket = operation.to_bucket or operation.bucket
    with failures.reading(SERVICE, call.response):
        return Reply(StoredObject(bucket, operation.to_key, text_of(row["Id"])), call.response)


def _from_to(operation: MoveObject | CopyObject) -> dict[str, Any]:
    return {
        "bucketId": operation.bucket,
        "sourceKey": checked_key(operation.key),
        "destinationBucket": operation.to_bucket or operation.bucket,
        "destinationKey": checked_key(operation.to_key),
    }


async def _remove(sdk: Sdk, operation: RemoveObjects) -> Reply[tuple[str, ...]]:
    call = sdk.call()
    bucket, removed = call.bucket(operation.bucket), list[str]()
    for keys in _batches(operation.keys):
        rows = await call.asked(bucket.remove(keys))
        with failures.reading(SERVICE, call.response):
            removed += [text_of(row["name"]) for row in rows]
    return Reply(tuple(removed), call.response)


def _batches(keys: Sequence[str]) -> Iterator[list[str]]:
    """At most a thousand keys each; nothing at all is one that the server refuses."""
    checked = [checked_key(key) for key in keys]
    for start in range(0, max(len(checked), 1), MOST_KEYS):
        yield checked[start : start + MOST_KEYS]


async def _sign(sdk: Sdk, operation: SignUrl) -> Reply[str]:
    call = sdk.call()
    bucket, key = call.bucket(operation.bucket), _signable(operation.key)
    options = cast("Any", _download(operation.download_as))
    signed = await call.asked(bucket.create_signed_url(key, operation.expires_in, options))
    with failures.reading(SERVICE, call.response):
        url = text_of(signed["signedURL"])
        sdk.own_address(url, "object", "sign", operation.bucket, key)
    return Reply(SignedAddress(url), call.response)


async def _sign_many(sdk: Sdk, operation: SignUrls) -> Reply[tuple[SignedUrl, ...]]:
    call = sdk.call()
    bucket, signed = call.bucket(operation.bucket), list[SignedUrl]()
    options = cast("Any", _download(operation.download_as))
    for keys in _batches([_signable(key) for key in operation.keys]):
        asked = bucket.create_signed_urls(keys, operation.expires_in, options)
        rows = await call.asked(asked)
        with failures.reading(SERVICE, call.response):
            read = [read_signed(cast("Any", row)) for row in rows]
            _check_signed(sdk, operation.bucket, keys, read)
        signed += read
    return Reply(tuple(signed), call.response)


def _check_signed(sdk: Sdk, bucket: str, keys: Sequence[str], signed: Sequence[SignedUrl]) -> None:
    if not {each.key for each in signed} <= set(keys):
        raise ValueError("a key that was not asked for")
    for each in signed:
        if each.url is not None:
            sdk.own_address(each.url, "object", "sign", bucket, each.key)


def _signable(key: str) -> str:
    if "?" not in key:
        return checked_key(key)
    said = f"not sent: the server signs {key!r}, and then refuses its own signature"
    advice = "Move the object to a key without a question mark."
    raise failures.failure(Rejected, SERVICE, said, advice=advice)


def _download(name: str | None) -> dict[str, str | bool]:
    if name is None:
        return {}
    return {"download": name or True}  # True leaves the name to the server


async def _sign_upload(sdk: Sdk, operation: SignUpload) -> Reply[SignedUpload]:
    # The SDK's options for it are a model of its own, which says no more than this header.
    call = sdk.call({"x-upsert": "true"} if operation.replace else {})
    key = _signable(operation.key)
    signed = await call.asked(call.bucket(operation.bucket).create_signed_upload_url(key))
    with failures.reading(SERVICE, call.response):
        url, token = text_of(signed["signed_url"]), text_of(signed["token"])
        sdk.own_address(url, "object", "upload", "sign", operation.bucket, key)
    return Reply(SignedUpload(key, url, token), call.response)


HANDLERS: Final[Mapping[type[Operation[Any]], Handler]] = {
    GetObjectInfo: _info,
    ObjectExists: _exists,
    ListFolder: _list_folder,
    ListObjects: _list_objects,
    MoveObject: _move,
    CopyObject: _copy,
    RemoveObjects: _remove,
    SignUrl: _sign,
    SignUrls: _sign_many,
    SignUpload: _sign_upload,
}
