"""OpenDocument: texts by paragraphs and page breaks, slides and sheets as a page each."""

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

_NAMES = "urn:oasis:names:tc:opendocument:xmlns:"
_OFFICE, _TEXT, _TABLE, _DRAW = (
    f"{{{_NAMES}{name}:1.0}}" for name in ("office", "text", "table", "drawing")
)
_BREAK = f"{_TEXT}soft-page-break"
_PAGE_END = "\f"  # no character of XML
_MOST_REPEATED = 64  # of a cell or a blank; workbooks repeat empty ones to the last column
_CELLS = 2_000_000


def read(path: Path, wanted: Wanted) -> list[Page]:
    root = Archive(path).xml("content.xml")
    body = root.find(f"{_OFFICE}body") if root is not None else None
    if body is None or not len(body):
        raise Unreadable("PDF_IS_BROKEN", "the file holds no OpenDocument")
    _spell_out(body)
    content = body[0]
    if content.tag == f"{_OFFICE}spreadsheet":
        return pages(map(_sheet, content.iter(f"{_TABLE}table")), wanted)
    if content.tag == f"{_OFFICE}presentation":
        return pages(map(_slide, content.iter(f"{_DRAW}page")), wanted)
    return pages(paginated(_blocks(content)), wanted)


def _slide(slide: Element) -> str:
    return "\n\n".join(block for block in _blocks(slide) if block)


def _sheet(sheet: Element) -> str:
    rows = [row for row in _rows(sheet) if any(row)]
    return f"# {sheet.get(f'{_TABLE}name', '')}\n\n{table(rows)}" if rows else ""


def _blocks(content: Element) -> Iterator[str | None]:
    """Paragraphs and tables in their order, whatever frames and sections they are in."""
    places = [(iter(content), "")]
    while places:
        children, prefix = places[-1]
        element = next(children, None)
        if element is None:
            places.pop()
        elif element.tag == _BREAK:
            yield BREAK
        elif element.tag in {f"{_TEXT}p", f"{_TEXT}h"}:
            yield from _paragraph(element, prefix)
        elif element.tag == f"{_TABLE}table":
            yield table(_rows(element))
        else:
            places.append((iter(element), "- " if element.tag == f"{_TEXT}list" else prefix))


def _paragraph(paragraph: Element, prefix: str) -> Iterator[str | None]:
    if paragraph.tag == f"{_TEXT}h":
        prefix = "#" * min(6, _number(paragraph, f"{_TEXT}outline-level")) + " "
    for index, text in enumerate("".join(paragraph.itertext()).split(_PAGE_END)):
        if index:
            yield BREAK
        if text.strip():
            yield prefix + text.strip()


def _spell_out(root: Element) -> None:
    """Blanks and ends of pages, which are elements, as the characters that they stand for."""
    for element in root.iter():
        if element.tag == f"{_TEXT}s":
            element.text = " " * _number(element, f"{_TEXT}c")
        elif element.tag in {f"{_TEXT}tab", f"{_TEXT}line-break"}:
            element.text = " "
        elif element.tag == _BREAK:
            element.text = _PAGE_END


def _rows(sheet: Element) -> list[list[str]]:
    rows, cells = [], 0
    for row in sheet.iter(f"{_TABLE}table-row"):
        rows.append(list(_cells(row)))
        cells += len(rows[-1])
        if cells > _CELLS:
            raise Unreadable("DOCUMENT_TOO_LARGE", "the table has too many cells")
    return rows


def _cells(row: Element) -> Iterator[str]:
    for cell in row.iter(f"{_TABLE}table-cell"):
        text = " ".join("".join(each.itertext()) for each in cell.iter(f"{_TEXT}p"))
        yield from [text] * _number(cell, f"{_TABLE}number-columns-repeated")


def _number(element: Element, name: str) -> int:
    given = element.get(name, "1")
    is_small = given.isascii() and given.isdigit() and len(given) < 4
    return max(1, min(int(given), _MOST_REPEATED)) if is_small else _MOST_REPEATED
