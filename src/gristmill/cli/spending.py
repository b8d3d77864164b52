"""`costs`: what was spent, and on what."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import PurePath
from typing import Final, cast

from rich.table import Table

from gristmill.amounts import NANO
from gristmill.cli.present import aligned, console, one_line, print_json, short, tell_table
from gristmill.costs.report import CostLine, CostReport, Grouping, Since
from gristmill.errors import InvalidArgument
from gristmill.library import Gristmill
from gristmill.telemetry.printable import printable

TITLE: Final = 26  # columns for the name of a file
BILLED: Final = "billed"
UNKNOWN: Final = "not yet, at most"

_HOURS: Final = {"h": 1, "d": 24, "w": 168}
_LONGEST: Final = 100_000  # days


@dataclass(frozen=True, slots=True)
class Form:
    """How it is to be printed."""

    csv: bool = False
    json: bool = False


async def show(by: str, since: str | None, form: Form) -> int:
    """Prints totals by service, day, collection, document or model."""
    if form.csv and form.json:
        raise InvalidArgument("Choose --csv or --json.")
    moment = None if since is None else parsed_since(since)
    async with Gristmill() as mill:
        report = await mill.costs(cast("Grouping", by), since=moment)
    if form.json:
        print_json(report)
    elif form.csv:
        csv.writer(console.file, lineterminator="\n").writerows(_rows(report))
    else:
        _tell(report)
    return 0


def parsed_since(text: str) -> Since:
    """What a person means by 2026-11-01, 24h, 7d or 4w; days begin in UTC.

    Raises:
        InvalidArgument: it is neither.
    """
    if found := re.fullmatch(r"(\d{1,6})([hdw])", text.strip().lower()):
        hours = int(found[1]) * _HOURS[found[2]]
        if hours <= _LONGEST * 24:
            return timedelta(hours=hours)
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        raise InvalidArgument(
            f"{text!r} is neither a date such as 2026-11-01 nor a time such as 24h, 7d or 4w."
        ) from None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _tell(report: CostReport) -> None:
    since = "" if report.since is None else f" since {report.since.astimezone(UTC):%Y-%m-%d %H:%M}"
    if not report.lines:
        console.print(f"Nothing was spent{since}." if since else "Nothing was spent yet.")
        return
    tell_table(_table(report))
    if since:
        console.print(f"[dim]{since.strip().capitalize()} UTC.[/]")


def _table(report: CostReport) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1))
    columns = {name: cells for name, cells in _columns(report).items() if any(cells)}
    for name in columns:
        is_number = name in ("calls", BILLED, UNKNOWN)
        table.add_column(name, justify="right" if is_number else "left", no_wrap=name != report.by)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def _columns(report: CostReport) -> dict[str, list[str]]:
    """The cells of each column; one with nothing in it need not be shown."""
    lines, totals = (*report.lines, *report.totals), len(report.totals)
    names = [one_line(line.name or f"(no {report.by})") for line in report.lines]
    unknown = aligned([line.assumed for line in lines])
    return {
        report.by: names + ["[bold]total[/]"] * totals,
        "file": [_title(line) for line in lines],
        "money": [line.origin.value for line in lines],
        "calls": [f"{line.calls:,}" for line in lines],
        BILLED: aligned([line.spent for line in lines]),
        UNKNOWN: [text if line.assumed else "" for text, line in zip(unknown, lines, strict=True)],
    }


def _title(line: CostLine) -> str:
    name = PurePath(line.title or "").name
    return one_line(short(name, TITLE) if console.is_terminal else name)


def _rows(report: CostReport) -> Iterator[tuple[object, ...]]:
    """The header and the lines; no totals, which a spreadsheet would add once more."""
    titles = ("source",) if report.by == "document" else ()
    amounts = ("billed_nano_dollars", "billed_dollars", "unknown_nano_dollars", "unknown_dollars")
    yield (report.by, *titles, "origin", "calls", *amounts)
    for line in report.lines:
        names = (line.name, line.title) if titles else (line.name,)
        known, unknown = (_exact(amount) for amount in (line.spent, line.assumed))
        yield (*map(_cell, names), line.origin.value, line.calls, *known, *unknown)


def _exact(nano: int) -> tuple[int, str]:
    return nano, f"{nano // NANO}.{nano % NANO:09}"


def _cell(text: str | None) -> str:
    """Text that no spreadsheet takes for a formula."""
    shown = printable(text or "")
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown
