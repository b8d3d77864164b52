"""What is told of a file before anybody is paid: exact where it can be, a guess where not."""

import zipfile
from hashlib import sha256

import pytest
from pdfs import pdf

from gristmill.errors import UnreadableSource
from gristmill.pipeline.appraisal import Length, appraise
from gristmill.pipeline.chunking import ChunkingOptions, split
from gristmill.pipeline.inspection import read_text

OPTIONS = ChunkingOptions(max_tokens=64, overlap=8)
BREAK = '<w:br w:type="page"/>'
SOFT = "<w:lastRenderedPageBreak/>"


@pytest.fixture
def container(tmp_path):
    """Writes a ZIP container with these parts."""

    def write(name, **parts):
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for part, text in parts.items():
                archive.writestr(part, text)
        return path

    return write


def likely(path):
    return appraise(path, OPTIONS).likely


def test_a_file_that_is_read_here_is_told_exactly_each_text_once(tmp_path):
    path = tmp_path / "mill.md"
    path.write_text("\n\n".join([f"# Part {n}\n\n{'Rye is ground. ' * 20}" for n in (1, 2, 2)]))
    chunks = split(read_text(path), OPTIONS)

    found = appraise(path, OPTIONS)

    assert {(each.sha256, each.tokens) for each in found.passages} == {
        (sha256(chunk.text.encode()).digest(), chunk.tokens) for chunk in chunks
    }
    assert len(found.passages) < len(chunks)
    assert found.likely == Length(1, sum(each.tokens for each in found.passages))


def test_the_pages_of_a_pdf_are_counted_and_nothing_is_guessed_but_its_text(tmp_path):
    path = tmp_path / "three.pdf"
    path.write_bytes(pdf("Rye.", "Oats.", "Barley."))
    found = appraise(path, OPTIONS)
    assert (found.found.pages, found.likely, found.passages) == (3, Length(3, 1500), None)


@pytest.mark.parametrize(
    ("body", "pages"),
    [
        ("<w:t>short</w:t>", 1),
        (f"<w:t>one</w:t>{BREAK}<w:t>two</w:t>{SOFT}<w:t>three</w:t>", 3),
        (f"<w:t>{'long ' * 2000}</w:t>", 4),
    ],
    ids=["short", "breaks", "long"],
)
def test_a_word_file_is_as_long_as_its_breaks_or_its_text_say(container, body, pages):
    path = container("a.docx", **{"word/document.xml": f"<w:document>{body}</w:document>"})
    assert likely(path).pages == pages


def test_slides_and_sheets_are_counted_and_what_else_is_in_the_file_is_not(container):
    slides = {f"ppt/slides/slide{n}.xml": "<p:sld x='1'><a:t>Rye</a:t></p:sld>" for n in (1, 2, 3)}
    layout = {"ppt/slideLayouts/slideLayout1.xml": "<p:sldLayout x='1'/>"}
    path = container("a.pptx", **{"ppt/presentation.xml": "<p/>"}, **slides, **layout)
    assert likely(path) == Length(3, 3)
    sheets = {f"xl/worksheets/sheet{n}.xml": "<worksheet x='1'/>" for n in (1, 2)}
    path = container("a.xlsx", **{"xl/workbook.xml": "<w/>"}, **sheets)
    assert likely(path).pages == 2


def test_the_text_of_a_web_page_is_what_is_outside_its_tags(tmp_path):
    path = tmp_path / "a.html"
    path.write_text(f"<html><p style='{'x' * 9000}'>{'Rye is ground. ' * 400}</p></html>")
    assert likely(path) == Length(2, 1500)


def test_a_table_is_one_sheet_however_long(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("grain,price\n" * 1000)
    assert likely(path) == Length(1, 3000)


def test_an_image_that_may_have_several_pages_is_taken_for_one(tmp_path):
    path = tmp_path / "a.gif"
    path.write_bytes(b"GIF89a" + b"\0" * 20)
    found = appraise(path, OPTIONS)
    assert (found.found.pages, found.likely) == (None, Length(1, 500))


def test_a_part_that_cannot_be_read_makes_a_worse_guess_and_no_failure(container):
    slides = {"ppt/slides/slide1.xml": "<p:sld x='1'>Rye</p:sld>"}
    path = container("a.pptx", **{"ppt/presentation.xml": "<p/>"}, **slides)
    damaged = path.read_bytes().replace(b"ppt/slides/slide1", b"ppt/slides/slide9", 1)
    path.write_bytes(damaged)
    assert likely(path).pages == 1


def test_what_the_pipeline_would_refuse_is_refused_here(tmp_path):
    path = tmp_path / "cut.pdf"
    path.write_bytes(pdf("Rye.")[:-200])
    with pytest.raises(UnreadableSource, match="cut off"):
        appraise(path, OPTIONS)
