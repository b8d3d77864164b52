"""`documents`, `show` and `delete`."""

import typer
from rich.table import Table

from gristmill.amounts import dollars
from gristmill.cli.present import (
    ago,
    console,
    cost,
    count,
    degradation,
    escape,
    one_line,
    print_json,
    short,
    shown,
    status_of,
    tell_table,
)
from gristmill.errors import InvalidArgument
from gristmill.library import Gristmill
from gristmill.pipeline.document import (
    DocumentDetail,
    DocumentStatus,
    DocumentSummary,
    IncompletePage,
)

WIDE = 112  # columns from which a document fits into a row
COLLECTION = 20  # columns for a collection's name
BESIDE_SOURCE = 90  # columns of a row without its source
PATH_MAX = 4096  # as long as a path may be


async def documents(
    collection: str | None, status: str | None, limit: int, *, as_json: bool
) -> int:
    """Lists documents."""
    wanted = None if status is None else _status(status)
    async with Gristmill() as mill:
        found = await mill.documents(collection=collection, status=wanted, limit=limit)
    if as_json:
        print_json(found)
    elif found:
        _tell_list(found)
    elif collection or status:
        console.print("No such documents.")
    else:
        console.print("No documents. Begin with: gristmill ingest FILE")
    return 0


async def link(document: str, seconds: int, *, as_json: bool) -> int:
    """Prints an address of the stored file, and nothing else, so that it can be piped."""
    async with Gristmill() as mill:
        url = await mill.link(document, expires_in=seconds)
    if as_json:
        print_json({"url": url, "expires_in": seconds})
    else:
        typer.echo(shown(url))
    return 0


def _status(name: str) -> DocumentStatus:
    try:
        return DocumentStatus(name.replace(" ", "_").replace("-", "_"))
    except ValueError:
        known = ", ".join(DocumentStatus)
        raise InvalidArgument(f"There is no status {name!r}; there are: {known}.") from None


def _tell_list(found: list[DocumentSummary]) -> None:
    """A row for each; on a terminal too narrow for rows, two lines for each."""
    if not console.is_terminal:
        tell_table(_table(found, source=PATH_MAX))
    elif console.width >= WIDE:
        tell_table(_table(found, source=console.width - BESIDE_SOURCE))
    else:
        for document in found:
            _tell_narrowly(document)


def _tell_narrowly(document: DocumentSummary) -> None:
    pages = "" if document.pages is None else f"{count(document.pages, 'page')}, "
    facts = f"{pages}{count(document.chunks, 'passage')}, {cost(document)}"
    console.print(f"{document.id}  {status_of(document)}  {facts}")
    place = short(f"{document.collection}: {document.source}", console.width - 4)
    console.print(f"    [dim]{one_line(place)}[/]")


def _table(found: list[DocumentSummary], *, source: int) -> Table:
    """The source stands last, in at most `source` columns: of a path, the end tells most."""
    table = Table(box=None, header_style="dim", padding=(0, 1))
    for name in ("id", "status", "collection"):
        table.add_column(name, no_wrap=True)
    for name in ("pages", "passages", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("source", no_wrap=True)
    for document in found:
        table.add_row(
            document.id,
            status_of(document),
            one_line(short(document.collection, COLLECTION)),
            "" if document.pages is None else str(document.pages),
            str(document.chunks),
            cost(document),
            one_line(short(document.source, source)),
        )
    return table


async def show(document_id: str, *, as_json: bool) -> int:
    """Tells everything about one document."""
    async with Gristmill() as mill:
        detail = await mill.show(document_id)
    if as_json:
        print_json(detail)
    else:
        _tell(detail)
    return 0


def _tell(detail: DocumentDetail) -> None:
    summary = detail.summary
    console.print(f"[bold]{summary.id}[/]  {status_of(summary)}  {one_line(summary.source)}")
    facts = Table(box=None, show_header=False, padding=(0, 1))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    for name, value in _facts(detail):
        if value:
            facts.add_row(name, escape(value))
    console.print(facts)
    console.print()
    for event in detail.events:
        console.print(
            f"  [dim]{event.at:%Y-%m-%d %H:%M:%S}[/]  {event.status:<17} {escape(event.detail)}"
        )


def _facts(detail: DocumentDetail) -> list[tuple[str, str]]:
    summary = detail.summary
    parser = " ".join(str(detail.parser[k]) for k in ("tier", "version") if detail.parser[k])
    origin = detail.parser["origin"]
    waits = "" if summary.next_try is None else ago(summary.next_try)
    return [
        ("problem", summary.error or ""),
        ("what to do", summary.advice or ""),
        ("degraded", degradation(summary)),
        ("stopped in", str(summary.stage) if summary.error else ""),
        ("next try", waits),
        ("collection", f"{summary.collection} ({summary.origin.value})"),
        ("file", f"{detail.name}, {detail.kind or 'not looked at yet'}, {detail.size:,} bytes"),
        ("sha256", detail.sha256),
        ("parsed by", f"{parser} ({origin})" if origin else ""),
        ("vectors", _vectors(detail)),
        ("passages", f"{summary.embedded} of {summary.chunks} have their vector"),
        ("cost", _exact_cost(summary)),
        ("published", "" if detail.published_at is None else ago(detail.published_at)),
        *(_gap(gap) for gap in detail.incomplete),
    ]


def _gap(gap: IncompletePage) -> tuple[str, str]:
    if gap.passage is None:
        return f"page {gap.page}", f"{gap.problem}: {gap.detail}"
    return f"page {gap.page}", f"passage {gap.passage} is found by its words only: {gap.detail}"


def _exact_cost(summary: DocumentSummary) -> str:
    if not summary.assumed:
        return dollars(summary.spent)
    most = dollars(summary.spent + summary.assumed)
    return f"{dollars(summary.spent)}, at most {most} until every bill is in"


def _vectors(detail: DocumentDetail) -> str:
    space = detail.space
    if space is None:
        return ""
    return f"{space['model']}, {space['dimensions']} dimensions ({space['origin']})"


async def delete(document_id: str, *, yes: bool, as_json: bool) -> int:
    """Removes a document, after asking."""
    async with Gristmill() as mill:
        summary = (await mill.show(document_id)).summary
        if not yes and not as_json:
            source = shown(summary.source.replace("\n", " "))
            typer.confirm(f"Delete {summary.id}, {source}?", abort=True)
        await mill.delete(summary.id)
    if as_json:
        print_json({"deleted": summary.id})
    else:
        console.print(f"Deleted {summary.id}.")
    return 0
