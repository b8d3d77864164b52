"""Makes the samples that are not written by hand anew from the texts beside it.

    python samples/make.py

The same texts give the same bytes. Needs reportlab and Pillow, which the development environment
has; the samples themselves are committed. A text is blocks with blank lines between: `#` headings,
`|` rows of a table, `-` and `1.` lists, `$$` an equation, `!` a caption, `!figure NAME` a drawing,
`---` a new page, and paragraphs, with *slanted* and **bold** words.
"""

import io
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from PIL import Image, ImageDraw, ImageFont
from reportlab.graphics.shapes import Drawing, Line, Rect, String
from reportlab.lib import colors
from reportlab.lib.enums import TA_CENTER, TA_JUSTIFY
from reportlab.lib.pagesizes import A4, A5
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import cm
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    FrameBreak,
    HRFlowable,
    KeepTogether,
    ListFlowable,
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
SLIDE = (960.0, 540.0)
INK = colors.HexColor("#1f3a5f")


@dataclass(frozen=True)
class Look:
    """How a document is set: its body text, page and columns, in points."""

    body: ParagraphStyle
    page: tuple[float, float]
    margin: float
    columns: int = 1
    ink: colors.Color = colors.black
    sizes: tuple[float, float, float] = (2.0, 1.35, 1.1)  # of headings, relative to the body
    sections_start_pages: bool = False

    @property
    def column_width(self) -> float:
        gaps = (self.columns - 1) * 0.7 * cm
        return (self.page[0] - 2 * self.margin - gaps) / self.columns

    def heading(self, level: int) -> ParagraphStyle:
        size = self.body.fontSize * self.sizes[level - 1]
        return ParagraphStyle(
            f"heading {level}",
            fontName=self.body.fontName.replace("-Roman", "") + "-Bold",
            fontSize=size,
            leading=size * 1.2,
            spaceBefore=self.body.fontSize * (0.2 if level == 1 else 1.0),
            spaceAfter=self.body.fontSize * 0.5,
            keepWithNext=1,
            textColor=self.ink,
        )


def style(font: str, size: float, leading: float, after: float, **rest: float) -> ParagraphStyle:
    return ParagraphStyle(
        "body", fontName=font, fontSize=size, leading=leading, spaceAfter=after, **rest
    )


PAPER = Look(style("Times-Roman", 11, 14.8, 7, alignment=TA_JUSTIFY), A4, 2.5 * cm, columns=2)
MANUAL = Look(
    style("Helvetica", 10, 14.5, 8), A5, 1.5 * cm, ink=INK, sizes=(2.4, 1.6, 1.2),
    sections_start_pages=True,
)  # fmt: skip
POLICY = Look(
    style("Times-Roman", 12.5, 18, 10), A4, 2.8 * cm, sizes=(2.2, 1.45, 1.1),
    sections_start_pages=True,
)  # fmt: skip
PLAIN = Look(style("Helvetica", 10, 13.5, 6), A4, 2 * cm)
SLIDES = Look(
    style("Helvetica", 25, 34, 16), SLIDE, 2 * cm, ink=INK, sizes=(1.9, 1.5, 1.1),
    sections_start_pages=True,
)  # fmt: skip


def flow(text: str, look: Look) -> list[Flowable]:
    """The blocks of a text as flowables."""
    cover = look.page[1] * 0.26 if look.sections_start_pages else 0
    flowables: list[Flowable] = [Spacer(1, cover)] if cover else []
    for block in text.strip().split("\n\n"):
        if look.sections_start_pages and block.startswith("## "):
            flowables.append(PageBreak())
        flowables += _block(block, look)
    return flowables


def _block(block: str, look: Look) -> list[Flowable]:
    first = block.split(" ", 1)[0]
    if block.startswith("!"):
        return _captioned(block, look)
    if block.startswith("|"):
        return _table(block.split("\n"), look)
    if first == "---":
        return [PageBreak()]
    if items := re.findall(r"^(?:- |\d+\. )(.*)$", block, re.MULTILINE):
        return [_list(items, look, numbered=block[0].isdigit()), Spacer(1, look.body.spaceAfter)]
    return [_paragraph_of(block, first, look)]


def _paragraph_of(block: str, first: str, look: Look) -> Flowable:
    if first.startswith("#"):
        return Paragraph(_inline(block.removeprefix(first)), look.heading(len(first)))
    if first == "$$":
        centred = ParagraphStyle(
            "equation", parent=look.body, alignment=TA_CENTER, spaceBefore=4, spaceAfter=9
        )
        return Paragraph(block.removeprefix(first), centred)
    return Paragraph(_inline(block), look.body)


def _captioned(block: str, look: Look) -> list[Flowable]:
    caption, *rows = block.split("\n")
    if caption.startswith("!figure "):
        _, name, caption = caption.split(" ", 2)
        return [KeepTogether([FIGURES[name](look.column_width), _caption(caption, look)])]
    table = _table(rows, look) if rows else []
    return [Spacer(1, 4), KeepTogether([_caption(caption[1:].strip(), look), *table])]


def _inline(text: str) -> str:
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", " ".join(text.split("\n")))
    return re.sub(r"\*(.+?)\*", r"<i>\1</i>", text)


def _caption(text: str, look: Look) -> Flowable:
    size = look.body.fontSize * (0.92 if look.columns > 1 else 1.15)
    grey = ParagraphStyle(
        "caption", parent=look.body, fontSize=size, leading=size * 1.25, alignment=0,
        spaceBefore=6, spaceAfter=6, textColor=colors.HexColor("#444444"),
    )  # fmt: skip
    return Paragraph(_inline(text), grey)


def _list(items: list[str], look: Look, *, numbered: bool) -> Flowable:
    return ListFlowable(
        [Paragraph(_inline(item), look.body) for item in items],
        bulletType="1" if numbered else "bullet",
        bulletFormat="%s." if numbered else None,
        bulletFontSize=look.body.fontSize * (1 if numbered else 0.7),
        start=None if numbered else "circle",
        leftIndent=look.body.fontSize * 1.8,
    )


def _table(lines: list[str], look: Look) -> list[Flowable]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    cell = ParagraphStyle(
        "cell", parent=look.body, alignment=0, spaceAfter=0,
        fontSize=look.body.fontSize * 0.93, leading=look.body.fontSize * 1.2,
    )  # fmt: skip
    head = ParagraphStyle("head", parent=cell, fontName=look.heading(2).fontName)
    cells = [
        [Paragraph(_inline(c), cell if n else head) for c in row] for n, row in enumerate(rows)
    ]
    lengths = [min(40, max(9, *(len(row[i]) for row in rows))) for i in range(len(rows[0]))]
    widths = [look.column_width * length / sum(lengths) for length in lengths]
    # Shaded rather than ruled: of rules, parsers make breaks in the column beside them.
    grid = TableStyle(
        [
            ("ROWBACKGROUNDS", (0, 1), (-1, -1), [colors.white, colors.HexColor("#f4f6f9")]),
            ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#e9eef5")),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (-1, -1), 3),
            ("RIGHTPADDING", (0, 0), (-1, -1), 3),
        ]
    )
    table = Table(cells, colWidths=widths, style=grid, repeatRows=1)
    return [table, Spacer(1, look.body.fontSize * 1.2)]


def backoff(width: float) -> Drawing:
    """Longest pauses of 0.5 s doubled up to 20 s, as bars."""
    drawing = Drawing(width, 120)
    step = (width - 30) / 7
    for attempt in range(7):
        pause = min(20.0, 0.5 * 2**attempt)
        x, height = 25 + attempt * step, pause * 4.5
        drawing.add(Rect(x, 18, step * 0.7, height, fillColor=colors.HexColor("#c9d6e8")))
        drawing.add(String(x + 2, 21 + height, f"{pause:g} s", fontSize=7))
        drawing.add(String(x + step * 0.3, 6, str(attempt + 1), fontSize=7))
    drawing.add(Line(20, 18, width, 18, strokeWidth=0.6))
    drawing.add(String(0, 6, "retry", fontSize=7))
    return drawing


FIGURES: dict[str, Callable[[float], Drawing]] = {"backoff": backoff}


def write(name: str, look: Look) -> None:
    """Sets texts/NAME.txt into NAME.pdf; a title above columns goes over the whole width."""
    blocks = (TEXTS / f"{name}.txt").read_text(encoding="utf-8").strip().split("\n\n")
    title = _inline(blocks[0].removeprefix("# "))
    document = BaseDocTemplate(
        str(DOCUMENTS / f"{name}.pdf"), pagesize=look.page, invariant=1, title=title
    )
    above = 2.6 * cm if look.columns > 1 else 0
    document.addPageTemplates(
        [
            PageTemplate(
                "first", _frames(look, above), onPage=_number, autoNextPageTemplate="later"
            ),
            PageTemplate("later", _frames(look, 0), onPage=_number),
        ]
    )
    story = flow("\n\n".join(blocks), look)
    if above:
        line = HRFlowable(width="100%", spaceAfter=0, spaceBefore=0)
        story[:1] = [story[0], line, FrameBreak()]
    document.build(story)


def _frames(look: Look, above: float) -> list[Frame]:
    """Columns from left to right, and over them a frame for the title if there is room above."""
    width, margin = look.column_width, look.margin
    height = look.page[1] - 2 * margin
    columns = [
        Frame(margin + n * (width + 0.7 * cm), margin, width, height - above, 0, 0, 0, 0)
        for n in range(look.columns)
    ]
    if not above:
        return columns
    top = look.page[1] - margin - above
    return [Frame(margin, top, look.page[0] - 2 * margin, above, 0, 0, 0, 0), *columns]


def _number(canvas: Canvas, document: BaseDocTemplate) -> None:
    canvas.setFont("Helvetica", 8)
    canvas.drawCentredString(document.pagesize[0] / 2, 0.8 * cm, str(document.page))


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


WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
OFFICE = "http://schemas.openxmlformats.org"
HEADER = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml"


def write_docx(name: str) -> None:
    """Sets texts/NAME.txt into NAME.docx: headings, paragraphs and tables."""
    blocks = (TEXTS / f"{name}.txt").read_text(encoding="utf-8").strip().split("\n\n")
    body = "".join(_word_block(block) for block in blocks)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{OFFICE}/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package'
        '.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{MAIN}.document.main+xml"/>'
        f'<Override PartName="/word/styles.xml" ContentType="{MAIN}.styles+xml"/></Types>',
        "_rels/.rels": _relation("officeDocument", "word/document.xml"),
        "word/_rels/document.xml.rels": _relation("styles", "styles.xml"),
        "word/styles.xml": f"<w:styles {WORD}>" + "".join(map(_word_style, (1, 2))) + "</w:styles>",
        "word/document.xml": f"<w:document {WORD}><w:body>{body}</w:body></w:document>",
    }
    with ZipFile(DOCUMENTS / f"{name}.docx", "w", ZIP_DEFLATED) as file:
        for path, text in parts.items():
            file.writestr(ZipInfo(path), HEADER + text, ZIP_DEFLATED)


def _relation(kind: str, target: str) -> str:
    return (
        f'<Relationships xmlns="{OFFICE}/package/2006/relationships"><Relationship Id="r1"'
        f' Type="{OFFICE}/officeDocument/2006/relationships/{kind}" Target="{target}"/>'
        "</Relationships>"
    )


def _word_style(level: int) -> str:
    return (
        f'<w:style w:type="paragraph" w:styleId="Heading{level}"><w:name w:val="heading {level}"/>'
        f'<w:pPr><w:spacing w:before="240" w:after="80"/>'
        f'<w:outlineLvl w:val="{level - 1}"/></w:pPr>'
        f'<w:rPr><w:b/><w:sz w:val="{40 - 8 * level}"/></w:rPr></w:style>'
    )


def _word_block(block: str) -> str:
    if block.startswith("|"):
        rows = [line.strip("|").split("|") for line in block.split("\n")]
        return _word_table(rows) + _paragraph("")
    if block.startswith("#"):
        marks, title = block.split(" ", 1)
        return _paragraph(title, f'<w:pStyle w:val="Heading{len(marks)}"/>')
    return _paragraph(block.removeprefix("! "), '<w:spacing w:after="120"/>')


def _word_table(rows: list[list[str]]) -> str:
    lines = "".join(
        f'<w:{side} w:val="single" w:sz="4"/>' for side in ("top", "bottom", "insideH", "insideV")
    )
    cells = "".join(
        "<w:tr>"
        + "".join(
            f'<w:tc><w:tcPr><w:tcW w:w="3000" w:type="dxa"/></w:tcPr>{_paragraph(c.strip())}</w:tc>'
            for c in row
        )
        + "</w:tr>"
        for row in rows
    )
    return f"<w:tbl><w:tblPr><w:tblBorders>{lines}</w:tblBorders></w:tblPr>{cells}</w:tbl>"


def _paragraph(text: str, properties: str = "") -> str:
    run = f'<w:r><w:t xml:space="preserve">{escape(text)}</w:t></w:r>'
    return f"<w:p><w:pPr>{properties}</w:pPr>{run}</w:p>"


if __name__ == "__main__":
    write("bounded-retries", PAPER)
    write("dehumidifier-manual", MANUAL)
    write("contents-insurance", POLICY)
    write("index-migration-slides", SLIDES)
    write("heat-pump-manual", PLAIN)
    write("travel-policy", PLAIN)
    write("quota-slides", SLIDES)
    write_scan("returned-form")
    write_scan("meter-notice")
    write_docx("remote-work")
