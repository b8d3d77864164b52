"""How fast a service may be asked, as one setting: `20/minute`, `500 requests/minute`, `none`."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

NO_LIMIT: Final = "none"
Unit = Literal["requests", "tokens"]

_SECONDS: Final = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86_400.0}


@dataclass(frozen=True, slots=True)
class RateLimitSetting:
    """`amount` of `unit` in `seconds`."""

    unit: Unit
    amount: int
    seconds: float


def checked_rate(given: str) -> str:
    """The setting as it is written; raises ValueError where it makes no sense."""
    rates_of(given)
    return given.strip().lower()


def rates_of(given: str) -> tuple[RateLimitSetting, ...]:
    """What it means. Nothing given is nothing said, and `none` is no limit.

    Raises:
        ValueError: it makes no sense.
    """
    text = given.strip().lower()
    if text == NO_LIMIT:
        return ()
    rates = tuple(_rate(part.strip()) for part in text.split(",") if part.strip())
    if len({rate.unit for rate in rates}) < len(rates):
        raise ValueError("There are two limits for one unit.")
    return rates


def _rate(text: str) -> RateLimitSetting:
    amount, _, period = text.partition("/")
    number, _, named = amount.strip().replace("_", "").partition(" ")
    if period.strip() not in _SECONDS:
        raise ValueError(f"{text!r} does not say whether it is for a {', '.join(_SECONDS)}.")
    if not (number.isascii() and number.isdecimal() and int(number) > 0):
        raise ValueError(f"{text!r} does not begin with a whole number above 0.")
    for unit in get_args(Unit):
        if named.strip() in (unit, unit.removesuffix("s"), "" if unit == "requests" else unit):
            return RateLimitSetting(unit, int(number), _SECONDS[period.strip()])
    raise ValueError(f"{text!r} counts neither requests nor tokens.")
