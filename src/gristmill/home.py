"""The folder where one installation keeps what is its own: its name, and its database."""

import asyncio
import errno
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gristmill.errors import DatabaseUnavailable, Misconfigured

if TYPE_CHECKING:
    from gristmill.database.embedded import EmbeddedPostgres


class Home:
    """A home in use by this process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._starting = threading.Lock()
        self._is_closed = False
        self._server: EmbeddedPostgres | None = None

    @property
    def name(self) -> str:
        """What it is called among all that share a database; made at first use."""
        with self.written():
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            return _kept_once(self._path / "host", secrets.token_hex(8))

    async def start_database(self) -> str:
        """The address of its embedded server, which runs by then.

        Raises:
            DatabaseUnavailable: it cannot be started.
        """
        return await asyncio.to_thread(self._replace_server)

    async def close(self) -> None:
        """Leaves the server alone; the last process to do so stops it."""
        await asyncio.to_thread(self._drop_server)

    @contextmanager
    def written(self) -> Iterator[None]:
        """Tells in a sentence what the operating system refuses inside."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Misconfigured(
                    f"The disk is full: nothing can be written to {self._path}.",
                    advice="Make room where GRISTMILL_HOME is, and try again.",
                ) from error
            raise Misconfigured(
                f"This user may not write to {self._path}: {error.strerror}.",
                advice="Set GRISTMILL_HOME to a folder of your own.",
            ) from error

    def _replace_server(self) -> str:
        """Blocks, in a thread: what it started is ours even if nobody waits for it by then."""
        from gristmill.database.embedded import EmbeddedPostgres  # noqa: PLC0415 — few need it

        with self._starting:
            if self._is_closed:
                raise DatabaseUnavailable("Gristmill is closing.")
            server = EmbeddedPostgres.start(self._path)
            if self._server is not None:
                self._server.close()
            self._server = server
            return server.conninfo

    def _drop_server(self) -> None:
        with self._starting:
            self._is_closed = True
            if self._server is not None:
                self._server.close()
                self._server = None


def _kept_once(path: Path, text: str) -> str:
    """What the file holds: `text`, if this is the first call of all processes."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        if not path.exists():
            draft.write_text(text, encoding="ascii")
            with suppress(FileExistsError):
                path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
    return path.read_text(encoding="ascii")
