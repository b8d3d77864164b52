"""Small real PDFs."""

from io import BytesIO

from reportlab.lib.pagesizes import A4
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas


def pdf(*pages: str, password: str | None = None) -> bytes:
    """A PDF with one page for each text, a line for each line of it."""
    encryption = StandardEncryption(password) if password is not None else None
    file = BytesIO()
    canvas = Canvas(file, pagesize=A4, invariant=True, encrypt=encryption)
    for text in pages:
        lines = canvas.beginText(72, 770)
        lines.textLines(text)
        canvas.drawText(lines)
        canvas.showPage()
    canvas.save()
    return file.getvalue()
