"""How values look in a terminal and as JSON."""

import codecs
import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gristmill.amounts import dollars
from gristmill.errors import GristmillError
from gristmill.pipeline.document import PUBLISHED, Degradation, DocumentStatus, DocumentSummary
from gristmill.telemetry.printable import printable

console = Console(highlight=False, emoji=False)
errors = Console(stderr=True, highlight=False, emoji=False)

PIPE_WIDTH = 10_000  # columns; more than any row needs

_OBEYED = re.compile(r"\[|\\+(?=\[|\Z)")  # by Rich

STYLES: Mapping[DocumentStatus, str] = {
    DocumentStatus.READY: "green",
    DocumentStatus.READY_INCOMPLETE: "yellow",
    DocumentStatus.PARKED: "yellow",
    DocumentStatus.FAILED: "red",
    DocumentStatus.QUARANTINED: "red",
}


DEGRADED: Mapping[Degradation, str] = {
    "parse": "It was read by the simulator, and may say what the file does not.",
    "vectors": "It has no vectors yet, and is found by its words only.",
}
REPAIRED = (
    "A running worker repairs it once the services have been healthy for a minute; gristmill repair"
    " does it now."
)


def print_json(value: Any) -> None:  # noqa: ANN401 — anything made of values
    """One JSON document on standard output; money as nano-dollars, times as ISO 8601 UTC."""
    encoding = codecs.lookup(console.encoding).name
    text = json.dumps(plain(value), indent=2, ensure_ascii=encoding != "utf-8", default=str)
    console.file.write(printable(text, keep="\n") + "\n")


def plain(value: Any) -> Any:  # noqa: ANN401 — the same
    """Dataclasses, enums, times and paths as what JSON knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value) if isinstance(value, Path) else value


def tell_invalid(message: str, *, as_json: bool) -> None:
    """An argument that is wrong: told as `tell_error` tells errors."""
    if as_json:
        facts = {"kind": "InvalidArgument", "message": message, "advice": None}
        print_json({"error": facts | {"retryable": False}})
    else:
        errors.print(f"[red]Error:[/] {escape(message)}", soft_wrap=True)


def tell_error(error: GristmillError, *, as_json: bool) -> None:
    """An error as a sentence with what to do about it, or as JSON on standard output."""
    if as_json:
        facts = {"kind": error.kind, "message": str(error), "advice": error.advice}
        print_json({"error": facts | {"retryable": error.retryable}})
        return
    errors.print(f"[red]Error:[/] {escape(str(error))}", soft_wrap=True)
    if error.advice:
        errors.print(f"[dim]What to do:[/] {escape(error.advice)}", soft_wrap=True)


def shown(text: str) -> str:
    """Text from outside without what a terminal obeys, for where there is no markup."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def escape(text: str) -> str:
    """Text from outside, harmless to the terminal: no markup, no control characters."""
    return _OBEYED.sub(_literal, shown(text))


def _literal(match: re.Match[str]) -> str:
    # Rich counts the backslashes before a tag, ours after the text included: each is doubled, and
    # a tag without effect ends the count.
    found = match[0]
    return r"\[" if found == "[" else found * 2 + "[none][/none]"


def one_line(text: str) -> str:
    """The same for names: a line end in one of them does not begin a line of ours."""
    return escape(text.replace("\n", "\N{REPLACEMENT CHARACTER}"))


def tell_table(table: Table) -> None:
    """A table as wide as it needs to be when a program reads it: one row, one line."""
    if console.is_terminal:
        console.print(table)
    else:
        Console(width=PIPE_WIDTH, highlight=False, emoji=False).print(table)


def tell_refused(source: str, error: str | None, advice: str | None) -> None:
    """A source that is no document, why, and what to do about it."""
    errors.print(f"[red]refused[/]  {one_line(source)}", soft_wrap=True)
    tell_reason(error, advice)


def tell_reason(error: str | None, advice: str | None) -> None:
    for text in (error, advice):
        if text:
            errors.print(f"         {escape(text)}", soft_wrap=True)


def status_of(document: DocumentSummary) -> str:
    """The status in its colour."""
    style = STYLES.get(document.status, "cyan")
    if document.degraded and document.status is DocumentStatus.READY_INCOMPLETE:
        return f"[{style}]ready, degraded[/]"
    return f"[{style}]{document.status.value.replace('_', ' ')}[/]"


def degradation(document: DocumentSummary) -> str:
    """What is degraded, and what will happen about it, as sentences; '' if nothing is."""
    if not document.degraded:
        return ""
    said = [DEGRADED[each] for each in document.degraded]
    if not document.has_ended:
        said.append("What is to replace it is on its way.")
    elif document.status in PUBLISHED:
        said.append(REPAIRED)
    else:
        said.append("What was to replace it has failed: gristmill resume --failed tries again.")
    return " ".join(said)


def cost(document: DocumentSummary) -> str:
    """What it has cost, or may have where a bill is not in yet."""
    if not document.assumed:
        return money(document.spent)
    return f"\N{LESS-THAN OR EQUAL TO} {money(document.spent + document.assumed)}"


def money(nano_dollars: int) -> str:
    """Dollars for people, to a ten-thousandth of a cent; JSON has the nano-dollars."""
    micro = (abs(nano_dollars) + 500) // 1000
    if nano_dollars and not micro:
        return "<$0.000001"
    sign = "-" if nano_dollars < 0 else ""
    return f"{sign}${micro // 1_000_000:,}.{micro % 1_000_000:06}"


def aligned(amounts: Sequence[int]) -> list[str]:
    """Exact amounts under each other: all with as many decimals as one of them needs."""
    shown = [dollars(nano) for nano in amounts]
    longest = max((len(text.partition(".")[2]) for text in shown), default=0)
    return [text + "0" * (longest - len(text.partition(".")[2])) for text in shown]


def count(number: int, noun: str, several: str = "") -> str:
    """1 page, 1,695 pages; `several` where an s is not enough."""
    return f"{number:,} {noun if number == 1 else several or f'{noun}s'}"


def ago(moment: datetime) -> str:
    """A time as people say it: 12 s ago, in 5 min."""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    size = abs(seconds)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if size >= length:
            return _phrase(f"{size / length:.0f} {unit}", seconds)
    return _phrase(f"{size:.0f} s", seconds)


def _phrase(span: str, seconds: float) -> str:
    return f"{span} ago" if seconds >= 0 else f"in {span}"


def short(source: str, width: int) -> str:
    """A source's end, which tells more than its beginning."""
    return source if len(source) <= width else "…" + source[-(width - 1) :]
