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
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Downloads:
    """Sends an object that access control has already let through."""

    def __init__(self, simulator: Simulator, folders: state.Folders) -> None:
        self._simulator = simulator
        self._folders = folders

    def send(
        self, request: Request, row: sqlite3.Row, extra: dict[str, str] | None = None
    ) -> Response:
        """200, 206 or 304; raises StorageError for a bad range. `extra` are more headers."""
        headers = {**_headers(row), **(extra or {}), **_disposition(request)}
        if _not_modified(request, row):
            return Response(status_code=304, headers=headers)
        if request.headers.get("if-none-match"):
            headers["cache-control"] += ", stale-while-revalidate=30"
        status, start, stop = 200, 0, row["size"]
        if (wanted := request.headers.get("range")) is not None:
            start, stop = _range(wanted, row["size"])
            status = 206
            headers["content-range"] = f"bytes {start}-{stop - 1}/{row['size']}"
        headers["content-length"] = str(stop - start)
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers)
        self._count(request, stop - start)
        return self._body(row, start, stop - start, status, headers)

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


def _headers(row: sqlite3.Row) -> dict[str, str]:
    content_type = row["content_type"]
    # a page from the storage domain must not run as one
    if content_type.startswith("text/html"):
        content_type = "text/plain" + content_type[len("text/html") :]
    return {
        "accept-ranges": "bytes",
        "content-type": content_type,
        "etag": row["etag"],
        "last-modified": formatdate(row["updated_at"], usegmt=True),
        "cache-control": row["cache_control"],
        "x-robots-tag": "none",
    }


def _disposition(request: Request) -> dict[str, str]:
    name = request.query_params.get("download")
    if name is None:
        return {}
    if not name:
        return {"content-disposition": "attachment;"}
    quoted = quote(name, safe="")
    return {"content-disposition": f"attachment; filename={quoted}; filename*=UTF-8''{quoted}"}


def _not_modified(request: Request, row: sqlite3.Row) -> bool:
    if (tag := request.headers.get("if-none-match")) is not None:
        return bool(tag == row["etag"])
    if (since := request.headers.get("if-modified-since")) is None:
        return False
    try:
        return bool(int(row["updated_at"]) <= parsedate_to_datetime(since).timestamp())
    except ValueError:
        return False


def _range(wanted: str, size: int) -> tuple[int, int]:
    """First byte and the one after the last. Raises StorageError (416)."""
    match = _RANGE.fullmatch(wanted.strip())
    if match is None or not (match[1] or match[2]):
        raise errors.bad_range()
    if not match[1]:  # the last so many bytes
        start, stop = max(0, size - int(match[2])), size
    else:
        start = int(match[1])
        stop = min(size, int(match[2]) + 1) if match[2] else size
    if start >= stop:
        raise errors.bad_range()
    return start, stop
