"""Amounts as people write them."""

import pytest

from gristmill.amounts import NANO, nano_dollars
from gristmill.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("5", 5 * NANO), ("$0.50", NANO // 2), ("1e-3", NANO // 1000), ("1,000", 1000 * NANO),
        ("$12,345.5", 12_345 * NANO + NANO // 2), (" $ 7 ", 7 * NANO), ("0", 0),
    ],
)  # fmt: skip
def test_an_amount_is_an_exact_number_of_nano_dollars(text, nano):
    assert nano_dollars(text) == nano


@pytest.mark.parametrize("text", ["0,50", "1.000,50", "1,00", "1,0000", ",5", "1,000,50", "5,"])
def test_a_comma_that_may_be_meant_as_a_point_is_refused(text):
    with pytest.raises(InvalidArgument, match="no amount in dollars"):
        nano_dollars(text)
