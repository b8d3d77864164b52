"""Which reader a file gets: by the extension of its name, as the vendor decides."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from gristmill_simulators.llamacloud.pages import Wanted
from gristmill_simulators.llamacloud.readers import (
    docx,
    epub,
    opendocument,
    pdf,
    picture,
    plain,
    pptx,
    rtf,
    webpage,
    xlsx,
)
from gristmill_simulators.llamacloud.readers.document import Page, Unreadable

_PICTURES = ("bmp", "gif", "jpeg", "jpg", "png", "tif", "tiff", "webp")
_READERS: dict[str, Callable[[Path, Wanted], list[Page]]] = {
    **dict.fromkeys(_PICTURES, picture.read),
    "csv": plain.read_delimited,
    "docx": docx.read,
    "epub": epub.read,
    "htm": webpage.read,
    "html": webpage.read,
    "markdown": plain.read_markdown,
    "md": plain.read_markdown,
    "odp": opendocument.read,
    "ods": opendocument.read,
    "odt": opendocument.read,
    "pdf": pdf.read,
    "pptx": pptx.read,
    "rtf": rtf.read,
    "tsv": plain.read_delimited,
    "xhtml": webpage.read,
    "xlsx": xlsx.read,
}
_SPREADSHEETS = {"csv", "ods", "tsv", "xlsx"}


def read(path: Path, name: str, wanted: Wanted) -> list[Page]:
    """The wanted pages of the file at `path`, called `name` by its owner. Raises Unreadable."""
    if path.stat().st_size == 0:
        raise Unreadable("NO_DATA_FOUND_IN_FILE", "the file is empty")
    reader = _READERS.get(_extension(name) or _guess(path))
    if reader is None:
        raise Unreadable("UNSUPPORTED_FILE_TYPE", f"{name!r} is of no supported type")
    found = reader(path, wanted)
    if not found:
        raise Unreadable("NO_DATA_FOUND_IN_FILE", "no page was found")
    return found


def is_spreadsheet(name: str) -> bool:
    """Spreadsheets are billed by the sheet."""
    return _extension(name) in _SPREADSHEETS


def _extension(name: str) -> str:
    return PurePosixPath(name).suffix[1:].lower()


def _guess(path: Path) -> str:
    with path.open("rb") as file:
        return "pdf" if b"%PDF-" in file.read(1024) else ""
