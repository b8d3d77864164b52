"""`ingest` and `resume`: work, watched live."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from gristmill.cli.present import (
    ago,
    console,
    errors,
    escape,
    money,
    plain,
    print_json,
    short,
    status_of,
)
from gristmill.library import Gristmill, IngestReport, Progress
from gristmill.pipeline.document import (
    ENDED,
    PUBLISHED,
    DocumentStatus,
    DocumentSummary,
    IngestEntry,
)

ROWS = 12  # documents at work that are shown one by one
REFRESHES = 8  # a second
INCOMPLETE = 3  # the exit code when all is found but pages are missing

# How far along each status is, in tenths of the road; for the time left.
ROAD = {
    DocumentStatus.UPLOADED: 0,
    DocumentStatus.STORED: 1,
    DocumentStatus.PARSE_QUEUED: 2,
    DocumentStatus.PARSING: 3,
    DocumentStatus.PARSED: 6,
    DocumentStatus.CHUNKED: 7,
    DocumentStatus.EMBEDDING: 8,
}

Work = Callable[[Gristmill, Callable[[Progress], None]], Coroutine[Any, Any, IngestReport]]


async def ingest(sources: list[Path], collection: str | None, *, as_json: bool) -> int:
    """Takes documents in; 0 only if all are ready."""

    async def work(mill: Gristmill, tell: Callable[[Progress], None]) -> IngestReport:
        return await mill.ingest(*sources, collection=collection, on_progress=tell)

    return await _watched(work, as_json=as_json)


async def resume(*, failed: bool, as_json: bool) -> int:
    """Goes on with what is unfinished; 0 only if all is ready."""

    async def work(mill: Gristmill, tell: Callable[[Progress], None]) -> IngestReport:
        return await mill.resume(failed=failed, on_progress=tell)

    return await _watched(work, as_json=as_json)


async def _watched(work: Work, *, as_json: bool) -> int:
    async with Gristmill() as mill:
        if as_json:
            report = await work(mill, lambda _: None)
            print_json(_as_json(report))
        elif console.is_terminal:
            report = await _live(mill, work)
            _tell(report)
        else:
            report = await work(mill, Lines())
            _tell(report)
    return _code(report)


def _code(report: IngestReport) -> int:
    if report.is_complete:
        return 0
    return INCOMPLETE if report.is_published else 1


def _as_json(report: IngestReport) -> dict[str, Any]:
    return {**plain(report), "complete": report.is_complete}


async def _live(mill: Gristmill, work: Work) -> IngestReport:
    with Live(console=console, refresh_per_second=REFRESHES, transient=True) as live:
        return await work(mill, lambda progress: live.update(_screen(progress)))


class Lines:
    """For logs and pipes: a line for each document as it comes to rest."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, progress: Progress) -> None:
        for document in progress.documents:
            rests = document.status in ENDED or document.status is DocumentStatus.PARKED
            if rests and document.id not in self._told:
                self._told.add(document.id)
                console.print(_line(document), soft_wrap=True)


def _line(document: DocumentSummary) -> str:
    facts = f"{document.pages or 1} pages, {document.chunks} passages"
    return f"{status_of(document)}  {document.id}  {escape(document.source)}  {facts}"


def _screen(progress: Progress) -> RenderableType:
    working = [d for d in progress.documents if d.status not in ENDED]
    table = Table(box=None, show_header=False, padding=(0, 1), expand=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    room = max(1, min(ROWS, console.height - 4))
    for document in sorted(working, key=lambda d: -ROAD.get(d.stage, 0))[:room]:
        table.add_row(short(escape(document.source), 48), status_of(document), _doing(document))
    if len(working) > room:
        table.add_row(f"[dim]and {len(working) - room} more[/]", "", "")
    return Group(table, _totals(progress))


def _doing(document: DocumentSummary) -> str:
    if document.status is DocumentStatus.PARKED:
        when = "" if document.next_try is None else f", next try {ago(document.next_try)}"
        return f"[yellow]{escape(short(document.error or '', 40))}{when}[/]"
    if document.chunks:
        return f"{document.embedded}/{document.chunks} passages"
    return f"{document.pages} pages" if document.pages else ""


def _totals(progress: Progress) -> RenderableType:
    done = sum(d.status in ENDED for d in progress.documents)
    refused = sum(entry.outcome == "refused" for entry in progress.entries)
    tenths = sum(_tenths(document) for document in progress.documents) + 10 * refused
    share = tenths / (10 * max(1, progress.expected))
    spent = sum(document.nano_dollars for document in progress.documents)
    line = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=1.0, completed=share, width=30)
    line.add_row(
        bar,
        f"{done + refused} of {progress.expected} documents",
        f"{sum(d.chunks for d in progress.documents)} passages",
        money(spent),
        _left(share, progress.elapsed),
    )
    return line


def _tenths(document: DocumentSummary) -> int:
    return 10 if document.status in ENDED else ROAD.get(document.stage, 0)


def _left(share: float, elapsed: float) -> str:
    if share <= 0.02 or elapsed < 2:  # too early to tell
        return f"{elapsed:.0f} s"
    return f"{elapsed:.0f} s, about {elapsed * (1 - share) / share:.0f} s left"


def _tell(report: IngestReport) -> None:
    """The summary: what is ready, what is not, and what to do about that."""
    if not report.entries:
        console.print("Nothing to do.")
        return
    for entry in report.entries:
        if entry.outcome == "refused":
            _tell_refused(entry)
    for document in report.documents:
        if document.status is not DocumentStatus.READY:
            _tell_unready(document)
    skipped = sum(entry.outcome == "skipped" for entry in report.entries)
    if skipped:
        console.print(f"{skipped} files in folders are of types that are not taken: skipped.")
    console.print(_sum(report), soft_wrap=True)
    if any(document.status is DocumentStatus.PARKED for document in report.documents):
        console.print("Parked documents go on by themselves while a worker runs: gristmill resume")


def _tell_refused(entry: IngestEntry) -> None:
    errors.print(f"[red]refused[/]  {escape(entry.source)}", soft_wrap=True)
    _tell_reason(entry.error, entry.advice)


def _tell_unready(document: DocumentSummary) -> None:
    errors.print(f"{status_of(document)}  {document.id}  {escape(document.source)}", soft_wrap=True)
    _tell_reason(document.error, document.advice)
    if document.status is DocumentStatus.READY_INCOMPLETE:
        errors.print(f"         Searches find it, without some pages: gristmill show {document.id}")


def _tell_reason(error: str | None, advice: str | None) -> None:
    for text in (error, advice):
        if text:
            errors.print(f"         {escape(text)}", soft_wrap=True)


def _sum(report: IngestReport) -> str:
    ready = sum(document.status in PUBLISHED for document in report.documents)
    sources = sum(entry.outcome != "skipped" for entry in report.entries)
    unchanged = sum(entry.outcome == "unchanged" for entry in report.entries)
    spent = sum(document.nano_dollars for document in report.documents)
    chunks = sum(document.chunks for document in report.documents)
    parts = [
        f"[bold]{ready} of {sources} ready[/]",
        f"{unchanged} unchanged" if unchanged else "",
        f"{chunks} passages",
        f"{money(spent)} so far",
        f"{report.elapsed:.1f} s",
    ]
    return ", ".join(part for part in parts if part)
