"""Result files that are fetched by a presigned URL instead of being part of the answer."""

import struct
import zlib
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import orjson

from gristmill_simulators.llamacloud import contents, spreadsheet
from gristmill_simulators.llamacloud.contents import Result
from gristmill_simulators.llamacloud.items import items, stripped

SUFFIX = "_content_metadata"
IMAGES = "images_content_metadata"
OUTPUT_PDF = "output_pdf"

_JSON, _TEXT = "application/json", "text/plain; charset=utf-8"
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_DOCUMENTED = {
    "items": "json",
    "markdown": "md",
    "output_pdf": "outputPDF",
    "text_full": "fullText",
}

Made = tuple[str, bytes]  # content type and bytes


def made(name: str, result: Result) -> Made | None:
    """One of the files; None where the job did not ask for it, or the simulator has none."""
    maker = _MAKERS.get(name)
    return maker(result) if maker is not None else None


def key(name: str, names: str) -> str:
    """The file's key in `result_content_metadata`, as `observed` or as `documented`."""
    return _DOCUMENTED.get(name, name) if names == "documented" else name


def has_output_pdf(result: Result, file_name: str) -> bool:
    """A copy of the document is kept on request, and made of no other type than PDF here."""
    is_pdf = PurePosixPath(file_name).suffix.lower() == ".pdf"
    return is_pdf and bool(result.output("save_output_pdf"))


def images(result: Result) -> list[dict[str, Any]]:
    """One screenshot for each page, when asked for; the SDK's shape without the URL."""
    if "screenshot" not in (result.output("images_to_save") or ()):
        return []
    return [
        {
            "index": index,
            "filename": f"page_{page['number']}.png",
            "content_type": "image/png",
            "category": "screenshot",
            "bbox": {"x": 0, "y": 0, "w": int(page["width"]), "h": int(page["height"])},
        }
        for index, page in enumerate(result.good())
    ]


def blank_png(width: int, height: int) -> bytes:
    """A white page: nothing is rendered here."""
    rows = zlib.compress((b"\0" + b"\xff" * width) * height, 9)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def _as_json(shape: Callable[[Result], Any]) -> Callable[[Result], Made | None]:
    def maker(result: Result) -> Made | None:
        value = shape(result)
        return None if value is None else (_JSON, orjson.dumps(value))

    return maker


def _stripped_pages(result: Result) -> Made | None:
    if "stripped_md" not in (result.output("additional_outputs") or ()):
        return None
    pages = [
        {"page_number": page["number"], "markdown": stripped(page["markdown"])}
        for page in result.good()
    ]
    return _JSON, orjson.dumps({"pages": pages})


def _stripped_text(result: Result) -> Made | None:
    if "concatenated_stripped_txt" not in (result.output("additional_outputs") or ()):
        return None
    pages = (stripped(page["markdown"]) for page in result.good())
    return _TEXT, "\n\n---\n\n".join(pages).encode()


def _xlsx(result: Result) -> Made | None:
    if not (result.output("tables_as_spreadsheet") or {}).get("enable"):
        return None
    pages = (items(page["markdown"]) for page in result.good())
    tables = [item["rows"] for page in pages for item in page if item["type"] == "table"]
    return (_XLSX, spreadsheet.workbook(tables)) if tables else None


_MAKERS: dict[str, Callable[[Result], Made | None]] = {
    "concatenated_stripped_markdown": _stripped_text,
    "forms": _as_json(contents.form_pages),
    "items": _as_json(contents.structured),
    "markdown": lambda result: (_TEXT, contents.markdown_full(result).encode()),
    "markdown_full": lambda result: (_TEXT, contents.markdown_full(result).encode()),
    "metadata": _as_json(contents.metadata),
    "raw_words": lambda _result: None,
    "stripped_markdown": _stripped_pages,
    "text": lambda result: (_TEXT, contents.text_full(result).encode()),
    "text_full": lambda result: (_TEXT, contents.text_full(result).encode()),
    "xlsx": _xlsx,
}
NAMES = frozenset(_MAKERS) | {OUTPUT_PDF}
