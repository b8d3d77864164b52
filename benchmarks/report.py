"""How the measurements speak: tables, bars, and the machine they were taken on."""

import argparse
import os
import platform
from collections.abc import Sequence


def is_quick(description: str | None) -> bool:
    """Reads the command line of a measurement, which knows one option."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    return bool(parser.parse_args().quick)


def title(name: str) -> None:
    print(f"\n## {name}\n", flush=True)


def machine() -> None:
    """One line about the machine, and how busy it was with other things."""
    load = os.getloadavg()[0]
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()},"
        f" Python {platform.python_version()}, load before the run {load:.2f}\n",
        flush=True,
    )


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table in Markdown, with columns wide enough to be read as it is."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(head))]
    lines = [_line(row, widths) for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    print("\n".join(lines) + "\n", flush=True)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    aligned = [
        cell.ljust(width) if place == 0 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "| " + " | ".join(aligned) + " |"


def bar(what: str, *, met: bool, figure: str, wanted: str) -> None:
    """One line that says whether a bar is met."""
    print(f"{'met   ' if met else 'MISSED'}  {what}: {figure} (bar: {wanted})", flush=True)
