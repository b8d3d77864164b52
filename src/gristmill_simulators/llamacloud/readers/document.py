"""What a reader gives back, and why it may refuse."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gristmill_simulators.llamacloud.pages import Wanted

PAGE_CHARACTERS = 3000  # of text without page breaks; about one printed page
_PAGE_BYTES = 64 * 1024  # the vendor drops the rest without a word; its page on limitations

A4 = (595.0, 842.0)


class Unreadable(Exception):
    """The file cannot be parsed; `code` is one of the vendor's job failure codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Page:
    """One page, slide or sheet; `number` counts from 1; sizes are points."""

    number: int
    markdown: str
    text: str
    width: float = A4[0]
    height: float = A4[1]

    def cut(self) -> None:
        """Drop what is more than the vendor keeps of a page."""
        self.markdown = _first_bytes(self.markdown)
        self.text = _first_bytes(self.text)


def _first_bytes(text: str) -> str:
    if len(text) * 4 <= _PAGE_BYTES:  # no need to encode it
        return text
    return text.encode()[:_PAGE_BYTES].decode(errors="ignore")


BREAK = None  # in a stream of blocks: a new page begins


def paginated(blocks: Iterable[str | None]) -> Iterator[str]:
    """Markdown blocks to pages: at each BREAK, and where a page would get too long."""
    page: list[str] = []
    size = 0
    for block in blocks:
        if block is BREAK or (page and size + len(block) > PAGE_CHARACTERS):
            yield "\n\n".join(page)
            page, size = [], 0
        if block is not BREAK:
            page.append(block)
            size += len(block)
    yield "\n\n".join(page)


def pages(texts: Iterable[str], wanted: Wanted) -> list[Page]:
    """The wanted ones of a sequence of Markdown pages; their text is the Markdown itself."""
    found = []
    for number, markdown in enumerate(texts, 1):
        last = wanted.last()
        if last is not None and number > last:
            break
        if wanted.has(number):
            found.append(Page(number, markdown, markdown))
    return found


def table(rows: list[list[str]]) -> str:
    """A Markdown table; the first row is its head.

    It ends soon after what is kept of a page: one wide row makes all others wide, and one long text
    may stand in every cell.
    """
    if not rows:
        return ""
    width = max(map(len, rows))
    lines = [_line(rows[0], width), "|" + " --- |" * width]
    size = sum(map(len, lines))
    for row in rows[1:]:
        if size > _PAGE_BYTES:
            break
        lines.append(_line(row, width))
        size += len(lines[-1])
    return "\n".join(lines)


def _line(cells: list[str], width: int) -> str:
    parts, left = ["|"], _PAGE_BYTES
    for cell in cells:
        if left < 0:
            break
        clean = " ".join(cell[:_PAGE_BYTES].split()).replace("|", "\\|")
        parts.append(f" {clean} |")
        left -= len(parts[-1])
    return "".join(parts) + "  |" * (width - len(parts) + 1)
