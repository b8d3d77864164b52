"""The operations of Supabase Storage, as values. Nothing here does anything."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from gristmill.contract import Operation
from gristmill.services.supabase.values import (
    UNCHANGED,
    Bucket,
    ByteRange,
    Listing,
    Metadata,
    ObjectInfo,
    SignedUpload,
    SignedUrl,
    StoredObject,
    Unchanged,
)

A = TypeVar("A")


class StorageOperation(Operation[A]):
    """An operation of this service; safe to repeat unless it says otherwise."""

    service: ClassVar[str] = "supabase"


# --- buckets


@dataclass(frozen=True, slots=True)
class CheckHealth(StorageOperation[None]):
    """Whether the storage and its database serve, and accept the key.

    With `bucket`, also whether that is there for this key; a missing one that the key may create
    is fine, as the first file will.
    """

    bucket: str | None = None


@dataclass(frozen=True, slots=True)
class EnsureBucket(StorageOperation[bool]):
    """Sees to it that the bucket is there, made private if need be; answers whether it was made.

    An existing one is not changed, and a key that may use but not see it is content.
    `Unauthorized` if it is missing and this key may not create it.
    """

    bucket: str


@dataclass(frozen=True, slots=True)
class CreateBucket(StorageOperation[Bucket]):
    """Makes a bucket; an existing one is `Rejected`."""

    idempotent: ClassVar[bool] = False

    bucket: Bucket


@dataclass(frozen=True, slots=True)
class GetBucket(StorageOperation[Bucket]):
    """One bucket; `NotFound` also if the key may not see it."""

    bucket: str


@dataclass(frozen=True, slots=True)
class ListBuckets(StorageOperation[tuple[Bucket, ...]]):
    """The buckets that the key may see, none for a key without rights.

    `search` is a part of the name in any case, `limit` None means all.
    """

    search: str = ""
    limit: int | None = None
    offset: int = 0
    sort_by: Literal["id", "name", "created_at", "updated_at"] = "name"
    descending: bool = False


@dataclass(frozen=True, slots=True)
class UpdateBucket(StorageOperation[None]):
    """Changes what is given; a limit of None is taken away."""

    bucket: str
    public: bool | Unchanged = UNCHANGED
    size_limit: int | Unchanged | None = UNCHANGED
    mime_types: tuple[str, ...] | Unchanged | None = UNCHANGED


@dataclass(frozen=True, slots=True)
class EmptyBucket(StorageOperation[None]):
    """Has all objects of a bucket removed; the vendor may take an hour for it.

    Only the service key may. More than 200,000 objects are `Rejected`.
    """

    bucket: str


@dataclass(frozen=True, slots=True)
class DeleteBucket(StorageOperation[None]):
    """Deletes an empty bucket; `Rejected` if it is not. A repeat is `NotFound`."""

    idempotent: ClassVar[bool] = False

    bucket: str


# --- objects


@dataclass(frozen=True, slots=True)
class UploadObject(StorageOperation[StoredObject]):
    """Uploads a file from disk in pieces, in place of what the key held; safe to repeat.

    `metadata` None or empty clears what the key had. `cache_seconds` is what browsers and the
    vendor's CDN may keep it for.
    """

    bucket: str
    key: str
    path: Path
    content_type: str
    metadata: Metadata | None = None
    cache_seconds: int = 3600


@dataclass(frozen=True, slots=True)
class CreateObject(StorageOperation[StoredObject]):
    """Uploads a file from disk in pieces under a key that is free; `Rejected` if it is not.

    A key that holds just this object already (size, MD5, type and metadata) counts as done, so it
    may be repeated after a lost reply. It is no lock: the server lets two first uploads that
    overlap both succeed.
    """

    bucket: str
    key: str
    path: Path
    content_type: str
    metadata: Metadata | None = None
    cache_seconds: int = 3600


@dataclass(frozen=True, slots=True)
class DownloadObject(StorageOperation[int]):
    """Writes an object, or a part of it, to the file `to`, whole or not at all; answers the bytes.

    A disk that cannot take it is an `OSError`; a part that the object does not have is `Rejected`,
    and one of more than `most` bytes, where that is given, `TooLarge`: no more is written.
    """

    bucket: str
    key: str
    to: Path
    part: ByteRange | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class GetObjectInfo(StorageOperation[ObjectInfo]):
    """What is known of one object, without its bytes."""

    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class ObjectExists(StorageOperation[bool]):
    """Whether an object is there, for this key to see. A missing bucket is `NotFound`."""

    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class ListFolder(StorageOperation[Listing["ListFolder"]]):
    """One level of the keys, as a file manager shows it; `folder` "" is the top.

    `search` is the beginning of a name, in any case. Sorted by name in any case; by anything else,
    folders come first. `limit` is at most 1000. A missing bucket is an empty list.

    The server takes folders that differ in case only for one. Changes meanwhile may shift pages. To
    see every object once, and its very key, use `ListObjects`.
    """

    bucket: str
    folder: str = ""
    search: str = ""
    limit: int = 100
    offset: int = 0
    sort_by: Literal["name", "updated_at", "created_at", "last_accessed_at"] = "name"
    descending: bool = False


@dataclass(frozen=True, slots=True)
class ListObjects(StorageOperation[Listing["ListObjects"]]):
    """All keys that begin with `prefix`, case and all, in the order of their bytes.

    With `by_folder`, what lies deeper is told as folders. `limit` is at most 1000. A missing
    bucket is an empty list.
    """

    bucket: str
    prefix: str = ""
    by_folder: bool = False
    limit: int = 1000
    cursor: str | None = None
    sort_by: Literal["name", "updated_at", "created_at"] = "name"
    descending: bool = False


@dataclass(frozen=True, slots=True)
class MoveObject(StorageOperation[None]):
    """Gives an object another key, and another bucket if `to_bucket` says so.

    A key that is taken is `Rejected`. A repeat is `NotFound`.
    """

    idempotent: ClassVar[bool] = False

    bucket: str
    key: str
    to_key: str
    to_bucket: str | None = None


@dataclass(frozen=True, slots=True)
class CopyObject(StorageOperation[StoredObject]):
    """Copies an object, in place of what the other key held; safe to repeat.

    Type, caching and metadata come along unless `metadata` is given, which then stands alone, with
    `content_type` and `cache_seconds`; it travels in a header, so 11 kB of JSON are the most.
    """

    bucket: str
    key: str
    to_key: str
    to_bucket: str | None = None
    metadata: Metadata | None = None
    content_type: str = "application/octet-stream"
    cache_seconds: int = 3600


@dataclass(frozen=True, slots=True)
class RemoveObjects(StorageOperation[tuple[str, ...]]):
    """Deletes objects, a thousand with each request; answers the keys that were there.

    Objects that the key may not delete are left without a word.
    """

    bucket: str
    keys: tuple[str, ...]


# --- links


@dataclass(frozen=True, slots=True)
class SignUrl(StorageOperation[str]):
    """An address that lets anybody read one object for `expires_in` seconds. It is a secret.

    With `download_as` a browser saves it under that name, any name; "" is the key's last part.
    """

    bucket: str
    key: str
    expires_in: int
    download_as: str | None = None


@dataclass(frozen=True, slots=True)
class SignUrls(StorageOperation[tuple[SignedUrl, ...]]):
    """Addresses as `SignUrl` gives, for many keys, a thousand with each request."""

    bucket: str
    keys: tuple[str, ...]
    expires_in: int
    download_as: str | None = None


@dataclass(frozen=True, slots=True)
class SignUpload(StorageOperation[SignedUpload]):
    """A permission to upload one object without a key; two hours long at the vendor.

    Without `replace` the key must be free, and the permission is good for one upload.
    """

    bucket: str
    key: str
    replace: bool = False


@dataclass(frozen=True, slots=True)
class UploadSigned(StorageOperation[str]):
    """Uploads a file from disk with the token of a `SignUpload`; answers the key.

    A repeat after a lost reply is `Rejected` unless the permission lets it replace. The token is
    part of the address; nobody hears it in a log.
    """

    idempotent: ClassVar[bool] = False

    bucket: str
    key: str
    token: str = field(repr=False)
    path: Path
    content_type: str
    metadata: Metadata | None = None
    cache_seconds: int = 3600
