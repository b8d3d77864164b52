"""PDFs to measure with: real ones, no two alike."""

import random
from io import BytesIO
from pathlib import Path
from typing import Final

from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

WORDS: Final = tuple(
    f"{first}{second}"
    for first in ("budget", "embed", "index", "journal", "parse", "query", "search", "vector")
    for second in ("", "s", " call", " limit", " price", " stage")
)
LINES: Final = 40
WORDS_PER_LINE: Final = 12


def one_page_files(folder: Path, count: int, *, seed: str) -> Path:
    """`count` PDFs of one page; another `seed` makes other contents."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{seed}-{number:05}.pdf").write_bytes(pdf(1, seed=f"{seed} {number}"))
    return folder


def pdf(pages: int, *, seed: str) -> bytes:
    """A PDF with about 480 words on each page."""
    draw = random.Random(seed)  # noqa: S311 — no secret
    file = BytesIO()
    canvas = Canvas(file, pagesize=A4, invariant=True)
    for number in range(1, pages + 1):
        lines = canvas.beginText(72, 770)
        lines.textLine(f"Report {seed}, page {number}")
        for _ in range(LINES):
            lines.textLine(" ".join(draw.choices(WORDS, k=WORDS_PER_LINE)))
        canvas.drawText(lines)
        canvas.showPage()
    canvas.save()
    return file.getvalue()
