"""Request bodies that go straight to a file: memory stays flat whatever the size."""

import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from python_multipart.multipart import MultipartParser
from starlette.requests import ClientDisconnect, Request

if TYPE_CHECKING:  # the name exists for type checkers only
    from python_multipart.multipart import MultipartCallbacks

_INCOMING = "incoming-"
_FIELD_BYTES = 1024 * 1024  # of one form field, more is cut
_FIELDS = 32

# the fields so far, the file's name and its type
Begun = Callable[[dict[str, str], str, str | None], None]


class BodyTooLarge(Exception):
    """More bytes arrived than the limit allows."""


class MalformedForm(Exception):
    """The body is not the multipart form its header promises."""


class TooManyFields(MalformedForm):
    """The form has more fields than the limit allows."""


@dataclass(slots=True)
class Stored:
    """A body in a file that nobody else knows yet; `keep` gives it a name, else it goes away."""

    path: Path
    size: int
    md5: str
    sha256: str
    filename: str = ""
    content_type: str | None = None

    def keep(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path.replace(path)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what a killed process had begun to receive."""
    for path in folder.glob(f"{_INCOMING}*"):
        path.unlink(missing_ok=True)


class FileWriter:
    """Writes and hashes as the bytes come; removes the file unless `finish` was reached."""

    def __init__(self, folder: Path, limit: int | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{_INCOMING}{uuid.uuid4().hex}"
        self._file = self._path.open("wb")
        self._limit = limit
        self._size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._finished = False

    def write(self, data: bytes) -> None:
        self._size += len(data)
        if self._limit is not None and self._size > self._limit:
            raise BodyTooLarge
        self._file.write(data)
        self._md5.update(data)
        self._sha256.update(data)

    def finish(self, filename: str = "", content_type: str | None = None) -> Stored:
        self._file.flush()
        self._finished = True
        return Stored(
            self._path,
            self._size,
            self._md5.hexdigest(),
            self._sha256.hexdigest(),
            filename,
            content_type,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if not self._finished:
            self._path.unlink(missing_ok=True)


@dataclass(slots=True)
class Form:
    """The text fields of a multipart form and its one file, if it had any."""

    fields: dict[str, str] = field(default_factory=dict)
    file: Stored | None = None


async def store_raw(chunks: AsyncIterator[bytes], folder: Path, limit: int | None) -> Stored:
    """The whole body as one file in `folder`. Raises BodyTooLarge."""
    with FileWriter(folder, limit) as writer:
        async for chunk in chunks:
            writer.write(chunk)
        return writer.finish()


async def drain(request: Request) -> None:
    """Read and forget what is left of a refused body, so that its sender hears why."""
    with suppress(RuntimeError, ClientDisconnect):  # what was read before cannot be again
        async for _ in request.stream():
            pass


async def store_form(
    request: Request,
    folder: Path,
    limit: int | None,
    *,
    most_fields: int = _FIELDS,
    begun: Begun | None = None,
) -> Form:
    """Read a multipart form; its first file part becomes a file in `folder`.

    `begun` is called once, after the chunk of the body in which the file begins: what it raises
    ends the reading. Raises BodyTooLarge for a file above `limit` bytes, after that, and
    MalformedForm, of more than `most_fields` fields as TooManyFields.
    """
    boundary = _parameter(request.headers.get("content-type", ""), "boundary")
    if not boundary:
        raise MalformedForm("no boundary")
    reader = _FormReader(folder, limit, most_fields, begun)
    try:
        await _feed(request, boundary, reader)
    except BaseException:
        reader.abandon()
        raise
    return reader.form


async def _feed(request: Request, boundary: str, reader: "_FormReader") -> None:
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        async for chunk in request.stream():
            parser.write(chunk)
            reader.chunk_end()
        parser.finalize()
    except ValueError as error:  # what the parser raises derives from it
        raise MalformedForm(str(error)) from None
    if not reader.ended:
        raise MalformedForm("Unexpected end of form")


class _FormReader:
    def __init__(
        self, folder: Path, limit: int | None, most_fields: int, begun: Begun | None
    ) -> None:
        self.form = Form()
        self.ended = False
        self._folder = folder
        self._limit = limit
        self._most_fields = most_fields
        self._begun = begun
        self._file: tuple[str, str | None] | None = None
        self._excess: BodyTooLarge | None = None
        self._writer: FileWriter | None = None
        self._headers: dict[str, str] = {}
        self._name = bytearray()
        self._value = bytearray()
        self._field = bytearray()
        self._count = 0

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._part_begin,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def abandon(self) -> None:
        if self._writer is not None:
            self._writer.__exit__(None, None, None)
        if self.form.file is not None:
            self.form.file.discard()

    def _header_end(self) -> None:
        name = self._name.decode("latin-1").lower()
        self._headers[name] = self._value.decode("utf-8", "replace")
        self._name.clear()
        self._value.clear()

    def chunk_end(self) -> None:
        if self._file is not None and self._begun is not None:
            begun, self._begun = self._begun, None
            begun(self.form.fields, *self._file)
        if self._excess is not None:
            raise self._excess

    def _part_begin(self) -> None:
        self._field.clear()
        disposition = self._headers.get("content-disposition", "")
        if "filename" in disposition and self._file is None:
            filename = _parameter(disposition, "filename")
            self._file = filename, self._headers.get("content-type")
            self._writer = FileWriter(self._folder, self._limit)
            return
        self._count += 1
        if self._count > self._most_fields:
            raise TooManyFields("too many fields")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._writer is None:
            self._field.extend(data[start : min(end, start + _FIELD_BYTES - len(self._field))])
        elif self._excess is None:
            try:
                self._writer.write(data[start:end])
            except BodyTooLarge as error:
                self._excess = error

    def _part_end(self) -> None:
        if self._writer is not None and self._file is not None:
            with self._writer as writer:
                self.form.file = writer.finish(*self._file)
            self._writer = None
        else:
            name = _parameter(self._headers.get("content-disposition", ""), "name")
            self.form.fields[name] = self._field.decode("utf-8", "replace")

    def _end(self) -> None:
        self.ended = True


def _parameter(header: str, name: str) -> str:
    message = Message()
    message["content-type"] = header
    value = message.get_param(name, "")
    if isinstance(value, tuple):  # RFC 2231: charset, language, percent-decoded text
        return value[2]
    return os.fspath(value) if value else ""
