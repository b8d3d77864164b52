"""What Supabase Storage keeps and answers, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final, Generic, TypeVar

from gristmill.telemetry.masking import masked

F = TypeVar("F")

Metadata = Mapping[str, Any]  # a JSON object; at most 1 MiB as text, or the server drops it

MOST_KEYS: Final = 1000  # in one request: of a batch, and on one page of a list


class SignedAddress(str):
    """An address that is a secret: as text it is whole, in a `repr` its signature is not shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(masked(self))


class Unchanged(Enum):
    """Stands for a property that an update leaves as it is, where None has a meaning."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket; `public` means that everybody can read it.

    `size_limit` is in bytes per object, None leaves the project's; of `mime_types`, None or nothing
    allows all, an entry is `type/subtype` or `type/*`.
    """

    name: str
    public: bool = False
    size_limit: int | None = None
    mime_types: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object; `id` stays the same when it is replaced."""

    bucket: str
    key: str
    id: str


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What the storage knows of an object; `size` is in bytes, times are in UTC.

    `etag` has no quotes. It is the MD5 in hexadecimal digits where the object was stored in one
    piece, and opaque otherwise. `version` is another one after each overwriting.
    """

    bucket: str
    key: str
    id: str
    version: str
    size: int
    content_type: str
    cache_control: str
    etag: str
    metadata: Metadata
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ListedObject:
    """A line of a list. `key` is whole, also where the list was of one folder."""

    key: str
    id: str
    size: int
    content_type: str
    etag: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Listing(Generic[F]):
    """A page of a list: folders, as key prefixes that end in a slash, and objects.

    `following` is the operation that asks for the next page, None on the last.
    """

    folders: tuple[str, ...]
    objects: tuple[ListedObject, ...]
    following: F | None = None


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """An address that lets anybody read one object for a while; a secret.

    `url` is None if the object is not there or may not be seen, `error` are the server's words.
    """

    key: str
    url: str | None = field(repr=False)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class SignedUpload:
    """A permission to upload one object, for anybody who has it; a secret."""

    key: str
    url: str = field(repr=False)
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes of an object as a slice has them: `start` negative counts from the end."""

    start: int
    stop: int | None = None

    def __post_init__(self) -> None:
        if self.stop is not None and not 0 <= self.start < self.stop:
            raise ValueError(f"no bytes from {self.start} to {self.stop}")

    @property
    def header(self) -> str:
        """As HTTP has it, whose end is inclusive."""
        if self.start < 0:
            return f"bytes={self.start}"
        return f"bytes={self.start}-{'' if self.stop is None else self.stop - 1}"
