"""What the operations on buckets do, each with the SDK, and the health of the whole."""

from collections.abc import Mapping
from typing import Any, Final, cast

import httpx

from gristmill.contract import Operation
from gristmill.errors import Misconfigured, Unavailable
from gristmill.services import failures
from gristmill.services.adapter import Handler, Reply
from gristmill.services.supabase.answers import read_bucket
from gristmill.services.supabase.client import SERVICE, Call, ErrorAnswer, Sdk
from gristmill.services.supabase.errors import NO_BUCKET, bucket_refused, role_of
from gristmill.services.supabase.keys import checked_bucket
from gristmill.services.supabase.operations import (
    CheckHealth,
    CreateBucket,
    DeleteBucket,
    EmptyBucket,
    EnsureBucket,
    GetBucket,
    ListBuckets,
    UpdateBucket,
)
from gristmill.services.supabase.values import UNCHANGED, Bucket

_REFUSED = frozenset({401, 403})


async def _check(sdk: Sdk, operation: CheckHealth) -> Reply[None]:
    call = sdk.call()
    bucket = None if operation.bucket is None else checked_bucket(operation.bucket)
    body = await call.request("GET", "health")
    with failures.reading(SERVICE, call.response):
        healthy = bool(body["healthy"])
    if not healthy:
        said, advice = "it cannot reach its database", "Is the project paused? Resume it, or wait."
        raise failures.failure(Unavailable, SERVICE, said, advice=advice)
    if bucket is not None:
        await _check_bucket(sdk, call, bucket)
    return Reply(None, call.response)


async def _check_bucket(sdk: Sdk, call: Call, name: str) -> None:
    if await _seen(call, name) is not None or role_of(sdk.key) == "service_role":
        return  # the service key makes a missing one with the first file
    if await _proven(call, name) is None:
        refusal = bucket_refused(name, sdk.key)
        raise Misconfigured(str(refusal), advice=refusal.advice)


async def _ensure(sdk: Sdk, operation: EnsureBucket) -> Reply[bool]:
    call, name = sdk.call(), checked_bucket(operation.bucket)
    if (seen := await _seen(call, name)) is not None:
        return Reply(False, seen)
    try:
        await call.asked(call.storage.create_bucket(name, options={"public": False}))
    except ErrorAnswer as error:
        if error.fields.status == 409:  # somebody else was faster
            return Reply(False, error.response)
        if error.fields.status not in _REFUSED:
            raise
        if (proof := await _proven(call, name)) is not None:
            return Reply(False, proof)
        raise bucket_refused(name, sdk.key) from None
    return Reply(True, call.response)


async def _seen(call: Call, name: str) -> httpx.Response | None:
    """The answer that shows the bucket; None if it is missing or hidden from this key."""
    try:
        await call.asked(call.storage.get_bucket(name))
    except ErrorAnswer as error:
        if error.fields.meaning != NO_BUCKET:
            raise
        return None
    return call.response


async def _proven(call: Call, name: str) -> httpx.Response | None:
    """The answer that proves that a hidden bucket is there, whatever the key may do.

    Keys that may upload can rarely see buckets. An upload looks for its bucket, as nobody, before
    it looks for its content: one without content writes nothing, and tells the two apart.
    """
    nothing = {"nothing": (None, b"")}
    try:
        await call.request("POST", "object", name, "nothing", files=nothing)
    except ErrorAnswer as error:
        if error.fields.meaning == NO_BUCKET:
            return None
        if error.fields.status != 400:
            raise
        return error.response
    return call.response


async def _create(sdk: Sdk, operation: CreateBucket) -> Reply[Bucket]:
    call, bucket = sdk.call(), operation.bucket
    options = cast("Any", _options(bucket.public, bucket.size_limit, bucket.mime_types))
    await call.asked(call.storage.create_bucket(checked_bucket(bucket.name), options=options))
    return Reply(bucket, call.response)


async def _get(sdk: Sdk, operation: GetBucket) -> Reply[Bucket]:
    call = sdk.call()
    await call.asked(call.storage.get_bucket(checked_bucket(operation.bucket)))
    # the SDK's model loses nothing, but demands columns that self-hosted servers may lack
    with failures.reading(SERVICE, call.response):
        return Reply(read_bucket(call.response.json()), call.response)


async def _list(sdk: Sdk, operation: ListBuckets) -> Reply[tuple[Bucket, ...]]:
    # the SDK's `list_buckets` takes no arguments
    call = sdk.call()
    order = "desc" if operation.descending else "asc"
    query = {"sortColumn": operation.sort_by, "sortOrder": order}
    if operation.search:
        query["search"] = operation.search
    if operation.limit is not None:
        query["limit"] = str(operation.limit)
    if operation.offset:
        query["offset"] = str(operation.offset)
    rows = await call.request("GET", "bucket", query_params=query)
    with failures.reading(SERVICE, call.response):
        return Reply(tuple(read_bucket(row) for row in rows), call.response)


async def _update(sdk: Sdk, operation: UpdateBucket) -> Reply[None]:
    call, name = sdk.call(), checked_bucket(operation.bucket)
    options = _options(operation.public, operation.size_limit, operation.mime_types)
    await call.asked(call.storage.update_bucket(name, cast("Any", options)))
    return Reply(None, call.response)


def _options(public: object, size_limit: object, mime_types: object) -> dict[str, object]:
    given = {
        "public": public,
        "file_size_limit": size_limit,
        "allowed_mime_types": list(mime_types) if isinstance(mime_types, tuple) else mime_types,
    }
    return {name: value for name, value in given.items() if value is not UNCHANGED}


async def _empty(sdk: Sdk, operation: EmptyBucket) -> Reply[None]:
    call = sdk.call()
    await call.asked(call.storage.empty_bucket(checked_bucket(operation.bucket)))
    return Reply(None, call.response)


async def _delete(sdk: Sdk, operation: DeleteBucket) -> Reply[None]:
    call = sdk.call()
    await call.asked(call.storage.delete_bucket(checked_bucket(operation.bucket)))
    return Reply(None, call.response)


HANDLERS: Final[Mapping[type[Operation[Any]], Handler]] = {
    CheckHealth: _check,
    EnsureBucket: _ensure,
    CreateBucket: _create,
    GetBucket: _get,
    ListBuckets: _list,
    UpdateBucket: _update,
    EmptyBucket: _empty,
    DeleteBucket: _delete,
}
