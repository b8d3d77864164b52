"""Readers of office files: what they find, and how they refuse what is hostile."""

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from gristmill_simulators.llamacloud.pages import Wanted
from gristmill_simulators.llamacloud.readers import select
from gristmill_simulators.llamacloud.readers.document import PAGE_CHARACTERS, Unreadable

ALL = Wanted()
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
P = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
S = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
RELS = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'


@pytest.fixture
def write(tmp_path: Path):
    def write(name: str, content: bytes | dict[str, str]) -> Path:
        path = tmp_path / name
        if isinstance(content, dict):
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for part, text in content.items():
                    archive.writestr(part, text)
        else:
            path.write_bytes(content)
        return path

    return write


def markdown(path: Path, wanted: Wanted = ALL) -> list[str]:
    return [page.markdown for page in select.read(path, path.name, wanted)]


def docx(body: str) -> dict[str, str]:
    return {"word/document.xml": f"<w:document {W}><w:body>{body}</w:body></w:document>"}


def paragraph(text: str, properties: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def test_word_headings_lists_and_tables_become_markdown(write):
    cell = "<w:tc>{}</w:tc>"
    row = "<w:tr>" + cell + cell + "</w:tr>"
    table = row.format(paragraph("Grain"), paragraph("Tons"))
    table += row.format(paragraph("rye"), paragraph("3|4"))
    body = paragraph("Harvest", '<w:pStyle w:val="Heading2"/>')
    body += paragraph("first", "<w:numPr/>") + f"<w:tbl>{table}</w:tbl>"
    assert markdown(write("a.docx", docx(body))) == [
        "## Harvest\n\n- first\n\n| Grain | Tons |\n| --- | --- |\n| rye | 3\\|4 |"
    ]


def test_word_pages_end_at_breaks_and_when_they_get_long(write):
    broken = '<w:p><w:r><w:t>one</w:t><w:br w:type="page"/><w:t>two</w:t></w:r></w:p>'
    long = "".join(paragraph("x" * 1000) for _ in range(5))
    found = markdown(write("a.docx", docx(broken + long)))
    assert found[0] == "one"
    assert found[1].startswith("two\n\nxxx")
    assert all(len(page) < PAGE_CHARACTERS + 100 for page in found)
    assert markdown(write("b.docx", docx(broken + long)), Wanted(maximum=1)) == ["one"]


def test_slides_come_in_the_order_of_the_presentation(write):
    def slide(title: str) -> str:
        holder = '<p:nvSpPr><p:nvPr><p:ph type="title"/></p:nvPr></p:nvSpPr>'
        text = f"<p:txBody><a:p><a:r><a:t>{title}</a:t></a:r></a:p></p:txBody>"
        return f"<p:sld {P} {A}><p:sp>{holder}{text}</p:sp></p:sld>"

    order = '<p:sldId r:id="rId2"/><p:sldId r:id="rId1"/>'
    relation = '<Relationship Id="rId{0}" Target="slides/slide{0}.xml"/>'
    parts = {
        "ppt/presentation.xml": f"<p:presentation {P} {R}>{order}</p:presentation>",
        "ppt/_rels/presentation.xml.rels": f"<Relationships {RELS}>"
        + relation.format(1)
        + relation.format(2)
        + "</Relationships>",
        "ppt/slides/slide1.xml": slide("last"),
        "ppt/slides/slide2.xml": slide("first"),
    }
    assert markdown(write("a.pptx", parts)) == ["# first", "# last"]


def test_visible_sheets_become_tables_with_gaps_filled(write):
    sheets = '<sheet name="Mill" r:id="r1"/><sheet name="no" state="hidden" r:id="r2"/>'
    cells = '<c r="A1" t="s"><v>0</v></c><c r="C1"><v>7</v></c>'
    more = '<c r="B2" t="inlineStr"><is><t>oats</t></is></c><c r="C2" t="b"><v>1</v></c>'
    parts = {
        "xl/workbook.xml": f"<workbook {S} {R}><sheets>{sheets}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships {RELS}><Relationship Id="r1"'
        ' Target="/xl/worksheets/sheet1.xml"/></Relationships>',
        "xl/sharedStrings.xml": f"<sst {S}><si><t>rye</t></si></sst>",
        "xl/worksheets/sheet1.xml": f"<worksheet {S}><sheetData><row>{cells}</row>"
        f"<row>{more}</row></sheetData></worksheet>",
    }
    assert markdown(write("a.xlsx", parts)) == [
        "# Mill\n\n| rye |  | 7 |\n| --- | --- | --- |\n|  | oats | TRUE |"
    ]


def test_html_keeps_words_and_drops_scripts(write):
    page = b"""<html><head><title>t</title></head><body><h1>Mill</h1><script>bad()</script>
    <p>Grain &amp; <b>toll</b></p><ul><li>rye</li></ul>
    <table><tr><th>a</th><th>b</th></tr><tr><td>1</td></tr></table></body></html>"""
    assert markdown(write("a.html", page)) == [
        "# Mill\n\nGrain & toll\n\n- rye\n\n| a | b |\n| --- | --- |\n| 1 |  |"
    ]


def test_delimited_values_become_one_table(write):
    assert markdown(write("a.csv", b"\xef\xbb\xbfa;b\r\n1;2\r\n")) == [
        "| a | b |\n| --- | --- |\n| 1 | 2 |"
    ]


def odf(body: str) -> dict[str, str]:
    names = ["office", "text", "table", "drawing"]
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in names
    )
    return {
        "content.xml": f"<office:document-content {spaces}><office:body>{body}</office:body>"
        "</office:document-content>"
    }


def test_odt_headings_lists_tables_blanks_and_page_breaks(write):
    parts = odf(
        "<office:text><text:h text:outline-level='2'>Mill</text:h>"
        "<text:section><text:p>Grain<text:s text:c='2'/><text:span>and</text:span> toll</text:p>"
        "</text:section><text:list><text:list-item><text:p>rye</text:p></text:list-item>"
        "</text:list><text:p>One<text:soft-page-break/>Two</text:p>"
        "<table:table><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell>"
        "<table:table-cell table:number-columns-repeated='2'><text:p>b</text:p></table:table-cell>"
        "</table:table-row></table:table></office:text>"
    )
    assert markdown(write("a.odt", parts)) == [
        "## Mill\n\nGrain  and toll\n\n- rye\n\nOne",
        "Two\n\n| a | b | b |\n| --- | --- | --- |",
    ]


def test_each_sheet_and_each_slide_of_an_opendocument_is_a_page(write):
    sheets = "".join(
        f"<table:table table:name='{name}'><table:table-row><table:table-cell>"
        f"<text:p>{name}</text:p></table:table-cell><table:table-cell"
        " table:number-columns-repeated='16384'/></table:table-row></table:table>"
        for name in ("rye", "oats")
    )
    found = markdown(write("a.ods", odf(f"<office:spreadsheet>{sheets}</office:spreadsheet>")))
    assert [page.split("\n")[0] for page in found] == ["# rye", "# oats"]
    slide = "<drawing:page><drawing:frame><text:p>{}</text:p></drawing:frame></drawing:page>"
    slides = slide.format("first") + slide.format("second")
    parts = odf(f"<office:presentation>{slides}</office:presentation>")
    assert markdown(write("a.odp", parts)) == ["first", "second"]


def test_the_chapters_of_a_book_come_in_its_own_order(write):
    parts = {
        "META-INF/container.xml": "<container"
        " xmlns='urn:oasis:names:tc:opendocument:xmlns:container'><rootfiles>"
        "<rootfile full-path='OPS/book.opf'/></rootfiles></container>",
        "OPS/book.opf": "<package xmlns='http://www.idpf.org/2007/opf'><manifest>"
        "<item id='one' href='a%20b.xhtml'/><item id='two' href='../c.xhtml#x'/></manifest>"
        "<spine><itemref idref='two'/><itemref idref='one'/><itemref idref='none'/></spine>"
        "</package>",
        "OPS/a b.xhtml": "<!DOCTYPE html><html><body><h1>Oats</h1></body></html>",
        "c.xhtml": "<html><body><p>Rye &amp; barley</p></body></html>",
    }
    assert markdown(write("a.epub", parts)) == ["Rye & barley", "# Oats"]


def test_rtf_keeps_words_in_any_script_and_drops_fonts_and_pictures(write):
    text = (
        rb"{\rtf1\ansi{\fonttbl{\f0 Arial;}}{\*\secret x}{\info{\title t}}"
        rb"\pard Gr\'fcn \u9734?\uc0\u55357\u56832 rye\par {\pict 0f0f}Two\page Three\{\}}"
    )
    assert markdown(write("a.rtf", text)) == ["Grün ☆😀rye\n\nTwo", "Three{}"]


@pytest.mark.parametrize(
    ("name", "content", "number"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, 1),
        ("a.jpg", b"\xff\xd8\xff\xe0", 1),
        ("a.tiff", b"II*\0\x08\0\0\0" + (b"\0\0\x0e\0\0\0" + b"\0\0\0\0\0\0"), 2),
        ("a.tif", b"MM\0*\0\0\0\x08" + b"\0\0" + b"\0\0\0\x08", 1_000),  # in a circle
    ],
)
def test_a_picture_is_a_page_without_a_word(write, name, content, number):
    assert markdown(write(name, content)) == [""] * number


def test_a_pdf_may_begin_after_other_bytes(write):
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    canvas.drawString(72, 700, "wheat")
    canvas.save()
    head = b"Received: from mill\r\n" * 40
    assert markdown(write("a.pdf", head + buffer.getvalue())) == ["wheat"]


def test_a_pdf_without_an_extension_is_known_by_its_head(write):
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    canvas.drawString(72, 700, "wheat")
    canvas.save()
    assert markdown(write("upload", buffer.getvalue())) == ["wheat"]


@pytest.fixture
def refused(write):
    def refused(name: str, content: bytes | dict[str, str]) -> str:
        path = write(name, content)
        with pytest.raises(Unreadable) as error:
            select.read(path, name, ALL)
        return error.value.code

    return refused


def test_a_pdf_with_a_password_is_protected(refused):
    buffer = io.BytesIO()
    canvas = Canvas(buffer, encrypt=StandardEncryption("user", ownerPassword="owner"))
    canvas.drawString(72, 700, "secret")
    canvas.save()
    assert refused("a.pdf", buffer.getvalue()) == "PDF_IS_PROTECTED"


@pytest.mark.parametrize(
    "content", [b"%PDF-1.7\n%%EOF", b"garbage" * 100, b"%PDF-" + b"\xff" * 999]
)
def test_pdf_garbage_is_broken(refused, content):
    assert refused("a.pdf", content) == "PDF_IS_BROKEN"


def test_an_entity_bomb_never_gets_to_expand(refused):
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<!DOCTYPE x [<!ENTITY e0 "boom">{entities}]><x>&e11;</x>'
    assert refused("a.docx", {"word/document.xml": bomb}) == "PDF_IS_BROKEN"


def test_an_external_entity_is_not_fetched(refused):
    doctype = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    assert refused("a.docx", {"word/document.xml": f"{doctype}<x>&e;</x>"}) == "PDF_IS_BROKEN"


def test_a_zip_bomb_stops_at_the_size_limit(refused):
    zeros = "0" * (70 * 1024 * 1024)
    assert refused("a.docx", {"word/document.xml": zeros}) == "DOCUMENT_TOO_LARGE"


def test_an_archive_with_too_many_entries_is_too_large(refused):
    parts = {f"part{number}": "" for number in range(10_001)}
    assert refused("a.xlsx", parts) == "DOCUMENT_TOO_LARGE"


def test_an_encrypted_office_file_is_protected(refused):
    head = bytes.fromhex("d0cf11e0a1b11ae1")
    assert refused("a.docx", head + b"\0" * 512) == "PDF_IS_PROTECTED"


def test_deeply_nested_xml_is_read_without_recursion(write):
    depth = 100_000
    body = "<w:p>" + "<w:r>" * depth + "<w:t>deep</w:t>" + "</w:r>" * depth + "</w:p>"
    assert markdown(write("a.docx", docx(body))) == ["deep"]


@pytest.mark.parametrize("name", ["a.txt", "a.exe", "a"])
def test_other_types_are_unsupported(refused, name):
    assert refused(name, b"words") == "UNSUPPORTED_FILE_TYPE"


@given(
    name=st.sampled_from(
        [
            "a.html",
            "a.csv",
            "a.md",
            "a.docx",
            "a.pptx",
            "a.xlsx",
            "a.odt",
            "a.epub",
            "a.rtf",
            "a.tiff",
            "a.png",
        ]
    ),
    content=st.binary(min_size=1, max_size=400),
    head=st.sampled_from(
        [
            *(b"", b"PK\x03\x04", b"PK\x05\x06" + b"\0" * 18, b"<table><tr><td>", b"a,b\n"),
            *(b"{\\rtf1 ", b"II*\0\x08\0\0\0", b"MM\0*"),
        ]
    ),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_or_refused_with_a_code(tmp_path, name, content, head):
    path = tmp_path / name
    path.write_bytes(head + content)
    codes = []
    try:
        numbers = [page.number for page in select.read(path, name, ALL)]
    except Unreadable as error:
        codes, numbers = [error.code], [1]
    assert numbers == list(range(1, len(numbers) + 1))
    assert set(codes) <= {"PDF_IS_BROKEN", "PDF_IS_PROTECTED", "NO_DATA_FOUND_IN_FILE"}
