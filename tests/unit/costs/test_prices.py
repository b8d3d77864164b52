"""Prices: whole nano-dollars, dated, with a source each."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gristmill.contract import Usage
from gristmill.costs.prices import PRICES, Price, Prices, credit_usage, millicredits
from gristmill.errors import Misconfigured


@pytest.mark.parametrize(
    ("service", "usage", "nano_dollars"),
    [
        ("openai", Usage("text-embedding-3-small", "tokens", 1_000_000), 20_000_000),
        ("openai", Usage("text-embedding-3-large", "tokens", 1_000_000), 130_000_000),
        ("openai", Usage("text-embedding-ada-002", "tokens", 1_000_000), 100_000_000),
        ("llamaparse", Usage("fast", "pages", 1), 1_250_000),
        ("llamaparse", Usage("cost_effective", "pages", 1), 3_750_000),
        ("llamaparse", Usage("agentic", "pages", 1), 12_500_000),
        ("llamaparse", Usage("agentic_plus", "pages", 2), 112_500_000),
        ("llamaparse", Usage("credit", "millicredits", 1000), 1_250_000),
        ("anything", Usage.none(), 0),
    ],
)
def test_a_usage_costs_what_the_vendors_page_says(service, usage, nano_dollars):
    assert PRICES.cost(service, usage) == nano_dollars


@pytest.mark.parametrize(
    ("service", "usage"),
    [
        ("openai", Usage("brand-new", "tokens", 1)),
        ("openai", Usage("text-embedding-3-small", "pages", 1)),
        ("llamaparse", Usage("text-embedding-3-small", "tokens", 1)),
    ],
)
def test_what_has_no_price_is_refused_in_a_sentence(service, usage):
    with pytest.raises(Misconfigured, match=r"^\S+ of \w+ has no known price per \w+\.$") as caught:
        PRICES.cost(service, usage)
    assert caught.value.advice


def test_every_price_is_a_positive_whole_number_with_a_source():
    for price in PRICES.prices:
        assert type(price.nano_dollars) is int
        assert price.nano_dollars > 0
        assert price.source.startswith("https://")
        assert price.date <= price.version == PRICES.version


def test_a_table_with_two_prices_for_one_thing_is_no_table():
    price = Price("openai", "m", "tokens", 1, "https://vendor.test")
    with pytest.raises(ValueError, match="two prices"):
        Prices("2026-01-01", [price, price])


@given(st.decimals(min_value=0, max_value=10**12, allow_nan=False, allow_infinity=False))
@example(Decimal("0.0010000000000000000000000000000000000001"))
@example(Decimal("1E-999999"))
@example(Decimal("0E-999999"))
def test_a_bill_is_rounded_up_to_a_thousandth_of_a_credit_and_never_by_more(billed):
    whole = millicredits(billed)
    assert isinstance(whole, int)
    if billed.adjusted() < -1000:
        assert whole == (1 if billed else 0)
    else:
        assert 0 <= whole - Fraction(billed) * 1000 < 1


@given(st.floats(min_value=0, max_value=10**6, allow_nan=False))
@example(0.1)
@example(4.35)
def test_a_vendors_float_counts_as_it_is_written(billed):
    written = Decimal(repr(billed))
    assert 0 <= millicredits(written) - Fraction(written) * 1000 < 1


def test_a_float_that_is_written_exactly_is_not_rounded():
    assert credit_usage(Decimal(repr(0.1))) == Usage("credit", "millicredits", 100)
    assert credit_usage(Decimal(repr(4.35))).quantity == 4350


@pytest.mark.parametrize("billed", ["-0.001", "NaN", "Infinity", "-Infinity", "1E+999999"])
def test_what_is_no_bill_is_refused(billed):
    with pytest.raises(ValueError, match="no bill"):
        millicredits(Decimal(billed))
