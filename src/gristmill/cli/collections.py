"""`collections`, and `collection make-real`."""

from collections.abc import Callable
from typing import Final

import typer
from rich.table import Table

from gristmill.cli.ingest import watched
from gristmill.cli.present import (
    console,
    count,
    money,
    one_line,
    print_json,
    shown,
    tell_table,
)
from gristmill.cli.repair import NOTHING, repairs_json, tell
from gristmill.library import Gristmill, IngestReport, Progress
from gristmill.pipeline.document import CollectionSummary

STOPPED: Final = "Stopped. What is not repaired yet is published all the same: gristmill resume"


async def collections(*, as_json: bool) -> int:
    """Lists collections."""
    async with Gristmill() as mill:
        found = await mill.collections()
    if as_json:
        print_json(found)
    elif found:
        tell_table(_table(found))
    else:
        console.print("No collections. Begin with: gristmill ingest FILE")
    return 0


def _table(found: list[CollectionSummary]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1))
    table.add_column("collection", overflow="fold")
    table.add_column("origin")
    for name in ("documents", "passages", "with vectors", "degraded", "cost"):
        table.add_column(name, justify="right")
    for each in found:
        numbers = (each.documents, each.passages, each.embedded, each.degraded)
        cells = (f"{number:,}" for number in numbers)
        table.add_row(one_line(each.name), each.origin.value, *cells, _cost(each))
    return table


def _cost(collection: CollectionSummary) -> str:
    """Money of different origins is never added up."""
    lines = [f"{money(line.spent + line.assumed)} {line.origin}" for line in collection.costs]
    return ", ".join(lines) or money(0)


async def make_real(name: str, *, yes: bool, dry_run: bool, as_json: bool) -> int:
    """Makes it real after asking, and repairs it; with `dry_run` tells what that would cost.

    0 only if every document is ready then; of a dry run 1 if a limit has no room.
    """
    if dry_run or not (yes or as_json):
        async with Gristmill() as mill:
            found = await mill.estimate_make_real(name)
            if as_json:
                print_json(repairs_json(found))
            else:
                tell(found, mill.settings.max_pages, would=True)
        if dry_run:
            return int(found.estimate.fits == "no")
        typer.confirm(f"Make {shown(name)} real? Its simulated vectors go at once.", abort=True)

    async def work(mill: Gristmill, progress: Callable[[Progress], None]) -> IngestReport:
        made = await mill.make_real(name)
        if not as_json:
            again = f", {count(made.unfinished, 'document')} start again" if made.unfinished else ""
            console.print(f"{one_line(name)} is real now{again}.", soft_wrap=True)
        return await mill.repair(collection=name, on_progress=progress)

    return await watched(work, as_json=as_json, nothing=NOTHING)
