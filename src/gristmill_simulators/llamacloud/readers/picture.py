"""Pictures: a page without a word each, since nothing here reads what is painted."""

import struct
from pathlib import Path

from gristmill_simulators.llamacloud.pages import Wanted
from gristmill_simulators.llamacloud.readers.document import Page, Unreadable, pages

_BEGINNINGS = (
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM"),
    *(b"RIFF", b"II*\0", b"MM\0*"),
)
_MOST_PAGES = 1_000  # of a TIFF, whose list of them may run in a circle


def read(path: Path, wanted: Wanted) -> list[Page]:
    data = path.read_bytes()
    if not data.startswith(_BEGINNINGS):
        raise Unreadable("PDF_IS_BROKEN", "the file is no picture that its name says")
    return pages([""] * _count(data), wanted)


def _count(data: bytes) -> int:
    """The pages of a TIFF, by the list of its directories; one of anything else."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return 1
    count, place = 0, 4
    while count < _MOST_PAGES and (place := _number(data, order, "I", place)):
        count += 1
        place += 2 + 12 * _number(data, order, "H", place)
    return max(1, count)


def _number(data: bytes, order: str, kind: str, place: int) -> int:
    size = struct.calcsize(kind)
    if place + size > len(data):
        return 0
    number: int = struct.unpack_from(order + kind, data, place)[0]
    return number
