"""Sources at the door, a few together, however long the database is away in between."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from gristmill.library.sources import look_at
from gristmill.library.watching import Watch
from gristmill.pipeline import intake
from gristmill.pipeline.document import IngestEntry
from gristmill.system import System

BATCH: Final = 32  # sources registered together


async def take_in(
    system: System, files: Sequence[tuple[Path, bool]], collection: str | None, watch: Watch
) -> None:
    """Registers files (with whether they were named, not found) and has them watched.

    Raises:
        CollectionError: the collection holds vectors of another origin.
    """
    context = await system.context()
    watch.expected = len(files)
    database, options = context.database, context.options
    name = collection or system.settings.collection
    number = await watch.patiently(
        lambda: intake.collection_id(database, name, options.embedding.origin)
    )
    for start in range(0, len(files), BATCH):
        await watch.patiently(watch.look)
        looked = [
            await look_at(path, system.settings.max_file_bytes, is_named=is_named)
            for path, is_named in files[start : start + BATCH]
        ]
        sources = [source for source in looked if isinstance(source, intake.Source)]
        # Taking in what was taken in before the database went away changes nothing.
        registered = await watch.patiently(
            partial(intake.register, database, options, number, context.host, sources)
        )
        outcomes = dict(zip((s.identity for s in sources), registered, strict=True))
        watch.entries += [_entry(each, outcomes) for each in looked]


def _entry(
    looked: intake.Source | IngestEntry, registered: Mapping[str, tuple[str, intake.Outcome]]
) -> IngestEntry:
    if isinstance(looked, IngestEntry):
        return looked
    document_id, outcome = registered[looked.identity]
    return IngestEntry(looked.identity, outcome, document_id)
