"""What it would cost to take files in: values, and the arithmetic behind them. Pure.

Every quantity is told three times:

    expected   what is likely; exact where pages and passages are known
    held       what has to be free in the limits for that: a file of unknown length is read in
               parts, each held in full before it is known how much of it there is
    at_most    all that could be held for it, with every call made once; a call that is repeated
               after a failure is held anew
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil
from typing import Final, Literal

from gristmill.contract import Origin, Usage
from gristmill.costs.budgets import Balance
from gristmill.costs.prices import billed_at
from gristmill.pipeline.appraisal import Appraisal
from gristmill.pipeline.chunking import ChunkingOptions
from gristmill.pipeline.document import EmbeddingOptions, ParseOptions
from gristmill.pipeline.formats import SHEETS
from gristmill.pipeline.intake import Standing
from gristmill.pipeline.parses import Parse
from gristmill.pipeline.parsing import part_after
from gristmill.settings.prices import CREDIT, LLAMAPARSE, MILLICREDITS, OPENAI, PAGES, TOKENS

# The parser drops the rest of a page without a word (its page on limitations). A token has at
# least one byte.
MOST_TOKENS_OF_PAGE: Final = 64 * 1024
SHEET_MILLICREDITS: Final = 1000  # of a spreadsheet, whatever the tier (the vendor's pricing page)

Price = Callable[[str, Usage, str | None], int]
# How its text is come by: read here; parsed and paid already; being parsed, and held already;
# parsed for another file of the same bytes; to be parsed.
Reading = Literal["here", "paid", "under way", "shared", "parsed"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """A quantity of one unit, or of nano-dollars: expected <= held <= at_most."""

    expected: int = 0
    held: int = 0
    at_most: int = 0

    def __add__(self, other: "Bounds") -> "Bounds":
        return Bounds(
            self.expected + other.expected, self.held + other.held, self.at_most + other.at_most
        )

    def priced(self, cost: Callable[[int], int]) -> "Bounds":
        return Bounds(cost(self.expected), cost(self.held), cost(self.at_most))


def total(bounds: Iterable[Bounds]) -> Bounds:
    return sum(bounds, Bounds())


@dataclass(frozen=True, slots=True)
class FileEstimate:
    """What one source would cost.

    `pages` is None where only the parser can count them. `to_parse` is in pages, `to_embed` in
    tokens; `known_passages` have a vector already. A refused source would end without a document,
    or as a failed one; a skipped one is of a type that is not taken.
    """

    source: str
    outcome: Standing | Literal["refused", "skipped"]
    document_id: str | None = None
    kind: str | None = None
    pages: int | None = None
    reading: Reading | None = None
    to_parse: Bounds = Bounds()
    to_embed: Bounds = Bounds()
    known_passages: int = 0
    parse_cost: Bounds = Bounds()
    embed_cost: Bounds = Bounds()
    note: str = ""
    error: str | None = None
    advice: str | None = None

    @property
    def cost(self) -> Bounds:
        """In nano-dollars."""
        return self.parse_cost + self.embed_cost

    @property
    def is_uncounted(self) -> bool:
        """Whether it is parsed in parts, for nobody knows how long it is."""
        return self.pages is None and self.to_parse.at_most > 0


@dataclass(frozen=True, slots=True)
class ServiceEstimate:
    """What one service would be asked for, and what that costs in nano-dollars."""

    service: str
    product: str
    unit: str
    origin: Origin
    quantity: Bounds
    nano_dollars: Bounds


@dataclass(frozen=True, slots=True)
class LimitCheck:
    """One limit as it stands now, and what it is asked for, in nano-dollars.

    Of limits for each document this is the one that would be passed most; `documents` counts those
    whose limit has no room.
    """

    balance: Balance
    needs: Bounds
    documents: int = 0

    @property
    def fits(self) -> Literal["surely", "likely", "no"]:
        """Whether there is room for all of it, at most; for what is likely; or not even that."""
        left = self.balance.left
        if left is None or self.needs.at_most <= left:
            return "surely"
        return "likely" if self.needs.held <= left else "no"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What taking these sources in would cost now. Nothing was asked of anybody for it.

    `collection` is None where the files are not of one. `is_boundless` if real money has no limit
    yet, without which no work begins; `elapsed` is in seconds.
    """

    collection: str | None
    files: tuple[FileEstimate, ...]
    services: tuple[ServiceEstimate, ...]
    limits: tuple[LimitCheck, ...]
    is_boundless: bool
    elapsed: float

    @property
    def fits(self) -> Literal["surely", "likely", "no"]:
        """Whether every limit has room for it."""
        found = {limit.fits for limit in self.limits}
        if self.is_boundless or "no" in found:
            return "no"
        return "likely" if "likely" in found else "surely"


def pages_to_parse(appraisal: Appraisal, parse: Parse | None, max_pages: int) -> Bounds:
    """The pages that are still to be held, some of which may be ours or under way already."""
    counted, is_asked = appraisal.found.pages, parse is not None and is_under_way(parse)
    if counted is not None:
        pages = 0 if is_asked else min(counted, max_pages)
        return Bounds(pages, pages, pages)
    read_to = parse.read_to if parse else 0
    likely = min(appraisal.likely.pages, max_pages)
    if is_asked:
        read_to = part_after(read_to, max_pages)[-1]
    else:
        likely = max(likely, read_to)
    held_to = read_to
    while held_to <= likely and held_to < max_pages:
        held_to = part_after(held_to, max_pages)[-1]
    return Bounds(max(0, likely - read_to), held_to - read_to, max_pages - read_to)


def is_under_way(parse: Parse) -> bool:
    """Whether the vendor may have been asked for a part that is not ours yet."""
    return parse.status in ("submitting", "submitted", "completed")


def reading_of(parse: Parse | None, fingerprint: str, seen: set[str]) -> Reading:
    """How the text of a file that the parser reads is come by; the first of several pays for it.

    `seen` has the fingerprints of those before it, and has this one afterwards.
    """
    if parse is not None and parse.status == "stored":
        return "paid"
    if fingerprint in seen:
        return "shared"
    seen.add(fingerprint)
    return "under way" if parse is not None and is_under_way(parse) else "parsed"


def tokens_of_pages(appraisal: Appraisal, max_pages: int, chunking: ChunkingOptions) -> Bounds:
    """The tokens of a text that nobody has read yet."""
    likely, most = appraisal.likely, appraisal.found.pages or max_pages
    expected = likely.tokens * min(1, max_pages / likely.pages)
    at_most = repeated(min(most, max_pages) * MOST_TOKENS_OF_PAGE, chunking)
    expected = min(ceil(expected), at_most)
    return Bounds(expected, expected, at_most)


def repeated(tokens: int, chunking: ChunkingOptions) -> int:
    """At most so many tokens are in the passages of a text: some are in two of them.

    Of two neighbours, what is new in both fills a passage but for what they repeat.
    """
    size, overlap = chunking.max_tokens, chunking.overlap
    return ceil(tokens * (size + overlap) / (size - overlap))


def parse_cost(kind: str, options: ParseOptions, pages: Bounds, price: Price) -> Bounds:
    """By the pages of the tier; spreadsheets are held like that too, but billed by the sheet."""
    place = billed_at(options.origin, options.endpoint)
    cost = pages.priced(lambda number: price(LLAMAPARSE, Usage(options.tier, PAGES, number), place))
    if kind not in SHEETS:
        return cost
    sheets = Usage(CREDIT, MILLICREDITS, pages.expected * SHEET_MILLICREDITS)
    return Bounds(price(LLAMAPARSE, sheets, place), cost.held, cost.at_most)


def embed_cost(options: EmbeddingOptions, tokens: Bounds, price: Price) -> Bounds:
    place = billed_at(options.origin, options.endpoint)
    return tokens.priced(lambda number: price(OPENAI, Usage(options.model, TOKENS, number), place))
