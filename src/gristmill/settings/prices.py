"""The file of one's own prices, and where the published ones hold.

    version = "2026-11"                 names these prices in the journal
    source = "our contract, page 4"     where they are written; a price may name its own
    date = 2026-11-20                   when that was read; may be left out

    [[price]]
    service = "openai"
    product = "text-embedding-3-small"
    host = "ours.openai.azure.com"      the address that it holds at; without it the vendor's own
    dollars_per_million_tokens = "0.022"

The amount is one of the `AMOUNTS`, or whole `nano_dollars` for one `unit`. Dollars are text, since
a float is not the number that was written.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from gristmill.amounts import nano_dollars

OPENAI: Final = "openai"
LLAMAPARSE: Final = "llamaparse"
CREDIT: Final = "credit"
TOKENS: Final = "tokens"
PAGES: Final = "pages"
MILLICREDITS: Final = "millicredits"

# Sources: the vendors' price pages; that of LlamaCloud names one price for both regions.
PUBLISHED_HOSTS: Final[Mapping[str, tuple[str, ...]]] = {
    OPENAI: ("api.openai.com",),
    LLAMAPARSE: ("api.cloud.llamaindex.ai", "api.cloud.eu.llamaindex.ai"),
}
UNITS: Final[Mapping[str, tuple[str, ...]]] = {
    OPENAI: (TOKENS,),
    LLAMAPARSE: (PAGES, MILLICREDITS),
}
# The unit that each is for, and how many of it.
AMOUNTS: Final[Mapping[str, tuple[str, int]]] = {
    "dollars_per_million_tokens": (TOKENS, 10**6),
    "dollars_per_thousand_pages": (PAGES, 10**3),
    "dollars_per_thousand_credits": (MILLICREDITS, 10**6),
}
MOST_NANO_DOLLARS: Final = 10**12  # $1,000 for a token or a page is a slip of the keyboard
LONGEST: Final = 200  # characters of a name
LONGEST_ECHO: Final = 40

_OF_FILE: Final = {"version", "source", "date", "price"}
_OF_PRICE: Final = {"service", "product", "host", "source", "unit", "nano_dollars", *AMOUNTS}
_HOST: Final = re.compile(r"[a-z0-9.-]+(:\d+)?|\[[0-9a-f:.]+\](:\d+)?")


@dataclass(frozen=True, slots=True)
class Price:
    """`nano_dollars` for one `unit` of one product, and where and when that was read.

    It holds at `host`, or where that is empty at the vendor's own addresses. `version` is that of
    the table or file that it is from, `date` is ISO 8601, empty where nobody has said.
    """

    service: str
    product: str
    unit: str
    nano_dollars: int
    source: str
    version: str = ""
    date: str = ""
    host: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What there is one price for."""
        return self.service, self.product, self.unit, self.host


@dataclass(frozen=True, slots=True)
class PriceFile:
    """One's own prices, which go before the published ones."""

    path: Path
    version: str
    prices: tuple[Price, ...]

    def __str__(self) -> str:
        return str(self.path)


def host_of(address: str) -> str:
    """The host of an address, or of a host with its port; https's own port is none."""
    place = urlsplit(address).netloc if "://" in address else address
    return place.lower().removesuffix(":443")


def read_prices(path: Path) -> PriceFile:
    """Reads and checks a file of prices.

    Raises:
        ValueError: with all that is wrong in it, in sentences.
    """
    given = _loaded(path)
    problems = list(_wrong_in_file(given))
    prices: list[Price] = []
    for number, entry in enumerate(given.get("price", ()) if not problems else (), 1):
        try:
            prices.append(_price(entry, given))
        except ValueError as error:
            problems.append(f"Price {number}{_called(entry)}: {error}")
    problems = problems or list(_wrong_together(prices))
    if problems:
        raise ValueError(" ".join(problems))
    return PriceFile(path, given["version"], tuple(prices))


def _loaded(path: Path) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 — most runs have no such file

    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ValueError(f"It cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ValueError("It cannot be read: it is not UTF-8 text.") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"It is no TOML: {error}.") from None


def _wrong_in_file(given: Mapping[str, Any]) -> Iterator[str]:
    if unknown := sorted(set(given) - _OF_FILE):
        yield f"There is no {_shown(unknown[0])}; there are {_listed(_OF_FILE)}."
    for name in ("version", "source"):
        if not _is_name(given.get(name)):
            yield f"It has no {name}, which is text of 1 to {LONGEST} characters."
    if type(given.get("date", date.min)) is not date:
        yield "Its date is none, such as 2026-11-20 without quotation marks."
    if not _is_tables(given.get("price")):
        yield "It has no price: each begins with [[price]]."


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _price(entry: Mapping[str, Any], file: Mapping[str, Any]) -> Price:
    if unknown := sorted(set(entry) - _OF_PRICE):
        raise ValueError(f"There is no {_shown(unknown[0])}; there are {_listed(_OF_PRICE)}.")
    service, product, host = _text(entry, "service"), _text(entry, "product"), _host(entry)
    unit, amount = _amount(entry)
    if service not in UNITS and not host:
        raise ValueError(
            f"There is no service {_shown(service)}; there are {_listed(UNITS)}. Another one's"
            " prices need the host that it is at."
        )
    if unit not in UNITS.get(service, (unit,)):
        raise ValueError(f"{service} is billed by {' and '.join(UNITS[service])}; not by {unit}.")
    if unit == MILLICREDITS and product != CREDIT:
        raise ValueError(f"Credits are the product {CREDIT}.")
    return Price(
        service=service,
        product=product,
        unit=unit,
        nano_dollars=amount,
        source=_text({"source": file["source"]} | dict(entry), "source"),
        version=file["version"],
        date=str(file.get("date", "")),
        host=host,
    )


def _host(entry: Mapping[str, Any]) -> str:
    if "host" not in entry:
        return ""
    host = host_of(_text(entry, "host"))
    if not _HOST.fullmatch(host):
        raise ValueError("Its host is none, such as ours.openai.azure.com or 10.0.0.5:8080.")
    return host


def _amount(entry: Mapping[str, Any]) -> tuple[str, int]:
    """The unit, and the nano-dollars for one of it."""
    given = [name for name in ("nano_dollars", *AMOUNTS) if name in entry]
    if len(given) != 1:
        raise ValueError(f"It needs one amount: {_listed(('nano_dollars', *AMOUNTS))}.")
    (name,) = given
    if name == "nano_dollars":
        return _text(entry, "unit"), _whole(entry[name])
    if "unit" in entry:
        raise ValueError(f"{name} says the unit already.")
    unit, many = AMOUNTS[name]
    return unit, _each(entry[name], many)


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MOST_NANO_DOLLARS:
        raise ValueError(
            f"nano_dollars is {_shown(value)}, no whole number from 0 to {MOST_NANO_DOLLARS}."
        )
    return value


def _each(value: object, many: int) -> int:
    """What one costs where so many cost so many dollars: exactly, or refused."""
    if type(value) not in (int, str):
        raise ValueError(f'Dollars are exact as text, such as "0.02"; this is {_shown(value)}.')
    each, rest = divmod(nano_dollars(str(value)), many)
    if rest:
        raise ValueError(f"${value} for {many:,} is no whole number of nano-dollars for one.")
    return _whole(each)


def _wrong_together(prices: list[Price]) -> Iterator[str]:
    counted = Counter(price.key for price in prices)
    for (service, product, unit, host), count in counted.items():
        if count > 1:
            place = f" at {host}" if host else ""
            yield f"There are {count} prices of {service} {_shown(product)} per {unit}{place}."
    priced = {(price.host, price.unit) for price in prices if price.service == LLAMAPARSE}
    for host in sorted({host for host, _ in priced if host not in _own_hosts(LLAMAPARSE)}):
        if (host, MILLICREDITS) not in priced:
            yield f"{LLAMAPARSE} bills in credits, and there is no price of them at {host}."


def _own_hosts(service: str) -> tuple[str, ...]:
    return ("", *PUBLISHED_HOSTS[service])


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    if not _is_name(value):
        raise ValueError(f"It has no {name}, which is text of 1 to {LONGEST} characters.")
    return str(value)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST and value.isprintable()


def _called(entry: Mapping[str, Any]) -> str:
    names = [entry[name] for name in ("service", "product") if _is_name(entry.get(name))]
    return f" ({' '.join(names)})" if names else ""


def _shown(value: object) -> str:
    return repr(value)[:LONGEST_ECHO]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
