"""`search`: a question in, passages out."""

from itertools import accumulate

from rich.padding import Padding
from rich.text import Text

from gristmill.cli.present import console, errors, escape, one_line, print_json, short
from gristmill.library import Gristmill
from gristmill.search.query import Answer, Hit

PASSAGE = 500  # characters of a passage that are shown
STEM = 4  # letters that two forms of a word are expected to share


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
        _tell_passage(excerpt(hit.text, answer.question))


def _tell_passage(passage: str) -> None:
    if console.is_terminal:
        console.print(Padding(Text(passage), (0, 0, 1, 4)))
    else:  # one line, for grep
        console.print(f"    {escape(passage)}\n", soft_wrap=True)


def _head(place: int, hit: Hit) -> str:
    pages = f"p. {hit.first_page}"
    if hit.last_page != hit.first_page:
        pages += f"-{hit.last_page}"
    path = " > ".join(hit.headings)
    read = "[yellow]read by the simulator[/]" if hit.is_fallback else ""
    parts = [f"[bold]{one_line(short(hit.name, 60))}[/]", pages, one_line(path), read]
    tail = f"[dim]{hit.score:.4f}, {hit.origin.value}, {hit.document_id}[/]"
    return f"{place:>2}. " + ", ".join(part for part in parts if part) + f"  {tail}"


def excerpt(text: str, question: str, length: int = PASSAGE) -> str:
    """The part of a passage, of about `length` characters, that most words of a question are in."""
    words = "".join(c if c.isprintable() else " " for c in text).split()
    asked = {word[:STEM] for word in question.lower().split() if len(word) >= STEM}
    marks = [any(stem in word.lower() for stem in asked) for word in words]
    room = max(1, round(length / (sum(map(len, words)) / max(1, len(words)) + 1)))
    if len(words) <= room:
        return " ".join(words)
    counts = list(accumulate(marks, initial=0))
    first = max(range(len(words) - room + 1), key=lambda i: (counts[i + room] - counts[i], -i))
    shown = words[first : first + room]
    before = ["\u2026"] if first else []
    after = ["\u2026"] if first + room < len(words) else []
    return " ".join([*before, *shown, *after])
