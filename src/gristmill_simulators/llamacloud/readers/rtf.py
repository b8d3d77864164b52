"""RTF: paragraphs and page breaks; fonts, styles and pictures are left out."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from gristmill_simulators.llamacloud.pages import Wanted
from gristmill_simulators.llamacloud.readers.document import (
    BREAK,
    Page,
    Unreadable,
    pages,
    paginated,
)

_TOKEN = re.compile(
    r"\\([a-z]{1,32})(-?\d{1,9})? ?|\\'([0-9a-f]{2})|\\([^a-z'])|([{}])|[\r\n]+|([^\\{}\r\n]+)",
    re.IGNORECASE,
)
_SILENT = """
    colortbl filetbl fonttbl footer footnote generator header info listtable object pict revtbl
    rsidtbl stylesheet themedata xmlnstbl
"""
_SILENT_GROUPS = frozenset(_SILENT.split())
_PARAGRAPH, _PAGE = "\n\n", "\f"
_WORDS = dict.fromkeys(("par", "row", "sect"), _PARAGRAPH) | {
    "bullet": "\u2022",
    "cell": " | ",
    "emdash": "\u2014",
    "endash": "\u2013",
    "ldblquote": "\u201c",
    "line": "\n",
    "lquote": "\u2018",
    "page": _PAGE,
    "rdblquote": "\u201d",
    "rquote": "\u2019",
    "tab": " ",
}
_MARKS = {"~": "\u00a0", "_": "-", "\n": _PARAGRAPH, "{": "{", "}": "}", "\\": "\\"}


def read(path: Path, wanted: Wanted) -> list[Page]:
    text = path.read_text("latin-1")
    if not text.lstrip().startswith("{\\rtf"):
        raise Unreadable("PDF_IS_BROKEN", "the file is no RTF")
    return pages(paginated(_blocks(text)), wanted)


def _blocks(text: str) -> Iterator[str | None]:
    said: list[str] = []
    for part in _parts(text):
        if part not in {_PARAGRAPH, _PAGE}:
            said.append(part)
            continue
        yield from _paragraph(said)
        said.clear()
        if part == _PAGE:
            yield BREAK
    yield from _paragraph(said)


def _paragraph(parts: Iterable[str]) -> Iterator[str]:
    # characters beyond the first 65,536 come as two halves
    halves = "".join(parts).encode("utf-16", "surrogatepass")
    if text := halves.decode("utf-16", "replace").strip():
        yield text


def _parts(text: str) -> Iterator[str]:
    """What is said, in pieces; the end of a paragraph or a page is a piece of its own."""
    silent = [False]
    instead, skip = 1, 0  # characters behind one of Unicode, for programs that do not know it
    for word, number, byte, mark, brace, plain in _TOKEN.findall(text):
        if brace == "{":
            silent.append(silent[-1])
        elif brace:
            silent[-2:] = silent[-2:-1] or [False]
        elif mark == "*" or word in _SILENT_GROUPS:
            silent[-1] = True
        elif silent[-1]:
            continue
        elif word == "uc":
            instead = int(number or 1)
        elif word == "u":
            skip = instead
            yield chr(int(number or 0) % 65536)
        else:
            piece = _WORDS.get(word) or _MARKS.get(mark) or _byte(byte) or plain
            skipped = min(skip, len(byte or plain))
            skip -= skipped
            yield piece[skipped:]


def _byte(digits: str) -> str:
    return bytes.fromhex(digits).decode("cp1252", "replace")
