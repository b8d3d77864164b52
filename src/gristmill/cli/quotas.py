"""`limits`: the vendors' rate limits, and who waits for them."""

from collections.abc import Sequence
from itertools import groupby

from rich.table import Table

from gristmill.cli.present import ago, console, count, one_line, print_json, tell_table
from gristmill.library import Gristmill
from gristmill.library.standing import CallsAtOnce, QuotaReport
from gristmill.quotas.report import Allowance, RateLimitUse

_PERIODS = {1.0: "s", 60.0: "min", 3600.0: "h", 86_400.0: "day"}


async def limits(*, as_json: bool) -> int:
    """Prints every rate limit: what is known of it, what was used, when a turn comes."""
    async with Gristmill() as mill:
        report = await mill.limits()
    if as_json:
        print_json(_as_json(report))
    else:
        _tell(report)
    return 0


def _as_json(report: QuotaReport) -> dict[str, object]:
    names = RateLimitUse.__dataclass_fields__
    limits = [
        {name: getattr(use, name) for name in (*names, "per_minute", "share")}
        for use in report.rate_limits
    ]
    return {"limits": limits, "at_once": report.at_once, "unlimited": report.unlimited}


def _tell(report: QuotaReport) -> None:
    if report.rate_limits:
        tell_table(_table(report.rate_limits))
    for service in report.unlimited:
        console.print(f" [dim]{service}: no limit is set or told[/]", soft_wrap=True)
    for each in report.at_once:
        console.print(f" [dim]{_at_once(each)}[/]", soft_wrap=True)


def _at_once(each: CallsAtOnce) -> str:
    said = f"{each.service}: {count(each.at_once, 'call')} at once"
    return f"{said}, {each.waiting:,} more wait" if each.waiting else said


def _table(uses: Sequence[RateLimitUse]) -> Table:
    """A row for each limit; the service stands in the first of its rows."""
    table = Table(box=None, header_style="dim", padding=(0, 1))
    table.add_column("service")
    table.add_column("limit", no_wrap=True)
    for name in ("set to", "told by the vendor", "last minute", "next turn", "waiting"):
        table.add_column(name, justify="right")
    for (service, pool), group in groupby(uses, lambda use: (use.service, use.pool)):
        named = f"{service} {pool}".strip()
        for number, use in enumerate(group):
            table.add_row("" if number and console.is_terminal else one_line(named), *_cells(use))
    return table


def _cells(use: RateLimitUse) -> tuple[str, ...]:
    return (
        one_line(use.name),
        "" if use.set_to is None else allowance(use.set_to),
        _told(use),
        f"{use.used:,.0f}, {_share(use)}",
        _next_turn(use),
        f"{use.waiting:,}" if use.waiting else "",
    )


def allowance(allowed: Allowance) -> str:
    """20/min, 1,000,000/min, 60/90 s."""
    period = _PERIODS.get(allowed.seconds, f"{allowed.seconds:g} s")
    return f"{allowed.amount:,.0f}/{period}"


def _told(use: RateLimitUse) -> str:
    if use.told is None:
        return ""
    when = "" if use.told_at is None else f", {ago(use.told_at)}"
    return f"{allowance(use.told)}{when}"


def _share(use: RateLimitUse) -> str:
    style = "red" if use.share > 1 else "yellow" if use.share > 0.8 else "green"
    return f"[{style}]{100 * use.share:.0f} %[/]"


def _next_turn(use: RateLimitUse) -> str:
    if use.paused:
        return f"[yellow]paused, {use.paused:.0f} s[/]"
    return f"in {use.next_turn:.1f} s" if use.next_turn >= 0.05 else "now"
