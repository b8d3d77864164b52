"""Amounts of money as text, and back: whole nano-dollars inside, dollars outside."""

import re
from decimal import Decimal, InvalidOperation
from typing import Final

from gristmill.errors import InvalidArgument

NANO: Final = 10**9
_GROUPED: Final = re.compile(r"[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?")
MOST_DOLLARS: Final = 10**9  # beyond this an amount is a slip of the keyboard


def dollars(nano: int) -> str:
    """An exact amount: six decimals, nine where six would round. $0.000020, -$1.250000."""
    whole, rest = divmod(abs(nano), NANO)
    decimals = f"{rest // 1000:06}" if rest % 1000 == 0 else f"{rest:09}"
    return f"{'-' if nano < 0 else ''}${whole:,}.{decimals}"


def nano_dollars(text: str) -> int:
    """What a person means by "5", "$0.50" or "1e-3": an exact number of nano-dollars.

    Raises:
        InvalidArgument: it is no amount, negative, absurd, or finer than a nano-dollar.
    """
    try:
        amount = Decimal(_ungrouped(text.strip().removeprefix("$").strip()))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount <= MOST_DOLLARS:
        raise InvalidArgument(f"{text!r} is no amount in dollars, such as 5 or 0.50.")
    nano = amount * NANO
    if nano != int(nano):
        raise InvalidArgument(f"{text!r} is finer than a nano-dollar, $0.000000001.")
    return int(nano)


def _ungrouped(text: str) -> str:
    """Without the commas between thousands; any other comma may be meant as a point."""
    return text.replace(",", "") if _GROUPED.fullmatch(text) else text
