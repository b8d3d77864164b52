"""HTML: headings, paragraphs, lists and tables; scripts, styles and the head are left out."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from gristmill_simulators.llamacloud.pages import Wanted
from gristmill_simulators.llamacloud.readers.document import Page, pages, paginated, table

_SILENT = {"head", "script", "style", "template", "noscript", "svg"}
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_BLOCK_TAGS = """
    address article aside blockquote body br dd div dl dt figcaption footer form header hr html
    li main nav ol p pre section ul
"""
_BLOCKS = frozenset(_BLOCK_TAGS.split())


def read(path: Path, wanted: Wanted) -> list[Page]:
    return pages(paginated(blocks(path.read_text("utf-8", "replace"))), wanted)


def blocks(html: str) -> Iterator[str]:
    """Headings, paragraphs, list items and tables as Markdown."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.blocks()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._blocks: list[str] = []
        self._text: list[str] = []
        self._prefix = ""
        self._silent = 0
        self._rows: list[list[str]] | None = None

    def blocks(self) -> Iterator[str]:
        self._end_block()
        yield from self._blocks

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        if tag in _SILENT:
            self._silent += 1
        elif tag == "table":
            self._end_block()
            self._rows = []
        elif self._rows is not None:
            self._table_part(tag)
        elif tag in _HEADINGS or tag in _BLOCKS:
            self._end_block()
            self._prefix = _HEADINGS.get(tag, "- " if tag == "li" else "")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag == "table" and self._rows is not None:
            self._end_cell()
            self._blocks.append(table([row for row in self._rows if row]))
            self._rows = None
        elif self._rows is None and (tag in _HEADINGS or tag in _BLOCKS):
            self._end_block()

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._text.append(data)

    def _table_part(self, tag: str) -> None:
        if tag in {"tr", "td", "th"}:
            self._end_cell()
        if tag == "tr" and self._rows is not None:
            self._rows.append([])
        elif tag in {"td", "th"} and self._rows:
            self._rows[-1].append("")

    def _end_cell(self) -> None:
        text = self._taken()
        if self._rows and self._rows[-1]:
            self._rows[-1][-1] += text

    def _end_block(self) -> None:
        text = self._taken()
        if text:
            self._blocks.append(self._prefix + text)
        self._prefix = ""

    def _taken(self) -> str:
        text = " ".join("".join(self._text).split())
        self._text.clear()
        return text
