"""The limit of all spending as one setting: `5/day`, `5/day,100/month`, or `none`."""

from typing import Final, Literal, get_args

from gristmill.amounts import nano_dollars
from gristmill.errors import InvalidArgument

NO_LIMIT: Final = "none"
Period = Literal["day", "month", "total"]


def checked_budget(given: str) -> str:
    """The setting as it is written; raises ValueError where it makes no sense."""
    limits_of(given)
    return given.strip().lower()


def limits_of(given: str) -> dict[Period, int | None]:
    """Nano-dollars by period; None is no limit, on purpose. Nothing given is nothing said.

    Raises:
        ValueError: it makes no sense.
    """
    text = given.strip().lower()
    if text == NO_LIMIT:
        return {"total": None}
    limits: dict[Period, int | None] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        amount, period = amount_per_period(part)
        if period in limits:
            raise ValueError(f"There are two limits for {period}.")
        limits[period] = amount
    return limits


def amount_per_period(text: str) -> tuple[int, Period]:
    """What `5/day` means, in nano-dollars.

    Raises:
        InvalidArgument: it makes no sense; a ValueError as well.
    """
    amount, _, period = (piece.strip().lower() for piece in text.partition("/"))
    for known in get_args(Period):
        if period == known:
            return nano_dollars(amount), known
    raise InvalidArgument(f"{text!r} does not say whether it is for a day, a month or in total.")
