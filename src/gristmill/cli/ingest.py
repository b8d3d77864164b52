"""`ingest` and `resume`: work, watched live."""

from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from gristmill.cli.present import (
    ago,
    console,
    cost,
    count,
    degradation,
    errors,
    money,
    one_line,
    plain,
    print_json,
    short,
    status_of,
    tell_reason,
    tell_refused,
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
NARROW = 70  # columns below which rows leave out what is in the totals
BESIDE_SOURCE = 62  # columns of a row that are not the source
BESIDE_SOURCE_NARROW = 34
TOLD_SECONDS = 10.0  # between two totals in a log
NOTHING = "Nothing to do."
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


async def ingest(sources: list[str], collection: str | None, *, as_json: bool) -> int:
    """Takes documents in; 0 only if all are ready."""

    async def work(mill: Gristmill, tell: Callable[[Progress], None]) -> IngestReport:
        return await mill.ingest(*sources, collection=collection, on_progress=tell)

    return await watched(work, as_json=as_json)


async def resume(*, failed: bool, as_json: bool) -> int:
    """Goes on with what is unfinished; 0 only if all is ready."""

    async def work(mill: Gristmill, tell: Callable[[Progress], None]) -> IngestReport:
        return await mill.resume(failed=failed, on_progress=tell)

    return await watched(work, as_json=as_json)


async def watched(work: Work, *, as_json: bool, nothing: str = NOTHING) -> int:
    """Does the work with its progress on the screen; gives the exit code of its report."""
    async with Gristmill() as mill:
        if as_json:
            report = await work(mill, lambda _: None)
            print_json(_as_json(report))
        elif console.is_terminal:
            report = await _live(mill, work)
            _tell(report, nothing)
        else:
            report = await work(mill, Lines())
            _tell(report, nothing)
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
    """For logs and pipes: a line for each document as it comes to rest, and now and then totals."""

    def __init__(self) -> None:
        self._told: dict[str, DocumentStatus] = {}
        self._totals_at = TOLD_SECONDS
        self._problem: str | None = None

    def __call__(self, progress: Progress) -> None:
        for document in progress.documents:
            rests = document.status in ENDED or document.status is DocumentStatus.PARKED
            if rests and self._told.get(document.id) is not document.status:
                self._told[document.id] = document.status
                console.print(_line(document), soft_wrap=True)
        if progress.problem not in (None, self._problem):
            console.print(f"[yellow]{one_line(progress.problem)}[/]", soft_wrap=True)
        self._problem = progress.problem
        if progress.elapsed >= self._totals_at:
            self._totals_at = progress.elapsed + TOLD_SECONDS
            console.print(f"{_share_text(progress)}, {totals(progress)}", soft_wrap=True)


def _line(document: DocumentSummary) -> str:
    facts = [status_of(document), document.id, one_line(document.source)]
    if document.status in PUBLISHED:
        facts.append(f"{_size(document)}, {cost(document)}")
    elif document.error:
        facts.append(one_line(document.error))
    return "  ".join(facts)


def _size(document: DocumentSummary) -> str:
    passages = count(document.chunks, "passage")
    return f"{count(document.pages, 'page')}, {passages}" if document.pages else passages


def _screen(progress: Progress) -> RenderableType:
    """A row for each document at work, as many as there is room for, and two lines of totals."""
    working = [d for d in progress.documents if d.status not in ENDED]
    table = Table(box=None, show_header=False, padding=(0, 1), expand=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    if console.width >= NARROW:
        table.add_column(no_wrap=True, justify="right")
    room = max(1, min(ROWS, console.height - 6))
    beside = BESIDE_SOURCE if console.width >= NARROW else BESIDE_SOURCE_NARROW
    width = max(12, min(48, console.width - beside))
    for document in sorted(working, key=lambda d: -ROAD.get(d.stage, 0))[:room]:
        source = one_line(short(document.source, width))
        cells = (source, status_of(document), _doing(document), _at_most(document))
        table.add_row(*cells[: len(table.columns)])
    if len(working) > room:
        table.add_row(f"[dim]and {len(working) - room} more[/]")
    bar = Table.grid(padding=(0, 2))
    bar.add_row(ProgressBar(total=1.0, completed=_share(progress), width=28), _share_text(progress))
    held_up = [f"[yellow]{one_line(progress.problem)}[/]"] if progress.problem else []
    return Group(table, bar, totals(progress), *held_up)


def _doing(document: DocumentSummary) -> str:
    if document.status is DocumentStatus.PARKED:
        when = "" if document.next_try is None else f", next try {ago(document.next_try)}"
        return f"[yellow]{one_line(short(document.error or '', 40))}{when}[/]"
    pages = f"{document.pages} p." if document.pages else ""
    if document.chunks:
        noun = " passages" if console.width >= NARROW else ""
        return f"{pages} {document.embedded}/{document.chunks}{noun}".lstrip()
    return pages


def _at_most(document: DocumentSummary) -> str:
    """What a call under way may cost is held in full until its bill is known."""
    return cost(document) if document.spent or document.assumed else ""


def totals(progress: Progress) -> str:
    """Pages, passages, cost so far and the time left, of all documents together."""
    pages = sum(d.pages or 0 for d in progress.documents)
    passages = sum(d.chunks for d in progress.documents)
    parts = [
        count(pages, "page"),
        count(passages, "passage"),
        _cost(progress.entries, progress.documents),
        _left(progress),
    ]
    return ", ".join(parts)


def _cost(entries: Sequence[IngestEntry], documents: Sequence[DocumentSummary]) -> str:
    """What this run's documents have cost; unchanged ones were paid for by an earlier run."""
    unchanged = {entry.document_id for entry in entries if entry.outcome == "unchanged"}
    ours = [document for document in documents if document.id not in unchanged]
    spent = sum(document.spent for document in ours)
    most = spent + sum(document.assumed for document in ours)
    told = f"{money(spent)} so far"
    return told if most == spent else f"{told} (at most {money(most)} with what is under way)"


def _share_text(progress: Progress) -> str:
    done = sum(d.status in ENDED for d in progress.documents) + _refused(progress)
    return f"{done} of {count(_expected(progress), 'document')}"


def _expected(progress: Progress) -> int:
    return progress.expected - sum(entry.outcome == "skipped" for entry in progress.entries)


def _refused(progress: Progress) -> int:
    return sum(entry.outcome == "refused" for entry in progress.entries)


def _share(progress: Progress) -> float:
    """How much of the road lies behind, from 0 to 1."""
    tenths = sum(_tenths(document) for document in progress.documents) + 10 * _refused(progress)
    return min(1.0, tenths / (10 * max(1, _expected(progress))))


def _tenths(document: DocumentSummary) -> int:
    return 10 if document.status in ENDED else ROAD.get(document.stage, 0)


def _left(progress: Progress) -> str:
    share, elapsed = _share(progress), progress.elapsed
    working = [d.status for d in progress.documents if d.status not in ENDED]
    waits = bool(working) and set(working) == {DocumentStatus.PARKED}
    if share <= 0.02 or share >= 1 or elapsed < 2 or waits:  # too early to tell, or over
        return f"{elapsed:.0f} s"
    return f"{elapsed:.0f} s, about {max(1, elapsed * (1 - share) / share):.0f} s left"


def _tell(report: IngestReport, nothing: str) -> None:
    """The summary: what is ready, what is not, and what to do about that."""
    if not report.entries:
        console.print(nothing)
        return
    for entry in report.entries:
        if entry.outcome == "refused":
            tell_refused(entry.source, entry.error, entry.advice)
    for document in report.documents:
        if document.status is not DocumentStatus.READY:
            _tell_unready(document)
    skipped = sum(entry.outcome == "skipped" for entry in report.entries)
    if skipped:
        console.print(f"{count(skipped, 'file')} of other types skipped in folders.")
    console.print(_sum(report), soft_wrap=not console.is_terminal)
    if any(document.status is DocumentStatus.PARKED for document in report.documents):
        console.print("Parked documents go on by themselves while a worker runs: gristmill resume")


def _tell_unready(document: DocumentSummary) -> None:
    head = f"{status_of(document)}  {document.id}  {one_line(document.source)}"
    errors.print(head, soft_wrap=True)
    tell_reason(document.error, document.advice)
    if document.degraded:
        errors.print(f"         {degradation(document)}", soft_wrap=True)
    elif document.status is DocumentStatus.READY_INCOMPLETE:
        text = f"Searches find it, with gaps: gristmill show {document.id}"
        errors.print(f"         {text}", soft_wrap=True)


def _sum(report: IngestReport) -> str:
    """Whoever reads `5 of 6 ready` finds the sixth in what follows it."""
    statuses = Counter(document.status for document in report.documents)
    outcomes = Counter(entry.outcome for entry in report.entries)
    others = {
        "with gaps": statuses[DocumentStatus.READY_INCOMPLETE],
        "failed": statuses[DocumentStatus.FAILED] + statuses[DocumentStatus.QUARANTINED],
        "parked": statuses[DocumentStatus.PARKED],
        "refused": outcomes["refused"],
        "unchanged": outcomes["unchanged"],
    }
    sources = len(report.entries) - outcomes["skipped"]
    parts = [
        f"[bold]{statuses[DocumentStatus.READY]} of {sources} ready[/]",
        *(f"{number} {what}" for what, number in others.items() if number),
        count(sum(document.chunks for document in report.documents), "passage"),
        _cost(report.entries, report.documents),
        f"{report.elapsed:.1f} s",
    ]
    return ", ".join(parts)
