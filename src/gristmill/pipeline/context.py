"""What every stage works with."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkstemp

from gristmill.contract import Services
from gristmill.costs.ledger import Ledger
from gristmill.costs.prices import Prices
from gristmill.database.engine import Database
from gristmill.errors import TooLarge, UnreadableSource
from gristmill.pipeline.children import ChildPool
from gristmill.pipeline.document import EmbeddingOptions, PipelineOptions, StorageOptions, Version
from gristmill.pipeline.inspection import hash_file
from gristmill.pipeline.objects import StoredObject, stored_object
from gristmill.services.supabase import DownloadObject

Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the work on one document; durations in seconds, `file_bytes` in bytes.

    A submit leaves within `submit_wait` of the moment when its intent was kept, or not at all, and
    the parser shows the job `recording_wait` later at the latest.
    """

    file_bytes: int
    parse_deadline: float = 3600.0
    submit_wait: float = 5.0
    recording_wait: float = 2.0
    attempts: int = 12


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a worker looks after what nobody tells it of; in seconds."""

    look: float = 1.0  # whether the time of a parked document has come
    tend: float = 5.0  # for documents that nobody works on
    chores: float = 2.0
    outage: float = 1.0  # between two tries to get the database back


class Signal:
    """Heard by each listener, also by one that does something else at the moment."""

    def __init__(self) -> None:
        self._listeners: list[asyncio.Event] = []

    def listener(self) -> asyncio.Event:
        """An event that is set whenever the signal is given; whoever has it clears it."""
        self._listeners.append(asyncio.Event())
        return self._listeners[-1]

    def set(self) -> None:
        for each in self._listeners:
            each.set()


@dataclass(frozen=True, slots=True)
class Context:
    """The parts a stage may use. `services` is the router, `host` names this machine's files.

    `options` are those of the moment at which `current` was asked for this context; `choose` knows
    what they are now.
    """

    database: Database
    ledger: Ledger
    prices: Prices
    services: Services
    children: ChildPool
    options: PipelineOptions
    limits: Limits
    host: str
    spool: Path
    pace: Pace = Pace()
    # Buckets known to exist, so that each is looked for once.
    buckets: set[StorageOptions] = field(default_factory=set)
    # The numbers of embedding spaces, which never change.
    spaces: dict[EmbeddingOptions, int] = field(default_factory=dict)
    # Given when something may be ready for the pollers before their next look.
    poke: Signal = field(default_factory=Signal)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    draw: random.Random = field(default_factory=random.SystemRandom)
    choose: Callable[[], Awaitable[PipelineOptions]] | None = None

    async def current(self) -> "Context":
        """The same with the options that hold now.

        Raises:
            Misconfigured: work cannot go on in the present modes.
        """
        return self if self.choose is None else replace(self, options=await self.choose())

    @asynccontextmanager
    async def material(self, version: Version) -> AsyncIterator[Path]:
        """A path to the version's bytes, proven by their hash before and unchanged after.

        Raises:
            UnreadableSource: they changed or vanished before they were stored.
        """
        if proven := await self._prove(version):
            yield version.path
            if _stamp(version.path) != proven:
                raise _changed(version)
        elif stored := await stored_object(self.database, version):
            async with self._downloaded(version, stored) as path:
                yield path
        else:
            raise _changed(version)

    async def _prove(self, version: Version) -> Stamp | None:
        """The file's stamp from before it was hashed, if this machine has just those bytes."""
        if version.host != self.host:
            return None
        try:
            stamp = _stamp(version.path)
            content, _ = await asyncio.to_thread(
                hash_file, version.path, max_bytes=self.limits.file_bytes
            )
        except (OSError, UnreadableSource):
            return None
        return stamp if content == version.sha256 else None

    @asynccontextmanager
    async def _downloaded(self, version: Version, stored: StoredObject) -> AsyncIterator[Path]:
        self.spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = mkstemp(dir=self.spool, suffix=f".{version.kind}")
        os.close(handle)
        path = Path(name)
        try:
            if not await self._fetched(version, stored, path):
                raise UnreadableSource(
                    f"The stored file of {version.name} is not the one that was taken in.",
                    advice="Ingest it again from its source.",
                )
            yield path
        finally:
            path.unlink(missing_ok=True)

    async def _fetched(self, version: Version, stored: StoredObject, path: Path) -> bool:
        """Whether the object that is there now was the file; no more of it than that is fetched."""
        download = DownloadObject(stored.bucket, stored.key, to=path, most=version.size)
        try:
            await self.services.at(download.service, stored.endpoint).execute(download)
        except TooLarge:
            return False
        content, _ = await asyncio.to_thread(hash_file, path, max_bytes=self.limits.file_bytes)
        return content == version.sha256


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _changed(version: Version) -> UnreadableSource:
    return UnreadableSource(
        f"{version.path} changed or vanished after it was taken in, before it was stored.",
        advice="Ingest it again; what was published before is still found.",
    )
