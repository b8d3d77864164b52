"""The files that sources stand for, and how their names are shown."""

import asyncio
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from gristmill.errors import GristmillError, InvalidArgument
from gristmill.pipeline.document import IngestEntry
from gristmill.pipeline.formats import EXTENSIONS
from gristmill.pipeline.inspection import hash_file
from gristmill.pipeline.intake import Source


def walk(sources: Iterable[str | Path]) -> Iterator[tuple[Path, bool]]:
    """The files that are meant, as absolute paths, each once, and whether each was named.

    A folder stands for all files below it, but for hidden ones.

    Raises:
        InvalidArgument: an empty name, which paths would take for the present folder.
    """
    seen = set()
    for source in sources:
        if source == "":
            raise InvalidArgument('"" names no file; the present folder is called "."')
        path = _expanded(Path(source)).absolute()
        for file in _below(path) if os.path.isdir(path) else [path]:  # noqa: PTH112 — never raises
            if file not in seen:
                seen.add(file)
                yield file, file == path


async def look_at(path: Path, max_bytes: int, *, is_named: bool) -> Source | IngestEntry:
    """The file with its hash; or what is told of it where it is refused or skipped."""
    if os.path.isdir(path):  # noqa: PTH112 — never raises
        return IngestEntry(
            printable(path),
            "refused",
            error=f"The folder {printable(Path(path.name))} may not be listed by this user.",
            advice="Change its permissions; the files in it were not taken in.",
        )
    if not is_named and path.suffix.lower() not in EXTENSIONS:
        return IngestEntry(printable(path), "skipped")
    try:
        content, size = await asyncio.to_thread(hash_file, path, max_bytes=max_bytes)
    except GristmillError as error:
        return IngestEntry(printable(path), "refused", error=str(error), advice=error.advice)
    return Source(printable(path), path, printable(Path(path.name)), content, size)


def _expanded(path: Path) -> Path:
    """`~` and `~name` as the shell means them; a file may also be called so."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def _below(folder: Path) -> Iterator[Path]:
    """All files; a folder that may not be listed stands for itself, to be refused by name."""
    closed: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=lambda e: closed.append(Path(e.filename))):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(place, name)
    yield from closed


def printable(path: Path) -> str:
    """The path as text that any database and terminal takes; odd bytes become escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
