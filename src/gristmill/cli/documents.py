"""`documents`, `show` and `delete`."""

import typer
from rich.table import Table

from gristmill.cli.present import (
    ago,
    console,
    escape,
    money,
    print_json,
    short,
    status_of,
)
from gristmill.library import Gristmill
from gristmill.pipeline.document import DocumentDetail, DocumentStatus, DocumentSummary


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
        console.print(_table(found))
    else:
        console.print("No documents. Begin with: gristmill ingest FILE")
    return 0


def _status(name: str) -> DocumentStatus:
    try:
        return DocumentStatus(name.replace(" ", "_").replace("-", "_"))
    except ValueError:
        known = ", ".join(DocumentStatus)
        raise ValueError(f"There is no status {name!r}; there are: {known}.") from None


def _table(found: list[DocumentSummary]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1))
    for name in ("id", "status", "collection", "source"):
        table.add_column(name, no_wrap=name != "source", overflow="fold")
    for name in ("pages", "passages", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for document in found:
        table.add_row(
            document.id,
            status_of(document),
            escape(document.collection),
            escape(short(document.source, 60)),
            "" if document.pages is None else str(document.pages),
            str(document.chunks),
            money(document.nano_dollars),
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
    console.print(f"[bold]{summary.id}[/]  {status_of(summary)}  {escape(summary.source)}")
    facts = Table(box=None, show_header=False, padding=(0, 1))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    for name, value in _facts(detail):
        if value:
            facts.add_row(name, escape(value))
    console.print(facts)
    console.print()
    for event in detail.events:
        console.print(f"  [dim]{event.at:%H:%M:%S}[/]  {event.status:<17} {escape(event.detail)}")


def _facts(detail: DocumentDetail) -> list[tuple[str, str]]:
    summary = detail.summary
    parser = " ".join(str(detail.parser[k]) for k in ("tier", "version") if detail.parser[k])
    origin = detail.parser["origin"]
    waits = "" if summary.next_try is None else ago(summary.next_try)
    return [
        ("problem", summary.error or ""),
        ("what to do", summary.advice or ""),
        ("stopped in", str(summary.stage) if summary.error else ""),
        ("next try", waits),
        ("collection", f"{summary.collection} ({summary.origin.value})"),
        ("file", f"{detail.name}, {detail.kind or 'not looked at yet'}, {detail.size:,} bytes"),
        ("sha256", detail.sha256),
        ("parsed by", f"{parser} ({origin})" if origin else ""),
        ("vectors", _vectors(detail)),
        ("passages", f"{summary.embedded} of {summary.chunks} have their vector"),
        ("cost", money(summary.nano_dollars)),
        ("published", "" if detail.published_at is None else ago(detail.published_at)),
        *((f"page {p.page}", f"{p.problem}: {p.detail}") for p in detail.incomplete),
    ]


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
            typer.confirm(f"Delete {summary.id}, {summary.source}?", abort=True)
        await mill.delete(summary.id)
    if as_json:
        print_json({"deleted": summary.id})
    else:
        console.print(f"Deleted {summary.id}.")
    return 0
