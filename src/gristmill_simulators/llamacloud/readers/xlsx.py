"""Excel workbooks: one page per visible sheet, each a Markdown table."""

import re
from pathlib import Path
from xml.etree.ElementTree import Element

from gristmill_simulators.llamacloud.pages import Wanted
from gristmill_simulators.llamacloud.readers.archive import Archive, relations
from gristmill_simulators.llamacloud.readers.document import Page, Unreadable, pages, table

_S = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"

_INDEX = re.compile(r"\d{1,9}", re.ASCII)
_PART = "xl/workbook.xml"
_COLUMNS = 16_384  # Excel's own limit; a cell beyond it would only make the table wide
_CELLS = 2_000_000


def read(path: Path, wanted: Wanted) -> list[Page]:
    archive = Archive(path)
    root = archive.xml(_PART)
    if root is None:
        raise Unreadable("PDF_IS_BROKEN", "the file holds no workbook")
    targets = relations(archive, _PART)
    shared = _shared_strings(archive)
    sheets = [s for s in root.iter(f"{_S}sheet") if s.get("state", "visible") == "visible"]
    named = ((s.get("name", ""), targets.get(s.get(f"{_R}id", ""), "")) for s in sheets)
    return pages((_sheet(name, archive.xml(part), shared) for name, part in named), wanted)


def _shared_strings(archive: Archive) -> list[str]:
    root = archive.xml("xl/sharedStrings.xml")
    items = root.iter(f"{_S}si") if root is not None else ()
    return ["".join(t.text or "" for t in item.iter(f"{_S}t")) for item in items]


def _sheet(name: str, sheet: Element | None, shared: list[str]) -> str:
    if sheet is None:
        return ""
    rows, cells = [], 0
    for row in sheet.iter(f"{_S}row"):
        rows.append(_row(row, shared))
        cells += len(rows[-1])
        if cells > _CELLS:
            raise Unreadable("DOCUMENT_TOO_LARGE", "the workbook has too many cells")
    rows = [row for row in rows if any(row)]
    return f"# {name}\n\n{table(rows)}" if rows else ""


def _row(row: Element, shared: list[str]) -> list[str]:
    values: list[str] = []
    for cell in row.iter(f"{_S}c"):
        column = _column(cell.get("r", ""), default=len(values))
        values.extend([""] * (column - len(values)))
        values.append(_value(cell, shared))
    return values


def _column(reference: str, *, default: int) -> int:
    letters = re.match(r"[A-Z]{1,3}", reference)
    if letters is None:
        return default
    number = 0
    for letter in letters[0]:
        number = number * 26 + ord(letter) - ord("A") + 1
    return min(number, _COLUMNS) - 1


def _value(cell: Element, shared: list[str]) -> str:
    kind = cell.get("t")
    if kind == "inlineStr":
        return "".join(t.text or "" for t in cell.iter(f"{_S}t"))
    value = cell.findtext(f"{_S}v") or ""
    if kind == "s":
        number = int(value) if _INDEX.fullmatch(value) else len(shared)
        return shared[number] if number < len(shared) else ""
    if kind == "b":
        return "TRUE" if value == "1" else "FALSE"
    return value
