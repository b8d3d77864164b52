"""What is refused before it is paid for, what is taken, and what is said of it."""

import io
import os
import random
import socket
import threading
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from gristmill.errors import UnreadableSource
from gristmill.pipeline.children import ChildPool
from gristmill.pipeline.encoding import NotText, decode
from gristmill.pipeline.formats import EXTENSIONS, KINDS, MIME_TYPES
from gristmill.pipeline.inspection import hash_file, inspect, read_text

LIMIT = 1 << 20
XML = b"<?xml version='1.0'?><document/>"
OPEN_DOCUMENT = "application/vnd.oasis.opendocument."
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(20) + b"IEND\xaeB`\x82"


def seeded(seed: int) -> random.Random:
    return random.Random(seed)


def pdf(pages: int = 1, **options: object) -> bytes:
    buffer = io.BytesIO()
    canvas = Canvas(buffer, **options)
    for number in range(pages):
        canvas.drawString(72, 700, f"Page {number}: wheat, rye and barley.")
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def container(parts: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def docx(**more: bytes) -> bytes:
    return container({"[Content_Types].xml": XML, "word/document.xml": XML, **more})


@pytest.fixture
def put(tmp_path):
    def put(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return put


def refusal(path: Path) -> str:
    with pytest.raises(UnreadableSource) as caught:
        inspect(path)
    assert caught.value.advice
    return str(caught.value)


# --- PDF ------------------------------------------------------------------------------------


@pytest.mark.parametrize("pages", [1, 3, 250])
def test_the_pages_of_a_pdf_are_counted(put, pages):
    content = pdf(pages)
    found = inspect(put("a.pdf", content))
    assert (found.kind, found.pages, found.size) == ("pdf", pages, len(content))
    assert found.mime == "application/pdf"


@pytest.mark.parametrize("name", ["UPPER.PDF", "no extension", "draft.v2", "é \udcff.pdf"])
def test_a_pdf_is_taken_under_any_name_that_names_no_other_type(put, name):
    assert inspect(put(name, pdf())).pages == 1


def test_a_pdf_that_needs_a_password_is_refused(put):
    locked = pdf(encrypt=StandardEncryption("fake-user", ownerPassword="fake-owner", strength=128))
    assert "password" in refusal(put("a.pdf", locked))


def test_a_pdf_with_an_owners_password_only_opens_everywhere(put):
    protected = pdf(2, encrypt=StandardEncryption("", ownerPassword="fake-owner", canPrint=0))
    assert inspect(put("a.pdf", protected)).pages == 2


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_pdf_that_was_cut_off_is_refused_as_that(put, share):
    content = pdf(40)
    assert "cut off" in refusal(put("a.pdf", content[: int(len(content) * share)]))


def test_a_linearized_pdf_tells_its_length_and_is_refused_if_shorter(put):
    content = pdf()
    whole = content.replace(b"\n", b"\n% /Linearized 1 /L 999999\n", 1)
    assert "cut off" in refusal(put("a.pdf", whole))


def test_a_pdf_without_a_page_or_structure_is_refused(put):
    empty = pdf().replace(b"/Count 1", b"/Count 0").replace(b"/Kids [ 3 0 R ]", b"/Kids [ ]      ")
    assert "without a page" in refusal(put("empty.pdf", empty))
    noise = b"%PDF-1.7\n" + seeded(1).randbytes(5000) + b"startxref\n9\n%%EOF"
    assert "damaged" in refusal(put("noise.pdf", noise))


async def test_200_corruptions_of_a_pdf_end_in_an_answer_or_a_refusal_each(tmp_path):
    draw, good = seeded(20), bytearray(pdf(5))
    outcomes = {"pdf": 0, "refused": 0}
    async with ChildPool(size=2) as pool:
        for number in range(200):
            path = tmp_path / f"{number}.pdf"
            path.write_bytes(_corrupted(good, draw))
            try:
                found = await pool.run(inspect, path)
                outcomes[found.kind] += 1
            except UnreadableSource:
                outcomes["refused"] += 1
        assert await pool.run(abs, -1) == 1
    assert min(outcomes.values()) >= 10, outcomes


def _corrupted(good: bytearray, draw: random.Random) -> bytes:
    content = bytearray(good)
    for _ in range(draw.choice([1, 10, 100, 500])):
        content[draw.randrange(8, len(content))] = draw.randrange(256)
    if draw.random() < 0.3:
        begin = draw.randrange(8, len(content))
        del content[begin : begin + draw.randrange(1, 400)]
    return bytes(content)


# --- Office files and other containers -------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("docx", {"word/document.xml": XML}),
        ("docx", {"word/document2.xml": XML}),
        ("pptx", {"ppt/presentation.xml": XML}),
        ("xlsx", {"xl/workbook.xml": b"\xef\xbb\xbf" + XML}),
        ("odt", {"mimetype": f"{OPEN_DOCUMENT}text".encode(), "content.xml": XML}),
        ("odp", {"mimetype": f"{OPEN_DOCUMENT}presentation".encode(), "content.xml": XML}),
        ("ods", {"mimetype": f"{OPEN_DOCUMENT}spreadsheet".encode(), "content.xml": XML}),
        ("epub", {"mimetype": b"application/epub+zip", "META-INF/container.xml": XML}),
    ],
)
def test_office_files_are_recognised_by_what_is_in_them(put, kind, parts):
    found = inspect(put(f"a.{kind}", container(parts)))
    assert (found.kind, found.mime, found.pages) == (kind, MIME_TYPES[kind], None)


def test_a_name_that_says_something_else_is_told_what_the_file_really_is(put):
    assert "really a ZIP archive" in refusal(put("a.pdf", container({"a.txt": b"a"})))
    assert "really a DOCX file" in refusal(put("b.pdf", docx()))
    assert "really a PDF file" in refusal(put("c.docx", pdf()))
    assert "really a PDF file" in refusal(put("d.txt", pdf()))
    assert "really an HTML file" in refusal(put("e.pdf", b"\n<!DOCTYPE html><p>Not found"))
    assert "really a PNG file" in refusal(put("f.pdf", PNG))
    assert "as its name says" in refusal(put("g.pdf", b"just some words"))


def test_an_office_file_locked_with_a_password_is_told_so(put):
    assert "password" in refusal(put("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)))
    odt = {"mimetype": f"{OPEN_DOCUMENT}text".encode(), "content.xml": b"\x8f\x11 cipher"}
    assert "password" in refusal(put("a.odt", container(odt)))


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_an_office_file_that_was_cut_off_is_refused(put, share):
    content = docx(noise=seeded(1).randbytes(5000))
    assert "cut off" in refusal(put("a.docx", content[: int(len(content) * share)]))


def test_an_archive_that_would_unpack_to_too_much_is_refused_without_unpacking(put):
    many = docx(**{f"p{number}": b"" for number in range(10_001)})
    assert "too much" in refusal(put("many.docx", many))
    dense = docx(bomb=bytes(20 << 20))
    assert "too much" in refusal(put("dense.docx", dense))


def test_corrupted_office_files_are_taken_or_refused_and_nothing_else(put):
    draw, good = seeded(7), bytearray(docx(more=XML * 50))
    outcomes = {"docx": 0, "refused": 0}
    for number in range(200):
        path = put(f"{number}.docx", _corrupted(good, draw))
        try:
            outcomes[inspect(path).kind] += 1
        except UnreadableSource as error:
            outcomes["refused"] += bool(error.advice)
    assert sum(outcomes.values()) == 200
    assert outcomes["refused"] > 50, outcomes


# --- Images, and what is not taken -----------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "kind", "pages"),
    [
        (PNG, "png", 1),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0\xff\xd9", "jpeg", 1),
        (b"GIF89a\1\0\1\0", "gif", None),
        (b"II*\0\x08\0\0\0", "tiff", None),
        (b"RIFF\x1a\0\0\0WEBPVP8L", "webp", None),
        (b"BM\x1a\0\0\0\0\0\0\0", "bmp", 1),
    ],
)
def test_images_are_recognised_whatever_image_their_name_says(put, content, kind, pages):
    for name in (f"a.{kind}", "a.jpg", "a"):
        assert (inspect(put(name, content)).kind, inspect(put(name, content)).pages) == (
            kind,
            pages,
        )


def test_an_image_that_was_cut_off_is_refused(put):
    assert "cut off" in refusal(put("a.png", PNG[:-8]))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("setup.exe", b"MZ\x90\0\3\0", "a Windows program"),
        ("a.zip", container({"a.txt": b"a"}), "a ZIP archive"),
        ("a.tar.gz", b"\x1f\x8b\x08\0\0", "a gzip archive"),
        ("old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", "old format"),
        ("a.mp4", b"\0\0\0\x18ftypmp42", "a video"),
        ("a.xyz", b"whatever", "unknown type .xyz"),
        ("LICENSE", b"whatever", "no type"),
    ],
)
def test_other_types_are_refused_by_name_with_what_can_be_done(put, name, content, said):
    path = put(name, content)
    with pytest.raises(UnreadableSource) as caught:
        inspect(path)
    assert said in str(caught.value)
    assert ".docx" in caught.value.advice


def test_every_kind_has_a_media_type_and_an_extension():
    assert set(MIME_TYPES) == set(EXTENSIONS.values()) == KINDS


# --- Text -----------------------------------------------------------------------------------


def test_text_is_read_as_it_was_written(put):
    text = "# Grüße\r\n\n漢字 \N{GRINNING FACE}\t\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        path = put("a.md", text.encode(encoding))
        assert inspect(path).note == ""
        assert [(page.number, page.markdown) for page in read_text(path)] == [(1, text)]


def test_a_form_feed_ends_a_page_of_plain_text_only(put):
    content = b"one\ftwo\f\fthree\f"
    for name in ("a.txt", "a.text"):
        pages = [page.markdown for page in read_text(put(name, content))]
        assert pages == ["one", "two", "", "three"]
        assert inspect(put(name, content)).pages == 4
    assert len(read_text(put("a.md", content))) == 1


def test_western_text_in_the_windows_encoding_is_read_and_noted(put):
    path = put("a.txt", "Die Mühle mahlt für 5 €.".encode("cp1252"))
    assert "Windows-1252" in inspect(path).note
    assert read_text(path)[0].markdown == "Die Mühle mahlt für 5 €."


@pytest.mark.parametrize(
    "content",
    [
        b"text\0with a NUL",
        bytes(range(1, 32)) * 9,
        "Мельница мелет зерно".encode("cp1251"),
        "粉屋は穀物を挽く".encode("shift_jis"),
        "磨坊主磨谷物".encode("gb18030"),
        b"\xff\xfeodd",
        b"\xef\xbb\xbf\xff\xff",
        "no mark".encode("utf-16-le"),
        seeded(3).randbytes(3000),
    ],
)
def test_what_is_no_text_or_in_no_certain_encoding_is_refused(put, content):
    for name in ("a.md", "a.txt", "a.csv", "a.html"):
        assert "cannot be read as text" in refusal(put(name, content))
    with pytest.raises(UnreadableSource):
        read_text(put("a.md", content))


def test_text_that_begins_like_a_program_or_an_image_stays_text(put):
    for begin in (
        "BMW builds cars",
        "MZ is a postal code",
        "GIF89a is a format",
        "<html> is a tag",
    ):
        assert inspect(put("a.md", begin.encode())).kind == "markdown"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_whatever_can_be_written_in_utf8_comes_back(text):
    assert decode(text.encode("utf-8-sig")) == (text, "")
    if not text.startswith("\N{ZERO WIDTH NO-BREAK SPACE}"):
        assert decode(text.encode()) == (text, "")


@given(st.binary())
def test_any_bytes_are_decoded_or_refused(data):
    try:
        text, _ = decode(data)
    except NotText:
        return
    assert "\0" not in text
    text.encode()


# --- The file itself --------------------------------------------------------------------------


def test_a_file_is_hashed_in_blocks(put):
    content = seeded(5).randbytes(3 * (1 << 20) + 7)
    assert hash_file(put("a", content), max_bytes=1 << 23) == (
        sha256(content).hexdigest(),
        len(content),
    )


def test_a_file_over_the_limit_is_refused_without_being_read(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse: hashing it would take many minutes
    with pytest.raises(UnreadableSource, match="more than the 1,048,576") as caught:
        hash_file(path, max_bytes=LIMIT)
    assert caught.value.advice


@pytest.mark.timeout(5)
def test_what_is_no_file_is_refused_at_once(tmp_path, monkeypatch):
    pipe, local = tmp_path / "pipe", tmp_path / "socket"
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(tmp_path)  # the path of a socket has to be short
        listening.bind("socket")
        for path in (pipe, local, tmp_path, Path("/dev/zero"), Path("/dev/tty")):
            for look in (inspect, read_text, lambda path: hash_file(path, max_bytes=LIMIT)):
                with pytest.raises(UnreadableSource):
                    look(path)


@pytest.mark.parametrize("name", ["missing", "a\0b", "x" * 300, "\ud800", "new\nline"])
def test_a_path_that_leads_nowhere_is_refused_in_printable_words(tmp_path, name):
    with pytest.raises(UnreadableSource) as caught:
        hash_file(tmp_path / name, max_bytes=LIMIT)
    assert str(caught.value).isprintable()
    str(caught.value).encode()


def test_an_empty_file_is_refused_everywhere(put):
    path = put("a.pdf", b"")
    assert "0 bytes" in refusal(path)
    with pytest.raises(UnreadableSource, match="0 bytes"):
        hash_file(path, max_bytes=LIMIT)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_refused(put):
    path = put("a.pdf", pdf())
    path.chmod(0)
    assert "may not be read" in refusal(path)


def test_a_file_that_is_written_to_meanwhile_is_refused(put):
    path, ended = put("a.log", bytes(32 << 20)), threading.Event()

    def write() -> None:
        with path.open("ab", buffering=0) as file:
            while not ended.is_set():
                file.write(b"another line\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(UnreadableSource, match="changed while it was read"):
            hash_file(path, max_bytes=1 << 30)
    finally:
        ended.set()
        writer.join()
