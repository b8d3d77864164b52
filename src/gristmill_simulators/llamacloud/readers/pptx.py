"""PowerPoint presentations: one page per slide, in the order of the presentation."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from gristmill_simulators.llamacloud.pages import Wanted
from gristmill_simulators.llamacloud.readers.archive import Archive, relations
from gristmill_simulators.llamacloud.readers.document import Page, Unreadable, pages, table

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"

_PART = "ppt/presentation.xml"


def read(path: Path, wanted: Wanted) -> list[Page]:
    archive = Archive(path)
    root = archive.xml(_PART)
    if root is None:
        raise Unreadable("PDF_IS_BROKEN", "the file holds no presentation")
    targets = relations(archive, _PART)
    ids = [slide.get(f"{_R}id", "") for slide in root.iter(f"{_P}sldId")]
    slides = (archive.xml(targets.get(slide, "")) for slide in ids)
    return pages((_slide(slide) for slide in slides), wanted)


def _slide(slide: Element | None) -> str:
    return "\n\n".join(_blocks(slide)) if slide is not None else ""


def _blocks(slide: Element) -> Iterator[str]:
    for element in slide.iter():
        if element.tag == f"{_P}sp":
            yield from _shape(element)
        elif element.tag == f"{_A}tbl":
            rows = [_texts(row, f"{_A}tc") for row in element.iter(f"{_A}tr")]
            yield table(rows)


def _shape(shape: Element) -> Iterator[str]:
    holder = shape.find(f"{_P}nvSpPr/{_P}nvPr/{_P}ph")
    is_title = holder is not None and holder.get("type") in {"title", "ctrTitle"}
    for text in _texts(shape, f"{_A}p"):
        if text.strip():
            yield f"# {text.strip()}" if is_title else text.strip()


def _texts(element: Element, tag: str) -> list[str]:
    return ["".join(t.text or "" for t in part.iter(f"{_A}t")) for part in element.iter(tag)]
