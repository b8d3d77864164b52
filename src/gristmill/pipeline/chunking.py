"""Pages of Markdown in, chunks that fit into an embedding request out. Pure: values only.

Chunks are cut by semantic-text-splitter at the highest level of structure that fits: headings,
blocks, sentences, words. Offsets are characters of `document_text(pages)`. Everything here runs
in a child process as well: values are picklable and nothing has to be set up.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from semantic_text_splitter import MarkdownSplitter

from gristmill.pipeline.tokens import clean, count

# Part of every fingerprint: raise it whenever the same input would give other chunks.
ALGORITHM: Final = 1
# Below, one character can be larger than a chunk; above, OpenAI refuses an input.
MIN_TOKENS: Final = 16
MAX_TOKENS: Final = 8192
# A heading is kept with every chunk below it, so one without an end would multiply.
MAX_HEADING_CHARACTERS: Final = 200

_PAGE_BREAK: Final = "\n\n"
# The splitter looks at the rest of a sentence, table or blank run for every chunk, which is
# quadratic without bound: 300,000 hanzi without a full stop took 105 s. So it is shown a window
# at a time, about four chunks of English.
_WINDOW_CHARACTERS_PER_TOKEN: Final = 16


@dataclass(frozen=True, slots=True)
class Page:
    """One page as parsed. `number` is the vendor's and begins with 1."""

    number: int
    markdown: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """One passage: `document_text(pages)[start:end] == text`. It is embedded as it stands.

    `first_page` to `last_page` are the pages its text is on. `headings` is the path of headings
    in force where it starts, outermost first; a chunk that starts with a heading includes it.
    """

    ordinal: int
    text: str
    start: int
    end: int
    first_page: int
    last_page: int
    headings: tuple[str, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class ChunkingOptions:
    """How large chunks are, in cl100k tokens.

    `overlap` is the most that a chunk repeats of the one before. The splitter repeats whole
    units of structure only, so that most neighbours do not overlap at all. At most half of a
    chunk may be repeated, since every repetition is paid for. Raises ValueError out of bounds.
    """

    max_tokens: int = 512
    overlap: int = 64

    def __post_init__(self) -> None:
        if not MIN_TOKENS <= self.max_tokens <= MAX_TOKENS:
            raise ValueError(
                f"max_tokens must be between {MIN_TOKENS} and {MAX_TOKENS}, not {self.max_tokens}"
            )
        if not 0 <= self.overlap <= self.max_tokens // 2:
            raise ValueError(
                f"overlap must be between 0 and half of max_tokens, {self.max_tokens // 2},"
                f" not {self.overlap}"
            )

    @property
    def fingerprint(self) -> str:
        """Names this way of chunking: equal fingerprints give equal chunks."""
        return f"markdown-{ALGORITHM}:{self.max_tokens}:{self.overlap}"


def document_text(pages: Iterable[Page]) -> str:
    """The text that offsets refer to: cleaned pages (see `tokens.clean`), a blank line between."""
    return _PAGE_BREAK.join(clean(page.markdown) for page in pages)


def split(pages: Sequence[Page], options: ChunkingOptions) -> list[Chunk]:
    """Cut pages, given in reading order, into chunks; none if there is no text.

    No chunk is larger than `max_tokens` or blank, starts increase strictly, and every character
    that is not whitespace is in a chunk. The same input gives the same chunks.
    """
    texts = [clean(page.markdown) for page in pages]
    page_starts = list(accumulate((len(text) + len(_PAGE_BREAK) for text in texts), initial=0))
    headings = list(_headings(texts, page_starts))
    heading_starts = [heading.start for heading in headings]
    paths = [(), *_paths(headings)]
    text = _PAGE_BREAK.join(texts)
    pieces = _without_repetitions(_pieces(text, options, frozenset(heading_starts)))

    def chunk(ordinal: int, start: int, text: str) -> Chunk:
        end = start + len(text)
        return Chunk(
            ordinal=ordinal,
            text=text,
            start=start,
            end=end,
            first_page=pages[bisect_right(page_starts, start) - 1].number,
            last_page=pages[bisect_right(page_starts, end - 1) - 1].number,
            headings=paths[bisect_right(heading_starts, start)],
            tokens=count(text),
        )

    return [chunk(ordinal, *piece) for ordinal, piece in enumerate(pieces)]


def _pieces(
    text: str, options: ChunkingOptions, headings: frozenset[int]
) -> Iterator[tuple[int, str]]:
    # Trimmed here, not there: with overlap its own trimming can move a start behind the one
    # before, and then its offsets panic.
    splitter = MarkdownSplitter.from_callback(
        _size, options.max_tokens, options.overlap, trim=False
    )
    width = _WINDOW_CHARACTERS_PER_TOKEN * options.max_tokens
    begin = 0
    while begin < len(text):
        end = begin + width
        window = text[begin:end].rstrip()  # a long blank tail alone takes the splitter seconds
        found = splitter.chunk_indices(window)
        # By start: a piece that begins in blank space can be followed by a longer one after it.
        trimmed = {
            _first_visible(start, piece): piece.strip() for start, piece in found if piece.strip()
        }
        pieces = [(begin + start, piece) for start, piece in trimmed.items()]
        whole = len(pieces) if end >= len(text) else _whole(pieces, headings)
        yield from pieces[:whole]
        begin = pieces[whole][0] if whole < len(pieces) else end


def _size(piece: str) -> int:
    return count(piece.strip())


def _whole(pieces: Sequence[tuple[int, str]], headings: frozenset[int]) -> int:
    """How many pieces of a window to keep; the next window begins with the first one left.

    The last piece may be cut by the window's end. A window best begins with a heading: begun
    inside a fenced code block, it would take the closing fence for an opening one.
    """
    last = len(pieces) - 1
    for index in range(last, len(pieces) // 2, -1):
        if pieces[index][0] in headings:
            return index
    return max(last, 1)


def _without_repetitions(pieces: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Leave out what overlap has made a mere part of the piece before."""
    covered = 0
    for start, text in pieces:
        if start + len(text) > covered:
            covered = start + len(text)
            yield start, text


def _first_visible(start: int, text: str) -> int:
    return start + len(text) - len(text.lstrip())


@dataclass(frozen=True, slots=True)
class _Heading:
    start: int
    level: int
    title: str


# What a line that matters to headings begins with. A setext heading is recognised when its title
# is one line after an empty one: a rule under a longer paragraph is mostly meant as a rule.
# Lists and quotes are not followed: a heading indented into a list item by one to three spaces
# counts as one of the document's.
_MARK: Final = re.compile(
    r"""
    (?: \A | (?<=[\r\n]) )
    (?: (?P<indent> [ \t]*+ ) (?P<item> (?: [-+*] | \d{1,9}[.)] ) [ \t]++ )?+
            (?P<fence> `{3,}+ | ~{3,}+ ) (?P<info> [^\r\n]*+ )
    |   [ ]{0,3}+ (?P<atx> \#{1,6}+ ) (?P<title> (?: [ \t][^\r\n]*+ )? ) (?= [\r\n] | \Z )
    |   [ ]{0,3}+ (?! [-+=_>|<`~\#\s] | \*[ \t] | \*+[ \t]*[\r\n] | \d{1,9}[.)][ \t] )
            (?P<over> [^\r\n]++ ) (?: \r\n | \r | \n )
            [ ]{0,3}+ (?P<under> =++ | -++ ) [ \t]*+ (?= [\r\n] | \Z )
    )
    """,
    re.VERBOSE,
)


def _headings(texts: Iterable[str], starts: Iterable[int]) -> Iterator[_Heading]:
    # Page by page: parsers close nothing that they opened on an earlier page.
    for text, start in zip(texts, starts, strict=False):
        fence: re.Match[str] | None = None
        for mark in _MARK.finditer(text):
            if mark["fence"]:
                fence = _fence_after(fence, mark)
            elif fence is None and (mark["atx"] or _follows_empty_line(mark)):
                yield _heading(start, mark)


def _fence_after(fence: re.Match[str] | None, mark: re.Match[str]) -> re.Match[str] | None:
    if fence is None:
        is_inline_code = mark["fence"][0] == "`" and "`" in mark["info"]
        return None if is_inline_code else mark
    closes = (
        mark["fence"].startswith(fence["fence"])
        and not mark["item"]
        and not mark["info"].strip()
        and _column(mark) <= _column(fence) + 3
    )
    return None if closes else fence


def _column(mark: re.Match[str]) -> int:
    return len((mark["indent"] + (mark["item"] or "")).expandtabs(4))


def _follows_empty_line(mark: re.Match[str]) -> bool:
    return not mark.start() or mark.string.endswith(("\n\n", "\r\n\r\n", "\r\r"), 0, mark.start())


def _heading(page_start: int, mark: re.Match[str]) -> _Heading:
    if mark["atx"]:
        start, level, title = mark.start("atx"), len(mark["atx"]), _without_closing(mark["title"])
    else:
        start, level, title = mark.start("over"), "=-".index(mark["under"][0]) + 1, mark["over"]
    return _Heading(page_start + start, level, _shortened(title.strip()))


def _without_closing(title: str) -> str:
    title = title.rstrip()
    opened = title.rstrip("#")
    return opened if opened != opened.rstrip() or not opened else title


def _shortened(title: str) -> str:
    if len(title) <= MAX_HEADING_CHARACTERS:
        return title
    return title[: MAX_HEADING_CHARACTERS - 1] + "…"


def _paths(headings: Iterable[_Heading]) -> Iterator[tuple[str, ...]]:
    path: list[_Heading] = []
    for heading in headings:
        while path and path[-1].level >= heading.level:
            path.pop()
        path.append(heading)
        yield tuple(step.title for step in path if step.title)
