"""Downloads: whole or one range, with conditions, streamed from disk."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate, parsedate_to_datetime
from typing import BinaryIO
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gristmill_simulators.operation import call_of
from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage import errors, state

_INLINE_BYTES = 256 * 1024  # below, one read; above, pieces of this size
_RANGE = re.compile(r"bytes=([0-9]{0,16})-([0-9]{0,16})")
_SAFE_INTEGER = 2**53 - 1  # JavaScript's; what is larger is no number of bytes there
_UNQUOTED = "!*'()~"  # beside what `quote` leaves: the marks that encodeURIComponent leaves
_LAST_DATE = 253_402_300_799  # the end of the year 9999, and of Python's dates


class Downloads:
    """Sends an object that access control has already let through."""

    def __init__(self, simulator: Simulator, folders: state.Folders) -> None:
        self._simulator = simulator
        self._folders = folders

    def send(self, request: Request, row: sqlite3.Row, *, expires: str | None = None) -> Response:
        """200, 206 or 304; raises StorageError for a bad range.

        `expires` is sent in place of Cache-Control, as a signed URL does. The HEAD of a signed URL
        is this same answer without its body.
        """
        headers = _headers(row) | _caching(request, row, expires) | _disposition(request)
        if _not_modified(request, row):
            return Response(status_code=304, headers=headers | {"content-length": "0"})
        status, start, stop = 200, 0, row["size"]
        if wanted := request.headers.get("range"):
            start, stop = _range(wanted, row["size"])
            status = 206
            headers["content-range"] = f"bytes {start}-{stop - 1}/{row['size']}"
        headers["content-length"] = str(stop - start)
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers)
        self._count(request, stop - start)
        return self._body(row, start, stop - start, status, headers)

    def describe(self, request: Request, row: sqlite3.Row) -> Response:
        """What the routes for HEAD answer, from the row alone: 200, whatever is asked.

        Ranges, conditions and `download` do not count, nor what the object says of robots; only
        Cache-Control looks at the ETag that the client has. (source of the server, HeadRenderer)
        """
        headers = _headers(row) | {"x-robots-tag": "none"}
        headers["cache-control"] = _cache_control(request, row, "must-revalidate")
        headers["content-length"] = str(row["size"])
        return Response(headers=headers)

    def _body(
        self, row: sqlite3.Row, start: int, size: int, status: int, headers: dict[str, str]
    ) -> Response:
        try:
            # opened now: an overwrite may remove the name, not the open file
            file = self._folders.version(row["version"]).open("rb")
        except FileNotFoundError:
            raise errors.no_object() from None
        file.seek(start)
        if size > _INLINE_BYTES:
            return StreamingResponse(_pieces(file, size), status, headers)
        with file:
            return Response(file.read(size), status, headers)

    def _count(self, request: Request, size: int) -> None:
        call_of(request).units["egress_bytes"] = size
        self._simulator.database.post(_counting(size))


def _counting(size: int) -> Callable[[sqlite3.Connection], None]:
    return lambda connection: state.count_egress(connection, size)


async def _pieces(file: BinaryIO, size: int) -> AsyncIterator[bytes]:
    with file:
        while size > 0:
            piece = await asyncio.to_thread(file.read, min(size, _INLINE_BYTES))
            if not piece:
                return
            size -= len(piece)
            yield piece


def expiry(seconds: float | None) -> str:
    """The header Expires, from the `exp` of a token; without one, what JavaScript makes of it."""
    if seconds is None:
        return "Invalid Date"
    return formatdate(min(seconds, _LAST_DATE), usegmt=True)


def _headers(row: sqlite3.Row) -> dict[str, str]:
    # a page from the storage domain must not run as one
    page = "text/html" in row["content_type"]
    return {
        "accept-ranges": "bytes",
        "content-type": "text/plain" if page else row["content_type"],
        "etag": row["etag"],
        "last-modified": formatdate(row["updated_at"], usegmt=True),
        "x-robots-tag": row["robots_tag"] or "none",
    }


def _caching(request: Request, row: sqlite3.Row, expires: str | None) -> dict[str, str]:
    if expires is not None:
        return {"expires": expires}
    return {"cache-control": _cache_control(request, row, "stale-while-revalidate=30")}


def _cache_control(request: Request, row: sqlite3.Row, changed: str) -> str:
    """As stored, with `changed` for a client that has another version."""
    has = request.headers.get("if-none-match")
    parts = [row["cache_control"], changed if has and has != row["etag"] else ""]
    return ", ".join(filter(None, parts))


def _disposition(request: Request) -> dict[str, str]:
    name = request.query_params.get("download")
    if name is None:
        return {}
    if not name:
        return {"content-disposition": "attachment;"}
    quoted = quote(name, safe=_UNQUOTED)
    return {"content-disposition": f"attachment; filename={quoted}; filename*=UTF-8''{quoted}"}


def _not_modified(request: Request, row: sqlite3.Row) -> bool:
    if tag := request.headers.get("if-none-match"):
        return bool(tag == row["etag"])
    if (since := request.headers.get("if-modified-since")) is None:
        return False
    try:
        return bool(int(row["updated_at"]) <= parsedate_to_datetime(since).timestamp())
    except ValueError:
        return False


def _range(wanted: str, size: int) -> tuple[int, int]:
    """First byte and the one after the last. Raises StorageError (416)."""
    match = _RANGE.fullmatch(wanted)
    if match is None or not (match[1] or match[2]):
        raise errors.bad_range()
    first, last = (int(part) if part else None for part in match.groups())
    if max(first or 0, last or 0) > _SAFE_INTEGER:
        raise errors.bad_range()
    if first is None:  # the last so many bytes
        start, stop = max(0, size - (last or 0)), size
    else:
        start, stop = first, size if last is None else min(size, last + 1)
    if start >= stop:
        raise errors.bad_range()
    return start, stop
