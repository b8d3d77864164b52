"""The formats that are taken, and how each is recognised: tables, and two pure functions."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

Kind = Literal[
    "bmp", "csv", "docx", "epub", "gif", "html", "jpeg", "markdown", "odp", "ods", "odt", "pdf",
    "png", "pptx", "rtf", "text", "tiff", "tsv", "webp", "xlsx",
]  # fmt: skip
# What a file is although it is not taken: a phrase for a person.
Other = str

KINDS: Final[frozenset[str]] = frozenset(get_args(Kind))
IMAGES: Final[frozenset[Kind]] = frozenset({"bmp", "gif", "jpeg", "png", "tiff", "webp"})
# Nothing but characters; these have no signature, so that the name decides.
PLAIN: Final[frozenset[Kind]] = frozenset({"csv", "html", "markdown", "text", "tsv"})
# Read here, without a loss and at no cost.
TEXT_KINDS: Final[frozenset[Kind]] = frozenset({"markdown", "text"})
# Billed by the sheet.
SHEETS: Final[frozenset[Kind]] = frozenset({"csv", "ods", "tsv", "xlsx"})
# Images that never hold more than one page.
SINGLE: Final[frozenset[Kind]] = frozenset({"bmp", "jpeg", "png"})

_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
_ODF: Final = "application/vnd.oasis.opendocument."

MIME_TYPES: Final[Mapping[Kind, str]] = MappingProxyType({
    "bmp": "image/bmp",
    "csv": "text/csv",
    "docx": f"{_OFFICE}wordprocessingml.document",
    "epub": "application/epub+zip",
    "gif": "image/gif",
    "html": "text/html",
    "jpeg": "image/jpeg",
    "markdown": "text/markdown",
    "odp": f"{_ODF}presentation",
    "ods": f"{_ODF}spreadsheet",
    "odt": f"{_ODF}text",
    "pdf": "application/pdf",
    "png": "image/png",
    "pptx": f"{_OFFICE}presentationml.presentation",
    "rtf": "application/rtf",
    "text": "text/plain",
    "tiff": "image/tiff",
    "tsv": "text/tab-separated-values",
    "webp": "image/webp",
    "xlsx": f"{_OFFICE}spreadsheetml.sheet",
})  # fmt: skip

# All but `.text` and `.txt` are extensions that LlamaParse lists (llama-cloud 2.19,
# `LlamaParseSupportedFileExtensions`); its sound, video and rarer types have no price here.
EXTENSIONS: Final[Mapping[str, Kind]] = MappingProxyType({
    **{f".{kind}": kind for kind in MIME_TYPES},
    ".htm": "html", ".jpg": "jpeg", ".md": "markdown", ".tif": "tiff", ".txt": "text",
})  # fmt: skip

TAKEN: Final = (
    "Taken are .pdf, .docx, .pptx, .xlsx, .odt, .odp, .ods, .epub, .rtf, .html, .csv, .tsv, .md,"
    " .txt, and images: .png, .jpg, .tiff, .webp, .gif, .bmp."
)

ZIP: Final = "a ZIP archive"
OLD_OFFICE: Final = "an Office file of the old format, or one locked with a password"

# Both are text, so that a NUL cannot tell them from it, and both are unlikely to begin a text.
_TEXTUAL: Final[Mapping[bytes, Kind]] = {b"%PDF-": "pdf", b"{\\rtf": "rtf"}
_WEB_PAGES: Final = (b"<!doctype html", b"<html")

_BINARY: Final[tuple[tuple[int, bytes, Kind | Other], ...]] = (
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"GIF8", "gif"),
    (0, b"BM", "bmp"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (8, b"WEBP", "webp"),
    (0, b"PK\x03\x04", ZIP),
    (0, b"PK\x05\x06", ZIP),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLD_OFFICE),
    (0, b"MZ", "a Windows program"),
    (0, b"\x7fELF", "a Linux program"),
    (0, b"\xcf\xfa\xed\xfe", "a macOS program"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (0, b"SQLite format 3", "an SQLite database"),
    (0, b"ID3", "a sound recording"),
    (4, b"ftyp", "a video, or a photo in Apple's format"),
    (0, b"\x1aE\xdf\xa3", "a video"),
)


def recognise(head: bytes, named: Kind | None) -> Kind | Other | None:
    """What a file is by its first bytes; None if they say nothing.

    A PDF may begin with other bytes (1,024 by ISO 32000's implementation notes), but only a name
    can make that likely. Short signatures also begin texts ("BM", "MZ"): a NUL must follow.
    """
    for prefix, kind in _TEXTUAL.items():
        if head.startswith(prefix) or (kind == named == "pdf" and prefix in head):
            return kind
    if b"\0" in head:
        for offset, signature, found in _BINARY:
            if head.startswith(signature, offset):
                return found
    if named not in PLAIN and head.lstrip().lower().startswith(_WEB_PAGES):
        return "html"
    return None


def phrase(kind: str) -> str:
    """A kind or another format in a sentence: "a PDF file"."""
    if kind not in KINDS:
        return kind
    label = kind.capitalize() if kind in ("markdown", "text") else kind.upper()
    return f"{'an' if label[0] in 'EOX' or label in ('HTML', 'RTF') else 'a'} {label} file"
