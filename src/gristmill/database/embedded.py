"""The embedded PostgreSQL: one server for each home, shared by all processes that use it.

Whoever uses it holds a shared lock on `users.lock`. Starting, joining and stopping happen under
the exclusive `start.lock`, so the last one out and a newcomer cannot miss each other. The kernel
drops the locks of a killed process: its server stays, the next one joins it, and the last one out
stops it.
"""

import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from gristmill.database.binaries import find_binaries, readable_by
from gristmill.database.cluster import Cluster
from gristmill.database.configuration import last_words, prune_logs
from gristmill.database.initialise import make_data, remove_drafts
from gristmill.database.locks import FileLock, exclusive
from gristmill.database.refusals import explained
from gristmill.database.server import Server
from gristmill.errors import DatabaseUnavailable

__all__ = ["EmbeddedPostgres", "find_binaries"]

START_SECONDS: Final = 60.0
MUTE_SECONDS: Final = 5.0  # for a server that runs and has no socket
_RETRY_SECONDS: Final = 0.1


class EmbeddedPostgres:
    """A share in the home's server; made by `start`, given back by `close`.

    `conninfo` is libpq's keyword string and holds the password.
    """

    def __init__(self, server: Server, cluster: Cluster, users: FileLock) -> None:
        self.folder = cluster.folder
        self.conninfo = cluster.conninfo()
        self._cluster = cluster
        self._server = server
        self._users: FileLock | None = users

    @classmethod
    def start(cls, home: Path, *, seconds: float = START_SECONDS) -> Self:
        """Makes the database if there is none, starts its server if none runs, and joins.

        Blocks: about a second the first time, 0.1 s while nobody else uses it, else no time.
        `seconds` bounds the wait for other processes and for the server.

        Raises:
            DatabaseUnavailable: says why, and what to do.
        """
        with explained(home):
            cluster = Cluster(home)
            with exclusive(cluster.folder / "start.lock", seconds=seconds):
                return cls._join(cluster, seconds)

    @classmethod
    def _join(cls, cluster: Cluster, seconds: float) -> Self:
        server = Server(cluster)
        users = FileLock(cluster.folder / "users.lock")
        try:
            users.share()
            if not server.answers():
                _bring_up(cluster, server, users, seconds)
            prune_logs(cluster)
            return cls(server, cluster, users)
        except BaseException:
            users.close()
            raise

    def close(self) -> None:
        """Leaves; the last one out stops the server. A second call does nothing."""
        users, self._users = self._users, None
        if users is None:
            return
        with (
            users,
            suppress(DatabaseUnavailable, OSError),  # then a later user stops it
            exclusive(self.folder / "start.lock", seconds=START_SECONDS),
        ):
            if users.try_exclusive():
                self._server.stop()

    def __repr__(self) -> str:
        state = "closed" if self._users is None else "open"
        return f"<EmbeddedPostgres {state} {self.folder}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _bring_up(cluster: Cluster, server: Server, users: FileLock, seconds: float) -> None:
    binaries = readable_by(cluster.account, find_binaries(cluster.major()))
    remove_drafts(cluster)
    if not cluster.data.exists():
        make_data(cluster, binaries)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        running = server.pid()
        if running is None:
            up = server.wait(server.launch(binaries), seconds=seconds)
        else:
            up = server.wait(running, seconds=MUTE_SECONDS)
        if up:
            server.update_extension()
            return
        if server.pid() is not None:
            _stop_mute(server, users)
        time.sleep(_RETRY_SECONDS)
    raise DatabaseUnavailable(
        f"The embedded database does not come up. Its last words: {last_words(cluster)}",
        advice=f"See {cluster.folder / 'log'}, and try again.",
    )


def _stop_mute(server: Server, users: FileLock) -> None:
    """Its socket is gone, or it hangs. It may be stopped if it is nobody else's."""
    alone = users.try_exclusive()
    if alone:
        server.stop()
    users.share()
    if not alone:
        raise DatabaseUnavailable(
            "The embedded database runs, and others use it, but it does not answer here.",
            advice="End the other Gristmill processes of this home, then try again.",
        )
