"""Word documents: headings, paragraphs, lists, tables, page breaks."""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from gristmill_simulators.llamacloud.pages import Wanted
from gristmill_simulators.llamacloud.readers.archive import Archive
from gristmill_simulators.llamacloud.readers.document import (
    BREAK,
    Page,
    Unreadable,
    pages,
    paginated,
    table,
)

_HEADING = re.compile(r"heading\s*(\d{1,3})\s*", re.ASCII)
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def read(path: Path, wanted: Wanted) -> list[Page]:
    root = Archive(path).xml("word/document.xml")
    body = root.find(f"{_W}body") if root is not None else None
    if body is None:
        raise Unreadable("PDF_IS_BROKEN", "the file holds no Word document")
    return pages(paginated(_blocks(body)), wanted)


def _blocks(body: Element) -> Iterator[str | None]:
    for element in body:
        if element.tag == f"{_W}p":
            yield from _paragraph(element)
        elif element.tag == f"{_W}tbl":
            yield table([_row(row) for row in element.iter(f"{_W}tr")])
        elif element.tag == f"{_W}sdt":  # a content control, as around a table of contents
            for inner in element.iter(f"{_W}p"):
                yield from _paragraph(inner)


def _paragraph(paragraph: Element) -> Iterator[str | None]:
    prefix = _prefix(paragraph)
    for index, text in enumerate(_runs(paragraph)):
        if index:
            yield BREAK
        if text.strip():
            yield prefix + text.strip()


def _runs(paragraph: Element) -> list[str]:
    """The paragraph's text, cut where a page ends inside it."""
    texts = [""]
    for element in paragraph.iter():
        if element.tag == f"{_W}t":
            texts[-1] += element.text or ""
        elif element.tag in {f"{_W}tab", f"{_W}cr"}:
            texts[-1] += " "
        elif _ends_page(element):
            texts.append("")
        elif element.tag == f"{_W}br":
            texts[-1] += "\n"
    return texts


def _ends_page(element: Element) -> bool:
    by_author = element.tag == f"{_W}br" and element.get(f"{_W}type") == "page"
    return by_author or element.tag == f"{_W}lastRenderedPageBreak"


def _prefix(paragraph: Element) -> str:
    properties = paragraph.find(f"{_W}pPr")
    if properties is None:
        return ""
    style = properties.find(f"{_W}pStyle")
    name = style.get(f"{_W}val", "").lower() if style is not None else ""
    if name == "title":
        return "# "
    if heading := _HEADING.fullmatch(name):
        return "#" * min(6, max(1, int(heading[1]))) + " "
    return "- " if properties.find(f"{_W}numPr") is not None else ""


def _row(row: Element) -> list[str]:
    return ["".join(t.text or "" for t in cell.iter(f"{_W}t")) for cell in row.iter(f"{_W}tc")]
