"""The server process of a cluster: start, ask, stop. Every function needs the start lock.

Alive means that it answers. The recorded pid is only a hint: after a crash or a reboot it may be
anybody's, so nothing is signalled before its command line shows the mark of our cluster.
"""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from gristmill.database.account import ENVIRONMENT
from gristmill.database.binaries import Binaries
from gristmill.database.cluster import NAME, Cluster
from gristmill.database.configuration import arguments, configure, last_words
from gristmill.database.refusals import told_by_server
from gristmill.database.sockets import PORT, SOCKET, remove_distant_folder, remove_sockets
from gristmill.errors import DatabaseUnavailable

# Above every pid of Linux (2^22) and macOS (99999). PostgreSQL reads a dead owner from it, and
# still checks the shared memory of backends that may have outlived their server.
DEAD_PID: Final = 2**31 - 1
RECOVERY_SECONDS: Final = 600.0
FAST_SECONDS: Final = 30.0  # a shutdown writes its checkpoint first
_POLL_SECONDS: Final = 0.01
_PASSING: Final = ("pre-existing shared memory block", 'lock file "postmaster.pid" already exists')

# The child's output goes to the log, its pid comes back, and init becomes its parent.
_DETACH: Final = '"$@" </dev/null >&2 & echo $!'


class Server:
    """The one server of a cluster, running or not."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def answers(self) -> bool:
        return self._ping() is Ping.OK

    def pid(self) -> int | None:
        """The process that is certainly this cluster's server, if there is one."""
        try:
            pid = int((self._cluster.data / "postmaster.pid").read_text().splitlines()[0])
        except (FileNotFoundError, ValueError, IndexError):
            return None
        return pid if self._is_ours(pid) else None

    def launch(self, binaries: Binaries) -> int:
        """Starts the process, detached from us and our terminal, and returns its pid.

        Raises:
            OSError: a file cannot be written or the program not run.
        """
        configure(self._cluster)
        remove_sockets(self._cluster.sockets)
        self._disown_stale_pid()
        with (
            self._cluster.seen_by_server() as (folder, descriptors),
            (self._cluster.folder / "start.log").open("wb") as log,
        ):
            command = [binaries.program("postgres"), *arguments(self._cluster, folder)]
            started = subprocess.run(  # noqa: S603 — our own dependency's program
                ["/bin/sh", "-c", _DETACH, "sh", *command],
                stdout=subprocess.PIPE,
                stderr=log,
                check=True,
                cwd="/",
                env=ENVIRONMENT,
                pass_fds=descriptors,
                start_new_session=True,
                **self._cluster.account.privileges(),
            )
        return int(started.stdout)

    def wait(self, pid: int, *, seconds: float) -> bool:
        """Waits until the server answers; False when it stays mute or ended for a passing reason.

        A server that says it is recovering gets ten minutes.

        Raises:
            DatabaseUnavailable: it does not come up, for a reason that does not pass by itself.
        """
        begun = time.monotonic()
        while (answer := self._ping()) is not Ping.OK:
            if not self._is_ours(pid):
                self._explain_end()
                return False
            patience = RECOVERY_SECONDS if answer is Ping.REJECT else seconds
            if time.monotonic() - begun > patience:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def update_extension(self) -> None:
        """Brings pgvector's SQL to the version of the library that now runs.

        Raises:
            DatabaseUnavailable: the server does not let us in.
        """
        try:
            with psycopg.connect(self._cluster.conninfo(), autocommit=True) as connection:
                connection.execute("SET client_min_messages = warning")
                connection.execute("ALTER EXTENSION vector UPDATE")
        except psycopg.Error as error:
            raise DatabaseUnavailable(
                f"The embedded database runs but refuses to work: {error}",
                advice=f"The folder is {self._cluster.folder}; its log may say more.",
            ) from error

    def stop(self) -> None:
        """Stops the server: open transactions are rolled back, connections closed."""
        for request, seconds in ((signal.SIGINT, FAST_SECONDS), (signal.SIGQUIT, 5.0)):
            pid = self.pid()
            if pid is None:
                break
            os.kill(pid, request)
            self._wait_for_end(pid, seconds)
        if self.pid() is None:
            remove_distant_folder(self._cluster.folder)

    def _wait_for_end(self, pid: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._is_ours(pid) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def _ping(self) -> Ping:
        folder = self._cluster.sockets
        if not (folder / SOCKET).exists():
            return Ping.NO_RESPONSE
        conninfo = make_conninfo(
            host=str(folder), port=PORT, user=NAME, dbname=NAME, connect_timeout=5
        )
        return Ping(PGconn.ping(conninfo.encode()))

    def _is_ours(self, pid: int) -> bool:
        return f"cluster_name={self._cluster.tag}" in command_line(pid)

    def _disown_stale_pid(self) -> None:
        """PostgreSQL refuses to start while the pid in its file lives, whoever it is today."""
        try:
            descriptor = os.open(self._cluster.data / "postmaster.pid", os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            return
        with os.fdopen(descriptor, "r+") as file:
            lines = file.read().splitlines(keepends=True)[1:]
            file.seek(0)
            file.writelines((f"{DEAD_PID}\n", *lines))
            file.truncate()

    def _explain_end(self) -> None:
        words = last_words(self._cluster)
        if any(sign in words for sign in _PASSING):
            return
        ended = DatabaseUnavailable(
            f"The embedded database does not start. Its last words: {words}",
            advice=f"See {self._cluster.folder / 'log'}; nothing was changed.",
        )
        raise told_by_server(words, ended)


def command_line(pid: int) -> str:
    """The arguments of a process, joined; empty when there is none, or only its remains."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("latin-1")
        except OSError:
            return ""
    listed = subprocess.run(  # noqa: S603 — a number is all that varies
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)],
        capture_output=True,
        check=False,
    )
    return listed.stdout.decode("latin-1")
