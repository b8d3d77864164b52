"""Tables as an Excel workbook, one sheet each: the few parts that a reader insists on."""

import io
import re
import zipfile
from collections.abc import Iterable
from xml.sax.saxutils import escape

Rows = list[list[str | float | None]]

_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # in XML 1.0
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"


def workbook(tables: list[Rows]) -> bytes:
    """The bytes of an .xlsx file with `Table_1`, `Table_2` and so on."""
    numbers = range(1, len(tables) + 1)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", _content_types(numbers))
        root = [("rId1", f"{_OFFICE}/officeDocument", "xl/workbook.xml")]
        archive.writestr("_rels/.rels", _relations(root))
        archive.writestr("xl/workbook.xml", _book(numbers))
        sheets = [(f"rId{n}", f"{_OFFICE}/worksheet", f"worksheets/sheet{n}.xml") for n in numbers]
        archive.writestr("xl/_rels/workbook.xml.rels", _relations(sheets))
        for number, rows in zip(numbers, tables, strict=True):
            archive.writestr(f"xl/worksheets/sheet{number}.xml", _sheet(rows))
    return buffer.getvalue()


def _content_types(numbers: Iterable[int]) -> str:
    relations = "application/vnd.openxmlformats-package.relationships+xml"
    sheets = "".join(
        f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{_TYPE}.worksheet+xml"/>'
        for n in numbers
    )
    return (
        f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types">'
        f'<Default Extension="rels" ContentType="{relations}"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
        f"{sheets}</Types>"
    )


def _relations(entries: Iterable[tuple[str, str, str]]) -> str:
    parts = "".join(
        f'<Relationship Id="{id_}" Type="{kind}" Target="{target}"/>'
        for id_, kind, target in entries
    )
    return f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">{parts}</Relationships>'


def _book(numbers: Iterable[int]) -> str:
    sheets = "".join(f'<sheet name="Table_{n}" sheetId="{n}" r:id="rId{n}"/>' for n in numbers)
    return (
        f'{_HEAD}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{sheets}</sheets></workbook>'
    )


def _sheet(rows: Rows) -> str:
    body = "".join(f"<row>{''.join(map(_cell, row))}</row>" for row in rows)
    return f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetData>{body}</sheetData></worksheet>'


def _cell(value: str | float | None) -> str:
    if value is None:
        return "<c/>"
    if isinstance(value, str):
        text = escape(_FORBIDDEN.sub("", value))
        return f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'
    return f"<c><v>{value!r}</v></c>"
