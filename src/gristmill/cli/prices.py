"""`prices`: what calls cost, and where that is written."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from rich.table import Table

from gristmill.amounts import NANO
from gristmill.cli.present import console, one_line, print_json, tell_table
from gristmill.library import Gristmill
from gristmill.settings.prices import AMOUNTS, Price

# How vendors write it: dollars for so many of what a person would say.
_MANY: Final = dict(AMOUNTS.values())
_SAID: Final = {"millicredits": (1000, "credits")}


async def prices(*, as_json: bool) -> int:
    """Prints the table of prices with the sources of its rows."""
    found = Gristmill().prices
    if as_json:
        print_json({"version": found.version, "prices": found.prices})
        return 0
    sources = list(dict.fromkeys(map(_source, found.prices)))
    for host in sorted({price.host for price in found.prices}):
        if host:
            console.print(f"\nOnly at {one_line(host)}:", soft_wrap=True)
        tell_table(_table([price for price in found.prices if price.host == host], sources))
    console.print(f"\nThis table is version {one_line(found.version)}. Sources:", soft_wrap=True)
    for number, (source, read) in enumerate(sources, 1):
        console.print(f" {number}  {one_line(source)}", soft_wrap=True)
        console.print(f"    {one_line(read)}", soft_wrap=True)
    return 0


def _table(prices: Iterable[Price], sources: Sequence[tuple[str, str]]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1))
    table.add_column("service")
    table.add_column("product", overflow="fold")
    table.add_column("price", justify="right", no_wrap=True)
    table.add_column("for", no_wrap=True)
    table.add_column("source", justify="right", no_wrap=True)
    for price in prices:
        number = sources.index(_source(price)) + 1
        table.add_row(
            one_line(price.service), one_line(price.product), *_amount(price), f"{number}"
        )
    return table


def _source(price: Price) -> tuple[str, str]:
    """Where it is written, and when that was read."""
    read = f"read {price.date}, " if price.date else ""
    return price.source, f"{read}version {price.version}"


def _amount(price: Price) -> tuple[str, str]:
    """$0.02 for 1M tokens."""
    many = _MANY.get(price.unit, 1)
    whole, _, decimals = f"{Decimal(price.nano_dollars * many) / NANO:,f}".partition(".")
    said, unit = _SAID.get(price.unit, (many, price.unit))
    return f"${whole}.{decimals.rstrip('0'):0<2}", f"{said:,} {one_line(unit)}"
