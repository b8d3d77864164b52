"""The body of an upload on its way to the disk: raw or multipart, with what is said about it.

The order of the checks is the server's: `X-Robots-Tag`, type and declared size, then what `admit`
asks, then the bytes. A form is read up to its file before anything is known about it.
"""

import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request

from gristmill_simulators.bodies import (
    BodyTooLarge,
    MalformedForm,
    Stored,
    TooManyFields,
    store_form,
    store_raw,
)
from gristmill_simulators.supabase_storage import errors, robots, user_metadata
from gristmill_simulators.supabase_storage.limits import allows, size_limit

_PARAMETERS = re.compile(r"\s*;.*", re.DOTALL)
_MOST_FIELDS = 10
_EMPTY_FOLDER = ".emptyFolderPlaceholder"  # how the dashboard makes folders


@dataclass(frozen=True, slots=True)
class Description:
    """What is said about an object; `user_metadata` is any JSON, None without any."""

    content_type: str
    cache_control: str
    user_metadata: object = None
    robots_tag: str | None = None


class Limits(NamedTuple):
    """Of one upload: its bytes, and the bucket whose types count (None: any type)."""

    size: int
    bucket: sqlite3.Row | None

    @classmethod
    def of(cls, bucket: sqlite3.Row, key: str, most: int) -> "Limits":
        """`most` is the project's limit in bytes."""
        if key.endswith(_EMPTY_FOLDER):
            return cls(0, None)
        return cls(size_limit(bucket, most), bucket)

    def check_type(self, content_type: str) -> None:
        if self.bucket is not None and not allows(self.bucket, content_type):
            raise errors.bad_mime_type(content_type)


Admit = Callable[[Description], None]


async def receive(
    request: Request, folder: Path, limits: Limits, admit: Admit
) -> tuple[Description, Stored]:
    """The description and the bytes, in a file of `folder`. Raises StorageError."""
    robots_tag = request.headers.get("x-robots-tag") or None
    if robots_tag is not None:
        robots.check(robots_tag)
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await _form(request, folder, limits, admit)
    return await _raw(request, folder, limits, admit)


async def _raw(
    request: Request, folder: Path, limits: Limits, admit: Admit
) -> tuple[Description, Stored]:
    headers = request.headers
    said = Description(
        headers.get("content-type") or "application/octet-stream",
        headers.get("cache-control", "no-cache"),
        user_metadata.from_header(headers.get("x-metadata")),
        headers.get("x-robots-tag") or None,
    )
    limits.check_type(said.content_type)
    if int(headers.get("content-length", 0)) > limits.size:
        raise errors.too_large()
    admit(said)
    # a chunked body declares no size, and nobody counts it
    return said, await store_raw(request.stream(), folder, None)


async def _form(
    request: Request, folder: Path, limits: Limits, admit: Admit
) -> tuple[Description, Stored]:
    found: list[Description] = []

    def begun(fields: dict[str, str], filename: str, content_type: str | None) -> None:
        if not filename:
            raise errors.no_content()
        said = _described(fields, content_type, request.headers.get("x-robots-tag") or None)
        limits.check_type(said.content_type)
        admit(said)
        found.append(said)

    try:
        form = await store_form(request, folder, limits.size, most_fields=_MOST_FIELDS, begun=begun)
    except TooManyFields:
        raise errors.too_many_fields() from None
    except MalformedForm:
        raise errors.no_content() from None
    except BodyTooLarge:
        raise errors.too_large() from None
    if form.file is None:
        raise errors.no_content()
    return found[0], form.file


def _described(
    fields: dict[str, str], content_type: str | None, robots_tag: str | None
) -> Description:
    age = fields.get("cacheControl")
    part = _PARAMETERS.sub("", content_type or "").lower() or "text/plain"
    return Description(
        fields.get("contentType") or part,
        f"max-age={age}" if age else "no-cache",
        user_metadata.from_text(fields.get("metadata", fields.get("userMetadata"))),
        robots_tag,
    )
