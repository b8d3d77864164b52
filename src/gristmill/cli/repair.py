"""`repair`: putting right what is degraded, or telling first what that would cost."""

from collections.abc import Callable
from typing import Any, Final

from rich.table import Table

from gristmill.cli.estimate import estimate_json, tell_cost
from gristmill.cli.ingest import watched
from gristmill.cli.present import (
    ago,
    console,
    count,
    one_line,
    plain,
    print_json,
    short,
    tell_table,
)
from gristmill.library import Gristmill, IngestReport, Progress
from gristmill.library.repairing import RepairEstimate
from gristmill.pipeline.document import Degradation
from gristmill.pipeline.repair import Degraded, Standing

STOPPED: Final = "Stopped. What was not repaired yet stays published; gristmill resume goes on."
NOTHING: Final = "Nothing is degraded: there is nothing to repair."
PATH_MAX: Final = 4096

LACKS: Final[dict[Degradation, str]] = {
    "parse": "read by the simulator",
    "vectors": "without vectors",
}
STANDINGS: Final[dict[Standing, str]] = {
    "due": "waits for repair",
    "under way": "is being repaired",
    "failed": "its repair failed",
    "replaced": "newer content is to replace it",
}


async def repair(*, dry_run: bool, as_json: bool) -> int:
    """Repairs; 0 only if every document is ready then. With `dry_run` it only tells."""
    if dry_run:
        return await _estimated(as_json=as_json)

    async def work(mill: Gristmill, tell: Callable[[Progress], None]) -> IngestReport:
        return await mill.repair(on_progress=tell)

    return await watched(work, as_json=as_json, nothing=NOTHING)


async def _estimated(*, as_json: bool) -> int:
    """1 if a limit has no room for it."""
    async with Gristmill() as mill:
        found = await mill.estimate_repair()
        if as_json:
            print_json(repairs_json(found))
        else:
            tell(found, mill.settings.max_pages)
    return int(found.estimate.fits == "no")


def repairs_json(found: RepairEstimate) -> dict[str, Any]:
    return {"documents": plain(found.documents), "estimate": estimate_json(found.estimate)}


def tell(found: RepairEstimate, max_pages: int, *, would: bool = False) -> None:
    """What is degraded, or would be, a row each, and what putting it right would cost."""
    if not found.documents:
        console.print("Nothing is published in it." if would else NOTHING)
        return
    tell_table(_table(found))
    state = "would be degraded until repaired" if would else "degraded"
    console.print(f"[bold]{count(len(found.documents), 'document')}[/] {state}.")
    if found.estimate.files:
        tell_cost(found.estimate, max_pages)
    else:
        console.print("None can be repaired in the present modes: gristmill mode")


def _table(found: RepairEstimate) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1))
    for name in ("id", "lacks", "since", "now", "source"):
        table.add_column(name, no_wrap=name != "source")
    width = max(12, console.width - 90) if console.is_terminal else PATH_MAX
    for each in found.documents:
        lacks = ", ".join(LACKS[lack] for lack in each.lacks)
        source = one_line(short(each.source, width))
        table.add_row(each.document_id, lacks, ago(each.since), _now(each), source)
    return table


def _now(each: Degraded) -> str:
    if each.standing == "due" and each.remedy is None:
        return "the mode does not repair it"
    return STANDINGS[each.standing]
