"""What things cost: a dated table of whole nano-dollars, with the source of each line.

A change of a vendor's price is a new table with a new version, never an edit of an old one: each
journal entry names the version that priced it. Published prices hold at the vendors' own addresses;
another address has those that a person has given in a file.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from gristmill.contract import Origin, Usage
from gristmill.errors import Misconfigured
from gristmill.settings.prices import (
    CREDIT,
    LLAMAPARSE,
    MILLICREDITS,
    OPENAI,
    PAGES,
    PUBLISHED_HOSTS,
    TOKENS,
    Price,
    PriceFile,
    host_of,
)

# Credits of LlamaCloud for a page. A credit is $0.00125: 1,000 of them are $1.25.
CREDITS: Final = {"fast": 1, "cost_effective": 3, "agentic": 10, "agentic_plus": 45}
_MOST_CREDITS: Final = 10**12  # beyond this a bill is no bill

_VERSION: Final = "2026-11-23"
_OPENAI: Final = "https://developers.openai.com/api/docs/pricing (embeddings, not batch)"
_LLAMAPARSE: Final = "https://www.llamaindex.ai/pricing"


class Prices:
    """A table of prices. `version` names it as it is, and never stands for another one."""

    def __init__(self, version: str, prices: Iterable[Price]) -> None:
        self.version = version
        self.prices = tuple(prices)
        self._table = {each.key: each for each in self.prices}
        if len(self._table) != len(self.prices):
            raise ValueError("a product with two prices")

    def cost(self, service: str, usage: Usage, endpoint: str | None = None) -> int:
        """What `usage` costs at an address, in nano-dollars.

        None is the vendor's own address, which is also what simulators bill by.

        Raises:
            Misconfigured: the table has no price for it there.
        """
        if usage.is_free:
            return 0
        host = "" if endpoint is None else host_of(endpoint)
        price = self._price(service, usage, host)
        if price is None:
            place = f" at {host}" if host else ""
            raise Misconfigured(
                f"{usage.product} of {service} has no known price per {usage.unit}{place}.",
                advice="No paid call is made blind: choose what gristmill prices lists, or give its"
                " price in the file of GRISTMILL_PRICES_FILE.",
            )
        return price.nano_dollars * usage.quantity

    def _price(self, service: str, usage: Usage, host: str) -> Price | None:
        own = (service, usage.product, usage.unit)
        price = self._table.get((*own, host))
        if price is None and host in PUBLISHED_HOSTS.get(service, ()):
            return self._table.get((*own, ""))
        return price


def billed_at(origin: Origin, endpoint: str) -> str | None:
    """The address whose prices count: a simulator bills as the vendor's own address does."""
    return endpoint if origin is Origin.REAL else None


def table(file: PriceFile | None) -> Prices:
    """The published prices, and before them those of a file."""
    if file is None:
        return PRICES
    prices = {price.key: price for price in (*PRICES.prices, *_with_tiers(file.prices))}
    return Prices(f"{PRICES.version}+{file.version}", prices.values())


def _with_tiers(prices: Sequence[Price]) -> Iterator[Price]:
    """The price of a page follows from that of a credit, where nobody has given it."""
    for price in prices:
        if (price.service, price.unit) == (LLAMAPARSE, MILLICREDITS):
            for tier, credit in CREDITS.items():
                page = price.nano_dollars * 1000 * credit
                yield replace(price, product=tier, unit=PAGES, nano_dollars=page)
    yield from prices


def millicredits(billed: Decimal) -> int:
    """A bill in credits as thousandths of a credit, rounded up: never less than was billed.

    Raises:
        ValueError: negative, not finite, or beyond all sense.
    """
    if not billed.is_finite() or not 0 <= billed <= _MOST_CREDITS:
        raise ValueError(f"{billed} credits are no bill")
    if billed.adjusted() < -3:  # a tiny exponent would make a giant denominator below
        return int(billed > 0)
    numerator, denominator = billed.as_integer_ratio()
    return -(-numerator * 1000 // denominator)


def credit_usage(billed: Decimal) -> Usage:
    """The bill of a parse as usage."""
    return Usage(product=CREDIT, unit=MILLICREDITS, quantity=millicredits(billed))


def _tokens(model: str, nano_dollars: int) -> Price:
    return Price(OPENAI, model, TOKENS, nano_dollars, _OPENAI, _VERSION, "2026-11-23")


def _llamaparse(product: str, unit: str, nano_dollars: int) -> Price:
    return Price(LLAMAPARSE, product, unit, nano_dollars, _LLAMAPARSE, _VERSION, "2026-10-07")


PRICES: Final = Prices(
    _VERSION,
    (
        _tokens("text-embedding-3-small", 20),
        _tokens("text-embedding-3-large", 130),
        _tokens("text-embedding-ada-002", 100),
        *_with_tiers([_llamaparse(CREDIT, MILLICREDITS, 1_250)]),
    ),
)
