"""`costs`: what was spent, and on what."""

from typing import cast

from rich.table import Table

from gristmill.amounts import dollars
from gristmill.cli.present import console, one_line, print_json, tell_table
from gristmill.costs.report import CostLine, CostReport, Grouping
from gristmill.library import Gristmill


async def costs(by: str, *, as_json: bool) -> int:
    """Prints totals by service, day, collection or document."""
    async with Gristmill() as mill:
        report = await mill.costs(cast("Grouping", by))
    if as_json:
        print_json(report)
    elif report.lines:
        tell_table(_table(report))
    else:
        console.print("Nothing was spent yet.")
    return 0


def _table(report: CostReport) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1))
    table.add_column(report.by)
    table.add_column("origin")
    for name in ("calls", "billed", "bill unknown, at most"):
        table.add_column(name, justify="right")
    for line in report.lines:
        table.add_row(one_line(line.name or "questions"), *_amounts(line))
    for total in report.totals:
        table.add_row("[bold]total[/]", *_amounts(total))
    return table


def _amounts(line: CostLine) -> tuple[str, ...]:
    assumed = dollars(line.assumed) if line.assumed else ""
    return line.origin.value, f"{line.calls:,}", dollars(line.spent), assumed
