"""From the JSON of Supabase Storage to our values. Pure.

What does not fit raises `ValueError`, `TypeError` or `KeyError`, for `failures.reading`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from gristmill.services.supabase.operations import ListFolder, ListObjects
from gristmill.services.supabase.values import (
    Bucket,
    ListedObject,
    Listing,
    ObjectInfo,
    SignedUrl,
)

Json = Mapping[str, Any]


def text_of(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} instead of text")
    return value


def read_bucket(row: Json) -> Bucket:
    allowed = row.get("allowed_mime_types")
    limit = row.get("file_size_limit")
    return Bucket(
        name=text_of(row["name"]),
        public=bool(row["public"]),
        size_limit=None if limit is None else int(limit),
        mime_types=None if allowed is None else tuple(text_of(each) for each in allowed),
    )


def read_info(row: Json) -> ObjectInfo:
    return ObjectInfo(
        bucket=text_of(row["bucket_id"]),
        key=text_of(row["name"]),
        id=text_of(row["id"]),
        version=text_of(row["version"]),
        size=int(row["size"]),
        content_type=text_of(row["content_type"]),
        cache_control=str(row.get("cache_control") or ""),
        etag=_bare(row["etag"]),
        metadata=dict(row.get("metadata") or {}),
        created_at=_time(row["created_at"]),
        updated_at=_time(row["last_modified"]),
    )


def read_folder(
    folder: str, rows: Sequence[Json], following: ListFolder | None
) -> Listing[ListFolder]:
    """A page of the first kind of list, whose names are relative and whose folders have no id."""
    base = f"{folder}/" if folder else ""
    return Listing(
        folders=tuple(f"{base}{text_of(row['name'])}/" for row in rows if row["id"] is None),
        objects=tuple(
            _listed(base + text_of(row["name"]), row) for row in rows if row["id"] is not None
        ),
        following=following,
    )


def read_objects(body: Json, following: ListObjects | None) -> Listing[ListObjects]:
    """A page of the second kind of list, which has whole keys and tells folders apart."""
    return Listing(
        folders=tuple(text_of(row["name"]) for row in body["folders"]),
        objects=tuple(_listed(text_of(row["name"]), row) for row in body["objects"]),
        following=following,
    )


def read_signed(row: Json) -> SignedUrl:
    url, error = row["signedURL"], row["error"]
    return SignedUrl(
        key=text_of(row["path"]),
        url=None if url is None else text_of(url),
        error=None if error is None else text_of(error),
    )


def _listed(key: str, row: Json) -> ListedObject:
    # a row without metadata is an upload that is under way
    metadata = row["metadata"] or {}
    return ListedObject(
        key=key,
        id=text_of(row["id"]),
        size=int(metadata.get("size") or 0),
        content_type=str(metadata.get("mimetype") or ""),
        etag=_bare(metadata.get("eTag") or ""),
        created_at=_time(row["created_at"]),
        updated_at=_time(row["updated_at"]),
    )


def _bare(etag: object) -> str:
    return text_of(etag).removeprefix("W/").strip('"')


def _time(value: object) -> datetime:
    # of the SDK's models it is one already
    return value if isinstance(value, datetime) else datetime.fromisoformat(text_of(value))
