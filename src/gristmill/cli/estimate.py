"""`ingest --estimate`: what it would cost, before anything is spent."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any, Final

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from gristmill.cli.limits import balance_json
from gristmill.cli.present import (
    ago,
    console,
    count,
    errors,
    money,
    one_line,
    plain,
    print_json,
    tell_refused,
    tell_table,
)
from gristmill.library import Gristmill
from gristmill.library.estimating import EstimateProgress
from gristmill.pipeline.appraisal import TOKENS_OF_PAGE
from gristmill.pipeline.estimate import (
    Bounds,
    Estimate,
    FileEstimate,
    LimitCheck,
    ServiceEstimate,
    total,
)
from gristmill.pipeline.parsing import FIRST_PART

STOPPED: Final = "Stopped. Nothing was spent, and nothing written."
TOLD_SECONDS: Final = 10.0  # between two words in a log
MILLIONS: Final = 10**7  # from here on they are not written out
NARROW: Final = 76  # columns below which the table has only the money
NAMED: Final = 3  # files that are named in a sentence

Tell = Callable[[EstimateProgress], None]


async def estimate(sources: list[str], collection: str | None, *, as_json: bool) -> int:
    """Prints what ingesting these would cost; 1 if a file is refused or a limit has no room."""
    async with Gristmill() as mill:

        async def look(tell: Tell) -> Estimate:
            return await mill.estimate(*sources, collection=collection, on_progress=tell)

        if as_json:
            found = await look(lambda _: None)
            print_json(estimate_json(found))
        elif console.is_terminal:
            with Live(console=console, transient=True) as live:
                found = await look(lambda progress: live.update(_screen(progress)))
            _tell(found, mill.settings.max_pages)
        else:
            found = await look(Lines())
            _tell(found, mill.settings.max_pages)
    is_refused = any(file.outcome == "refused" for file in found.files)
    return int(is_refused or found.fits == "no")


class Lines:
    """For logs and pipes: now and then how far it is."""

    def __init__(self) -> None:
        self._at = TOLD_SECONDS

    def __call__(self, progress: EstimateProgress) -> None:
        if progress.elapsed >= self._at:
            self._at = progress.elapsed + TOLD_SECONDS
            errors.print(_share_text(progress), soft_wrap=True)


def _screen(progress: EstimateProgress) -> Table:
    bar = Table.grid(padding=(0, 2))
    share = progress.done / max(1, progress.expected)
    bar.add_row(ProgressBar(total=1.0, completed=share, width=28), _share_text(progress))
    return bar


def _share_text(progress: EstimateProgress) -> str:
    files = count(progress.expected, "file")
    return f"{progress.done:,} of {files} looked at, {progress.elapsed:.0f} s"


def estimate_json(found: Estimate) -> dict[str, Any]:
    limits = [
        {**balance_json(check.balance), "needs": check.needs, "fits": check.fits}
        | {"documents": check.documents}
        for check in found.limits
    ]
    files = [{**plain(file), "cost": plain(file.cost)} for file in found.files]
    return {**plain(found), "files": files, "limits": plain(limits), "fits": found.fits}


def _tell(found: Estimate, max_pages: int) -> None:
    if not found.files:
        console.print("No file was found.")
        return
    for file in found.files:
        if file.outcome == "refused":
            tell_refused(file.source, file.error, file.advice)
    tell_cost(found, max_pages)


def tell_cost(found: Estimate, max_pages: int) -> None:
    """The cost by service, what of it is paid already, and whether the limits have room for it."""
    tell_table(_table(found))
    for line in (*_counts(found), *_uncounted(found, max_pages), *_room(found)):
        console.print(line, soft_wrap=not console.is_terminal)
    console.print(
        "[dim]An estimate: nothing was sent, spent or written. A page is taken for"
        f" {TOKENS_OF_PAGE} tokens, at most for 64 KB of text; calls that are repeated after"
        " failures come on top.[/]",
        soft_wrap=not console.is_terminal,
    )


def _table(found: Estimate) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1))
    table.add_column("service")
    table.add_column("origin")
    for name in ("", "expected", "", "at most"):
        table.add_column(name, justify="right")
    for each in found.services:
        table.add_row(each.service, each.origin.value, *_amounts(each.nano_dollars, each))
    for origin in sorted({each.origin for each in found.services}):
        ours = total(s.nano_dollars for s in found.services if s.origin is origin)
        table.add_row("[bold]total[/]", origin.value, *_amounts(ours))
    if console.width < NARROW:  # an amount that is cut is none
        table.columns = [each for each in table.columns if each.header not in ("", "origin")]
    return table


def _amounts(cost: Bounds, service: ServiceEstimate | None = None) -> Iterator[str]:
    for bound in ("expected", "at_most"):
        yield _size(getattr(service.quantity, bound), service.unit) if service else ""
        yield money(getattr(cost, bound))


def _size(number: int, unit: str) -> str:
    short = f"{number:,}" if number < MILLIONS else f"{number / 10**6:,.0f} M"
    return f"{short} {unit}"


def _counts(found: Estimate) -> Iterator[str]:
    """What the files are, and what of it is paid for already."""
    outcomes = Counter(file.outcome for file in found.files)
    readings = Counter(file.reading for file in found.files if file.reading is not None)
    told = {
        "to be parsed": readings["parsed"],
        "read here at no cost": readings["here"],
        "with the bytes of another": readings["shared"],
        "refused": outcomes["refused"],
        "of other types skipped": outcomes["skipped"],
    }
    parts = [f"{number:,} {what}" for what, number in told.items() if number]
    yield ", ".join([f"[bold]{count(len(found.files), 'file')}[/]", *parts])
    passages = sum(file.known_passages for file in found.files)
    paid = [
        (outcomes["unchanged"], "unchanged file", ""),
        (readings["paid"], "parse", ""),
        (readings["under way"], "parse", " under way"),
        (passages, "passage", ""),
    ]
    parts = [count(number, noun) + state for number, noun, state in paid if number]
    if parts:
        yield f"Paid for already: {', '.join(parts)}."


def _uncounted(found: Estimate, max_pages: int) -> Iterator[str]:
    files = [file for file in found.files if file.is_uncounted]
    if files:
        page = files[0].parse_cost.at_most // files[0].to_parse.at_most
        yield (
            f"Only the parser can count the pages of {_named(files)}. Each is held in parts:"
            f" {FIRST_PART} pages ({money(FIRST_PART * page)}) first, then as many again as are"
            f" there, {max_pages:,} ({money(max_pages * page)}) at most: GRISTMILL_MAX_PAGES."
        )


def _named(files: list[FileEstimate]) -> str:
    names = [one_line(PurePath(file.source).name) for file in files[:NAMED]]
    if len(files) > NAMED:
        names.append(f"{len(files) - NAMED} more")
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _room(found: Estimate) -> Iterator[str]:
    if found.is_boundless:
        yield (
            "[red]Real money has no limit yet, and no work begins without one:[/]"
            " gristmill budget set --daily 5"
        )
    for check in found.limits:
        if check.fits == "no":
            yield _refusal(check)
    tight = [check for check in found.limits if check.fits == "likely"]
    for check in tight:
        yield (
            f"[yellow]{one_line(check.balance.name)}[/] has room for what is expected, but not for"
            f" all of it at most: {money(check.balance.left or 0)} is left."
        )
    if found.limits and found.fits == "surely":
        yield "[green]Every limit has room for it, even at most.[/]"
    if not found.limits and not found.is_boundless:
        yield "No limit is set for this money: gristmill budget set --daily 5"


def _refusal(check: LimitCheck) -> str:
    balance = check.balance
    many = f" for {count(check.documents, 'document')}" if balance.scope == "document" else ""
    again = "" if balance.window_end is None else f" begins anew {ago(balance.window_end)} or"
    return (
        f"[red]{one_line(balance.name)} has no room{many}:[/] {money(balance.left or 0)} is left,"
        f" and {money(check.needs.held)} would be held. What does not fit waits until it{again}"
        " is raised: gristmill budget set"
    )
