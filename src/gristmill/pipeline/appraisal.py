"""What can be told of a file before anybody is paid, in a child process: for estimates only.

`appraise` is `inspect` and more: what a file that is read here holds exactly, and how long a file
may be whose pages only the parser counts. The latter is a guess: no hold depends on it.
"""

import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from math import ceil
from pathlib import Path
from typing import IO, Final

from gristmill.pipeline.chunking import ChunkingOptions, Page, split
from gristmill.pipeline.formats import IMAGES, SHEETS, TEXT_KINDS, Kind
from gristmill.pipeline.inspection import Inspection, inspect, open_source, read_text

TOKENS_OF_PAGE: Final = 500  # of prose; slides have fewer
CHARACTERS_OF_TOKEN: Final = 4  # of English
CHARACTERS_OF_PAGE: Final = 3000

_MOST_BYTES: Final = 64 << 20  # inflated, of one file; beyond that a guess is not worth it
_BLOCK_BYTES: Final = 1 << 20
_TAG: Final = re.compile(rb"<[^>]*>?")

# The parts of a container that hold its text.
_PARTS: Final[Mapping[Kind, re.Pattern[str]]] = {
    "docx": re.compile(r"word/document\d*\.xml"),
    "epub": re.compile(r".*\.x?html?"),
    "odp": re.compile(r"content\.xml"),
    "ods": re.compile(r"content\.xml"),
    "odt": re.compile(r"content\.xml"),
    "pptx": re.compile(r"ppt/slides/slide\d+\.xml"),
    "xlsx": re.compile(r"xl/(worksheets/sheet\d+|sharedStrings)\.xml"),
}
# What stands in them once for each page, slide or sheet; in texts only where one ends.
_MARKS: Final[Mapping[Kind, re.Pattern[bytes]]] = {
    "docx": re.compile(rb'<w:lastRenderedPageBreak|<w:br\s[^>]*w:type="page"'),
    "odp": re.compile(rb"<draw:page\s"),
    "ods": re.compile(rb"<table:table\s"),
    "odt": re.compile(rb"<text:soft-page-break"),
    "pptx": re.compile(rb"<p:sld\s"),
    "xlsx": re.compile(rb"<worksheet\s"),
}
_COUNTED: Final[frozenset[Kind]] = frozenset({"odp", "ods", "pptx", "xlsx"})


@dataclass(frozen=True, slots=True)
class Passage:
    """A text that is to be embedded, by the SHA-256 of its UTF-8, and its tokens."""

    sha256: bytes
    tokens: int


@dataclass(frozen=True, slots=True)
class Length:
    """How long a text may be."""

    pages: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Appraisal:
    """What a file is, how long it may be, and its passages if it is read here."""

    found: Inspection
    likely: Length
    passages: tuple[Passage, ...] | None = None


def appraise(path: Path, options: ChunkingOptions) -> Appraisal:
    """Inspects a file, then measures it.

    Raises:
        UnreadableSource: as `inspect`.
    """
    found = inspect(path)
    if found.kind in TEXT_KINDS:
        passages = weigh(read_text(path), options)
        tokens = sum(passage.tokens for passage in passages)
        return Appraisal(found, Length(found.pages or 1, tokens), passages)
    if found.pages is not None:
        return Appraisal(found, Length(found.pages, found.pages * TOKENS_OF_PAGE))
    return Appraisal(found, _likely(path, found.kind))


def weigh(pages: Sequence[Page], options: ChunkingOptions) -> tuple[Passage, ...]:
    """The texts to embed, each once, as the pipeline will cut them."""
    texts = {chunk.text: chunk.tokens for chunk in split(pages, options)}
    return tuple(Passage(sha256(text.encode()).digest(), size) for text, size in texts.items())


def _likely(path: Path, kind: Kind) -> Length:
    if kind in IMAGES:
        return Length(1, TOKENS_OF_PAGE)
    characters, marks = _measured(path, kind)
    tokens = ceil(characters / CHARACTERS_OF_TOKEN)
    if kind in _COUNTED or kind in SHEETS:
        return Length(max(1, marks), tokens)
    return Length(max(marks + 1, ceil(characters / CHARACTERS_OF_PAGE)), tokens)


def _measured(path: Path, kind: Kind) -> tuple[int, int]:
    """How many characters of text there are outside of tags, and how many marks of pages."""
    mark = _MARKS.get(kind)
    characters = marks = 0
    with suppress(Exception):  # zipfile raises a dozen kinds on parts that nobody has to read
        for block in _blocks(path, kind):
            characters += len(_TAG.sub(b"", block))
            marks += len(mark.findall(block)) if mark else 0
    return characters, marks


def _blocks(path: Path, kind: Kind) -> Iterator[bytes]:
    """The bytes of its text, up to a bound; fewer where a part is damaged."""
    room = _MOST_BYTES
    for part in _parts(path, kind):
        while room > 0 and (block := part.read(min(_BLOCK_BYTES, room))):
            room -= len(block)
            yield block


def _parts(path: Path, kind: Kind) -> Iterator[IO[bytes]]:
    with open_source(path) as (file, _):
        if kind not in _PARTS:
            yield file
            return
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                if _PARTS[kind].fullmatch(entry.filename):
                    with archive.open(entry) as part:
                        yield part
