"""How far the documents of one call are, told while somebody waits for them."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

from gristmill.errors import DatabaseUnavailable
from gristmill.pipeline import catalogue
from gristmill.pipeline.document import PUBLISHED, DocumentStatus, DocumentSummary, IngestEntry
from gristmill.system import System

T = TypeVar("T")

LOOK_SECONDS: Final = 0.2
# A document that waits longer than this is left to a later run.
PATIENCE_SECONDS: Final = 90.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where everything that was asked for stands; `elapsed` is in seconds.

    `expected` is the number of sources, `entries` tells of those that have been looked at.
    `problem` is what holds everything up; the documents may then be those last seen.
    """

    entries: tuple[IngestEntry, ...]
    documents: tuple[DocumentSummary, ...]
    expected: int
    elapsed: float
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of every source, and where every document stands; `elapsed` in seconds."""

    entries: tuple[IngestEntry, ...]
    documents: tuple[DocumentSummary, ...]
    elapsed: float

    @property
    def is_published(self) -> bool:
        """Whether every source was taken in, and searches find every document."""
        refused = any(entry.outcome == "refused" for entry in self.entries)
        return not refused and all(d.status in PUBLISHED for d in self.documents)

    @property
    def is_complete(self) -> bool:
        """Whether, besides, no document has a gap."""
        return self.is_published and all(d.status is DocumentStatus.READY for d in self.documents)


OnProgress = Callable[[Progress], None]


class Watch:
    """Looks at the documents of one call until nothing more will happen to them soon."""

    def __init__(self, system: System, on_progress: OnProgress | None) -> None:
        self._system = system
        self._on_progress = on_progress
        self._started = time.monotonic()
        self._documents: tuple[DocumentSummary, ...] = ()
        self.expected = 0
        self.entries: list[IngestEntry] = []

    async def until_over(self) -> IngestReport:
        """Waits for the end; for a database in trouble as long as for a parked document.

        Raises:
            DatabaseUnavailable: nothing has moved for that long, and this is why.
        """
        before, moved = self._documents, time.monotonic()
        while True:
            with contextlib.suppress(DatabaseUnavailable):  # `trouble` remembers it
                documents = await self.look()
                if all(_is_out_of_hands(document) for document in documents):
                    return IngestReport(tuple(self.entries), documents, self._elapsed())
            trouble = self._system.database.trouble()
            if self._documents != before or trouble is None:
                before, moved = self._documents, time.monotonic()
            elif time.monotonic() - moved > PATIENCE_SECONDS:
                raise trouble
            await asyncio.sleep(LOOK_SECONDS)

    async def patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeats what may be repeated until the database takes it, for as long."""
        started = time.monotonic()
        while True:
            try:
                return await call()
            except DatabaseUnavailable:
                if time.monotonic() - started > PATIENCE_SECONDS:
                    raise
                self._tell()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> tuple[DocumentSummary, ...]:
        ids = [entry.document_id for entry in self.entries if entry.document_id is not None]
        try:
            found = await catalogue.summaries(self._system.database, ids=ids, limit=len(ids))
            self._documents = tuple(found)
        finally:
            self._tell()
        return self._documents

    def _tell(self) -> None:
        if self._on_progress is not None:
            trouble = self._system.database.trouble()
            self._on_progress(
                Progress(
                    tuple(self.entries),
                    self._documents,
                    self.expected,
                    self._elapsed(),
                    None if trouble is None else str(trouble),
                )
            )

    def _elapsed(self) -> float:
        return time.monotonic() - self._started


def _is_out_of_hands(document: DocumentSummary) -> bool:
    """Whether nothing more will happen to it while a person sits and waits."""
    if document.status is not DocumentStatus.PARKED or document.next_try is None:
        return document.has_ended
    wait = document.next_try - datetime.now(UTC)
    return wait.total_seconds() > PATIENCE_SECONDS
