"""`costs verify`: whether the books are right, and what is wrong with them."""

from collections.abc import Sequence

from rich.table import Table

from gristmill.amounts import dollars
from gristmill.cli.present import console, count, one_line, plain, print_json, tell_table
from gristmill.contract import Origin
from gristmill.costs.audit import Audit, Breach, Example
from gristmill.costs.explanations import amount, explanations, quantity
from gristmill.costs.reconcile import Comparison, Difference
from gristmill.library import Gristmill
from gristmill.library.verifying import Verification
from gristmill.settings.prices import MILLICREDITS
from gristmill.system import SIMULATOR

DIFFERING = 1  # the exit code


async def verify(*, as_json: bool) -> int:
    """Prints what was looked at and what differs; 0 only if nothing does."""
    async with Gristmill() as mill:
        found = await mill.verify_costs()
    if as_json:
        print_json(_json(found))
    else:
        _tell(found)
    return 0 if found.is_clean else DIFFERING


def _json(found: Verification) -> dict[str, object]:
    compared = [_plain(each) for each in found.comparisons]
    return {"clean": found.is_clean, "audit": found.audit, "comparisons": compared}


def _plain(compared: Comparison) -> dict[str, object]:
    facts = plain(compared)
    told = {"difference": compared.difference, "explanations": explanations(compared)}
    return {**facts.pop("account"), **facts, **told}


def _tell(found: Verification) -> None:
    _tell_audit(found.audit)
    for origin in (Origin.REAL, Origin.SIMULATED):
        _tell_bills([each for each in found.comparisons if each.account.origin is origin], origin)
    console.print("All of it agrees." if found.is_clean else "[red]It does not agree.[/]")


def _tell_audit(audit: Audit) -> None:
    size = f"{count(audit.entries, 'entry', 'entries')} of {count(audit.calls, 'call')}"
    verb = "do not add up" if audit.breaches else "add up"
    console.print(f"Journal: {size}, and {count(audit.balances, 'balance')}, {verb}.")
    for breach in audit.breaches:
        _tell_breach(breach)


def _tell_breach(breach: Breach) -> None:
    console.print(f"[red]{one_line(breach.rule)}:[/]", soft_wrap=True)
    for example in breach.examples:
        console.print(f"   {one_line(_example(example))}", soft_wrap=True)
    if breach.number > len(breach.examples):
        console.print(f"   and {breach.number - len(breach.examples):,} more")


def _example(example: Example) -> str:
    if example.says is None or example.journal is None:
        return example.what
    return f"{example.what}: {dollars(example.says)}, not {dollars(example.journal)}"


def _tell_bills(compared: Sequence[Comparison], origin: Origin) -> None:
    if not compared:
        return
    console.print(f"\nThe vendors' bills, {origin.value} money:")
    tell_table(_table([each for each in compared if each.vendor is not None]))
    for each in compared:
        _tell_explanations(each)
    console.print()


def _table(compared: Sequence[Comparison]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1))
    table.add_column("service")
    table.add_column("billed in", overflow="fold")
    for name in ("journal", "vendor", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in compared:
        sides = (quantity(number, each.unit) for number in (each.journal, each.vendor or 0))
        table.add_row(one_line(each.account.service), one_line(_unit(each)), *sides, _less(each))
    return table


def _unit(compared: Comparison) -> str:
    if compared.unit == MILLICREDITS:
        return "credits"
    return f"{compared.unit} of {compared.product}"


def _less(compared: Comparison) -> str:
    difference = compared.difference or 0
    sign = "+" if difference > 0 else "-" if difference < 0 else ""
    return sign + quantity(abs(difference), compared.unit)


def _tell_explanations(compared: Comparison) -> None:
    account = compared.account
    place = f" at {account.endpoint}" if account.endpoint != SIMULATOR else ""
    for told in explanations(compared):
        console.print(one_line(f"{account.service}{place}: {told}"), soft_wrap=True)
    for line in compared.differences:
        if line.reference:
            console.print(f"   {one_line(_line(line, compared.unit))}", soft_wrap=True)


def _line(line: Difference, unit: str) -> str:
    vendor = "nothing" if line.vendor is None else amount(line.vendor, unit)
    journal = "no call" if line.journal is None else amount(line.journal, unit)
    return f"{line.reference}: {vendor} billed, {journal} in the journal"
