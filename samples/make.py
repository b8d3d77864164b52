"""Makes the PDF samples anew from the texts beside it.

    python samples/make.py

The same texts give the same bytes. Needs reportlab and Pillow, which the development environment
has; the samples themselves are committed.
"""

import io
import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import cm
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    PageBreak,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

HERE = Path(__file__).parent
DOCUMENTS = HERE / "documents"
TEXTS = HERE / "texts"
BODY = ParagraphStyle("body", fontName="Times-Roman", fontSize=10, leading=12.5, spaceAfter=5)
SANS = ParagraphStyle("sans", fontName="Helvetica", fontSize=10, leading=13.5, spaceAfter=6)
SLIDE = ParagraphStyle("slide", fontName="Helvetica", fontSize=20, leading=30, spaceAfter=10)
GRID = TableStyle(
    [
        ("GRID", (0, 0), (-1, -1), 0.4, colors.grey),
        ("BACKGROUND", (0, 0), (-1, 0), colors.whitesmoke),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
)


def headings(body: ParagraphStyle) -> dict[int, ParagraphStyle]:
    """A title and two levels of headings that go with a body style."""
    bold = body.fontName.replace("-Roman", "") + "-Bold"
    sizes = {1: 2.0, 2: 1.35, 3: 1.1}
    return {
        level: ParagraphStyle(
            f"{body.name}{level}",
            parent=body,
            fontName=bold,
            fontSize=body.fontSize * size,
            leading=body.fontSize * size * 1.25,
            spaceBefore=body.fontSize * (0.2 if level == 1 else 0.9),
            spaceAfter=body.fontSize * 0.5,
            keepWithNext=1,
        )
        for level, size in sizes.items()
    }


def flow(text: str, body: ParagraphStyle) -> list[Flowable]:
    """Paragraphs, headings (#), tables (|) and page breaks (---) of a text, as flowables."""
    titles = headings(body)
    flowables: list[Flowable] = []
    for block in text.strip().split("\n\n"):
        if block == "---":
            flowables.append(PageBreak())
        elif block.startswith("#"):
            marks, title = block.split(" ", 1)
            flowables.append(Paragraph(title, titles[len(marks)]))
        elif block.startswith("|"):
            flowables += [_table(block, body), Spacer(1, 8)]
        else:
            flowables.append(Paragraph(" ".join(block.split("\n")), body))
    return flowables


def _table(block: str, body: ParagraphStyle) -> Table:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
    cells = [[Paragraph(cell, body) for cell in row] for row in rows]
    return Table(cells, style=GRID, repeatRows=1)


def write(name: str, body: ParagraphStyle, size: tuple[float, float], columns: int = 1) -> None:
    """Sets texts/NAME.txt into NAME.pdf."""
    margin, gap = 2 * cm, 0.7 * cm
    width = (size[0] - 2 * margin - (columns - 1) * gap) / columns
    height = size[1] - 2 * margin
    frames = [
        Frame(margin + column * (width + gap), margin, width, height, 0, 0, 0, 0)
        for column in range(columns)
    ]
    document = BaseDocTemplate(
        str(DOCUMENTS / f"{name}.pdf"), pagesize=size, invariant=1, title=name.replace("-", " ")
    )
    document.addPageTemplates(PageTemplate(frames=frames, onPage=_number))
    document.build(flow((TEXTS / f"{name}.txt").read_text(encoding="utf-8"), body))


def _number(canvas: Canvas, document: BaseDocTemplate) -> None:
    canvas.setFont("Helvetica", 8)
    canvas.drawCentredString(document.pagesize[0] / 2, 1.1 * cm, str(document.page))


def write_scan(name: str) -> None:
    """A page as a scanner sees it: grey, a little turned, no text layer."""
    page = Image.new("L", (1240, 1754), 247)
    font = ImageFont.load_default(size=28)
    text = (TEXTS / f"{name}.txt").read_text(encoding="utf-8")
    ImageDraw.Draw(page).multiline_text((130, 150), text, fill=40, font=font, spacing=16)
    page = page.rotate(0.7, fillcolor=247, resample=Image.Resampling.BICUBIC)
    draw, pixels = random.Random(1), page.load()
    for _ in range(4000):
        pixels[draw.randrange(1240), draw.randrange(1754)] = draw.randrange(120, 230)
    jpeg = io.BytesIO()
    page.save(jpeg, "JPEG", quality=55)
    canvas = Canvas(str(DOCUMENTS / f"{name}.pdf"), pagesize=A4, invariant=1)
    canvas.drawImage(ImageReader(io.BytesIO(jpeg.getvalue())), 0, 0, *A4)
    canvas.save()


if __name__ == "__main__":
    write("bounded-retries", BODY, A4, columns=2)
    write("heat-pump-manual", SANS, A4)
    write("travel-policy", SANS, A4)
    write("quota-slides", SLIDE, landscape(A4))
    write_scan("returned-form")
