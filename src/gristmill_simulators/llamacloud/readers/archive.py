"""ZIP containers and their XML parts, with limits on everything a bomb could blow up."""

import zipfile
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree as ET

from gristmill_simulators.llamacloud.readers.document import Unreadable

_ENTRIES = 10_000
_PART_BYTES = 64 * 1024 * 1024  # of one XML part, unpacked
_TOTAL_BYTES = 256 * 1024 * 1024

_COMPOUND_FILE = bytes.fromhex("d0cf11e0a1b11ae1")  # how Office stores encrypted documents


class Archive:
    """The parts of an Office file. Raises Unreadable for what is broken, encrypted or too big."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError):
            _refuse_container(path)
        if len(self._zip.infolist()) > _ENTRIES:
            raise Unreadable("DOCUMENT_TOO_LARGE", "the archive has too many entries")
        self._names = set(self._zip.namelist())
        self._read = 0

    def names(self) -> set[str]:
        return self._names

    def xml(self, name: str) -> ET.Element | None:
        """The root of a part; None when there is no such part."""
        if name not in self._names:
            return None
        parser = ET.XMLParser(target=_NoDoctype())  # noqa: S314 — see _NoDoctype
        try:
            parser.feed(self._bytes(name))
            root: ET.Element = parser.close()
        except ET.ParseError:
            raise Unreadable("PDF_IS_BROKEN", f"{name} is no well-formed XML") from None
        return root

    def text(self, name: str) -> str:
        """A part as text, UTF-8 or UTF-16 by its first bytes; the part must be there."""
        data = self._bytes(name)
        marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        return data.decode("utf-16" if marked else "utf-8-sig", "replace")

    def _bytes(self, name: str) -> bytes:
        try:
            with self._zip.open(name) as part:
                data = part.read(_PART_BYTES + 1)
        except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, ValueError):
            raise Unreadable("PDF_IS_BROKEN", f"{name} cannot be unpacked") from None
        except RuntimeError:  # what zipfile raises for an encrypted entry
            raise Unreadable("PDF_IS_PROTECTED", f"{name} is encrypted") from None
        self._read += len(data)
        if len(data) > _PART_BYTES or self._read > _TOTAL_BYTES:
            raise Unreadable("DOCUMENT_TOO_LARGE", "the archive unpacks to too many bytes")
        return data


class _NoDoctype(ET.TreeBuilder):
    # no entity can be declared without a document type; Office files have none
    def doctype(self, _name: str, _pubid: str | None, _system: str | None) -> None:
        raise Unreadable("PDF_IS_BROKEN", "the XML declares a document type")


def _refuse_container(path: Path) -> NoReturn:
    with path.open("rb") as file:
        head = file.read(len(_COMPOUND_FILE))
    if head == _COMPOUND_FILE:
        raise Unreadable("PDF_IS_PROTECTED", "the document is encrypted or of an old format")
    raise Unreadable("PDF_IS_BROKEN", "the file is no Office document")


def relations(archive: Archive, part: str) -> dict[str, str]:
    """Relation id to the full name of the part it points to."""
    folder, _, name = part.rpartition("/")
    root = archive.xml(f"{folder}/_rels/{name}.rels")
    found: dict[str, str] = {}
    for relation in root if root is not None else ():
        target = relation.get("Target", "")
        found[relation.get("Id", "")] = _resolved(folder, target)
    return found


def _resolved(folder: str, target: str) -> str:
    if target.startswith("/"):
        return target[1:]
    parts = folder.split("/")
    for step in target.split("/"):
        if step == "..":
            parts = parts[:-1]
        elif step != ".":
            parts.append(step)
    return "/".join(parts)
