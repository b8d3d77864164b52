"""Markdown as it is, and delimited values as one table."""

import csv
import io
from pathlib import Path

from gristmill_simulators.llamacloud.pages import Wanted
from gristmill_simulators.llamacloud.readers.document import Page, Unreadable, pages, table

_ROWS = 500_000


def read_markdown(path: Path, wanted: Wanted) -> list[Page]:
    return pages([path.read_text("utf-8-sig", "replace").strip()], wanted)


def read_delimited(path: Path, wanted: Wanted) -> list[Page]:
    text = path.read_text("utf-8-sig", "replace").replace("\0", "")
    try:
        dialect: type[csv.Dialect] | str = csv.Sniffer().sniff(text[:4096], ",;\t|")
    except csv.Error:
        dialect = "excel"
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), dialect) if any(row)]
    except csv.Error as error:
        raise Unreadable("PDF_IS_BROKEN", str(error)) from None
    if len(rows) > _ROWS:
        raise Unreadable("DOCUMENT_TOO_LARGE", "the table has too many rows")
    return pages([table(rows)], wanted)
