"""PDF by liteparse, never with OCR: it would download its models."""

from pathlib import Path

from gristmill_simulators.llamacloud.pages import Wanted
from gristmill_simulators.llamacloud.readers.document import Page, Unreadable

_HEADER_WITHIN = 1024 + len(b"%PDF-")  # bytes; ISO 32000, implementation notes
_ALL_PAGES = 1_000_000  # the default cuts after 1,000 pages without a word


def read(path: Path, wanted: Wanted) -> list[Page]:
    from liteparse import LiteParse, ParseError  # noqa: PLC0415 — in the child process only

    parser = LiteParse(
        ocr_enabled=False,
        output_format="markdown",
        quiet=True,
        max_pages=wanted.maximum or _ALL_PAGES,
        target_pages=_ranges(wanted),
    )
    try:
        result = parser.parse(_from_header(path.read_bytes()))
    except ParseError as error:
        raise _refusal(str(error)) from None
    return [
        # a page without words comes as an empty code fence
        Page(p.page_num, p.markdown if p.text.strip() else "", p.text, p.width, p.height)
        for p in result.pages
    ]


def _from_header(data: bytes) -> bytes:
    """Other bytes may stand before the document: a mail's head, or a server's."""
    start = data.find(b"%PDF-", 0, _HEADER_WITHIN)
    return data[start:] if start > 0 else data


def _ranges(wanted: Wanted) -> str | None:
    if wanted.target is None:
        return None
    return ",".join(map(str, sorted(wanted.target)))


def _refusal(message: str) -> Unreadable:
    if "password" in message.lower():
        return Unreadable("PDF_IS_PROTECTED", "the document needs a password")
    return Unreadable("PDF_IS_BROKEN", message)
