"""Looks at a user's file before anything is paid for it: what it is, and whether it can be read.

`inspect` and `read_text` run in a child process. `hash_file` looks at none of the bytes that it
hashes, and may run anywhere.
"""

import os
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from gristmill.errors import UnreadableSource
from gristmill.pipeline.encoding import NotText, decode
from gristmill.pipeline.formats import (
    EXTENSIONS,
    IMAGES,
    KINDS,
    MIME_TYPES,
    OLD_OFFICE,
    PLAIN,
    SINGLE,
    TAKEN,
    TEXT_KINDS,
    ZIP,
    Kind,
    Other,
    phrase,
    recognise,
)

if TYPE_CHECKING:
    from gristmill.pipeline.chunking import Page

MAX_ZIP_ENTRIES: Final = 10_000
MAX_ZIP_BYTES: Final = 1 << 30  # inflated
MAX_ZIP_RATIO: Final = 200  # of a whole archive; office files stay below 50
SMALL_ZIP_BYTES: Final = 16 << 20  # inflated; below, no ratio does harm

_HEAD_BYTES: Final = 1024
_TAIL_BYTES: Final = 1 << 16
_BLOCK_BYTES: Final = 1 << 20
_READ_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_IMAGE_ENDS: Final = {"png": b"IEND", "jpeg": b"\xff\xd9"}
# The part that makes a container what it is; Word on the web writes word/document2.xml.
_MAIN_PARTS: Final[tuple[tuple[Kind, re.Pattern[str]], ...]] = (
    ("docx", re.compile(r"word/document\d*\.xml")),
    ("pptx", re.compile(r"ppt/presentation\d*\.xml")),
    ("xlsx", re.compile(r"xl/workbook\d*\.xml")),
)
_MAIN_PARTS_BY_TYPE: Final[tuple[tuple[Kind, str], ...]] = (
    ("odt", "content.xml"),
    ("odp", "content.xml"),
    ("ods", "content.xml"),
    ("epub", "META-INF/container.xml"),
)
_XML_STARTS: Final = (b"<", b"\xef\xbb\xbf<", b"\xff\xfe<", b"\xfe\xff\0<")


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a file is. `size` is in bytes; `pages` is None where only the parser can count them.

    `note` tells of something odd that was overcome, such as a guessed encoding.
    """

    kind: Kind
    mime: str
    pages: int | None
    size: int
    note: str = ""


def inspect(path: Path) -> Inspection:
    """Finds out what a file is, from its bytes and its name together, and that it can be read.

    Raises:
        UnreadableSource: it is empty, damaged, locked, of a type that is not taken, or not
            what its name says.
    """
    with open_source(path) as (file, size):
        head = file.read(_HEAD_BYTES)
        file.seek(max(0, size - _TAIL_BYTES))
        tail = file.read(_TAIL_BYTES)
    kind = _kind(path, head)
    note, pages = "", None
    if kind == "pdf":
        _check_pdf_end(path, head, tail, size)
        pages = _count_pages(path)
    elif kind in PLAIN:
        text, note = _text(path)
        pages = len(_pages(path, text)) if kind in TEXT_KINDS else None
    elif kind in IMAGES:
        pages = _check_image(path, kind, tail)
    return Inspection(kind, MIME_TYPES[kind], pages, size, note)


def read_text(path: Path) -> "list[Page]":
    """The pages of a Markdown or text file, character for character, without a byte order mark.

    In .txt and .text files a form feed ends a page; any other file is one page.

    Raises:
        UnreadableSource: it is not text.
    """
    from gristmill.pipeline.chunking import Page  # noqa: PLC0415 — `inspect` needs no splitter

    text, _ = _text(path)
    return [Page(number, page) for number, page in enumerate(_pages(path, text), 1)]


def hash_file(path: Path, *, max_bytes: int) -> tuple[str, int]:
    """The SHA-256 (hex) of a file and its size in bytes, read in blocks.

    Raises:
        UnreadableSource: it is no regular file, is empty or larger than `max_bytes`, cannot be
            read, or is being written to.
    """
    with open_source(path) as (file, size):
        if size > max_bytes:
            raise UnreadableSource(
                f"{_name(path)} has {size:,} bytes, more than the {max_bytes:,} that are taken.",
                advice="Split it, or raise the limit for files.",
            )
        digest, count, block = sha256(), 0, bytearray(min(_BLOCK_BYTES, size + 1))
        while count <= size and (length := file.readinto(block)):
            digest.update(memoryview(block)[:length])
            count += length
    if count != size:
        raise UnreadableSource(
            f"{_name(path)} changed while it was read.", advice="Try again once it is complete."
        )
    return digest.hexdigest(), size


@contextmanager
def open_source(path: Path) -> Iterator[tuple[FileIO, int]]:
    """An open regular file and its size in bytes. Never waits, as opening a named pipe would.

    Raises:
        UnreadableSource: it is no regular file, is empty or cannot be read.
    """
    try:
        with _open(path) as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                raise UnreadableSource(
                    f"{_name(path)} is empty: it has 0 bytes.",
                    advice="Look at where it was saved or copied from.",
                )
            yield file, size
    except OSError as error:
        raise _unopened(path, error) from error


def _open(path: Path) -> FileIO:
    try:
        # Opening a device can have an effect, and a path can change hands: looked at twice.
        _check_regular(path, path.stat().st_mode)
        descriptor = os.open(path, _READ_FLAGS)
    except ValueError as error:  # a NUL in it
        raise UnreadableSource(
            f"{_name(path)} cannot be the path of a file.", advice="Look at its path."
        ) from error
    try:
        _check_regular(path, os.fstat(descriptor).st_mode)
        return FileIO(descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def _check_regular(path: Path, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise UnreadableSource(f"{_name(path)} is a folder.", advice="Name the files in it.")
    raise UnreadableSource(
        f"{_name(path)} is a pipe, a socket or a device, not a file.",
        advice="Save its content in a file.",
    )


def _unopened(path: Path, error: OSError) -> UnreadableSource:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return UnreadableSource(f"{_name(path)} does not exist.", advice="Look at its path.")
        case PermissionError():
            return UnreadableSource(
                f"{_name(path)} may not be read by this user.", advice="Change its permissions."
            )
        case _:
            return UnreadableSource(
                f"{_name(path)} cannot be read: {error.strerror}.",
                advice="Look at its disk or network folder, then try again.",
            )


def _read(path: Path) -> bytes:
    with open_source(path) as (file, _):
        return file.readall()


def _name(path: Path) -> str:
    """The file's name as text that can be shown and stored."""
    text = (path.name or str(path)).encode("utf-8", "backslashreplace").decode()
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _kind(path: Path, head: bytes) -> Kind:
    named = EXTENSIONS.get(path.suffix.lower())
    found = recognise(head, named)
    if found == ZIP:
        found = _kind_of_zip(path)
    if found in KINDS:
        kind = cast(Kind, found)
        if named in (None, kind) or {named, kind} <= IMAGES:
            return kind
    elif found is None and named in PLAIN:
        return named
    raise _not_taken(path, named, found)


def _not_taken(path: Path, named: Kind | None, found: Kind | Other | None) -> UnreadableSource:
    name = _name(path)
    if found is None and named is None:
        ending = f"of the unknown type {_name(Path(path.suffix))}" if path.suffix else "of no type"
        return UnreadableSource(f"{name} is {ending}, judged by name and content.", advice=TAKEN)
    if found is None:
        return UnreadableSource(
            f"{name} is not {phrase(named or '')}, as its name says, nor anything known.",
            advice="It is damaged, encrypted, or another type of file. Export it anew.",
        )
    if found in KINDS:
        advice = f"Give it a name that ends in .{found}, if that is what you mean to take in."
    elif found == OLD_OFFICE:
        advice = "Open it and save it as .docx, .pptx, .xlsx or .pdf, without a password."
    else:
        advice = f"Unpack it and take in the files inside. {TAKEN}" if "archive" in found else TAKEN
    said = f"named {path.suffix.lower()}, but is really" if named else "not taken: it is"
    return UnreadableSource(f"{name} is {said} {phrase(found)}.", advice=advice)


def _check_pdf_end(path: Path, head: bytes, tail: bytes, size: int) -> None:
    """A PDF's cross-references are at its end; readers that repair lose pages without a word."""
    whole = re.search(rb"/Linearized.{0,200}?/L\s+(\d{1,15})", head, re.DOTALL)
    if b"startxref" in tail and (whole is None or int(whole[1]) <= size):
        return
    raise UnreadableSource(
        f"{_name(path)} is cut off: the end of the PDF is missing.",
        advice="Download or copy it again.",
    )


def _count_pages(path: Path) -> int:
    """Asks PDFium for the page tree only; no page is looked at."""
    from liteparse import LiteParse, ParseError  # noqa: PLC0415 — 40 ms that only PDFs need

    parser = LiteParse(ocr_enabled=False, quiet=True, max_pages=0)
    try:
        pages: int = parser.parse(_for_parser(path)).total_pages
    except ParseError as error:
        raise _unparsed(path, str(error)) from None
    if pages < 1:
        raise UnreadableSource(
            f"{_name(path)} is a PDF without a page.", advice="Export it anew, or print it to PDF."
        )
    return pages


def _for_parser(path: Path) -> Path | bytes:
    """The path if the parser, which wants UTF-8 and goes by the extension, would read a PDF."""
    try:
        path.absolute().as_posix().encode()
    except UnicodeEncodeError:
        return _read(path)
    return path if path.suffix.lower() == ".pdf" else _read(path)


def _unparsed(path: Path, reason: str) -> UnreadableSource:
    if "password" in reason or "security" in reason:
        return UnreadableSource(
            f"{_name(path)} is locked: it needs a password or a certificate to be opened.",
            advice="Open it, save it without protection, and take in that.",
        )
    return UnreadableSource(
        f"{_name(path)} is damaged: it begins like a PDF, but its structure cannot be read.",
        advice="If it opens elsewhere, print it to PDF there and take in that.",
    )


def _check_image(path: Path, kind: Kind, tail: bytes) -> int | None:
    if _IMAGE_ENDS.get(kind, b"") not in tail:
        raise UnreadableSource(
            f"{_name(path)} is cut off: the end of the image is missing.",
            advice="Download or copy it again.",
        )
    return 1 if kind in SINGLE else None


def _kind_of_zip(path: Path) -> Kind | Other:
    with open_source(path) as (file, size):
        try:
            return _look_into_zip(path, file, size)
        except UnreadableSource:
            raise
        except Exception as error:  # zipfile raises a dozen kinds on damaged archives
            raise UnreadableSource(
                f"{_name(path)} is damaged or cut off: a ZIP container that does not open.",
                advice="Download or copy it again.",
            ) from error


def _look_into_zip(path: Path, file: FileIO, size: int) -> Kind | Other:
    """What is in a ZIP container, its main part read and found whole."""
    with zipfile.ZipFile(file) as archive:
        _check_bounds(path, archive, size)
        kind, part = _main_part(archive)
        if part:
            _check_part(path, archive, part)
        return kind


def _check_bounds(path: Path, archive: zipfile.ZipFile, size: int) -> None:
    entries = archive.infolist()
    inflated = sum(entry.file_size for entry in entries)
    dense = inflated > SMALL_ZIP_BYTES and inflated > MAX_ZIP_RATIO * size
    if len(entries) > MAX_ZIP_ENTRIES or inflated > MAX_ZIP_BYTES or dense:
        raise UnreadableSource(
            f"{_name(path)} would unpack to {inflated:,} bytes in {len(entries):,} parts:"
            " too much for a document of its size.",
            advice="If it is real, save it as PDF, or without its media.",
        )


def _main_part(archive: zipfile.ZipFile) -> tuple[Kind | Other, str]:
    names = archive.namelist()
    for kind, pattern in _MAIN_PARTS:
        if part := next(filter(pattern.fullmatch, names), None):
            return kind, part
    if "mimetype" in names:
        with archive.open("mimetype") as entry:
            declared = entry.read(100).decode("ascii", "replace").strip()
        for kind, part in _MAIN_PARTS_BY_TYPE:
            if declared == MIME_TYPES[kind] and part in names:
                return kind, part
    return ZIP, ""


def _check_part(path: Path, archive: zipfile.ZipFile, part: str) -> None:
    """Reads the whole part, so that its checksum is compared."""
    start = b""
    if not archive.getinfo(part).flag_bits & 1:
        with archive.open(part) as entry:
            start = entry.read(_HEAD_BYTES)
            while entry.read(_BLOCK_BYTES):
                pass
    if not start.lstrip().startswith(_XML_STARTS):
        raise UnreadableSource(
            f"{_name(path)} is locked with a password, or damaged: its text cannot be read.",
            advice="Open it, save it without a password, and take in that.",
        )


def _pages(path: Path, text: str) -> list[str]:
    if EXTENSIONS.get(path.suffix.lower()) != "text":
        return [text]
    return text.removesuffix("\f").split("\f")


def _text(path: Path) -> tuple[str, str]:
    try:
        return decode(_read(path))
    except NotText as error:
        raise UnreadableSource(
            f"{_name(path)} cannot be read as text: {error}.", advice="Save it as UTF-8 text."
        ) from None
