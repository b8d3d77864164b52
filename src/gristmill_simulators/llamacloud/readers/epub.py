"""EPUB: its chapters in the order of the book, each read as a web page."""

import posixpath
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from gristmill_simulators.llamacloud.pages import Wanted
from gristmill_simulators.llamacloud.readers import webpage
from gristmill_simulators.llamacloud.readers.archive import Archive
from gristmill_simulators.llamacloud.readers.document import (
    BREAK,
    Page,
    Unreadable,
    pages,
    paginated,
)

_CONTAINER = "{urn:oasis:names:tc:opendocument:xmlns:container}"
_OPF = "{http://www.idpf.org/2007/opf}"


def read(path: Path, wanted: Wanted) -> list[Page]:
    archive = Archive(path)
    chapters = list(_chapters(archive))
    if not chapters:
        raise Unreadable("PDF_IS_BROKEN", "the file holds no book")
    return pages(paginated(_blocks(archive, chapters)), wanted)


def _blocks(archive: Archive, chapters: list[str]) -> Iterator[str | None]:
    for number, name in enumerate(chapters):
        if number:
            yield BREAK
        yield from webpage.blocks(archive.text(name))


def _chapters(archive: Archive) -> Iterator[str]:
    """The names of the parts that the book's spine names, in its order."""
    container = archive.xml("META-INF/container.xml")
    place = container.find(f".//{_CONTAINER}rootfile") if container is not None else None
    book = place.get("full-path", "") if place is not None else ""
    package = archive.xml(book)
    if package is None:
        return
    parts = {each.get("id"): each.get("href", "") for each in package.iter(f"{_OPF}item")}
    for each in package.iter(f"{_OPF}itemref"):
        href = unquote(parts.get(each.get("idref"), "").partition("#")[0])
        name = posixpath.normpath(posixpath.join(posixpath.dirname(book), href))
        if name in archive.names():
            yield name
