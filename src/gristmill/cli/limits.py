"""`budget`: limits, what is left of them, and setting them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, get_args

from rich.progress_bar import ProgressBar
from rich.table import Table

from gristmill.amounts import dollars, nano_dollars
from gristmill.cli.present import ago, console, count, one_line, print_json, tell_table
from gristmill.contract import Origin
from gristmill.costs.budgets import Balance, Limit, Scope
from gristmill.errors import InvalidArgument
from gristmill.library import Gristmill
from gristmill.settings.budget import Period, amount_per_period

BAR: Final = 16  # columns
ROWS: Final = 40  # limits that are shown

_STYLES: Final = {0: "green", 50: "cyan", 80: "yellow", 100: "red"}


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of `budget set` as they were given."""

    daily: str | None = None
    monthly: str | None = None
    total: str | None = None
    service: tuple[str, ...] = ()
    collection: tuple[str, ...] = ()
    document: str | None = None
    no_limit: bool = False

    def limits(self) -> Iterator[Limit]:
        """The limits that they mean.

        Raises:
            InvalidArgument: one makes no sense.
        """
        amounts: dict[Period, str | None] = {
            "day": self.daily, "month": self.monthly, "total": self.total,
        }  # fmt: skip
        for period, amount in amounts.items():
            if amount is not None:
                yield Limit("global", period, nano_dollars(amount))
        for text in self.service:
            yield _named("service", text)
        for text in self.collection:
            yield _named("collection", text)
        if self.document is not None:
            yield _named("document", self.document, period="total")
        if self.no_limit:
            yield Limit("global", "total", None)


async def show(*, as_json: bool) -> int:
    """Prints every limit with what is left of it."""
    async with Gristmill() as mill:
        balances = await mill.budget()
    if as_json:
        print_json({"limits": [balance_json(balance) for balance in balances]})
    elif balances:
        tell_table(_table(balances))
        _tell_overruns(balances)
    else:
        console.print("No limit is set. Set one:  gristmill budget set --daily 5")
    return 0


async def set_limits(asked: Asked, origin: str | None, *, as_json: bool) -> int:
    """Sets limits, then shows them all."""
    limits = list(asked.limits())
    if not limits:
        raise InvalidArgument("No limit is given. For example:  gristmill budget set --daily 5")
    async with Gristmill() as mill:
        await mill.set_budget(*limits, origin=_origin(origin))
    return await show(as_json=as_json)


async def clear(names: list[str], origin: str | None, *, as_json: bool) -> int:
    """Removes limits, then shows the others."""
    limits = [_cleared(name) for name in names]
    async with Gristmill() as mill:
        for name, (scope, period, key) in zip(names, limits, strict=True):
            if not await mill.clear_budget(scope, period, key, origin=_origin(origin)):
                raise InvalidArgument(f"There is no limit {name!r}; gristmill budget lists them.")
    return await show(as_json=as_json)


def balance_json(balance: Balance) -> dict[str, object]:
    """All of it, and what is left."""
    names = Balance.__dataclass_fields__
    return {name: getattr(balance, name) for name in names} | {"left": balance.left}


def _origin(given: str | None) -> Origin | None:
    if given is None:
        return None
    if given not in (Origin.REAL, Origin.SIMULATED):
        raise InvalidArgument(f"Money is real or simulated; not {given!r}.")
    return Origin(given)


def _named(scope: Scope, text: str, *, period: Period | None = None) -> Limit:
    """What openai=2/day means; without a name it is for each of its kind."""
    key, equals, amount = text.rpartition("=")
    if equals and not key.strip():
        raise InvalidArgument(f"{text!r} has no name before the equals sign.")
    if period is not None and "/" not in amount:
        return Limit(scope, period, nano_dollars(amount), key.strip())
    nano, spelled = amount_per_period(amount)
    return Limit(scope, spelled, nano, key.strip())


def _cleared(name: str) -> tuple[Scope, Period, str]:
    """What service=openai/day and global/day mean."""
    whose, _, period = name.rpartition("/")
    scope, _, key = whose.partition("=")
    for known in get_args(Scope):
        for span in get_args(Period):
            if (scope, period) == (known, span):
                return known, span, key
    raise InvalidArgument(
        f"{name!r} names no limit; they are called as in global/day, service=openai/day,"
        " collection=papers/month and document/total."
    )


def _table(balances: list[Balance]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1))
    table.add_column("limit")
    table.add_column("money")
    for name in ("of", "spent", "held", "left"):
        table.add_column(name, justify="right")
    table.add_column("")
    table.add_column("begins anew")
    for balance in balances[:ROWS]:
        table.add_row(one_line(balance.name), balance.origin.value, *_amounts(balance))
    if len(balances) > ROWS:
        table.add_row(f"[dim]and {count(len(balances) - ROWS, 'other')}; --json has more[/]")
    return table


def _amounts(balance: Balance) -> tuple[str | ProgressBar, ...]:
    if balance.limit is None or balance.left is None:
        return "none, on purpose", "", "", "", "", ""
    amounts = (balance.limit, balance.spent, balance.held, balance.left)
    ends = "" if balance.window_end is None else ago(balance.window_end)
    return *(dollars(amount) for amount in amounts), _bar(balance, balance.limit), ends


def _bar(balance: Balance, limit: int) -> ProgressBar | str:
    if not console.is_terminal:
        used = balance.spent + balance.held
        return f"{100 * used / limit:.0f} %" if limit else "100 %"
    style = _STYLES[balance.alerted]
    return ProgressBar(
        total=max(1, limit),
        completed=balance.spent + balance.held,
        width=BAR,
        complete_style=style,
        finished_style="red",
    )


def _tell_overruns(balances: list[Balance]) -> None:
    for balance in balances:
        if balance.overrun:
            console.print(
                f"[red]{one_line(balance.name)} is overrun by {dollars(balance.overrun)}:[/] the"
                " limit was lowered, or a vendor billed more than its price; nothing new leaves.",
                soft_wrap=True,
            )
