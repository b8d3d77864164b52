"""A bucket's limits: how they are written down, and what they let in."""

import re
import sqlite3
from collections.abc import Mapping
from typing import Any

import orjson

from gristmill_simulators.supabase_storage import body, errors

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}  # decimal on purpose
_PATTERN = r"^[0-9]+(?:\.[0-9]+)?(?:[gG][bB]|[mM][bB]|[kK][bB]|[bB])$"
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([gmk]?b)", re.IGNORECASE | re.ASCII)
# whatever ends in an asterisk passes, as it does there: `*` and `*/*` do, and match nothing
_MIME = re.compile(
    r"^[a-z0-9\-+.]+/[a-z0-9\-+.]+(;\s*charset=[a-z0-9\-]+)?$|\*$", re.IGNORECASE | re.ASCII
)
_MIME_LENGTH = 1000


def read(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a request names, as the schema lets them through."""
    columns: dict[str, Any] = {}
    if "public" in fields:
        columns["public"] = body.boolean(fields, "public", default=False)
    if "file_size_limit" in fields:
        columns["file_size_limit"] = _size(fields["file_size_limit"])
    if "allowed_mime_types" in fields:
        columns["allowed_mime_types"] = _types(fields)
    return columns


def check(columns: Mapping[str, Any], most: int) -> None:
    """What the schema cannot know. `most` is the project's limit in bytes; raises StorageError."""
    if (columns.get("file_size_limit") or 0) > most:
        raise errors.too_large()
    for given in orjson.loads(columns.get("allowed_mime_types") or "[]"):
        if len(given) > _MIME_LENGTH or _MIME.search(given) is None:
            raise errors.bad_mime_type(given)


def allows(bucket: sqlite3.Row, content_type: str) -> bool:
    """May an object of this type be in the bucket? Without patterns any may."""
    patterns = orjson.loads(bucket["allowed_mime_types"] or "[]")
    return not patterns or matches(patterns, content_type)


def matches(patterns: list[str], content_type: str) -> bool:
    """Exact on both halves of the whole Content-Type; `*/*` matches nothing, as there."""
    kind, _, subtype = content_type.partition("/")
    return any(pattern in {content_type, f"{kind}/*"} and subtype for pattern in patterns)


def size_limit(bucket: sqlite3.Row, most: int) -> int:
    """The largest object in bytes, with `most` the project's limit; 0 lets only nothing in."""
    limit = bucket["file_size_limit"]
    return most if limit is None else min(limit, most)


def _types(fields: Mapping[str, Any]) -> str | None:
    given = fields["allowed_mime_types"]
    if given is None:
        return None
    if given == []:
        return "[]"
    return orjson.dumps(
        [each for each in body.texts(fields, "allowed_mime_types") if each]
    ).decode()


def _size(given: object) -> int | None:
    if given is None:
        return None
    number = body.whole_number(given)
    if number is not None and number >= 0:
        return number
    match = _SIZE.fullmatch(given) if isinstance(given, str) else None
    if match is None:
        name = "body/file_size_limit"
        first = "be integer" if number is None else "be >= 0"
        rest = f'{name} must match pattern "{_PATTERN}", {name} must match a schema in anyOf'
        raise errors.schema(f"{name} must {first}, {rest}")
    # three digits are all that the server keeps of the number
    return int(float(f"{float(match[1]):.3g}") * _UNITS[match[2].upper()])
