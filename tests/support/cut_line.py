"""A line to the database that breaks: now before a statement arrives, now before its answer does."""

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

SPARED = 12  # pieces of a connection until it is set up
CUT = 0.1


@dataclass
class CutLine:
    """Passes on what comes, and cuts one piece in ten short with its whole connection."""

    socket: Path
    draw: random.Random
    is_cutting: bool = True
    cuts: int = 0
    passing: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    @asynccontextmanager
    async def to(cls, conninfo: str, seed: int) -> AsyncIterator[tuple[str, "CutLine"]]:
        """The line, and the address of the database at its near end."""
        parts = conninfo_to_dict(conninfo)
        name = f".s.PGSQL.{parts.get('port', 5432)}"
        line = cls(Path(str(parts["host"])) / name, random.Random(seed))
        with tempfile.TemporaryDirectory(prefix="grist") as folder:
            server = await asyncio.start_unix_server(line.connected, str(Path(folder) / name))
            yield make_conninfo(conninfo, host=folder), line
            server.close()
            for task in line.passing:
                task.cancel()
            await asyncio.gather(*line.passing, return_exceptions=True)

    async def connected(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, forth = await asyncio.open_unix_connection(str(self.socket))
        ways = [asyncio.create_task(self.pass_on(*way)) for way in ((near, forth), (far, back))]
        self.passing.update(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for task in ways:
            task.cancel()
        self.passing.difference_update(ways)
        forth.close()
        back.close()

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pieces = 0
        with suppress(ConnectionError):
            while piece := await reader.read(1 << 16):
                pieces += 1
                if self.is_cutting and pieces > SPARED and self.draw.random() < CUT:
                    self.cuts += 1
                    return
                writer.write(piece)
