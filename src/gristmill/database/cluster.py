"""The folder of one embedded database, and who may enter it.

    <home>/postgres/          0700; as root 0711, so that the server's user passes through
        data/                 PostgreSQL's own, made aside and renamed: whole or absent
        socket/               0700; a link into /tmp where a socket's path would be too long
        log/  start.log       the server's log, and what it said before it had one
        password              0600, made once
        server.conf hba.conf ident.conf   written before each start
        start.lock users.lock see `embedded`

As root on Linux the server gets the folder as an open descriptor and knows it by `/proc/self/fd`.
So it works below parents that only root may enter, and no mode outside is changed.
"""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from psycopg.conninfo import make_conninfo

from gristmill.database.account import server_account
from gristmill.database.sockets import PORT, socket_folder
from gristmill.errors import DatabaseUnavailable

NAME: Final = "gristmill"  # of the database and of its owner


class Cluster:
    """One embedded database's folder, made if need be.

    Raises:
        DatabaseUnavailable: the folder belongs to somebody else.
        OSError: it cannot be made.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.account = server_account()
        self.folder = _own_folder(home.resolve() / "postgres")
        self.folder.chmod(0o711 if self.account.switch else 0o700)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def sockets(self) -> Path:
        """Where the server listens.

        Raises:
            DatabaseUnavailable: others could listen there too.
        """
        return socket_folder(self.folder, self.account)

    @property
    def tag(self) -> str:
        """The mark of our server in the list of processes. Survives renames and bind mounts."""
        status = self.folder.stat()
        return f"gristmill_{status.st_dev:x}_{status.st_ino:x}"

    def conninfo(self) -> str:
        """The libpq address, with the password; `require_auth` never shows it to an impostor.

        Raises:
            DatabaseUnavailable: the password's file is gone.
        """
        return make_conninfo(
            host=str(self.sockets),
            port=PORT,
            dbname=NAME,
            user=NAME,
            password=self.password(),
            require_auth="scram-sha-256",
            connect_timeout=10,
        )

    def major(self) -> int | None:
        """The version of PostgreSQL that made the data folder, if there is one.

        Raises:
            DatabaseUnavailable: the data folder is damaged.
        """
        if not self.data.exists():
            return None
        try:
            return int((self.data / "PG_VERSION").read_text())
        except (FileNotFoundError, ValueError):
            raise DatabaseUnavailable(
                f"{self.data} is damaged: its PG_VERSION cannot be read.",
                advice="Restore a backup, or move the folder away to begin with an empty one.",
            ) from None

    def make_password(self) -> None:
        """Makes the password's file, unless there is one."""
        path = self.folder / "password"
        if path.exists():
            return
        draft = path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(descriptor)
        draft.rename(path)

    def password(self) -> str:
        path = self.folder / "password"
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            raise DatabaseUnavailable(
                f"The password of the embedded database is gone: {path} does not exist.",
                advice="Put the file back from a backup of the home folder.",
            ) from None

    @contextmanager
    def seen_by_server(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The folder's name for a child process, and the descriptors that the child must get."""
        if not (self.account.switch and sys.platform == "linux"):
            yield str(self.folder), ()
            return
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{descriptor}", (descriptor,)
        finally:
            os.close(descriptor)


def _own_folder(path: Path) -> Path:
    """Makes the folder, or checks that it, and a link to it, is the caller's. Follows the link."""
    path.mkdir(mode=0o700, exist_ok=True)
    owners = {path.lstat().st_uid, path.stat().st_uid}
    if owners != {os.geteuid()}:
        raise DatabaseUnavailable(
            f"The database in {path} belongs to another user of this machine.",
            advice="Set GRISTMILL_HOME to a folder of your own, or run as that user.",
        )
    return path.resolve()
