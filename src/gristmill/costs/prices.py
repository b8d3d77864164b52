"""What things cost: a dated table of whole nano-dollars, with the source of each line.

A change of a vendor's price is a new table with a new version, never an edit of an old one: each
journal entry names the version that priced it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from gristmill.contract import Usage
from gristmill.errors import Misconfigured

CREDIT: Final = 1_250_000  # nano-dollars: 1,000 credits of LlamaCloud are $1.25
CREDIT_PRODUCT: Final = "credit"
CREDIT_UNIT: Final = "millicredits"
_MOST_CREDITS: Final = 10**12  # beyond this a bill is no bill

_OPENAI: Final = "https://developers.openai.com/api/docs/pricing (embeddings, not batch)"
_LLAMAPARSE: Final = "https://www.llamaindex.ai/pricing, read 2026-10-07"


@dataclass(frozen=True, slots=True)
class Price:
    """`nano_dollars` for one `unit` of one product, and where that is written."""

    service: str
    product: str
    unit: str
    nano_dollars: int
    source: str


class Prices:
    """A table of prices. `version` is the day it was read; it never changes."""

    def __init__(self, version: str, prices: Iterable[Price]) -> None:
        self.version = version
        self.prices = tuple(prices)
        self._table = {(each.service, each.product, each.unit): each for each in self.prices}
        if len(self._table) != len(self.prices):
            raise ValueError("a product with two prices")

    def cost(self, service: str, usage: Usage) -> int:
        """What `usage` costs, in nano-dollars.

        Raises:
            Misconfigured: the table has no price for it.
        """
        if usage.is_free:
            return 0
        price = self._table.get((service, usage.product, usage.unit))
        if price is None:
            raise Misconfigured(
                f"{usage.product} of {service} has no known price per {usage.unit}.",
                advice="Choose a model or tier of the price table; no paid call is made blind.",
            )
        return price.nano_dollars * usage.quantity


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
    return Usage(product=CREDIT_PRODUCT, unit=CREDIT_UNIT, quantity=millicredits(billed))


def _tokens(model: str, nano_dollars: int) -> Price:
    return Price("openai", model, "tokens", nano_dollars, _OPENAI)


def _pages(tier: str, credits_per_page: int) -> Price:
    return Price("llamaparse", tier, "pages", credits_per_page * CREDIT, _LLAMAPARSE)


PRICES: Final = Prices(
    "2026-10-07",
    (
        _tokens("text-embedding-3-small", 20),
        _tokens("text-embedding-3-large", 130),
        _tokens("text-embedding-ada-002", 100),
        _pages("fast", 1),
        _pages("cost_effective", 3),
        _pages("agentic", 10),
        _pages("agentic_plus", 45),
        Price("llamaparse", CREDIT_PRODUCT, CREDIT_UNIT, CREDIT // 1000, _LLAMAPARSE),
    ),
)
