"""`search`: a question in, passages out."""

from rich.padding import Padding
from rich.text import Text

from gristmill.cli.present import console, errors, escape, print_json, short
from gristmill.library import Gristmill
from gristmill.search.query import Answer, Hit

PASSAGE = 600  # characters of a passage that are shown


async def search(question: str, collection: str | None, limit: int, *, as_json: bool) -> int:
    """Prints the best passages; 1 when there are none."""
    async with Gristmill() as mill:
        answer = await mill.search(question, collection=collection, limit=limit)
    if as_json:
        print_json(answer)
    else:
        _tell(answer)
    return 0 if answer.hits else 1


def _tell(answer: Answer) -> None:
    for note in answer.notes:
        errors.print(f"[yellow]{escape(note)}[/]", soft_wrap=True)
    if not answer.hits:
        console.print("Nothing found.")
    for place, hit in enumerate(answer.hits, start=1):
        console.print(_head(place, hit), soft_wrap=True)
        console.print(Padding(Text(_excerpt(hit.text)), (0, 0, 1, 4)))


def _head(place: int, hit: Hit) -> str:
    pages = f"p. {hit.first_page}"
    if hit.last_page != hit.first_page:
        pages += f"-{hit.last_page}"
    path = " > ".join(hit.headings)
    parts = [f"[bold]{escape(short(hit.name, 60))}[/]", pages, escape(path)]
    tail = f"[dim]{hit.score:.4f}, {hit.origin.value}, {hit.document_id}[/]"
    return f"{place:>2}. " + ", ".join(part for part in parts if part) + f"  {tail}"


def _excerpt(text: str) -> str:
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return words if len(words) <= PASSAGE else words[:PASSAGE].rsplit(" ", 1)[0] + " …"
