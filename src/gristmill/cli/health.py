"""`health`: how the services do, once or for as long as somebody watches."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table

from gristmill.amounts import NANO
from gristmill.cli.present import ago, console, count, escape, one_line, print_json, tell_table
from gristmill.contract import Status
from gristmill.errors import DatabaseUnavailable, InvalidArgument
from gristmill.health.heard import CLOSED
from gristmill.health.report import ServiceReport
from gristmill.health.snapshots import HealthChange
from gristmill.library import Gristmill

WATCH_SECONDS: Final = 1.0
CHANGES: Final = 8  # of the last day that are shown
WIDE: Final = 100  # columns from which on all of them are shown

STYLES: Final[Mapping[Status, str]] = {
    Status.HEALTHY: "green",
    Status.DEGRADED: "yellow",
    Status.UNKNOWN: "yellow",
    Status.UNCONFIGURED: "red",
    Status.UNHEALTHY: "red",
}

Reports = Mapping[str, ServiceReport]


async def health(service: str | None, *, watch: bool, as_json: bool) -> int:
    """Prints how each service does, or one; 0 only if all are healthy."""
    if watch and as_json:
        raise InvalidArgument("--watch is for people and --json for machines: choose one.")
    async with Gristmill() as mill:
        reports = _chosen(await mill.health(), service)
        if watch:
            await _watch(mill, service)
        changes = _of(await mill.health_changes(), reports)
    if as_json:
        print_json({"services": reports, "changes": changes})
    else:
        _tell(reports, changes)
    return 0 if all(each.status is Status.HEALTHY for each in reports.values()) else 1


def _chosen(reports: Reports, service: str | None) -> Reports:
    if service is None:
        return reports
    if service not in reports:
        raise InvalidArgument(f"There is no service {service!r}; there are: {', '.join(reports)}.")
    return {service: reports[service]}


def _of(changes: Sequence[HealthChange], reports: Reports) -> list[HealthChange]:
    """Those of these services where they are used now."""
    places = {(name, each.endpoint) for name, each in reports.items()}
    return [change for change in changes if (change.service, change.endpoint) in places]


async def _watch(mill: Gristmill, service: str | None) -> None:
    """Redraws each second until Ctrl-C; where nobody looks, tells what changes."""
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(await _screen(mill, service), refresh=True)
                await asyncio.sleep(WATCH_SECONDS)
    lines = Lines()
    while True:
        lines.tell(_chosen(await mill.health(ask="seldom"), service))
        await asyncio.sleep(WATCH_SECONDS)


async def _screen(mill: Gristmill, service: str | None) -> RenderableType:
    try:
        reports = _chosen(await mill.health(ask="seldom"), service)
        changes = _of(await mill.health_changes(), reports)
    except DatabaseUnavailable as error:
        return f"[red]{escape(str(error))}[/]"
    tables = _tables(reports, changes)
    return Group(*(Padding(table, (0, 0, 1, 0)) for table in tables))


class Lines:
    """For logs and pipes: a line for a service when its status is another one."""

    def __init__(self) -> None:
        self._told: dict[str, Status] = {}

    def tell(self, reports: Reports) -> None:
        """Prints what is new."""
        for name, report in reports.items():
            if self._told.get(name) is not report.status:
                self._told[name] = report.status
                at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
                said = f"{at} {name} {report.status.value}: {one_line(report.reason)}"
                console.print(said, soft_wrap=True)


def _tell(reports: Reports, changes: Sequence[HealthChange]) -> None:
    for number, table in enumerate(_tables(reports, changes)):
        if number:
            console.print()
        tell_table(table)


def _tables(reports: Reports, changes: Sequence[HealthChange]) -> Iterator[Table]:
    """What each is, what troubles some, and how it came to that; the last two if there is any."""
    yield _overview(reports)
    words = {name: tuple(_words(report)) for name, report in reports.items()}
    if any(words.values()):
        yield _troubles(words)
    if changes:
        yield _history(changes)


def _overview(reports: Reports) -> Table:
    """One row for a service; with all columns where there is room for them."""
    is_wide = console.width >= WIDE or not console.is_terminal
    table = Table(box=None, header_style="dim", padding=(0, 2 if is_wide else 1, 0, 0))
    table.add_column("service", no_wrap=True)
    if is_wide:
        table.add_column("mode", no_wrap=True)
    table.add_column("status", no_wrap=True)
    left = ("quota left", "budget left") if is_wide else ("quota", "budget")
    for name in ("last", "p50", "p95", *(["calls"] if is_wide else []), "errors"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("breaker")
    for name in left:
        table.add_column(name, justify="right", no_wrap=True)
    for name, report in reports.items():
        mode, calls = ([report.mode], [f"{report.calls:,}"]) if is_wide else ([], [])
        status = status_in_colour(report.status)
        table.add_row(name, *mode, status, *_times(report), *calls, *_rest(report))
    return table


def status_in_colour(status: Status) -> str:
    """The status in its colour."""
    return f"[{STYLES[status]}]{status.value}[/]"


def _times(report: ServiceReport) -> tuple[str, ...]:
    times = (report.last_response_time, report.response_time, report.p95_response_time)
    return tuple("" if seconds is None else span(seconds) for seconds in times)


def _rest(report: ServiceReport) -> tuple[str, ...]:
    return (
        f"{report.error_count:,}",
        _breaker(report),
        "" if report.quota_left is None else f"{100 * report.quota_left:.0f} %",
        "" if report.budget_left is None else _cents(report.budget_left),
    )


def span(seconds: float) -> str:
    """A response time: 4 ms, 1.2 s, 34 s."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _breaker(report: ServiceReport) -> str:
    """Closed, or in how many processes it is not."""
    troubled = {state: n for state, n in report.breakers.items() if state != CLOSED}
    if not troubled:
        return CLOSED
    of = f" in {{}} of {report.processes}" if report.processes > 1 else ""
    states = (state.replace("_", " ") + of.format(n) for state, n in troubled.items())
    return f"[red]{', '.join(states)}[/]"


def _cents(nano_dollars: int) -> str:
    """What is left, not rounded up."""
    cents = nano_dollars * 100 // NANO
    return "<$0.01" if nano_dollars and not cents else f"${cents // 100:,}.{cents % 100:02}"


def _troubles(words: Mapping[str, Sequence[str]]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, sentences in words.items():
        for number, text in enumerate(sentences):
            table.add_row("" if number and console.is_terminal else name, escape(text))
    return table


def _words(report: ServiceReport) -> Iterator[str]:
    """Why it is as it is, and the errors by kind with the last one."""
    if report.status is not Status.HEALTHY:
        yield report.reason
    if report.error_count and report.last_error_at is not None:
        kinds = ", ".join(f"{kind} {number:,}" for kind, number in report.errors.items())
        yield f"Errors in the last 5 min: {kinds}; the last one {ago(report.last_error_at)}"
    if report.last_error is not None and report.last_error not in report.reason:
        yield report.last_error
    if report.status is Status.UNHEALTHY and report.stands_in:
        yield f"While it is down the {report.stands_in} stands in: gristmill mode."
    if report.mode_reason.endswith("until it is reset"):
        yield f"Its mode was {report.mode_reason}."


def _history(changes: Sequence[HealthChange]) -> Table:
    is_seen = console.is_terminal  # then the reason has what the others leave
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), expand=is_seen)
    for name in ("UTC", "service", "changed in the last day"):
        table.add_column(name, no_wrap=True)
    table.add_column("why", no_wrap=True, overflow="ellipsis", ratio=1 if is_seen else None)
    for each in changes[:CHANGES]:
        table.add_row(f"{each.at:%H:%M:%S}", each.service, _went(each), one_line(each.reason))
    if (others := len(changes) - CHANGES) > 0:
        table.add_row("", "", f"[dim]and {count(others, 'other')}; --json has all[/]")
    return table


def _went(change: HealthChange) -> str:
    arrow = "\N{RIGHTWARDS ARROW}"
    return f"{status_in_colour(change.before)} {arrow} {status_in_colour(change.after)}"
